"""What an imported item is, and whether people can judge it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from annotation.datasets import content_hash
from annotation.feedback import FeedbackType
from annotation.messages import Content, Message, has_words, images_of, text_of
from annotation.storable import depth, unstorable

ROLES = ("system", "user", "assistant")
MAX_WANTED = 50
MAX_PRIORITY = 2**31 - 1
# Deeper than any label of a data set; what is deeper would overflow the stack of whoever walks it later.
MAX_META_DEPTH = 60

_HINTS = {
    1: " Set answers per item to 1 to have each judged on its own.",
    2: " Set answers per item to 2 to have them judged in pairs.",
}

Messages = list[Message]


class Refused(Exception):
    """Why a row is no item: a whole sentence."""


@dataclass(frozen=True)
class Item:
    """What becomes a task. `completions` are (text or parts, origin) in canonical order."""

    external_id: str
    messages: Messages
    completions: list[tuple[Content, str]]
    wanted: int | None  # None: what the campaign says
    priority: int
    is_audit: bool
    batch: str
    domain: str
    meta: dict[str, Any]

    @property
    def images(self) -> set[str]:
        """The hashes of the images that it shows."""
        said = [*(message["content"] for message in self.messages), *(content for content, _ in self.completions)]
        return {part["image"] for content in said for part in images_of(content)}

    def same_as(self, messages: Messages, answers: list[Content]) -> bool:
        """Return whether this is the item about these words; the order of the answers does not matter."""
        own = sorted(content_hash(content) for content, _ in self.completions)
        return self.messages == messages and own == sorted(map(content_hash, answers))

    def as_row(self) -> dict[str, Any]:
        """Return the item in Attune's own layout, as it could be imported."""
        row = {
            "id": self.external_id,
            "prompt": self.messages,
            "completions": [{"text": content, "origin": origin} for content, origin in self.completions],
            "wanted": self.wanted,
            "priority": self.priority,
            "batch": self.batch,
            "domain": self.domain,
            "meta": self.meta,
        }
        return {name: value for name, value in row.items() if value not in (None, "", {}, 0)}


def check(item: Item, kind: FeedbackType) -> None:
    """Raise `Refused` unless people can judge the item and both databases can store it."""
    if not item.external_id.strip() or len(item.external_id) > 200:
        raise Refused("Its id is blank or has more than 200 characters.")
    if not item.messages:
        raise Refused("Its prompt has no messages.")
    for place, message in enumerate(item.messages, start=1):
        if message["role"] not in ROLES:
            role = message["role"][:40]
            raise Refused(f"Message {place} of its prompt has the role {role!r}; use {', '.join(ROLES)}.")
    if item.messages[-1]["role"] == "assistant":
        raise Refused("Its prompt ends with an answer of the assistant; it must end where an answer is wanted.")
    if not any(has_words(message["content"]) for message in item.messages):
        raise Refused("Its prompt is empty.")
    _check_completions(item.completions, kind.completions)
    if item.wanted is not None and not 1 <= item.wanted <= MAX_WANTED:
        raise Refused(f"It wants {item.wanted} judgements; give 1 to {MAX_WANTED}.")
    if abs(item.priority) > MAX_PRIORITY:
        raise Refused(f"Its priority is beyond ±{MAX_PRIORITY}.")
    if len(item.batch) > 60 or len(item.domain) > 60:
        raise Refused("Its batch or domain has more than 60 characters.")
    if depth(item.meta) > MAX_META_DEPTH:
        raise Refused("Its meta is nested too deeply.")
    reason = unstorable([item.external_id, item.messages, item.completions, item.batch, item.domain, item.meta])
    if reason:
        raise Refused(reason)


def _check_completions(completions: list[tuple[Content, str]], bounds: tuple[int, int]) -> None:
    least, most = bounds
    count = len(completions)
    if not least <= count <= most:
        wanted = str(least) if least == most else f"{least} to {most}"
        hint = _HINTS.get(most, "") if count > most else ""
        has = "1 completion" if count == 1 else f"{count} completions"
        raise Refused(f"It has {has}; this campaign compares {wanted}.{hint}")
    seen = {(text_of(content).strip(), *(part["image"] for part in images_of(content))) for content, _ in completions}
    if len(seen) < count:
        raise Refused("Two of its completions are identical, so that nobody could prefer one.")
    if any(len(origin) > 120 for _, origin in completions):
        raise Refused("The origin of a completion has more than 120 characters.")
