"""Where a guard draws its line, and what may be said of it: a recall with the sample that it needs. Plain Python.

The line is the (k + 1)-th smallest risk of n risky texts that nothing was trained on. What share of all risky texts
lies below the j-th smallest of n is beta distributed with parameters j and n - j + 1, whatever the risks' distribution
is (Wilks, 1941), so k, the largest count for which that share is below 1 - recall with the wanted confidence, depends
on n alone, and the promise holds although the line was chosen on the same texts. The bound is the one of Clopper and
Pearson for k misses. It is about texts of the kind that was calibrated on: on others it promises nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from training.core.stats import Interval, beta_quantile, wilson
from training.errors import TrainingError
from training.recipes.drift import benign_needed
from training.recipes.note import Note
from training.recipes.tiers import largest_recall, risky_needed


class Unreachable(TrainingError):
    """There are too few texts to claim such a recall, or such a rate; says how many are needed."""


@dataclass(frozen=True)
class Threshold:
    """Texts whose risk is at least `value` are held back.

    With `confidence` at least `recall_bound` of risky texts are, shown on `risky` texts of which `misses` lay below.
    `false_refusals` is the share of the safe texts beside them that are held back too, with Wilson's interval.
    """

    value: float
    recall: float  # wanted
    confidence: float
    recall_bound: float  # shown
    risky: int
    misses: int
    false_refusals: Interval

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def of(cls, told: dict[str, Any]) -> Threshold:
        return cls(**told)


def needed(recall: float, *, confidence: float = 0.95) -> int:
    """Return how many risky texts it takes to show a recall when not one is missed: recallⁿ ≤ 1 - confidence."""
    _check(recall, confidence)
    return risky_needed(recall, confidence=confidence)


def recall_bound(misses: int, risky: int, *, confidence: float = 0.95) -> float:
    """Return the recall that is shown with confidence where `misses` of `risky` were missed. Clopper and Pearson."""
    return 0.0 if misses >= risky else 1 - beta_quantile(confidence, misses + 1, risky - misses)


def allowed_misses(risky: int, *, recall: float, confidence: float = 0.95) -> int:
    """Return how many of `risky` may be missed so that `recall` is still shown; -1 where none is too many."""
    _check(recall, confidence)
    misses = -1
    while misses + 1 < risky and recall_bound(misses + 1, risky, confidence=confidence) >= recall:
        misses += 1
    return misses


def calibrated(risks: Sequence[float], risky: Sequence[bool], *, recall: float, confidence: float = 0.95) -> Threshold:
    """Return the highest line that shows `recall` on these texts; Unreachable where they are too few for that.

    The texts must be new to whatever gave the risks. Texts that one person wrote in one sitting are no independent
    draws, and then the promise is not the one that is told.
    """
    if any(risk != risk for risk in risks):
        raise TrainingError(Note("A risk is no number, so no line can be drawn. Make the check anew."))
    positive = sorted(risk for risk, is_risky in zip(risks, risky, strict=True) if is_risky)
    negative = [risk for risk, is_risky in zip(risks, risky, strict=True) if not is_risky]
    misses = allowed_misses(len(positive), recall=recall, confidence=confidence)
    if misses < 0:
        raise Unreachable(
            Note(
                "A recall of {recall:.1%} cannot be shown with {confidence:.0%} confidence on {n} risky "
                "texts: that takes {wanted} at least, with none missed, and {n} show {largest:.1%} at most. Label "
                "more, or ask for less.",
                recall=recall,
                confidence=confidence,
                n=len(positive),
                wanted=needed(recall, confidence=confidence),
                largest=largest_recall(len(positive), confidence=confidence),
            )
        )
    value = positive[misses]
    missed = sum(risk < value for risk in positive)  # fewer than allowed where risks are the same
    return Threshold(
        value=value,
        recall=recall,
        confidence=confidence,
        recall_bound=recall_bound(missed, len(positive), confidence=confidence),
        risky=len(positive),
        misses=missed,
        false_refusals=wilson(sum(risk >= value for risk in negative), len(negative)),
    )


Part = tuple[Sequence[float], Sequence[bool]]  # risks, and whether each text is risky


def curve(drawn: Part, measured: Part, *, confidence: float = 0.95, most: int = 60) -> list[dict[str, Any]]:
    """Return what lines from the highest to the lowest do: the recall shown on the texts that lines are drawn on, and
    catches and false refusals on those that a guard is measured on, with Wilson's interval. At most `most` lines.

    Whoever picks a line by its false refusals has looked at what is to tell of it: the recall is a promise of a line
    that was chosen by its recall.
    """
    positive = sorted(risk for risk, is_risky in zip(*drawn, strict=True) if is_risky)
    lines = sorted({risk for risk in positive if 0 < risk <= 1}, reverse=True)
    if len(lines) > most:
        lines = [lines[round(n * (len(lines) - 1) / (most - 1))] for n in range(most)]
    caught = [risk for risk, is_risky in zip(*measured, strict=True) if is_risky]
    safe = [risk for risk, is_risky in zip(*measured, strict=True) if not is_risky]
    told = []
    for value in lines:
        misses = sum(risk < value for risk in positive)
        told.append(
            {
                "value": value,
                "risky": len(positive),
                "misses": misses,
                "recall_bound": recall_bound(misses, len(positive), confidence=confidence),
                "confidence": confidence,
                "catches": wilson(sum(risk >= value for risk in caught), len(caught)),
                "false_refusals": wilson(sum(risk >= value for risk in safe), len(safe)),
            }
        )
    return told


@dataclass(frozen=True)
class FalseAlarmLine:
    """Texts above `value` are flagged; of `benign` texts that the detector did not train on `false_alarms` were.

    `capped` where the line would lie above 0.9 otherwise: then more may be flagged than was asked for.
    """

    value: float
    target: float
    benign: int
    false_alarms: int
    capped: bool

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def line_for_rate(benign: Sequence[float], rate: float, *, cap: float = 0.9) -> FalseAlarmLine:
    """Return the line above which at most `rate` of benign texts lie; Unreachable with fewer than 1/rate of them.

    JailbreaksOverTime: of N confidences in order the ⌊(1 - rate)·N⌋-th from 0, and never more than `cap`.
    """
    needs = benign_needed(rate)
    if len(benign) < needs:
        raise Unreachable(
            Note(
                "A rate of false positives of {rate:.2%} cannot be shown on {n} benign texts that the detector did not "
                "train on: that takes {wanted} at least. Label more, or allow a higher rate.",
                rate=rate,
                n=len(benign),
                wanted=needs,
            )
        )
    ordered = sorted(benign)
    wanted = ordered[math.floor((1 - rate) * len(ordered) + 1e-9)]
    value = min(wanted, cap)
    above = sum(confidence > value for confidence in ordered)
    return FalseAlarmLine(value=value, target=rate, benign=len(ordered), false_alarms=above, capped=wanted > cap)


def _check(recall: float, confidence: float) -> None:
    if not (0 < recall < 1 and 0 < confidence < 1):
        raise TrainingError(Note("A recall and its confidence lie between 0 and 1; no sample shows a recall of 100 %."))
