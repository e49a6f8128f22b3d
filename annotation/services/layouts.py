"""How one line of an imported JSON Lines file becomes an item, and why it does not.

Three layouts, told apart by their keys:

- ``{"id"?, "prompt", "completions": [text | {"text", "origin"?}, …], "priority"?, "wanted"?, "batch"?, "domain"?,
  "meta"?}``, where the prompt is text or a list of messages;
- ``{"id"?, "prompt"?, "chosen", "rejected", …}`` as TRL writes it, in text or in messages; without a prompt the
  messages both conversations share are the prompt;
- ``{"chosen", "rejected"}`` as HH-RLHF writes it: transcripts with ``\\n\\nHuman:`` and ``\\n\\nAssistant:``.
"""

from __future__ import annotations

import codecs
import json
import re
from dataclasses import dataclass
from typing import Any

from annotation.datasets import content_hash, prompt_hash
from annotation.feedback import FeedbackType
from annotation.storable import unstorable

MAX_LINE_BYTES = 4_000_000
ROLES = ("system", "user", "assistant")
MAX_WANTED = 50
MAX_PRIORITY = 2**31 - 1
_TURN = re.compile(r"\n\n(Human|Assistant):")
_SPEAKERS = {"Human": "user", "Assistant": "assistant"}

Messages = list[dict[str, str]]


class Refused(Exception):
    """Why a line is no item: a whole sentence."""


@dataclass(frozen=True)
class Item:
    """What becomes a task. `completions` are (text, origin) in canonical order."""

    external_id: str
    messages: Messages
    completions: list[tuple[str, str]]
    wanted: int | None  # None: what the campaign says
    priority: int
    is_audit: bool
    batch: str
    domain: str
    meta: dict[str, Any]

    def same_as(self, messages: Messages, texts: list[str]) -> bool:
        """Return whether this is the item about these words; the order of the answers does not matter."""
        return self.messages == messages and sorted(text for text, _ in self.completions) == sorted(texts)


def read_line(line: str | bytes, *, first: bool = False) -> Item | None:
    """Return the item of a line, or None when the line is blank; raises `Refused`. `first` may carry a BOM."""
    row = _object(line, first=first)
    if row is None:
        return None
    if "completions" in row:
        messages, completions = _messages(row.get("prompt"), "prompt"), _completions(row["completions"])
    elif "chosen" in row and "rejected" in row:
        messages, completions = _chosen_rejected(row)
    else:
        missing = "completions" if "prompt" in row else "prompt and completions"
        raise Refused(f"It has no {missing}; give prompt and completions, or chosen and rejected.")
    meta = row.get("meta")
    if meta is not None and not isinstance(meta, dict):
        raise Refused("Its meta is no object.")
    return Item(
        external_id=_id(row.get("id"), messages, completions),
        messages=messages,
        completions=completions,
        wanted=_whole(row, "wanted", None),
        priority=_whole(row, "priority", 0) or 0,
        is_audit=False,
        batch=_text(row, "batch"),
        domain=_text(row, "domain"),
        meta=meta or {},
    )


def check(item: Item, kind: FeedbackType) -> None:
    """Raise `Refused` unless people can judge the item and both databases can store it."""
    if not item.external_id.strip() or len(item.external_id) > 200:
        raise Refused("Its id is blank or has more than 200 characters.")
    if not item.messages:
        raise Refused("Its prompt has no messages.")
    for place, message in enumerate(item.messages, start=1):
        if message["role"] not in ROLES:
            raise Refused(f"Message {place} of its prompt has the role {message['role']!r}; use {', '.join(ROLES)}.")
    if item.messages[-1]["role"] == "assistant":
        raise Refused("Its prompt ends with an answer of the assistant; it must end where an answer is wanted.")
    if not any(message["content"].strip() for message in item.messages):
        raise Refused("Its prompt is empty.")
    least, most = kind.completions
    count = len(item.completions)
    if not least <= count <= most:
        wanted = str(least) if least == most else f"{least} to {most}"
        raise Refused(f"It has {count} completions; this campaign compares {wanted}.")
    seen = [text.strip() for text, _ in item.completions]
    if len(set(seen)) < count:
        raise Refused("Two of its completions are identical, so that nobody could prefer one.")
    if any(len(origin) > 120 for _, origin in item.completions):
        raise Refused("The origin of a completion has more than 120 characters.")
    if item.wanted is not None and not 1 <= item.wanted <= MAX_WANTED:
        raise Refused(f"It wants {item.wanted} judgements; give 1 to {MAX_WANTED}.")
    if abs(item.priority) > MAX_PRIORITY:
        raise Refused(f"Its priority is beyond ±{MAX_PRIORITY}.")
    if len(item.batch) > 60 or len(item.domain) > 60:
        raise Refused("Its batch or domain has more than 60 characters.")
    reason = unstorable([item.external_id, item.messages, item.completions, item.batch, item.domain, item.meta])
    if reason:
        raise Refused(reason)


def _object(line: str | bytes, *, first: bool) -> dict[str, Any] | None:
    """Return the JSON object on the line; None when it is blank."""
    if isinstance(line, bytes):
        if first and line.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            raise Refused("The file is in UTF-16; save it in UTF-8.")
        if len(line.rstrip(b"\r\n")) > MAX_LINE_BYTES:
            raise Refused(_too_long())
        try:
            line = line.decode()
        except UnicodeDecodeError as error:
            raise Refused(f"Byte {error.start + 1} of the line is not valid UTF-8.") from None
    elif len(line) > MAX_LINE_BYTES:
        raise Refused(_too_long())
    if first:
        line = line.removeprefix("\ufeff")
    elif line.startswith("\ufeff"):
        raise Refused("It starts with a byte order mark, as if another file began here; remove the mark.")
    if not line.strip():
        return None
    try:
        row = json.loads(line, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        raise Refused(f"It is not valid JSON: {error.msg} at character {error.colno}.") from None
    except RecursionError:
        raise Refused("It is nested too deeply.") from None
    except ValueError:
        raise Refused("It holds a number that is too long.") from None
    if not isinstance(row, dict):
        raise Refused("It is no JSON object; each line must be one object in braces.")
    return row


def _no_constant(name: str) -> None:
    raise Refused(f"It holds {name}, which is not valid JSON.")


def _too_long() -> str:
    return f"The line has more than {MAX_LINE_BYTES:,} bytes."


def _messages(value: Any, name: str) -> Messages:
    """Return a conversation from text, a transcript or a list of messages."""
    if isinstance(value, str):
        if value.startswith("\n\nHuman:"):
            # The transcript of a prompt ends with "Assistant:", where the answer is wanted.
            return _transcript(value.rstrip().removesuffix("\n\nAssistant:"), name)
        return [{"role": "user", "content": value}]
    if not isinstance(value, list):
        given = "is missing" if value is None else "is neither text nor a list of messages"
        raise Refused(f"Its {name} {given}.")
    messages = []
    for place, message in enumerate(value, start=1):
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            raise Refused(f"Message {place} of its {name} is no object with a role.")
        if not isinstance(message.get("content"), str):
            raise Refused(f"Message {place} of its {name} has no content in text.")
        messages.append({"role": message["role"], "content": message["content"]})
    return messages


def _completions(value: Any) -> list[tuple[str, str]]:
    if not isinstance(value, list):
        raise Refused("Its completions are no list.")
    completions = []
    for place, completion in enumerate(value, start=1):
        if isinstance(completion, str):
            completions.append((completion, ""))
            continue
        if not isinstance(completion, dict) or not isinstance(completion.get("text"), str):
            raise Refused(f"Completion {place} is neither text nor an object with text.")
        origin = completion.get("origin", "")
        if not isinstance(origin, str):
            raise Refused(f"The origin of completion {place} is no text.")
        completions.append((completion["text"], origin))
    return completions


def _chosen_rejected(row: dict[str, Any]) -> tuple[Messages, list[tuple[str, str]]]:
    """Return prompt and completions of a row that says which answer was preferred; the preference is their origin."""
    chosen, rejected = row["chosen"], row["rejected"]
    if row.get("prompt") is not None:
        messages = _messages(row["prompt"], "prompt")
        answers = _answer(chosen, "chosen"), _answer(rejected, "rejected")
    else:
        conversations = _messages(chosen, "chosen"), _messages(rejected, "rejected")
        for name, conversation in zip(("chosen", "rejected"), conversations, strict=True):
            if len(conversation) < 2 or conversation[-1]["role"] != "assistant":
                raise Refused(f"It has no prompt, and {name} is no conversation that ends with an assistant's answer.")
        if conversations[0][:-1] != conversations[1][:-1]:
            raise Refused("Its chosen and rejected conversations differ before their last answer.")
        messages = conversations[0][:-1]
        answers = conversations[0][-1]["content"], conversations[1][-1]["content"]
    return messages, [(answers[0], "chosen"), (answers[1], "rejected")]


def _answer(value: Any, name: str) -> str:
    """Return the text of one answer, given as text or as a list with one assistant message."""
    if isinstance(value, str):
        return value.strip()
    messages = _messages(value, name)
    if len(messages) != 1 or messages[0]["role"] != "assistant":
        raise Refused(f"Its {name} must be text or a list with one message of the assistant, since it has a prompt.")
    return messages[0]["content"]


def _transcript(text: str, name: str) -> Messages:
    """Return the messages of an HH-RLHF transcript."""
    parts = _TURN.split(text)
    if parts[0].strip():
        raise Refused(f"The transcript in its {name} does not start with “Human:” or “Assistant:”.")
    speakers, contents = parts[1::2], parts[2::2]
    return [
        {"role": _SPEAKERS[speaker], "content": content.strip()}
        for speaker, content in zip(speakers, contents, strict=True)
    ]


def _id(value: Any, messages: Messages, completions: list[tuple[str, str]]) -> str:
    """Return the given id as text, or a hash of the content; the same two answers in another order are one item."""
    if value is None:
        return content_hash([prompt_hash(messages), sorted(content_hash(text) for text, _ in completions)])
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise Refused("Its id is neither text nor a whole number.")
    return str(value)


def _whole(row: dict[str, Any], name: str, default: int | None) -> int | None:
    value = row.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int):
        raise Refused(f"Its {name} is no whole number.")
    return value


def _text(row: dict[str, Any], name: str) -> str:
    value = row.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise Refused(f"Its {name} is no text.")
    return value
