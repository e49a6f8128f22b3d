"""Uploads in parts: what has arrived stays when the connection breaks, and the upload goes on from there.

An upload has no row: its token is made of who sends what where, so that whoever begins the same one again, by a
reloaded page or a script started anew, finds what is there already. Each part is a file of the storage, which may be
S3 and so cannot append; the last part puts them together into an upload like any other (`uploads`).
"""

from __future__ import annotations

import hashlib
import re
import shutil
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import BinaryIO, cast

from django.core.files import File
from django.core.files.storage import default_storage
from django.utils.translation import gettext as _

from annotation.errors import AnnotationError, Invalid
from annotation.importing import kept_files, uploads
from annotation.models import Campaign, User

FOLDER = "parts"
PART_BYTES = 4 * 1024 * 1024  # what the page sends at a time
MOST_PART_BYTES = 64 * 1024 * 1024
MOST_BYTES = 64 * 1024**3
_NAME = re.compile(r"(?P<at>\d{12})-(?P<size>\d+)")


@dataclass(frozen=True)
class Part:
    path: str
    at: int
    size: int


class WrongPlace(AnnotationError):
    """A part that does not follow on what is there; `errors` says where the next one begins."""

    status = 409

    def __init__(self, there: int) -> None:
        super().__init__(_("The next part begins at byte {there}; send it from there.").format(there=there))
        self.errors = {"at": [str(there)]}


def token_of(*, campaign: Campaign, user: User, name: str, size: int, key: str) -> str:
    """Return the token of an upload; the same for the same file of the same person."""
    said = "\0".join([str(campaign.pk), str(user.pk), name, str(size), key])
    return hashlib.sha256(said.encode("utf-8", "replace")).hexdigest()[:32]


def there(*, campaign: Campaign, user: User, token: str, size: int) -> int:
    """Return how many bytes of an upload are there: `size` when it is whole."""
    if uploads.find(campaign=campaign, user=user, token=token):
        return size
    return sum(part.size for part in _parts(campaign, user, token))


def add(*, campaign: Campaign, user: User, name: str, size: int, key: str, at: int, body: BinaryIO) -> int:
    """Store the part that begins at byte `at`; return how many bytes are there then.

    A part that came before is left as it is, so sending one again is safe. Raises `WrongPlace` for one that does not
    follow on what is there, and `Invalid` for one that is too large, empty, or longer than the file is said to be.
    """
    if not 0 < size <= MOST_BYTES:
        raise Invalid(_("A file has between 1 byte and {most} GiB.").format(most=MOST_BYTES // 1024**3))
    token = token_of(campaign=campaign, user=user, name=name, size=size, key=key)
    found = there(campaign=campaign, user=user, token=token, size=size)
    if at < found:
        return found
    if at > found:
        raise WrongPlace(found)
    with tempfile.SpooledTemporaryFile(PART_BYTES + 1) as spool:
        length = _copied(body, cast(BinaryIO, spool))
        if not length or at + length > size:
            raise Invalid(
                _("The part has {length} bytes, of {left} that are missing.").format(length=length, left=size - at)
            )
        spool.seek(0)
        wanted = f"{FOLDER}/{_start(campaign, user, token)}{at:012d}-{length}"
        stored = default_storage.save(wanted, File(cast(BinaryIO, spool), name=wanted))
    if stored != wanted:  # the same part was sent twice at once
        default_storage.delete(stored)
    if at + length == size:
        _join(campaign, user, token, name)
    return at + length


def _join(campaign: Campaign, user: User, token: str, name: str) -> None:
    """Put the parts together under the token of the upload, and let go of them."""
    kept_files.expire(FOLDER, uploads.KEPT)
    parts = _parts(campaign, user, token)
    with tempfile.TemporaryFile() as whole:
        for part in parts:
            with default_storage.open(part.path) as file:
                shutil.copyfileobj(file, whole)
        uploads.keep(campaign=campaign, user=user, file=whole, name=name, token=token)
    for part in parts:
        with suppress(FileNotFoundError):
            default_storage.delete(part.path)


def _parts(campaign: Campaign, user: User, token: str) -> Sequence[Part]:
    """Return the parts that follow on each other, from the first."""
    start = _start(campaign, user, token)
    found: dict[int, Part] = {}
    for name in kept_files.names_in(FOLDER):
        if name.startswith(start) and (place := _NAME.fullmatch(name.removeprefix(start))):
            at = int(place["at"])
            found[at] = Part(f"{FOLDER}/{name}", at, int(place["size"]))
    parts: list[Part] = []
    at = 0
    while at in found:
        parts.append(found[at])
        at += found[at].size
    return parts


def _copied(body: BinaryIO, spool: BinaryIO) -> int:
    length = 0
    while chunk := body.read(64 * 1024):
        length += len(chunk)
        if length > MOST_PART_BYTES:
            raise Invalid(_("A part has at most {most} MiB.").format(most=MOST_PART_BYTES // 1024**2))
        spool.write(chunk)
    return length


def _start(campaign: Campaign, user: User, token: str) -> str:
    return f"{campaign.pk}-{user.pk}-{token}-"
