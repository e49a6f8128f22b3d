"""The files folder in a bucket as well, so that machines can work together without a disk that all share.

Who writes a file or a folder below the files folder calls `keep`, and who reads one calls `fetch`: it brings what is
missing here, or has changed elsewhere. Which bytes a path has now is a row of the database (`StoredFile`); the bytes
are in the bucket under path and hash, so that a reader gets all of a file's old bytes or all of its new ones. The files
folder of a machine is then its cache, and its working place: what is written here and not kept yet stays as it is.

Without ``FILES_IN_BUCKET`` there is one files folder, of one machine or of a disk that all mount, and nothing of this
costs anything: both return what `training.paths` says.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import IO, Any, cast

from django.conf import settings
from django.core.files import File
from django.core.files.storage import Storage, storages
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from annotation.told import told
from training import paths
from training.errors import TrainingError
from training.models import StoredFile
from training.recipes.spec import write_text

ALIAS = "files"
NOTES = ".kept"  # what this machine knows of each file here: the bytes that it brought or took away
# Of one machine: the lock and the order to stop of a process here, and what `write_text` had begun.
_OWN = re.compile(r"(^|/)(lock|STOP|spec\.json|[^/]*\.\d+-\d+\.part)$")
# Somebody may replace a file between a look at its row and the request for its bytes.
TRIES = 3
UNUSED = timedelta(days=1)  # younger bytes without a row may be those of a file that is being kept


def is_on() -> bool:
    """Return whether a bucket holds the files folder."""
    return ALIAS in settings.STORAGES


def keep(path: Path, *, may_write: Callable[[], bool] | None = None) -> str:
    """Put what has changed of a file, or of all in a folder, into the bucket; return the path as rows store it.

    What is gone from the folder goes from the bucket. Ends at once when `may_write` says no: another machine has taken
    over the folder.
    """
    stored = paths.stored(path)
    if is_on() and path.is_relative_to(paths.files()):
        _keep(stored, path, may_write)
    return stored


def keep_text(folder: str, text: str) -> str:
    """Write `text` to ``<folder>/<hash>.jsonl`` of the files folder and keep it; return the path as rows store it.

    The same text has the same path, and so is written once however many runs read it. Half a character is no text, and
    becomes a question mark.
    """
    content = text.encode("utf-8", "replace")
    path = paths.files() / folder / f"{hashlib.sha256(content).hexdigest()[:16]}.jsonl"
    if not path.exists():
        write_text(path, content.decode())
    return keep(path)


def fetch(path: str) -> str:
    """Return the absolute form of a stored path, as `paths.resolve`, once all of it is here as it is now."""
    rows = _rows(path)
    for row in rows:
        _bring(row)
    if _may_be_stored(path):
        _remove_gone(path, rows)
    return paths.resolve(path)


def run_file(run_id: int, name: str) -> Path:
    """Return where this file of a run's folder lies, once it is here as it is now; there may be none."""
    path = paths.run_folder(run_id) / name
    fetch(paths.stored(path))
    return path


def exists(path: str) -> bool:
    """Return whether there is a file or folder of this stored path, here or in the bucket; nothing is brought."""
    return Path(paths.resolve(path)).exists() or bool(_rows(path))


def names(folder: str) -> list[str]:
    """Return the stored paths of all files in a folder, here or in the bucket, in order."""
    here = paths.files() / folder
    found = {paths.stored(path) for path in here.rglob("*") if path.is_file()}
    return sorted(found | {row.path for row in _rows(folder)})


def changed_at(path: str) -> Any:
    """Return when something at this stored path was kept last; None when nothing is."""
    return max((row.changed_at for row in _rows(path)), default=None)


def drop(path: Path) -> None:
    """Take a file, or all in a folder, out of the bucket; what lies here is the caller's."""
    _forget(_rows(paths.stored(path)))


# --- What this machine has ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Known:
    """The bytes of a file that were brought here or taken from here last, and how the file looked then."""

    sha256: str
    size: int
    mtime_ns: int


def _note_of(path: str) -> Path:
    return paths.files() / NOTES / f"{path}.json"


def _known(path: str) -> _Known | None:
    try:
        return _Known(**json.loads(_note_of(path).read_text()))
    except (FileNotFoundError, ValueError, TypeError):
        return None


def _remember(path: str, sha256: str, *, size: int, mtime_ns: int) -> None:
    write_text(_note_of(path), json.dumps({"sha256": sha256, "size": size, "mtime_ns": mtime_ns}))


def _bring(row: StoredFile) -> None:
    target = paths.files() / row.path
    for last in reversed(range(TRIES)):
        known = _known(row.path)
        if target.is_file() and known is not None and known.sha256 == row.sha256:
            return  # as it was brought, or written on here since
        try:
            _download(row, target)
            return
        except FileNotFoundError:
            now = StoredFile.objects.filter(path=row.path).first()
            if now is None:
                return  # it was taken away just now
            if last == 0 or now.sha256 == row.sha256:
                message = told("The bucket does not hold {path} any more. Restore it from a backup.", path=row.path)
                raise TrainingError(message) from None
            row = now


def _download(row: StoredFile, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.{os.getpid()}-{threading.get_ident()}.fetched")
    digest = hashlib.sha256()
    try:
        with _bucket().open(row.key) as source, part.open("wb") as file:
            for piece in source.chunks():
                digest.update(piece)
                file.write(piece)
        if digest.hexdigest() != row.sha256:
            raise TrainingError(told("What the bucket holds of {path} is damaged. Restore it.", path=row.path))
        stat = part.stat()
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
    _remember(row.path, row.sha256, size=stat.st_size, mtime_ns=stat.st_mtime_ns)


def _remove_gone(path: str, rows: Iterable[StoredFile]) -> None:
    """Remove what was brought here or taken from here, and is in the bucket no more: somebody had it deleted."""
    top = paths.files() / NOTES
    noted = [_note_of(path), *(top / path).rglob("*.json")]
    here = {str(note.relative_to(top)).removesuffix(".json") for note in noted if note.is_file()}
    for name in here - {row.path for row in rows}:
        (paths.files() / name).unlink(missing_ok=True)
        _note_of(name).unlink(missing_ok=True)


# --- What the bucket has -----------------------------------------------------------------------------------------


def _bucket() -> Storage:
    return storages[ALIAS]


def _may_be_stored(path: str) -> bool:
    """Return whether a bucket holds the files folder, and a path could be below it."""
    return is_on() and bool(path) and not Path(path).is_absolute()


def _rows(path: str) -> list[StoredFile]:
    """Return the rows of a file, or of all files below a folder."""
    if not _may_be_stored(path):
        return []
    inside = path.rstrip("/") + "/"
    found = StoredFile.objects.filter(Q(path=path) | Q(path__startswith=inside)).order_by("path")
    # SQLite takes upper for lower case here.
    return [row for row in found if row.path == path or row.path.startswith(inside)]


def _keep(stored: str, path: Path, may_write: Callable[[], bool] | None) -> None:
    rows = {row.path: row for row in _rows(stored)}
    seen = set()
    for file in _files(path):
        name = paths.stored(file)
        with suppress(FileNotFoundError):  # an old checkpoint, removed meanwhile
            seen.add(name)
            if may_write is not None and not may_write():
                return
            _keep_file(name, file, rows.get(name))
    if may_write is None or may_write():
        _forget(row for name, row in rows.items() if name not in seen)


def _files(path: Path) -> Iterator[Path]:
    found = sorted(path.rglob("*")) if path.is_dir() else [path]
    for file in found:
        name = str(file.relative_to(paths.files()))
        if file.is_file() and not _OWN.search(name) and file.suffix != ".fetched":
            yield file


def _keep_file(name: str, path: Path, row: StoredFile | None) -> None:
    with path.open("rb") as file:
        stat = path.stat()
        known = _known(name)
        if row is not None and known == _Known(row.sha256, stat.st_size, stat.st_mtime_ns):
            return
        start = _Start(file, stat.st_size)
        sha256 = _sha256(start)
        if row is None or row.sha256 != sha256:
            start.seek(0)
            now = StoredFile(path=name, sha256=sha256, size=stat.st_size)
            _bucket().save(now.key, File(cast(Any, start), name=path.name))
            StoredFile.objects.update_or_create(path=name, defaults={"sha256": sha256, "size": stat.st_size})
            if row is not None:
                old = row.key
                transaction.on_commit(lambda: _bucket().delete(old))
    _remember(name, sha256, size=stat.st_size, mtime_ns=stat.st_mtime_ns)


class _Start:
    """The first bytes of a file that somebody may be adding to."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        self._file, self.size, self._left = file, size, size
        self.mode, self.closed = "rb", False

    def read(self, count: int | None = -1) -> bytes:
        wanted = self._left if count is None or count < 0 else min(count, self._left)
        piece = self._file.read(wanted)
        self._left -= len(piece)
        return piece

    def seek(self, offset: int, whence: int = 0) -> int:
        at = offset if whence == 0 else self.tell() + offset if whence == 1 else self.size + offset
        self._file.seek(at)
        self._left = self.size - at
        return at

    def tell(self) -> int:
        return self.size - self._left

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        """Leave the file open: who opened it closes it."""


def _sha256(file: _Start) -> str:
    digest = hashlib.sha256()
    while piece := file.read(1 << 20):
        digest.update(piece)
    return digest.hexdigest()


def _forget(rows: Iterable[StoredFile]) -> None:
    for row in rows:
        key = row.key
        StoredFile.objects.filter(path=row.path, sha256=row.sha256).delete()
        _note_of(row.path).unlink(missing_ok=True)
        transaction.on_commit(lambda key=key: _bucket().delete(key))  # type: ignore[misc]


def sweep(older_than: timedelta = UNUSED) -> int:
    """Delete bytes that no row names any more, and copies here of what was deleted elsewhere; return how many bytes'.

    Such bytes are left by a process that was killed between the two, or by a transaction that was taken back.
    """
    if not is_on():
        return 0
    _remove_gone("", StoredFile.objects.all())
    before = timezone.now() - older_than
    deleted = 0
    for key, changed in _keys(""):
        path, _, sha256 = key.rpartition("/")
        if changed < before and not StoredFile.objects.filter(path=path, sha256=sha256).exists():
            _bucket().delete(key)
            deleted += 1
    return deleted


def _keys(folder: str) -> Iterator[tuple[str, Any]]:
    bucket = _bucket()
    folders, files = bucket.listdir(folder)
    for name in files:
        key = f"{folder}/{name}" if folder else name
        yield key, bucket.get_modified_time(key)
    for name in folders:
        yield from _keys(f"{folder}/{name}" if folder else name)
