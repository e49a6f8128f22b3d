"""What several people said of one item together, beside what each of them said."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import median_low
from typing import Any

from annotation.dataset_filters import agreeing, agreement_of
from annotation.feedback import kind
from annotation.models import Campaign


def of(campaign: Campaign, judgements: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the columns ``aggregate``, ``judgements``, ``agreement`` and ``count`` of one item's judgements.

    Where answers have an order the lower median, so that it is one that somebody gave; else what most said, and of
    several that as many said the first by name.
    """
    feedback_kind = kind(campaign.kind)
    points = [list(feedback_kind.points(judgement["payload"])) for judgement in judgements]
    ordered = {dimension.name: dimension.ordered for dimension in feedback_kind.dimensions(campaign.options)}
    said: dict[tuple[str, int], list[Any]] = {}
    for of_one in points:
        for point in of_one:
            said.setdefault((point.dimension, point.place), []).append(point)
    aggregate = []
    for (dimension, place), given in said.items():
        categories = [point.category for point in given]
        if ordered.get(dimension, False):
            value = median_low(point.value for point in given)
        else:
            counts = Counter((point.category, point.value) for point in given)
            value = min(counts, key=lambda one: (-counts[one], one))[1]
        aggregate.append(
            {
                "dimension": dimension,
                "place": place,
                "value": value,
                "category": next(point.category for point in given if point.value == value),
                "agreement": agreeing(categories),
                "judgements": len(given),
            }
        )
    return {
        "aggregate": aggregate,
        "judgements": [
            {
                "annotator": one["user__pseudonym"],
                "payload": one["payload"],
                "verdict": feedback_kind.verdict(one["payload"], options=campaign.options),
                "shown_order": one["shown_order"],
                "seconds": one["seconds"],
                "active_seconds": one["active_seconds"],
                "simulated": one["user__is_simulated"],
                "guideline": one["guideline_version"],
                "feedback": one["id"],
                "created": one["created_at"].isoformat(),
            }
            for one in judgements
        ],
        "agreement": agreement_of(points),
        "count": len(judgements),
    }
