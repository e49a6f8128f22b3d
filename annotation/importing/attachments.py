"""Where the images lie that rows name: beside them in a ZIP archive, in a folder on the server, or nowhere."""

from __future__ import annotations

import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, BinaryIO, Protocol, cast

from django.utils.translation import gettext as _

from annotation.importing import formats, pictures
from annotation.importing.items import Refused
from annotation.importing.rows import Row, Unreadable

ZIP_MAGIC = b"PK\x03\x04"
ZIP_TYPES = ("application/zip", "application/x-zip-compressed")
MAX_ENTRIES = 200_000


class Files(Protocol):
    """Files that a row may name."""

    def has(self, name: str) -> bool:
        """Return whether there is a file of this name."""

    def read(self, name: str) -> bytes:
        """Return what is in the file; raises `Refused` when it cannot be read."""


class NoFiles:
    """Rows that came alone."""

    def has(self, name: str) -> bool:
        return False

    def read(self, name: str) -> bytes:
        raise Refused(
            _("is named, but did not come along; send rows and images in one ZIP archive, or it as a data URI")
        )


class ZippedFiles:
    """The files of an archive; read one by one, and never unpacked onto the disk."""

    def __init__(self, archive: zipfile.ZipFile, *, below: str) -> None:
        self._archive = archive
        self._names = {info.filename: info for info in archive.infolist() if not info.is_dir()}
        self._below = below  # the folder of the rows, which names are relative to

    def has(self, name: str) -> bool:
        return self._info(name) is not None

    def read(self, name: str) -> bytes:
        info = self._info(name)
        if info is None:
            raise Refused(_("is not in the archive"))
        try:
            with self._archive.open(info) as file:
                # Whatever the archive says about its size, no more than can be an image is read.
                return file.read(pictures.MAX_BYTES + 1)
        except (zipfile.BadZipFile, NotImplementedError, RuntimeError, OSError, EOFError, zlib.error):
            raise Refused(_("is damaged or encrypted in the archive; pack it again")) from None

    def _info(self, name: str) -> zipfile.ZipInfo | None:
        plain = str(PurePosixPath(name.replace("\\", "/")))
        return self._names.get(f"{self._below}{plain}") or self._names.get(plain)


class FolderFiles:
    """The files below some folders of this machine; for commands, whose caller may read them anyway."""

    def __init__(self, roots: list[Path]) -> None:
        self._roots = [root.resolve() for root in dict.fromkeys(roots)]

    def has(self, name: str) -> bool:
        return self._path(name) is not None

    def read(self, name: str) -> bytes:
        path = self._path(name)
        if path is None:
            raise Refused(_("is not in the folder of its rows"))
        try:
            with path.open("rb") as file:
                return file.read(pictures.MAX_BYTES + 1)
        except OSError as error:
            raise Refused(_("cannot be read: {strerror}"), strerror=error.strerror) from None

    def _path(self, name: str) -> Path | None:
        for root in self._roots:
            try:
                path = (root / name).resolve()
                if path.is_relative_to(root) and path.is_file():
                    return path
            except (OSError, ValueError):  # a name that is too long, or has a NUL in it
                continue
        return None


def opened(file: BinaryIO, *, name: str = "", content_type: str = "") -> tuple[Iterator[Row], Files]:
    """Return the rows of a file and the files that came with them; a ZIP archive has rows and images in one.

    Raises `Unreadable` at once when there are no rows of a known format.
    """
    if not formats.can_seek(file):
        if content_type.split(";")[0].strip().lower() not in ZIP_TYPES:
            return formats.rows_of(file, name=name, content_type=content_type), NoFiles()
        file = _on_disk(file)
    head = file.read(len(ZIP_MAGIC))
    file.seek(0)
    if head != ZIP_MAGIC:
        return formats.rows_of(file, name=name, content_type=content_type), NoFiles()
    if not name.lower().endswith(".zip") and not zipfile.is_zipfile(file):
        file.seek(0)
        return formats.rows_of(file, name=name, content_type=content_type), NoFiles()  # says what it may be instead
    return _of_archive(file)


def _of_archive(file: BinaryIO) -> tuple[Iterator[Row], Files]:
    try:
        archive = zipfile.ZipFile(file)
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError):
        raise Unreadable(_("The ZIP archive is damaged or was cut off; pack it again.")) from None
    if "[Content_Types].xml" in archive.namelist():
        raise Unreadable(_("The file is a spreadsheet or a text document; save the sheet as CSV."))
    if len(archive.infolist()) > MAX_ENTRIES:
        raise Unreadable(_("The ZIP archive has more than {most:,} files; split it."), most=MAX_ENTRIES)
    inner = _rows_within(archive)
    if inner.file_size > formats.MAX_UNPACKED_BYTES:
        raise Unreadable(_("The rows in the ZIP archive are too many; split it."))
    try:
        member = archive.open(inner)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError):
        raise Unreadable(_("The rows in the ZIP archive are damaged or encrypted; pack it again.")) from None
    folder = inner.filename.rpartition("/")[0]
    rows = formats.rows_of(cast(BinaryIO, _Member(member)), name=inner.filename)
    return rows, ZippedFiles(archive, below=f"{folder}/" if folder else "")


class _Member:
    """A file in an archive, read forwards only: each step back in it would unpack it from its start."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def read(self, size: int) -> bytes:
        try:
            return self._file.read(size)
        except (zipfile.BadZipFile, zlib.error, EOFError):
            raise Unreadable(_("The rows in the ZIP archive are damaged; pack it again.")) from None


def _rows_within(archive: zipfile.ZipFile) -> zipfile.ZipInfo:
    """Return the one file of the archive that has rows in it."""
    found = []
    for info in archive.infolist():
        path = PurePosixPath(info.filename)
        hidden = any(part.startswith((".", "__MACOSX")) for part in path.parts)
        if not info.is_dir() and not hidden and formats.suffix_of(path.name) in formats.BY_SUFFIX:
            found.append(info)
    if len(found) == 1:
        return found[0]
    if not found:
        known = ", ".join(formats.BY_SUFFIX)
        raise Unreadable(
            _("The ZIP archive has no file with rows; put one into it whose name ends in one of {known}."), known=known
        )
    names = ", ".join(info.filename[:40] for info in found[:4])
    raise Unreadable(
        _("The ZIP archive has several files with rows ({names}); leave one of them beside the images."), names=names
    )


def _on_disk(stream: BinaryIO) -> BinaryIO:
    """Return a nameless file with all that the stream has: an archive is read from its end."""
    file = tempfile.TemporaryFile()  # noqa: SIM115  # lives as long as its rows are read
    shutil.copyfileobj(stream, file)
    file.seek(0)
    return file
