"""Whether a gap between two scores means what it says, and how far length explains it. Standard library only.

Every pair is given by its gap, the score of the answer that people preferred less that of the other. Bradley and Terry
read it as a probability: σ(gap) prefer the first.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean
from typing import Any

from training.core.stats import wilson

BINS = 10


def reliability(gaps: Sequence[float], *, bins: int = BINS) -> list[dict[str, Any]]:
    """Return the curve: of pairs by the model's confidence, from ½ to 1, how many it was right about.

    A model that is as right as it is sure lies on the diagonal. Bins are of equal width, and empty ones left out;
    equal scores are half right.
    """
    found: list[list[tuple[float, float]]] = [[] for _ in range(bins)]
    for gap in gaps:
        sure = _sigmoid(abs(gap))
        right = 1.0 if gap > 0 else 0.5 if gap == 0 else 0.0
        found[min(int((sure - 0.5) * 2 * bins), bins - 1)].append((sure, right))
    return [
        {"confidence": fmean(sure for sure, _ in some), "right": wilson(sum(right for _, right in some), len(some))}
        for some in found
        if some
    ]


def calibration_error(gaps: Sequence[float]) -> float:
    """Return the mean distance between confidence and share of right ones, over the bins by their numbers."""
    curve = reliability(gaps)
    return sum(b["right"]["n"] * abs(b["confidence"] - b["right"]["estimate"]) for b in curve) / len(gaps)


def brier(gaps: Sequence[float]) -> float:
    """Return the mean of (1 - σ(gap))²; ¼ for a model that is never sure."""
    return fmean((1 - _sigmoid(gap)) ** 2 for gap in gaps)


def length_bias(gaps: Sequence[float], lengths: Sequence[float], *, confidence: float) -> dict[str, Any]:
    """Return the accuracy where the better answer is the longer one and where it is the shorter, and a correlation.

    `lengths` are how much longer the better answer is. A model that loves length is right in the first case and wrong
    in the second; the correlation is that of gap and length over all pairs.
    """
    figures: dict[str, Any] = {}
    for name, sign in (("longer", 1), ("shorter", -1)):
        some = [gap > 0 for gap, length in zip(gaps, lengths, strict=True) if length * sign > 0]
        if some:
            figures[f"accuracy_when_better_is_{name}"] = wilson(sum(some), len(some), confidence=confidence)
    mean_gap, mean_length = fmean(gaps), fmean(lengths)
    spread = math.sqrt(sum((g - mean_gap) ** 2 for g in gaps) * sum((x - mean_length) ** 2 for x in lengths))
    if spread > 0:
        joint = sum((g - mean_gap) * (x - mean_length) for g, x in zip(gaps, lengths, strict=True))
        figures["length_correlation"] = joint / spread
    return figures


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x > -700 else 0.0
