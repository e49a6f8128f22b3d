"""What an imported item is, and whether people can judge it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from annotation import dialogues, gold, suggestions
from annotation.datasets import content_hash, prompt_hash
from annotation.errors import Invalid
from annotation.feedback import FeedbackType
from annotation.messages import Content, Message, answer_of, has_words, images_of, stored_answer, text_of
from annotation.storable import depth, unstorable

ROLES = ("system", "user", "assistant")
MAX_WANTED = 50
MAX_PRIORITY = 2**31 - 1
# Deeper than any label of a data set; what is deeper would overflow the stack of whoever walks it later.
MAX_META_DEPTH = 60

_HINTS = {
    1: gettext_lazy("Set answers per item to 1 to have each judged on its own."),
    2: gettext_lazy("Set answers per item to 2 to have them judged in pairs."),
}

Messages = list[Message]


class Refused(Exception):
    """Why a row is no item: a whole sentence, in the places of which stands what is `shown`."""

    def __init__(self, message: str, **shown: object) -> None:
        super().__init__(message.format(**shown) if shown else message)


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
    # None: what the campaign says.
    requires: tuple[str, ...] | None = None
    about: tuple[str, ...] | None = None
    # The right answer, as it was given; `annotation.gold` reads it.
    gold: dict[str, Any] | None = None
    # What a model said of it, as it was given; `annotation.suggestions` reads it.
    suggestion: dict[str, Any] | None = None
    # Of a row of whole dialogues: what follows `messages` in each.
    rests: list[Messages] = field(default_factory=list)
    # What `annotation.dialogues` adds to the content of an item that is not about a last answer.
    dialogue: dict[str, Any] = field(default_factory=dict)
    # How the conversation begins of which other items have other turns; None: it is an item of its own.
    opening: Messages | None = None

    @property
    def prompt(self) -> Messages:
        """Return what it is filed under: turns of one dialogue have one prompt, so that no split parts them."""
        if self.opening is not None:
            return self.opening
        return dialogues.opening(self.messages) if "between" in self.dialogue else self.messages

    @property
    def texts(self) -> list[str]:
        """Return the texts of its answers, in canonical order."""
        return [text_of(content) for content, _origin in self.completions]

    def content(self, ids: Sequence[int | None] = ()) -> dict[str, Any]:
        """Return what people are shown; `ids` are those of the completions, once they are stored."""
        known = ids or [None] * len(self.completions)
        answers = [{"id": pk, **stored_answer(answer)} for pk, (answer, _) in zip(known, self.completions, strict=True)]
        return {"messages": self.messages, "completions": answers, **self.dialogue}

    def same_as(self, content: dict[str, Any]) -> bool:
        """Return whether this is the item about these words; the order of answers to compare does not matter."""
        own = [content_hash(answer) for answer, _ in self.completions]
        others = [content_hash(answer_of(completion)) for completion in content["completions"]]
        if "between" not in self.dialogue:
            own, others = sorted(own), sorted(others)
        turns = [(place.get("turn"), place.get("between")) for place in (self.dialogue, content)]
        return (
            self.messages == content["messages"]
            and own == others
            and turns[0] == turns[1]
            and ("dialogues" in self.dialogue) == ("dialogues" in content)
        )

    @property
    def images(self) -> set[str]:
        """The hashes of the images that it shows."""
        said = [*(message["content"] for message in self.messages), *(content for content, _ in self.completions)]
        return {part["image"] for content in said for part in images_of(content)}

    def as_row(self) -> dict[str, Any]:
        """Return the item in Attune's own layout, as it could be imported."""
        row = {
            "id": self.external_id,
            **self._said(),
            "wanted": self.wanted,
            "priority": self.priority,
            "batch": self.batch,
            "domain": self.domain,
            "meta": self.meta,
            "requires": None if self.requires is None else list(self.requires),
            "about": None if self.about is None else list(self.about),
            "gold": self.gold,
            "suggestion": self.suggestion,
        }
        return {name: value for name, value in row.items() if value not in (None, "", {}, 0)}

    def _said(self) -> dict[str, Any]:
        if "between" in self.dialogue:
            return {"messages": dialogues.whole(self.content()), "turn": self.dialogue["turn"]}
        rests = self.dialogue.get("dialogues") or self.rests
        if rests:
            return {
                "dialogues": [
                    {"messages": [*self.messages, *rest], "origin": origin}
                    for rest, (_, origin) in zip(rests, self.completions, strict=True)
                ]
            }
        return {
            "prompt": self.messages,
            "completions": [{"text": content, "origin": origin} for content, origin in self.completions],
        }


def content_id(messages: Messages, completions: Sequence[tuple[Content, str]]) -> str:
    """Return the id of an item that came without one; the same two answers in another order are one item."""
    return content_hash([prompt_hash(messages), sorted(content_hash(text) for text, _ in completions)])


def check(item: Item, kind: FeedbackType, options: Mapping[str, Any]) -> None:
    """Raise `Refused` unless people can judge the item under these options, and both databases can store it."""
    if not item.external_id.strip() or len(item.external_id) > 200:
        raise Refused(_("Its id is blank or has more than 200 characters."))
    if not item.messages:
        raise Refused(_("Its prompt has no messages."))
    for place, message in enumerate(item.messages, start=1):
        if message["role"] not in ROLES:
            role = message["role"][:40]
            raise Refused(
                _("Message {place} of its prompt has the role {role!r}; use {roles}."),
                place=place,
                role=role,
                roles=", ".join(ROLES),
            )
    if item.messages[-1]["role"] == "assistant":
        raise Refused(_("Its prompt ends with an answer of the assistant; it must end where an answer is wanted."))
    if not any(has_words(message["content"]) for message in item.messages):
        raise Refused(_("Its prompt is empty."))
    if "between" not in item.dialogue:
        _check_completions(item.completions, kind.completions)
    if item.wanted is not None and not 1 <= item.wanted <= MAX_WANTED:
        raise Refused(_("It wants {wanted} judgements; give 1 to {most}."), wanted=item.wanted, most=MAX_WANTED)
    if abs(item.priority) > MAX_PRIORITY:
        raise Refused(_("Its priority is beyond ±{most}."), most=MAX_PRIORITY)
    if len(item.batch) > 60 or len(item.domain) > 60:
        raise Refused(_("Its batch or domain has more than 60 characters."))
    if depth(item.meta) > MAX_META_DEPTH:
        raise Refused(_("Its meta is nested too deeply."))
    parts = [item.external_id, item.messages, item.completions, item.batch, item.domain, item.meta, item.dialogue]
    reason = unstorable(parts)
    if reason:
        raise Refused(reason)
    readers: dict[str, Callable[..., object]] = {
        "gold": partial(gold.read, texts=item.texts),
        "suggestion": partial(suggestions.read, count=len(item.completions)),
    }
    for name, read in readers.items():
        if (given := getattr(item, name)) is None:
            continue
        try:
            read(kind, given, options=options)
        except Invalid as error:
            raise Refused(_("Its {name} cannot be used. {error}"), name=name, error=error) from None


def _check_completions(completions: list[tuple[Content, str]], bounds: tuple[int, int]) -> None:
    least, most = bounds
    count = len(completions)
    if not least <= count <= most:
        wanted = str(least) if least == most else _("{least} to {most}").format(least=least, most=most)
        hint = f" {_HINTS[most]}" if most in _HINTS and count > most else ""
        told = ngettext(
            "It has {count} completion; this campaign compares {wanted}.",
            "It has {count} completions; this campaign compares {wanted}.",
            count,
        )
        raise Refused(told + "{hint}", count=count, wanted=wanted, hint=hint)
    seen = {(text_of(content).strip(), *(part["image"] for part in images_of(content))) for content, _ in completions}
    if len(seen) < count:
        raise Refused(_("Two of its completions are identical, so that nobody could prefer one."))
    if any(len(origin) > 120 for _, origin in completions):
        raise Refused(_("The origin of a completion has more than 120 characters."))
