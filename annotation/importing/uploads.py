"""Files between upload and import: whoever uploaded one first looks at it, and says what its columns are."""

from __future__ import annotations

import re
import secrets
from datetime import timedelta
from typing import BinaryIO, cast

from django.core.files import File
from django.core.files.storage import default_storage
from django.utils.text import get_valid_filename

from annotation.importing import kept_files
from annotation.models import Campaign, User

FOLDER = "uploads"
KEPT = timedelta(hours=24)
_TOKEN = re.compile(r"[0-9a-f]{32}")


def keep(*, campaign: Campaign | None, user: User, file: BinaryIO, name: str, token: str = "") -> str:
    """Store a file for a day and return the token under which this person finds it again.

    For this campaign only; without one, for a campaign that is still to be made. The token is made up unless given.
    """
    kept_files.expire(FOLDER, KEPT)
    token = token or secrets.token_hex(16)
    # The end of the name tells the format.
    safe = get_valid_filename(f"x{name[-60:]}")[1:] or "file"
    file.seek(0)
    default_storage.save(f"{FOLDER}/{_start(campaign, user, token)}{safe}", File(file, name=safe))
    return token


def find(*, campaign: Campaign | None, user: User, token: str) -> str | None:
    """Return the path in the storage of an upload; None when it has expired, or is somebody else's."""
    if not _TOKEN.fullmatch(token):
        return None
    start = _start(campaign, user, token)
    name = next((name for name in kept_files.names_in(FOLDER) if name.startswith(start)), None)
    return f"{FOLDER}/{name}" if name else None


def name_of(path: str) -> str:
    """Return the name with which the file was uploaded."""
    return path.rsplit("/", 1)[1].split("-", 3)[3]


def read(path: str) -> BinaryIO | None:
    """Return the upload, open for reading; None when it was deleted meanwhile."""
    try:
        return cast(BinaryIO, default_storage.open(path))
    except FileNotFoundError:
        return None


def discard(path: str) -> None:
    """Delete an upload that has been imported."""
    default_storage.delete(path)


def _start(campaign: Campaign | None, user: User, token: str) -> str:
    return f"{campaign.pk if campaign else 0}-{user.pk}-{token}-"
