"""What must hold of a principle before anybody sees it proposed, whoever found it (RLBFF, sections 2.1 and 2.2).

Its evidence stands in the critique; it is not "helpfulness"; it is worded so that "yes" is good; each principle comes
once, under the campaign's own name where the campaign has it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from annotation.extraction.base import PARTLY, VERDICTS, Found
from annotation.extraction.matching import (
    asks_for_absence,
    in_positive_form,
    is_helpfulness,
    is_same,
    key_among,
    place_of,
)
from annotation.storable import unstorable

MOST = 12
MAX_STATEMENT = 500


@dataclass
class Checked:
    """What is proposed, and of how many findings what became of them: the reason to their number."""

    proposals: list[dict[str, Any]] = field(default_factory=list)
    dropped: dict[str, int] = field(default_factory=dict)

    def drop(self, reason: str) -> None:
        self.dropped[reason] = self.dropped.get(reason, 0) + 1


def check(found: Iterable[Found], *, critique: str, known: Mapping[str, str], by: str) -> Checked:
    """Return proposals: ``{"statement", "key", "answer", "evidence": {"text", "start", "end"}, "by", "absence"}``.

    At most MOST of them. Two findings of one principle are one proposal; if they answer it differently, "partly".
    """
    checked = Checked()
    for one in found:
        statement, answer = in_positive_form(" ".join(one.statement.split()), one.answer)
        if not statement or len(statement) > MAX_STATEMENT or answer not in VERDICTS or unstorable(statement):
            checked.drop("unusable")
            continue
        if is_helpfulness(statement):
            checked.drop("helpfulness")
            continue
        place = place_of(one.evidence, critique)
        if place is None:
            checked.drop("evidence")
            continue
        key = key_among(statement, known)
        if key is not None:
            statement = known[key].partition(":")[0].strip()
        twin = _twin(checked.proposals, statement, key)
        if twin is not None:
            checked.drop("repeated")
            if twin["answer"] != answer:
                twin["answer"] = PARTLY
            continue
        if len(checked.proposals) >= MOST:
            checked.drop("too many")
            continue
        start, end = place
        checked.proposals.append(
            {
                "statement": statement,
                "key": key,
                "answer": answer,
                "evidence": {"text": critique[start:end], "start": start, "end": end},
                "by": by,
                "absence": asks_for_absence(statement),
            }
        )
    return checked


def _twin(proposals: list[dict[str, Any]], statement: str, key: str | None) -> dict[str, Any] | None:
    """Return the proposal that is about the same principle."""
    for one in proposals:
        if one["key"] == key if key is not None else is_same(one["statement"], statement):
            return one
    return None
