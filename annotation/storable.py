"""Which text both databases can hold. Asked before anything is written, so that the answer is a sentence."""

from __future__ import annotations

from typing import Any


def unstorable(value: Any) -> str:
    """Return why `value` (text, or JSON with text in it) cannot be stored; the empty string when it can.

    PostgreSQL refuses the NUL character in text and in JSON; no database takes half of a surrogate pair.
    """
    if isinstance(value, str):
        if "\x00" in value:
            return "It contains a NUL character (\\u0000), which PostgreSQL cannot store; remove it."
        try:
            value.encode()
        except UnicodeEncodeError:
            return "It contains half of a surrogate pair (such as \\ud83d alone), which is no character; remove it."
        return ""
    if isinstance(value, dict):
        return next((reason for pair in value.items() for part in pair if (reason := unstorable(part))), "")
    if isinstance(value, list | tuple):
        return next((reason for part in value if (reason := unstorable(part))), "")
    return ""
