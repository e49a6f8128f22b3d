"""A row of an imported file, before anybody asks what it means."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from annotation.errors import Invalid

# Of one line, and of one row where a format has no lines.
MAX_LINE_BYTES = 4_000_000
# Lists and objects inside each other: more than a thread of 200 messages has, and less than Python can walk.
MAX_DEPTH = 500


class Unreadable(Invalid):
    """The file as a whole, or all that follows, cannot be read; `shown` stands in the places of the sentence."""

    def __init__(self, message: str, **shown: object) -> None:
        super().__init__(message.format(**shown) if shown else message)


@dataclass(frozen=True)
class Row:
    """A row as it came. With neither value nor reason it is a blank line."""

    line: int  # from 1: of the line on which it begins, or of the row where a format has no lines
    value: dict[str, Any] | None = None
    reason: str = ""  # why it could not be read
    text: str = ""  # what could not be read
    size: int = 0  # about how many characters it has
    file: str = ""  # when several are read
    original: dict[str, Any] | None = None  # as it came, where images in it were read
