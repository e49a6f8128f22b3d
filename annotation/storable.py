"""Which text both databases can hold. Asked before anything is written, so that the answer is a sentence."""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import chain
from typing import Any

from django.utils.translation import gettext as _


def unstorable(value: Any) -> str:
    """Return why `value` (text, or JSON with text in it) cannot be stored; the empty string when it can.

    PostgreSQL refuses the NUL character in text and in JSON; no database takes half of a surrogate pair.
    """
    if isinstance(value, str):
        if "\x00" in value:
            return _("It contains a NUL character (\\u0000), which PostgreSQL cannot store; remove it.")
        try:
            value.encode()
        except UnicodeEncodeError:
            return _("It contains half of a surrogate pair (such as \\ud83d alone), which is no character; remove it.")
        return ""
    if isinstance(value, float) and not math.isfinite(value):
        return _("It contains a number beyond all bounds (such as 1e999), which JSON cannot hold; remove it.")
    parts: Iterable[Any] = ()
    if isinstance(value, dict):
        parts = chain(value, value.values())
    elif isinstance(value, list | tuple):
        parts = value
    for part in parts:
        if reason := unstorable(part):
            return reason
    return ""


def depth(value: Any) -> int:
    """Return how many lists and objects lie inside each other; without recursion."""
    levels = 0
    level = [value]
    while level := [item for item in level if isinstance(item, dict | list)]:
        levels += 1
        level = [part for item in level for part in (item.values() if isinstance(item, dict) else item)]
    return levels


def printable(text: str) -> str:
    """Return the text with a mark for each character that cannot be stored or shown, for sentences that quote data."""
    return text if text.isprintable() else "".join(char if char.isprintable() else "\ufffd" for char in text)
