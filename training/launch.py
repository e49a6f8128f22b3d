"""Runs as child processes: start one, follow it, stop it. The one place that names `training.core.run`.

The child leads a process group of its own and inherits a locked file, ``lock``, in the run's folder. The lock lasts
as long as any process of the group lives, so that no second attempt can start in a folder that an orphan still
writes to, whoever was killed in between.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import psutil
from django.conf import settings

from annotation.models import Image
from annotation.told import told
from training import paths, store
from training.errors import FolderBusy, TrainingError
from training.folder import Tail
from training.models import Run
from training.recipes.spec import RunSpec

# Of the environment, what a process that may run a model's own code has no business to see.
WITHHELD = (
    *("SECRET_KEY", "DATABASE_URL", "BROKER_URL", "DJANGO_SETTINGS_MODULE", "BUCKET_KEY", "BUCKET_SECRET"),
    *("POSTGRES_PASSWORD", "OIDC_CLIENT_SECRET", "EMAIL_URL", "METRICS_TOKEN", "HUB_TOKEN", "ATTUNE_EXTRACTOR_KEY"),
)
_SHA256 = re.compile(r"\b[0-9a-f]{64}\b")


@dataclass
class Child:
    """A started run: the leader of its process group, and the folder's lock."""

    process: subprocess.Popen[bytes]
    folder: Path
    lock: IO[str]
    started: float  # as psutil tells it

    @property
    def pid(self) -> int:
        return self.process.pid


@dataclass(frozen=True)
class Patience:
    """Seconds that a child is given between being asked to stop, being told, and being killed."""

    until_term: float = 10.0
    until_kill: float = 30.0


def spec_of(run: Run) -> RunSpec:
    """Return what the child is told: the row's recipe and inputs, with absolute paths."""
    inputs = run.inputs
    return RunSpec(
        kind=run.kind,
        recipe=run.recipe,
        output=str(paths.run_folder(run.pk)),
        model=store.fetch(inputs["model"]),
        tokenizer=_resolved(inputs.get("tokenizer")),
        reference=_resolved(inputs.get("reference")),
        scorers={name: store.fetch(path) for name, path in inputs.get("scorers", {}).items()},
        suite=_resolved(inputs.get("suite")),
        guard=_resolved(inputs.get("guard")),
        beside={name: store.fetch(path) for name, path in inputs.get("beside", {}).items()},
        data=_resolved(inputs.get("data")),
        eval_data=_resolved(inputs.get("eval_data")),
        images=_images(run),
        known=[store.fetch(path) for path in inputs.get("known", ())],
        engine=_engine(inputs.get("engine")),
        seen=inputs.get("seen"),
        cache=str(paths.reference_cache()),
        seed=run.seed,
        trust_remote_code=settings.ATTUNE_TRUST_REMOTE_CODE,
    )


def _engine(asked: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return the engine of a run as its child is told of it; TrainingError where this worker has none of that name."""
    if asked is None:
        return None
    if asked["name"] not in settings.ATTUNE_ENGINES:
        variable = f"{asked['name'].upper()}_PYTHON"
        raise TrainingError(
            told("This worker has no engine {name}: set {variable} there.", name=asked["name"], variable=variable)
        )
    return {**asked, "python": settings.ATTUNE_ENGINES[asked["name"]]}


def _images(run: Run) -> dict[str, str]:
    """Return the file of each image that the rows of a run may show, by its sha256; the core opens those they name."""
    _remove_deleted()
    images = Image.objects.filter(campaign=run.campaign_id)
    try:
        return {image.sha256: image.file.path for image in images}
    except NotImplementedError:  # they are in a bucket, and no files
        named = set().union(*(_named(run.inputs.get(name)) for name in ("data", "eval_data", "suite")))
        return {image.sha256: str(_brought(image)) for image in images if image.sha256 in named}


def _named(data: str | None) -> set[str]:
    """Return what looks like the hash of an image in a file of rows."""
    if data is None:
        return set()
    with open(store.fetch(data), encoding="utf-8") as lines:
        return {found for line in lines for found in _SHA256.findall(line)}


def _brought_images() -> Path:
    return paths.files() / "images"


def _remove_deleted() -> None:
    """Remove images brought here that no campaign has any more."""
    # Where images are files of this machine, the folders of the campaigns stand beside those that were brought.
    here = {path.name: path for path in _brought_images().glob("*") if path.is_file() and path.suffix != ".part"}
    for sha256 in set(here) - set(Image.objects.filter(sha256__in=here).values_list("sha256", flat=True)):
        here[sha256].unlink(missing_ok=True)


def _brought(image: Image) -> Path:
    """Return the image as a file of this machine; its name is its content, so it is brought once."""
    path = _brought_images() / image.sha256
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        with (
            image.file.open("rb") as file,
            tempfile.NamedTemporaryFile(dir=path.parent, suffix=".part", delete=False) as part,
        ):
            shutil.copyfileobj(file, part)
        Path(part.name).replace(path)
    return path


def _resolved(path: str | None) -> str | None:
    return None if path is None else store.fetch(path)


def command_for(processes: int) -> list[str]:
    """Return the command that runs a spec: one process, or torchrun with one process per device."""
    if processes > 1:
        # torchrun with the run's own exit status: it would end with 1 after a stop on request too.
        return [sys.executable, "-m", "training.core.several", str(processes)]
    return [sys.executable, "-m", "training.core.run"]


def child_environment() -> dict[str, str]:
    """Return the environment of a process that runs a model: this one's without its secrets, and quiet libraries."""
    kept = {name: value for name, value in os.environ.items() if name not in WITHHELD}
    return kept | {"HF_HUB_DISABLE_TELEMETRY": "1", "TOKENIZERS_PARALLELISM": "false", "PYTHONUNBUFFERED": "1"}


def promised() -> dict[str, str]:
    """Return how many processes a run has, so that one among fewer ends there, and whether they share the model."""
    if settings.ATTUNE_PROCESSES < 2:
        return {}
    shared = {"ATTUNE_SHARDED": "1"} if settings.ATTUNE_SHARDED else {}
    return {"ATTUNE_PROCESSES": str(settings.ATTUNE_PROCESSES), **shared}


def sampler() -> dict[str, str]:
    """Return what draws a policy's answers on this worker, and how much of a GPU it may have."""
    return {"ATTUNE_SAMPLER": settings.ATTUNE_SAMPLER, "ATTUNE_SAMPLER_MEMORY": str(settings.ATTUNE_SAMPLER_MEMORY)}


def start(spec: RunSpec, *, command: Sequence[str] | None = None, lock_seconds: float = 30.0) -> Child:
    """Write ``spec.json`` and start the child; FolderBusy when another process still holds the folder.

    Only who has claimed the run may call this. So another process there is an orphan of an earlier attempt, perhaps on
    another machine; it is asked to stop, and given `lock_seconds` for it.

    `command` takes the spec's path as its last argument; by default it is `training.core.run`.
    """
    folder = Path(spec.output)
    folder.mkdir(parents=True, exist_ok=True)
    lock = _lock(folder, lock_seconds)
    try:
        for left_over in ("STOP", "error.json"):
            (folder / left_over).unlink(missing_ok=True)
        path = spec.write()
        with (folder / "log.txt").open("ab") as log:
            process = subprocess.Popen(
                [*(command or command_for(1 if spec.engine else settings.ATTUNE_PROCESSES)), str(path)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=child_environment() | ({} if command or spec.engine else promised() | sampler()),
                cwd=paths.PACKAGE.parent,
                start_new_session=True,
                pass_fds=[lock.fileno()],
            )
    except BaseException:
        lock.close()
        raise
    return Child(process=process, folder=folder, lock=lock, started=_started(process.pid))


def _lock(folder: Path, seconds: float) -> IO[str]:
    file = (folder / "lock").open("a")
    deadline = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            ask_to_stop(folder)
            if time.monotonic() > deadline:
                file.close()
                raise FolderBusy(
                    told(
                        "A process of an earlier attempt still works in {folder}. The run waits until it has ended.",
                        folder=str(folder),
                    )
                ) from None
            time.sleep(0.1)
        else:
            return file


def ask_to_stop(folder: Path) -> None:
    """Ask whatever works in a run's folder to write a checkpoint and end; nothing happens when nothing does."""
    if folder.is_dir():
        (folder / "STOP").touch()


def _started(pid: int) -> float:
    try:
        return psutil.Process(pid).create_time()
    except psutil.NoSuchProcess:
        return time.time()


def follow(
    child: Child,
    *,
    report: Callable[[list[dict[str, Any]]], bool],
    every_seconds: float = 1.0,
    patience: Patience | None = None,
) -> int:
    """Return the child's exit code (negative: the signal that killed it) once its whole group is gone.

    About every second `report` gets the metrics lines that were added and says whether the child shall go on. When it
    says no, the child is asked by a STOP file, then told by SIGTERM, then killed. When `report` raises, the child is
    killed at once: whoever holds the run now has a child of its own.
    """
    patience = patience or Patience()
    tail = Tail(child.folder / "metrics.jsonl")
    asked: float | None = None
    told = False
    next_report = 0.0
    try:
        while not _has_ended(child):
            now = time.monotonic()
            if now >= next_report:
                next_report = now + every_seconds
                if not report(tail.read()) and asked is None:
                    asked = now
                    ask_to_stop(child.folder)
            if asked is not None:
                if now - asked > patience.until_kill:
                    _signal_group(child.pid, signal.SIGKILL)
                elif now - asked > patience.until_term and not told:
                    told = True
                    _signal_group(child.pid, signal.SIGTERM)
            time.sleep(min(0.1, every_seconds))
        report(tail.read())
    finally:
        stop(child)
    return child.process.returncode


def stop(child: Child) -> None:
    """Kill what is left of the child's group, wait for the leader and give up the folder's lock."""
    if child.process.returncode is None:
        # The leader is not reaped yet, so its number still names this group and no other.
        _signal_group(child.pid, signal.SIGKILL)
        child.process.wait()
    child.lock.close()


def _has_ended(child: Child) -> bool:
    """Return whether the leader has ended, without reaping it: until then nobody else can get its number."""
    return os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None


def _signal_group(group: int, number: int) -> None:
    # Not there, or not permitted as macOS says of a zombie: every process of the group has ended.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)
