"""The file in a policy's folder that holds its users, as who has no torch reads it and takes a user out of it.

It is a safetensors file: eight bytes for the length of a JSON header, the header, the numbers. Each user is one tensor
of its own, called ``user.`` and the user's pseudonym; whatever all users share is in tensors of other names.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

USERS_FILE = "users.safetensors"
PREFIX = "user."
PROFILE_TOKENS = "profile_tokens"  # in what the header says of the users: of a profile text, 0 where none is read


def known_users(folder: Path) -> list[str]:
    """Return the pseudonyms of the users that the policy in `folder` knows, in order; none where it knows nobody."""
    path = folder / USERS_FILE
    if not path.is_file():
        return []
    header, _ = _read(path)
    return sorted(name.removeprefix(PREFIX) for name in header if name.startswith(PREFIX))


def reads_profiles(folder: Path) -> bool:
    """Return whether the policy in `folder` learned to read what people say of the answers they like."""
    path = folder / USERS_FILE
    if not path.is_file():
        return False
    header, _ = _read(path)
    told = json.loads(header.get("__metadata__", {}).get("users", "{}"))
    return bool(told.get(PROFILE_TOKENS, 0))


def forget(folder: Path, user: str) -> bool:
    """Take a user's numbers out of the policy in `folder`; return whether they were there.

    Nobody else's are touched, so that the policy answers everybody else as before, and this user as somebody unknown.
    """
    if user not in known_users(folder):
        return False
    path = folder / USERS_FILE
    header, start = _read(path)
    numbers = path.read_bytes()[start:]
    kept, told, end = [], {}, 0
    for name, entry in sorted(header.items(), key=lambda one: one[1].get("data_offsets", [-1])[0]):
        if name == "__metadata__":
            told[name] = entry
        elif name != PREFIX + user:
            first, last = entry["data_offsets"]
            kept.append(numbers[first:last])
            told[name] = entry | {"data_offsets": [end, end + last - first]}
            end += last - first
    written = json.dumps(told).encode()
    written += b" " * (-len(written) % 8)  # the numbers begin at a multiple of eight
    part = path.with_name(USERS_FILE + ".part")
    part.write_bytes(struct.pack("<Q", len(written)) + written + b"".join(kept))
    part.replace(path)
    return True


def _read(path: Path) -> tuple[dict[str, Any], int]:
    """Return the header, and where the numbers begin."""
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        return json.loads(file.read(length)), 8 + length
