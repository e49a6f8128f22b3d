"""What the report on quality is made of: who said what, what was chosen, how fast; counted block by block.

As `annotation.sums`, but with people in it and of more detail, so that no page reads it, only the background when it
makes a report (`annotation.services.quality`). What was counted of a block is stored with the block's version
(`BlockEvidence`); while the block says that it is counted at just this version, nothing of it has changed since. All
else is counted by who reads. Items never share anything but by addition, so the evidence of all blocks together is that
of all judgements.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from django.db.models import F, QuerySet
from django.utils import translation

from annotation.feedback import FeedbackType, kind
from annotation.messages import text_of
from annotation.models import Block, BlockEvidence, Campaign, Feedback, Task
from annotation.quality import bias, pace
from annotation.sums import SIZE

# Each a table of keys with their number; people are ids, what is of no round or batch has "" there.
TABLES = (
    "judged",  # (batch, round, origins)
    "votes",  # (batch, round, origins, dimension, what people said as in `said_of`): items, or answers
    "games",  # (one origin, another, judgements, twice the share that preferred the one): items
    "duels",  # (person, one origin, another, twice the share)
    # (steps of length, marks, first chosen and stood first, stood second, second chosen and stood first, second): items
    "choices",
    "haste",  # (step of time, choices | first | longer | differing)
    "pace",  # (person, judgements | timed | fast | looked | unread)
    "speeds",  # (person, step of speed)
    "verdicts",  # (person, words in English)
    "fast",  # (person, item, judgement, words, seconds, words in English): some of those that were too fast
    "places",  # (person, first | chosen | left | drawn)
)
Key = tuple[Any, ...]
JOINT, PART = "\x1f", "\x1e"  # in no name and no category


@dataclass
class Evidence:
    tables: dict[str, Counter[Key]] = field(default_factory=lambda: {name: Counter() for name in TABLES})
    # What people said on the first dimension → the items of which they did, in the order of their keys.
    items: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))

    def merge(self, other: Evidence) -> None:
        for name, counts in other.tables.items():
            self.tables[name].update(counts)
        for said, items in other.items.items():
            self.items[said].extend(items)

    def as_json(self) -> dict[str, Any]:
        tables = {
            name: [[*key, times] for key, times in counts.items()] for name, counts in self.tables.items() if counts
        }
        return {"tables": tables, "items": dict(self.items)}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Evidence:
        made = cls()
        for name, rows in stored.get("tables", {}).items():
            made.tables[name].update({tuple(row[:-1]): row[-1] for row in rows})
        made.items.update(stored.get("items", {}))
        return made


def said_of(by_person: Mapping[int, tuple[int, str]]) -> str:
    """Return who said what of one item, or answer, as one text."""
    votes = sorted(by_person.items())
    return JOINT.join(f"{person}{PART}{value}{PART}{category}" for person, (value, category) in votes)


def votes_in(said: str) -> Iterator[tuple[int, int, str]]:
    """Yield the person, value and category of each vote in such a text."""
    for vote in said.split(JOINT):
        person, value, category = vote.split(PART)
        yield int(person), int(value), category


def of(campaign: Campaign, *, simulated: bool) -> Evidence:
    """Return the evidence of all judgements that stand; of simulated people or of others, never of both.

    Two SQL statements, one for the items that are in no block, and two for each block whose evidence is not kept.
    """
    total = Evidence()
    blocks = Block.objects.filter(campaign=campaign).order_by("first").values_list("pk", "first", "last")
    left = {pk: (first, last) for pk, first, last in blocks}
    behind = max((last for _first, last in left.values()), default=0)
    column = "simulated" if simulated else "real"
    for pk, stored in kept(campaign).values_list("block_id", column).iterator(chunk_size=50):
        if left.pop(pk, None):
            total.merge(Evidence.from_json(stored))
    for first, last in left.values():
        total.merge(count(campaign, first, last)[simulated])
    ids = list(Task.objects.filter(campaign=campaign, pk__gt=behind).order_by("pk").values_list("pk", flat=True))
    for start in range(0, len(ids), SIZE):
        span = ids[start : start + SIZE]
        total.merge(count(campaign, span[0], span[-1])[simulated])
    for items in total.items.values():
        items.sort()  # blocks came in the order in which they were counted; runs in order are sorted in one pass
    return total


def kept(campaign: Campaign) -> Any:
    """Return the stored evidence that is that of its block as it stands."""
    return BlockEvidence.objects.filter(
        block__campaign=campaign, block__state=Block.State.COUNTED, version=F("block__version")
    )


def count(campaign: Campaign, first: int, last: int) -> dict[bool, Evidence]:
    """Return the evidence of the items from `first` to `last`, of simulated people and of others. Two statements."""
    return _of(campaign, Feedback.objects.filter(task__gte=first, task__lte=last))


def of_items(campaign: Campaign, tasks: Sequence[int], *, simulated: bool) -> Evidence:
    """Return the evidence of these items alone. Two statements for each `SIZE` of them."""
    total = Evidence()
    for start in range(0, len(tasks), SIZE):
        total.merge(_of(campaign, Feedback.objects.filter(task__in=tasks[start : start + SIZE]))[simulated])
    return total


def _of(campaign: Campaign, given: QuerySet[Feedback]) -> dict[bool, Evidence]:
    rows = given.filter(campaign=campaign, is_current=True, is_review=False)
    said = [
        _Said(*row)
        for row in rows.order_by().values_list(
            *("id", "task_id", "user_id", "user__is_simulated", "payload", "shown_order"),
            *("active_seconds", "seconds", "behaviour"),
        )
    ]
    if not said:
        return {False: Evidence(), True: Evidence()}
    tasks = Task.objects.filter(pk__in={one.task for one in said}).values_list("pk", "batch", "meta", "content")
    items = {pk: _Item.of(batch, meta, content) for pk, batch, meta, content in tasks}
    with translation.override(None):  # words are stored
        return {
            simulated: _counted(campaign, items, [one for one in said if one.simulated == simulated])
            for simulated in (False, True)
        }


class _Said(NamedTuple):
    """One judgement as it is read."""

    feedback: int
    task: int
    person: int
    simulated: bool
    payload: dict[str, Any]
    shown_order: Sequence[int]
    active: float | None
    all_seconds: float | None
    behaviour: dict[str, Any] | None

    @property
    def seconds(self) -> float | None:
        return self.all_seconds if self.active is None else self.active


class _Item(NamedTuple):
    """What of an item's texts and origin counts."""

    slice: tuple[str, str, str]  # batch, round, origins
    origins: Sequence[str]
    words: int
    longer: int  # steps of length by which the first of two answers is longer
    marks: int  # -1, 0 or 1: whether the first of two has more Markdown

    @classmethod
    def of(cls, batch: str, meta: dict[str, Any], content: dict[str, Any]) -> _Item:
        texts = [text_of(one.get("parts") or one["text"]) for one in content["completions"]]
        words = sum(len(text_of(one["content"]).split()) for one in content["messages"])
        origins, round = [str(one or "") for one in meta.get("origins") or []], meta.get("round")
        two = len(texts) == 2
        more = bias.marks(texts[0]) - bias.marks(texts[1]) if two else 0
        return cls(
            slice=(batch, "" if round is None else str(round), JOINT.join(origins)),
            origins=origins,
            words=words + sum(len(text.split()) for text in texts),
            longer=bias.steps_longer(*texts) if two else 0,
            marks=(more > 0) - (more < 0),
        )


def _counted(campaign: Campaign, items: Mapping[int, _Item], said: Sequence[_Said]) -> Evidence:
    found, feedback_kind = Evidence(), kind(campaign.kind)
    add = found.tables
    by_item: dict[int, list[_Said]] = defaultdict(list)
    works = []
    for one in said:
        by_item[one.task].append(one)
        add["judged"][items[one.task].slice] += 1
        read = [share for share in (one.behaviour or {}).get("read") or [] if share is not None]
        words = feedback_kind.tally(one.payload, options=campaign.options, shown_order=one.shown_order)
        works.append(
            pace.Work(
                person=one.person,
                item=one.task,
                words=items[one.task].words,
                seconds=one.seconds,
                verdict=" / ".join(words[:3]),
                least_read=min(read, default=None),
                feedback=one.feedback,
            )
        )
    _paces(found, works)
    dimensions = feedback_kind.dimensions(campaign.options)
    for task, of_one in sorted(by_item.items()):  # the database gives rows in any order
        _votes(found, feedback_kind, dimensions[0].name if dimensions else "", task, items[task], of_one)
        _preferences(found, feedback_kind, items[task], of_one)
    return found


def _paces(found: Evidence, works: Sequence[pace.Work]) -> None:
    add = found.tables
    for person, counted in pace.counts(works).items():
        for name in ("judgements", "timed", "fast", "looked", "unread"):
            if number := vars(counted)[name]:
                add["pace"][person, name] += number
        add["speeds"].update({(person, step): times for step, times in counted.speeds.items()})
        add["verdicts"].update({(person, words): times for words, times in counted.verdicts.items()})
        for work in counted.fastest:
            add["fast"][person, work.item, work.feedback, work.words, work.seconds, work.verdict] += 1


def _votes(
    found: Evidence, feedback_kind: FeedbackType, headline: str, task: int, item: _Item, said: Sequence[_Said]
) -> None:
    units: dict[tuple[str, int], dict[int, tuple[int, str]]] = defaultdict(dict)
    for one in said:
        for point in feedback_kind.points(one.payload):
            units[point.dimension, point.place][one.person] = point.value, point.category
    for (dimension, _place), by_person in units.items():
        text = said_of(by_person)
        found.tables["votes"][*item.slice, dimension, text] += 1
        if dimension == headline:
            found.items[text].append(task)


def _preferences(found: Evidence, feedback_kind: FeedbackType, item: _Item, said: Sequence[_Said]) -> None:
    """Count what people preferred of two answers: whose it was, where it stood, whether it was the longer one."""
    add = found.tables
    values = [(one, feedback_kind.scale_value(one.payload)) for one in said]
    compared = [(one, value) for one, value in values if value is not None]
    origins = item.origins
    if compared and len(origins) == 2 and all(origins) and origins[0] != origins[1]:
        halves = [1 + (value > 0) - (value < 0) for _one, value in compared]
        add["games"][origins[0], origins[1], len(halves), sum(halves)] += 1
        for (one, _value), half in zip(compared, halves, strict=True):
            add["duels"][one.person, origins[0], origins[1], half] += 1
    cells = [0, 0, 0, 0]
    for one, value in compared:
        if len(one.shown_order) != 2:
            continue
        first_left = one.shown_order[0] == 0
        add["places"][one.person, "drawn"] += 1
        add["places"][one.person, "left"] += first_left
        if not value:
            continue
        stood_first = (value > 0) == first_left
        add["places"][one.person, "chosen"] += 1
        add["places"][one.person, "first"] += stood_first
        cells[(0 if value > 0 else 2) + (0 if stood_first else 1)] += 1
        if one.seconds is not None:
            step, longer = bias.step_of_time(one.seconds), item.longer if value > 0 else -item.longer
            add["haste"][step, "choices"] += 1
            add["haste"][step, "first"] += stood_first
            add["haste"][step, "longer"] += longer > 0
            add["haste"][step, "differing"] += bool(longer)
    if any(cells):
        add["choices"][item.longer, item.marks, *cells] += 1
