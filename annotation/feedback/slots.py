"""The fields of one principle of a critique, and where the next proposal goes: a form has a slot for each of a few.

A slot holds what the person says, and apart from it what was proposed, so that a correction can be told from a
confirmation. It is empty until something is proposed or written into it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext

from annotation.extraction.checks import MAX_STATEMENT, MOST
from annotation.extraction.matching import key_among, place_of
from annotation.feedback.fields import Fields, key_of, quoted
from annotation.feedback.merging import Part

# Label and key of each answer.
ANSWERS = {
    "yes": (gettext_lazy("Yes"), "y"),
    "partly": (gettext_lazy("Partly"), "p"),
    "no": (gettext_lazy("No"), "n"),
}
REJECT = "reject"
MAX_EVIDENCE = 2_000
MAX_NAME = 120
PARTS = (
    *("statement", "answer", "evidence"),
    *("proposed_by", "proposed", "proposed_answer", "proposed_evidence"),
)
_MISSING = {
    "statement": gettext_lazy("Say what the principle is, or reject it."),
    "answer": gettext_lazy("Answer this too, or reject it."),
}


class Slot:
    """The fields of one principle, as they were sent."""

    def __init__(self, reader: Fields, number: int) -> None:
        self._reader, self._names = reader, names(number)
        self.answer = reader.choice(self._names["answer"], (*ANSWERS, REJECT), required=False)
        self.proposed_by = self._text("proposed_by", MAX_NAME)
        self._statement = " ".join(self._text("statement", MAX_STATEMENT).split())
        self._evidence = self._text("evidence", MAX_EVIDENCE)
        self._proposed = {
            "statement": " ".join(self._text("proposed", MAX_STATEMENT).split()),
            "answer": reader.choice(self._names["proposed_answer"], tuple(ANSWERS), required=False),
            "evidence": self._text("proposed_evidence", MAX_EVIDENCE),
        }

    @property
    def is_empty(self) -> bool:
        return not (self._statement or self.answer or self._evidence or self.proposed_by)

    def as_rejected(self) -> dict[str, Any]:
        # Rejected is what was proposed, whatever was written over it.
        statement = self._proposed["statement"] or self._statement
        return {**self._proposed, "statement": statement, "proposed_by": self.proposed_by}

    def as_principle(self, critique: str, listed: Mapping[str, str]) -> dict[str, Any]:
        if not self._statement:
            self._reader.refuse(self._names["statement"], str(_MISSING["statement"]))
        elif not key_of(self._statement):
            self._reader.refuse(self._names["statement"], _("Begin it with letters or digits."))
        if not self.answer and not self._reader.errors.get(self._names["answer"]):
            self._reader.refuse(self._names["answer"], str(_MISSING["answer"]))
        place = place_of(self._evidence, critique)
        if self._evidence and place is None:
            reason = _("These words are not in your critique. Select the passage there, or leave this empty.")
            self._reader.refuse(self._names["evidence"], reason)
        evidence = None if place is None else {"text": critique[slice(*place)], "start": place[0], "end": place[1]}
        said = {
            "statement": self._statement,
            "answer": self.answer,
            "evidence": evidence["text"] if evidence else "",
        }
        changed = bool(self.proposed_by) and said != self._proposed
        return {
            **said,
            "key": key_among(self._statement, listed),
            "evidence": evidence,
            "proposed_by": self.proposed_by or None,
            "changed": changed,
            **({"proposed": self._proposed} if changed else {}),
        }

    def _text(self, part: str, most: int) -> str:
        return self._reader.text(self._names[part], most=most)


def place_proposals(fields: Mapping[str, Any], proposals: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Return the fields to set, so that each proposal stands in an empty slot; none for one that is there already."""
    there = {str(fields.get(names(number)[part], "")) for number in range(1, MOST + 1) for part in _SAID}
    empty = [number for number in range(1, MOST + 1) if not any(fields.get(name) for name in names(number).values())]
    placed: dict[str, str] = {}
    for one in proposals:
        if not empty or one["statement"] in there:
            continue
        evidence = one["evidence"]["text"]
        said = {"statement": one["statement"], "answer": one["answer"], "evidence": evidence}
        # Its answer stays open: a proposal counts once somebody has answered it themselves.
        placed |= values(empty.pop(0), {**said, "answer": ""}, proposed_by=one["by"], proposed=said)
    return placed


_SAID = ("statement", "proposed")


def names(number: int) -> dict[str, str]:
    """Return the names of a slot's fields."""
    return {part: f"principle_{number}_{part}" for part in PARTS}


def values(
    number: int, said: Mapping[str, Any], *, proposed_by: str | None, proposed: Mapping[str, Any]
) -> dict[str, str]:
    """Return the form values of a slot."""
    name = names(number)
    given = {name[part]: str(said[part]) for part in ("statement", "answer", "evidence")}
    if proposed_by:
        given |= {
            name["proposed_by"]: proposed_by,
            name["proposed"]: str(proposed["statement"]),
            name["proposed_answer"]: str(proposed["answer"]),
            name["proposed_evidence"]: str(proposed["evidence"]),
        }
    return given


def aligned_slots(said: Sequence[Mapping[str, Any]], listed: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return the forms with each principle in the same slot, whoever spoke of it.

    What is rejected comes last. Where people spoke of more principles than there are slots the forms stay as they are.
    """
    met = [(_meant(one, number, listed), _is_rejected(one, number)) for one in said for number in _used(one)]
    order = dict.fromkeys(meant for meant, _rejected in sorted(met, key=lambda found: found[1]))
    if len(order) > MOST:
        return [dict(one) for one in said]
    place = {meant: number for number, meant in enumerate(order, start=1)}
    return [_moved(one, {number: place[_meant(one, number, listed)] for number in _used(one)}) for one in said]


def slot_parts(said: Sequence[Mapping[str, Any]], listed: Mapping[str, str]) -> list[Part]:
    """Return the principles of `aligned_slots`; those that are not in one slot for all can only be read."""
    found: dict[str, dict[int, Mapping[str, Any]]] = {}
    for one in said:
        for number in _used(one):
            found.setdefault(_meant(one, number, listed), {}).setdefault(number, one)
    parts = []
    for meant, slots in found.items():
        number, first = next(iter(slots.items()))
        title = listed.get(meant, "").partition(":")[0] or str(first[names(number)["statement"]])
        told = partial(_answer_to, meant, listed=listed)
        parts.append(Part(meant, 0, title, list(names(number).values()) if len(slots) == 1 else [], told))
    return parts


def _used(form: Mapping[str, Any]) -> list[int]:
    return [number for number in range(1, MOST + 1) if form.get(names(number)["statement"])]


def _meant(form: Mapping[str, Any], number: int, listed: Mapping[str, str]) -> str:
    """Return the key of what is in a slot: in the campaign's list, else of its own words."""
    statement = str(form[names(number)["statement"]])
    return key_among(statement, listed) or key_of(statement)


def _is_rejected(form: Mapping[str, Any], number: int) -> bool:
    return bool(form.get(names(number)["answer"]) == REJECT)


def _moved(form: Mapping[str, Any], to: Mapping[int, int]) -> dict[str, Any]:
    """Return the form with its slots elsewhere; of two that mean the same the first stays."""
    held = {name: part for number in to for part, name in names(number).items()}
    moved = {name: value for name, value in form.items() if name not in held}
    for number, there in to.items():
        new = names(there)
        if new["statement"] not in moved:
            moved |= {new[part]: form[name] for part, name in names(number).items() if name in form}
    return moved


def _answer_to(meant: str, form: Mapping[str, Any], *, listed: Mapping[str, str]) -> str:
    """Return what somebody said of a principle, in words; empty when nothing."""
    for number in _used(form):
        if _meant(form, number, listed) == meant:
            answer, evidence = (str(form.get(names(number)[part], "")) for part in ("answer", "evidence"))
            said = str(ANSWERS[answer][0]) if answer in ANSWERS else pgettext("principle", "Rejected")
            return f"{said} {quoted(evidence)}" if evidence else said
    return ""
