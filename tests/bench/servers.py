"""What is measured: a PostgreSQL database of its own, and a real web server in front of it."""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psutil
import psycopg

ROOT = Path(__file__).resolve().parents[2]


@contextmanager
def fresh_database(server_url: str) -> Iterator[str]:
    """Yield the URL of an empty database on the server, and drop it afterwards."""
    name = f"attune_bench_{secrets.token_hex(4)}"
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
    try:
        yield urlunsplit(urlsplit(server_url)._replace(path=f"/{name}"))
    finally:
        with psycopg.connect(server_url, autocommit=True) as connection:
            connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@dataclass(frozen=True)
class Web:
    port: int
    master: psutil.Process

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def processes(self) -> list[psutil.Process]:
        return [self.master, *self.master.children(recursive=True)]

    def rss(self) -> int:
        """Return the resident bytes of all web processes, shared pages counted in each."""
        return sum(process.memory_info().rss for process in self.processes)

    def cpu_seconds(self) -> float:
        return sum(sum(process.cpu_times()[:2]) for process in self.processes)

    def pss(self) -> int:
        """Return the bytes of all web processes, shared pages counted once."""
        return sum(process.memory_full_info().pss for process in self.processes)


@contextmanager
def web(database_url: str) -> Iterator[Web]:
    """Yield a web server as `serve` starts it, 2 processes of 4 threads, stopped afterwards."""
    from frontend import stack  # needs the settings, which need the database's URL

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    home = tempfile.TemporaryDirectory(prefix="attune-bench-")
    environment = {**os.environ, "DATABASE_URL": database_url, "ATTUNE_HOME": home.name, "LOG_LEVEL": "WARNING"}
    # Counted as ever, and never too many.
    environment["RATE_LIMITS"] = "judge=100000000,read=100000000,write=100000000,transfer=100000000"
    subprocess.run(
        [sys.executable, "manage.py", "collectstatic", "--noinput", "--verbosity", "0"],
        check=True,
        cwd=ROOT,
        env=environment,
    )
    server = subprocess.Popen(stack.web(stack.Address(port=port)).command, cwd=ROOT, env=environment)
    try:
        _wait_until_it_answers(f"http://127.0.0.1:{port}/api/schema/", server)
        yield Web(port, psutil.Process(server.pid))
    finally:
        server.terminate()
        server.wait(30)
        home.cleanup()


def _wait_until_it_answers(url: str, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            urllib.request.urlopen(url, timeout=30).close()
            return
        except OSError as error:
            if server.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"The web server did not start: {error}") from error
            time.sleep(0.1)
