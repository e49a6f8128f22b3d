"""Gold whose answer can be told from outside: what a campaign's own items and judgements show of it.

The report is for leads, as evidence; nothing acts on it. See `annotation.quality.leaks` for what each check means.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from django.db.models import Count, OuterRef, QuerySet, Subquery

from annotation import gold
from annotation.feedback import kind
from annotation.messages import text_of
from annotation.models import Assignment, Campaign, Feedback, Gold, Task, User
from annotation.quality import leaks
from annotation.quality.shares import Share, share
from annotation.rotation import MIXED
from annotation.services import quality

ITEMS = 20_000  # newest ones whose texts are compared
SHOWN = 20
# What is known of other items before there is a report.
NOTHING: dict[str, Any] = {"judgements": 0, "seconds_per_word": {}, "people": {}, "by_chance": 0.0}


def report(campaign: Campaign) -> dict[str, Any]:
    """Return ``twins``, ``elsewhere``, ``findings``, ``change`` and ``people``, with evidence.

    All `judgements` of gold that is in use count; their pace and agreement are held against `others`, which are all
    judgements of other items that the report on quality has: as of its last making where a campaign is large.
    Six SQL statements, besides that report.
    """
    stored = quality.current(campaign)
    ordinary = (stored.figures.get("ordinary") if stored else None) or NOTHING
    by_chance = ordinary["by_chance"]
    known = {
        one.task_id: one
        for one in Gold.objects.filter(task__campaign=campaign, retired_at=None, purpose__in=MIXED)
        .select_related("task")
        .order_by("task_id")
    }
    seen = _seen(campaign, known, ordinary["seconds_per_word"])
    first = _first_items(campaign)
    careful = _carefulness(seen, ordinary)
    findings = [
        leaks.same_side(seen),
        leaks.comes_first(sum(task in known for task in first), people=len(first), percent=campaign.gold_percent),
        leaks.answered_faster(seen),
        _always_the_same(campaign, list(known.values())),
        leaks.careful_with_gold(careful, by_chance),
    ]
    change = leaks.later_over_earlier(seen)
    return {
        "gold": len(known),
        "judgements": len(seen),
        "others": ordinary["judgements"],
        "twins": _twins(campaign, known),
        "elsewhere": _elsewhere(campaign, known),
        "findings": [asdict(one) for one in findings],
        "change": {**asdict(change), "leaks": change.leaks},
        "people": [
            {"annotator": one.person, "right": asdict(one.right), "alike": asdict(one.alike)}
            for one in careful
            if one.knows(by_chance)
        ],
        "alike_by_chance": by_chance,
    }


def _carefulness(seen: Sequence[leaks.Seen], ordinary: Mapping[str, Any]) -> list[leaks.Carefulness]:
    """Return for each person how they do on gold, and how often they say what others say elsewhere."""
    right: dict[Any, list[float]] = defaultdict(list)
    for judged in seen:
        right[judged.person].append(judged.right)
    beside = ordinary["people"]
    nothing = {"same": 0, "pairs": 0}
    return [
        leaks.Carefulness(person, share(sum(rights), len(rights)), _alike(beside.get(person, nothing)))
        for person, rights in right.items()
    ]


def _alike(counts: Mapping[str, int]) -> Share:
    return share(counts["same"], counts["pairs"])


def _first_judgements(campaign: Campaign) -> QuerySet[Feedback]:
    return Feedback.objects.filter(campaign=campaign, version=1, is_review=False).order_by("-id")


def _seen(campaign: Campaign, known: dict[int, Gold], usual: Mapping[str, float]) -> list[leaks.Seen]:
    """Return the first judgements of gold, all of them, the oldest first."""
    feedback_kind = kind(campaign.kind)
    found = []
    rows = _first_judgements(campaign).filter(task__in=known).order_by("id")
    for task, user, payload, order, active, seconds in rows.values_list(
        "task_id", "user__pseudonym", "payload", "shown_order", "active_seconds", "seconds"
    ):
        compared = gold.compare(feedback_kind, _answer(known[task]), payload, options=campaign.options)
        if not compared:
            continue
        right = sum(part.is_hit for part in compared) / len(compared)
        value = feedback_kind.scale_value(known[task].payload)
        first = None if not value or len(order) != 2 else order[0] == (0 if value > 0 else 1)
        pace = _pace(active, seconds, known[task].task.content)
        found.append(
            leaks.Seen(task, user, right, first, pace / usual[user] if pace is not None and usual.get(user) else None)
        )
    return found


def _first_items(campaign: Campaign) -> list[int]:
    """Return the first item of each person who judged here. An index leads to each, however many follow."""
    first = _first_judgements(campaign).filter(user=OuterRef("pk")).order_by("id").values("task")[:1]
    people = User.objects.annotate(first=Subquery(first)).exclude(first=None)
    return list(people.values_list("first", flat=True))


def _pace(active: float | None, seconds: float | None, content: dict[str, Any]) -> float | None:
    """Return seconds per word, of the time on the screen where the browser measured it."""
    time = seconds if active is None else active
    return None if time is None else time / max(1, len(_text(content).split()))


def _always_the_same(campaign: Campaign, known: Sequence[Gold]) -> leaks.Finding:
    """Return how much gold is right for who always gives the answer that gold has most often."""
    feedback_kind = kind(campaign.kind)
    verdicts = [feedback_kind.verdict(one.payload, options=campaign.options) for one in known]
    # Where two answers are compared the side is drawn, so that always the same one is right in half of them.
    drawn = any(feedback_kind.scale_value(one.payload) for one in known)
    if not known or drawn:
        return leaks.always_the_same([], 0.5)
    commonest = Counter(map(str, verdicts)).most_common(1)[0][0]
    example = next(one for one, verdict in zip(known, verdicts, strict=True) if str(verdict) == commonest)
    hits = []
    for one in known:
        compared = gold.compare(feedback_kind, _answer(one), example.payload, options=campaign.options)
        hits.append(bool(compared) and all(part.is_hit for part in compared))
    return leaks.always_the_same(hits, 1 / max(1, len(set(map(str, verdicts)))))


def _twins(campaign: Campaign, known: dict[int, Gold]) -> list[dict[str, Any]]:
    """Return the other items whose text is nearly that of gold: who judged one of them knows the other."""
    others = (
        Task.objects.filter(campaign=campaign)
        .exclude(pk__in=known)
        .order_by("-id")
        .values_list("pk", "external_id", "content")[:ITEMS]
    )
    names = {pk: one.task.external_id for pk, one in known.items()}
    texts = {pk: _text(one.task.content) for pk, one in known.items()}
    found = []
    if known:
        named: dict[Any, str] = {}

        def coming() -> Any:
            for pk, external_id, content in others.iterator(chunk_size=1000):
                named[pk] = external_id
                yield pk, _text(content)

        for one, other, alike in leaks.twins(texts, coming())[:SHOWN]:
            found.append({"gold": names[one], "item": named[other], "task": one, "alike": round(alike, 3)})
    return found


def _elsewhere(campaign: Campaign, known: dict[int, Gold]) -> list[dict[str, Any]]:
    """Return gold whose id is an item's of another campaign too that people of this one judged: how many, of each."""
    names = {one.task.external_id: pk for pk, one in known.items()}
    mine = Assignment.objects.filter(campaign=campaign).order_by().values("user").distinct()
    judged = (
        Feedback.objects.current()
        .filter(task__external_id__in=names, user__in=mine)
        .exclude(campaign=campaign)
        .order_by()
        .values_list("task__external_id")
        .annotate(people=Count("user", distinct=True))
    )
    rows = [{"gold": name, "task": names[name], "people": people} for name, people in judged]
    return sorted(rows, key=lambda row: (-int(row["people"]), str(row["gold"])))[:SHOWN]


def _answer(stored: Gold) -> gold.GoldAnswer:
    return gold.GoldAnswer(stored.payload, stored.tolerance)


def _text(content: dict[str, Any]) -> str:
    asked = [text_of(one["content"]) for one in content["messages"]]
    return "\n".join([*asked, *sorted(text_of(one.get("parts") or one["text"]) for one in content["completions"])])
