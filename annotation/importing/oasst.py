"""OpenAssistant's trees: wherever several replies of the assistant answer the same messages, there is an item."""

from __future__ import annotations

import json
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from typing import Any

from django.utils.translation import gettext as _

from annotation.importing.conversations import Found
from annotation.importing.items import Messages, Refused
from annotation.importing.rows import Row

_ROLES = {"prompter": "user", "user": "user", "human": "user", "assistant": "assistant", "system": "system"}
_LABELS = ("rank", "emojis", "labels", "detoxify")
MAX_TURNS = 200
MAX_SIBLINGS = 20

_TABLES = """
PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF;
CREATE TABLE message (id TEXT PRIMARY KEY, parent TEXT, line INTEGER, file TEXT, data TEXT) WITHOUT ROWID;
CREATE INDEX of_parent ON message (parent, line);
"""


def tree(row: dict[str, Any]) -> list[Found]:
    """Return the siblings of one whole tree, as the files of trees have it."""
    found = []
    waiting: list[tuple[Any, Messages]] = [(row["prompt"], [])]
    while waiting:
        message, before = waiting.pop()
        if isinstance(message, dict) and message.get("deleted"):
            continue
        messages = [*before, _said(message)]
        if len(messages) > MAX_TURNS:
            raise Refused(_("Its tree is more than {most} messages deep."), most=MAX_TURNS)
        replies = message.get("replies") or []
        if not isinstance(replies, list):
            raise Refused(_("The replies of a message are no list."))
        found.extend(_siblings(message, messages, replies))
        waiting.extend((reply, messages) for reply in reversed(replies))
    return found


def is_message(row: dict[str, Any]) -> bool:
    """Return whether the row is one message of a tree, as the flat files of messages have it."""
    return {"message_id", "text", "role"} <= row.keys() and "prompt" not in row


def siblings_of_messages(rows: Iterator[Row]) -> Iterator[Row]:
    """Yield a row ``{"parent", "before", "replies"}`` for each group of siblings, after all messages have been read.

    The messages wait in a file on disk, since a reply may come long after what it answers. Rows that cannot be read
    and messages that do not fit come out as they are, with their reason.
    """
    with tempfile.TemporaryDirectory() as folder, closing(sqlite3.connect(f"{folder}/messages")) as store:
        store.executescript(_TABLES)
        for row in rows:
            if row.value is None:
                yield row
                continue
            reason = _keep(store, row)
            if reason:
                yield Row(row.line, row.value, reason=reason, size=row.size, file=row.file)
        parents = store.execute(
            "SELECT parent, min(line), file FROM message WHERE parent != '' GROUP BY parent ORDER BY file, min(line)"
        )
        for parent, line, file in parents:
            value = _group(store, parent)
            if value is not None:
                yield Row(line, value, size=1000, file=file)


def siblings(row: dict[str, Any]) -> list[Found]:
    """Return the siblings of a row that `siblings_of_messages` made, or that has its columns by chance."""
    before, replies = row["before"], row["replies"]
    if not (isinstance(before, list) and before and isinstance(replies, list)):
        raise Refused(_("Its before and replies are no lists of messages."))
    messages = [_said(message) for message in before]
    return _siblings(before[-1], messages, replies)


def _keep(store: sqlite3.Connection, row: Row) -> str:
    """Store one message; return why it cannot be stored, or nothing."""
    value = row.value or {}
    name, parent = value.get("message_id"), value.get("parent_id") or ""
    if not isinstance(name, str) or not isinstance(parent, str):
        return _("Its message_id or parent_id is no text.")
    try:
        _said(value)
        values = (name, parent, row.line, row.file, json.dumps(value))
        store.execute("INSERT OR IGNORE INTO message VALUES (?, ?, ?, ?, ?)", values)
    except Refused as refused:
        return str(refused)
    except UnicodeEncodeError:
        return _("Its message_id or parent_id has half of a surrogate pair, which is no character.")
    return ""


def _group(store: sqlite3.Connection, parent: str) -> dict[str, Any] | None:
    """Return the replies to `parent` with the messages before them; None when the thread has no beginning."""
    before: list[dict[str, Any]] = []
    name = parent
    while name:
        found = store.execute("SELECT parent, data FROM message WHERE id = ?", (name,)).fetchone()
        if found is None or len(before) > MAX_TURNS:
            return None
        name = found[0]
        before.insert(0, json.loads(found[1]))
    if any(message.get("deleted") for message in before):
        return None
    replies = store.execute("SELECT data FROM message WHERE parent = ? ORDER BY line", (parent,))
    return {"before": before, "replies": [json.loads(data) for (data,) in replies]}


def _siblings(message: dict[str, Any], messages: Messages, replies: list[Any]) -> list[Found]:
    if messages[-1]["role"] != "user":
        return []
    answers = [
        reply
        for reply in replies
        if isinstance(reply, dict) and not reply.get("deleted") and _said(reply)["role"] == "assistant"
    ][:MAX_SIBLINGS]
    if not answers:
        return []
    completions = [(_said(reply)["content"], _writer(reply)) for reply in answers]
    labels = {name: [reply.get(name) for reply in answers] for name in _LABELS if any(name in r for r in answers)}
    return [Found(messages, completions, labels, id=message.get("message_id"))]


def _said(message: Any) -> dict[str, str]:
    if not isinstance(message, dict):
        raise Refused(_("A message of its tree is no object."))
    role, text = message.get("role"), message.get("text")
    if not isinstance(role, str) or role not in _ROLES:
        raise Refused(_("The role of a message is neither prompter nor assistant."))
    if not isinstance(text, str):
        raise Refused(_("A message has no text."))
    return {"role": _ROLES[role], "content": text}


def _writer(reply: dict[str, Any]) -> str:
    """Return who wrote a reply: the model of a synthetic one, else people."""
    model = reply.get("model_name")
    if reply.get("synthetic"):
        return model[:120] if isinstance(model, str) and model else "synthetic"
    return "people"
