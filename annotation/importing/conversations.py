"""Conversations and answers in the shapes that data sets have them, read into messages and texts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from django.utils.translation import gettext as _

from annotation.importing.items import Messages, Refused
from annotation.messages import Content, Part, content_from

_TURN = re.compile(r"\n\n(Human|Assistant):")
_SPEAKERS = {"Human": "user", "Assistant": "assistant"}


@dataclass(frozen=True)
class Found:
    """A prompt with its answers, as (text or parts, origin), and what people already said about them."""

    messages: Messages
    completions: Sequence[tuple[Content, str]]
    labels: dict[str, Any] = field(default_factory=dict)
    id: Any = None  # where the layout knows a better one than the row's own
    rests: list[Messages] = field(default_factory=list)  # of whole dialogues: the messages of each after `messages`


def messages_of(value: Any, name: str) -> Messages:
    """Return a conversation from text, a transcript or a list of messages; `name` is the column, for `Refused`."""
    if isinstance(value, str):
        if value.startswith("\n\nHuman:"):
            # The transcript of a prompt ends with "Assistant:", where the answer is wanted.
            return _transcript(value.rstrip().removesuffix("\n\nAssistant:"), name)
        return [{"role": "user", "content": value}]
    if _is_parts(value):
        return [{"role": "user", "content": content_of(value, name)}]
    if not isinstance(value, list):
        given = _("is missing") if value is None else _("is neither text nor a list of messages")
        raise Refused(_("Its {name} {given}."), name=name, given=given)
    messages = []
    for place, message in enumerate(value, start=1):
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            raise Refused(_("Message {place} of its {name} is no object with a role."), place=place, name=name)
        content = message.get("content")
        if isinstance(content, dict):
            # As Arena-Hard keeps an answer beside how it was sampled.
            content = content.get("answer")
        if not isinstance(content, str) and not _is_parts(content):
            raise Refused(_("Message {place} of its {name} has no content in text."), place=place, name=name)
        messages.append(
            {
                "role": message["role"],
                "content": content_of(content, _("message {place} of its {name}").format(place=place, name=name)),
            }
        )
    return messages


def content_of(value: Any, name: str) -> Content:
    """Return what a message or an answer says: plain text, or its parts when one is an image; raises `Refused`.

    The images in it have been read already, see `annotation.importing.illustrations`.
    """
    if isinstance(value, str):
        return value
    parts: list[Part] = []
    for part in [value] if isinstance(value, dict) else value:
        kind = part["type"]
        if kind in ("text", "input_text", "output_text"):
            if not isinstance(part.get("text"), str):
                raise Refused(_("A text in {name} is no text."), name=name)
            parts.append({"type": "text", "text": part["text"]})
        elif kind == "image" and isinstance(part.get("image"), str) and "width" in part:
            parts.append(part)
        else:
            raise Refused(
                _("A part of {name} has the type {kind!r}; text and images can be judged."), name=name, kind=kind[:40]
            )
    return content_from(parts)


def _is_parts(value: Any) -> bool:
    """Return whether this is one part of a message, or a list of parts."""
    parts = [value] if isinstance(value, dict) else value
    if not isinstance(parts, list) or not parts:
        return False
    return all(isinstance(part, dict) and isinstance(part.get("type"), str) and "role" not in part for part in parts)


def answer_of(value: Any, name: str) -> Content:
    """Return one answer, given as text, as parts, or as a list with one assistant message; raises `Refused`."""
    if isinstance(value, str):
        return value.strip()
    if _is_parts(value):
        return content_of(value, name)
    messages = messages_of(value, name)
    if len(messages) != 1 or messages[0]["role"] != "assistant":
        raise Refused(
            _("Its {name} must be text or a list with one message of the assistant, since it has a prompt."), name=name
        )
    return messages[0]["content"]


def with_last_answer(value: Any, name: str) -> tuple[Messages, Content]:
    """Return a conversation up to its last answer, and that answer; raises `Refused` when it ends otherwise."""
    messages = messages_of(value, name)
    if len(messages) < 2 or messages[-1]["role"] != "assistant":
        raise Refused(
            _("It has no prompt, and {name} is no conversation that ends with an assistant's answer."), name=name
        )
    return messages[:-1], messages[-1]["content"]


def text_of(row: dict[str, Any], name: str) -> str:
    """Return the text in a column, "" when there is none; raises `Refused` when it is something else."""
    value = row.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise Refused(_("Its {name} is no text."), name=name)
    return value


def origin_of(row: dict[str, Any], name: str, default: str = "") -> str:
    """Return who wrote an answer, as a column names it."""
    value = row.get(name)
    return value[:120] if isinstance(value, str) else default


def labels_of(row: dict[str, Any], *names: str, starting: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return the columns that are labels, by name or by how their name starts, where they have a value."""
    return {
        name: value
        for name, value in row.items()
        if value is not None and (name in names or (starting and name.startswith(starting)))
    }


def _transcript(text: str, name: str) -> Messages:
    """Return the messages of an HH-RLHF transcript."""
    parts = _TURN.split(text)
    if parts[0].strip():
        raise Refused(_("The transcript in its {name} does not start with “Human:” or “Assistant:”."), name=name)
    speakers, contents = parts[1::2], parts[2::2]
    return [
        {"role": _SPEAKERS[speaker], "content": content.strip()}
        for speaker, content in zip(speakers, contents, strict=True)
    ]
