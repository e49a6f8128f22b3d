"""The items whose answer is known, as a list, each with what people made of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Q, QuerySet

from annotation import gold
from annotation.feedback import kind
from annotation.messages import answer_of, completions_column
from annotation.models import Campaign, Feedback, Gold, Task
from annotation.quality.shares import Share, share

# Newest judgements of each page of the list that its figures are made of.
NEWEST = 20_000


@dataclass(frozen=True)
class Known:
    """An item whose answer is known, and how often people are right about it."""

    gold: Gold
    judgements: int
    right: Share  # of all things compared

    @property
    def is_doubtful(self) -> bool:
        """Return whether people contradict it more often than not: then the answer may be what is wrong."""
        return self.judgements >= 5 and self.right.high is not None and self.right.high < 0.5


def stored(campaign: Campaign, *, purpose: str = "", retired: bool | None = None, search: str = "") -> QuerySet[Gold]:
    """Return the gold of a campaign, narrowed; `search` looks in the external id and the text of the item."""
    found = Gold.objects.filter(task__campaign=campaign).select_related("task__campaign", "created_by")
    if purpose:
        found = found.filter(purpose=purpose)
    if retired is not None:
        found = found.filter(retired_at__isnull=not retired)
    if search:
        found = found.filter(Q(task__external_id__icontains=search) | Q(task__content__icontains=search))
    return found.order_by("-pk")


def with_results(campaign: Campaign, rows: Sequence[Gold]) -> list[Known]:
    """Return these rows with their figures. One SQL statement."""
    feedback_kind = kind(campaign.kind)
    answers = {one.task_id: gold.GoldAnswer(one.payload, one.tolerance) for one in rows}
    said = Feedback.objects.current().filter(task__in=answers, is_review=False).order_by("-id")
    hits: dict[int, list[bool]] = defaultdict(list)
    counts: dict[int, int] = defaultdict(int)
    for task, payload in said.values_list("task_id", "payload")[:NEWEST]:
        compared = gold.compare(feedback_kind, answers[task], payload, options=campaign.options)
        hits[task] += [part.is_hit for part in compared]
        counts[task] += 1
    return [Known(one, counts[one.task_id], share(sum(hits[one.task_id]), len(hits[one.task_id]))) for one in rows]


def lines(campaign: Campaign) -> Iterator[dict[str, Any]]:
    """Yield each item with its gold, as an import reads it: into this campaign again or into another one."""
    feedback_kind = kind(campaign.kind)
    for one in stored(campaign, retired=False).order_by("pk").iterator(chunk_size=500):
        task: Task = one.task
        count = len(task.content["completions"])
        answer = gold.GoldAnswer(one.payload, one.tolerance, one.purpose)
        texts = [answer_of(completion) for completion in task.content["completions"]]
        yield {
            "id": task.external_id,
            "prompt": task.content["messages"],
            "completions": completions_column(texts, task.meta.get("origins") or [""] * count),
            "gold": gold.as_given(feedback_kind, answer, count=count),
        }
