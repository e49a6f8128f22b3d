"""Prompts and completions as rows have them: texts or messages, with marks where images stand; their identity."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from training.core.records.refusals import Refused

Message = dict[str, str]
ROLES = ("system", "user", "assistant")


def canonical(messages: list[Message]) -> str:
    """Return the one JSON text that stands for `messages`, whoever wrote them."""
    return json.dumps(messages, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def prompt_hash(messages: list[Message]) -> str:
    """Return the prompt's identity; the same as the annotation side's, so that both split alike."""
    return hashlib.sha256(canonical(messages).encode()).hexdigest()


def held_out(hash: str, *, share: float = 0.1) -> bool:
    """Return whether a prompt is for evaluation only. With a share of 0.1 this is the annotation side's split.

    That split takes the numbers that end in 0; a larger share takes those that end in 1, 2, … as well, so that a
    prompt held out once stays held out.
    """
    number = int(hash[:8], 16)
    tenth = 0x1_0000_0000 // 10 + 1
    return (number % 10) * tenth + number // 10 < round(share * 10 * tenth)


IMAGE = "\ufffc"  # Unicode's object replacement character: where an image stands in a text


def messages_of(value: Any, *, images: bool = False) -> list[Message]:
    """Return a prompt as messages; a plain string is one user turn. With `images` each of them is a mark, `IMAGE`."""
    if isinstance(value, str):
        value = [{"role": "user", "content": value}]
    if not isinstance(value, list) or not value:
        raise Refused("empty" if value == [] else "malformed")
    for message in value:
        if not isinstance(message, dict) or message.get("role") not in ROLES:
            raise Refused("malformed")
    messages = [{"role": message["role"], "content": _text(message.get("content"), images=images)} for message in value]
    if not any(message["content"].strip() for message in messages):
        raise Refused("empty")
    return messages


def pictures_of(row: dict[str, Any], messages: Sequence[Message]) -> tuple[str, ...]:
    """Return what the images of a row's prompt are known by, sha256 or path, in the order of their marks."""
    return _pictures(
        row.get("images"),
        marks=sum(message["content"].count(IMAGE) for message in messages),
        placeholders=any(_has_image(message.get("content")) for message in _listed(row.get("prompt"))),
    )


def pictures_in(row: dict[str, Any], side: str, text: str) -> tuple[str, ...]:
    """Return what the images of an answer are known by: those of the column `chosen` stand in `chosen_images`."""
    there = any(_has_image(message.get("content")) for message in _listed(row.get(side)))
    return _pictures(row.get(f"{side}_images"), marks=text.count(IMAGE), placeholders=there)


def _pictures(given: Any, *, marks: int, placeholders: bool) -> tuple[str, ...]:
    given = given or []
    if not isinstance(given, list):
        raise Refused("malformed")
    found = [one.get("sha256") or one.get("path") if isinstance(one, dict) else one for one in given]
    if not all(isinstance(one, str) and one for one in found):
        raise Refused("malformed")
    if found and marks != len(found):
        raise Refused("malformed")
    if not found and placeholders:
        raise Refused("images")
    return tuple(map(str, found))


def _listed(value: Any) -> list[Any]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _has_image(content: Any) -> bool:
    return any(part.get("type") == "image" for part in _listed(content))


def _text(content: Any, *, images: bool = False) -> str:
    """Return the text of a message, which in a campaign with images is a list of parts."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list) or not all(isinstance(part, dict) for part in content):
        raise Refused("malformed")
    if not images and any(part.get("type") == "image" for part in content):
        raise Refused("images")
    texts = [IMAGE if part.get("type") == "image" else part.get("text") for part in content]
    if not all(isinstance(text, str) for text in texts):
        raise Refused("malformed")
    return "\n\n".join(str(text) for text in texts)


def completion_of(value: Any, *, images: bool = False) -> str:
    """Return a completion's text; as messages it must be a single assistant turn. `images` as in `messages_of`."""
    if isinstance(value, list):
        if len(value) > 1:
            raise Refused("several_turns")
        if not value or not isinstance(value[0], dict) or value[0].get("role") != "assistant":
            raise Refused("malformed")
        value = _text(value[0].get("content"), images=images)
    if not isinstance(value, str):
        raise Refused("malformed")
    if not value.strip():
        raise Refused("empty")
    return value
