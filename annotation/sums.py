"""What a campaign's judgements and items say in sum, kept up by counting only what changed.

Items that came in one after another make a block (`Block`), whose sums are stored. Whoever writes a judgement marks
the item's block as late in the same transaction (`annotation.services.blocks`), and the background counts it anew; it
also puts `GROUP` blocks together into a wide one (`WideBlock`), which names what it was made of. A reader adds the
stored sums up and counts by itself what is late, so the sums are those of this moment. That holds up to `MOST_LIVE`
items; beyond, it takes what was counted last, and says how many items that leaves behind (`Sums.late`).

Sums hold no words and no ids of judgements, and adding two is all that can be done to them: whatever is not a sum, a
greatest or a least of its parts is made of sums by who reads them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.core.cache import cache
from django.utils import timezone, translation

from annotation.feedback import kind
from annotation.feedback.points import Point
from annotation.models import Block, Campaign, Feedback, Task, WideBlock

SIZE = 512  # items of a block
MOST_LIVE = 4 * SIZE  # items that a reader counts by itself
GROUP = 32  # blocks that a wide one puts together

Key = tuple[Any, ...]
Row = list[Any]
# How each column of a table is put together; the key comes before them.
ADD, MOST, LEAST = "add", "most", "least"
TABLES: dict[str, tuple[str, ...]] = {
    # (round, policy, batch, state) → items, judgements there, judgements wanted, highest priority, oldest (seconds)
    "items": (ADD, ADD, ADD, MOST, LEAST),
    # (user, day) → first versions, later ones, active seconds, without a measured time, standing
    "days": (ADD, ADD, ADD, ADD, ADD),
    # (user,) → standing, seconds, of so many, active seconds, of so many, the newest (seconds)
    "people": (ADD, ADD, ADD, ADD, ADD, MOST),
    # (words in English,) → standing
    "verdicts": (ADD,),
    # () → the answer on the left was preferred, the one on the right
    "sides": (ADD, ADD),
    # (round, policy, guideline version) → standing
    "volumes": (ADD,),
    # (round, policy, dimension, simulated, values as "-1,2,2") → items, or answers, that got just these values
    "patterns": (ADD,),
    # (dimension, simulated, values and categories as in `pattern_of`) → items, or answers, of which just this was said
    "said": (ADD,),
    # (round, origin, dimension, category, simulated) → judgements of an answer of this origin
    "answers": (ADD,),
    # (round, batch, origin, other origin, simulated) → the one was preferred, the other, neither
    "wins": (ADD, ADD, ADD),
    # (tags, day) → items read and judged
    "read": (ADD,),
    # () → standing judgements of items that are never trained on
    "audit": (ADD,),
}


@dataclass
class Sums:
    tables: dict[str, dict[Key, Row]] = field(default_factory=lambda: {name: {} for name in TABLES})
    late: int = 0  # items of which something is not in these sums yet

    def add(self, table: str, key: Key, *values: Any) -> None:
        """Add one row to a table."""
        known = self.tables[table].get(key)
        if known is None:
            self.tables[table][key] = list(values)
            return
        for place, how in enumerate(TABLES[table]):
            value = values[place]
            if how == ADD:
                known[place] += value
            elif known[place] is None or value is None:
                known[place] = value if known[place] is None else known[place]
            else:
                known[place] = (max if how == MOST else min)(known[place], value)

    def merge(self, other: Sums) -> None:
        """Add all of `other`."""
        for table, rows in other.tables.items():
            for key, values in rows.items():
                self.add(table, key, *values)

    def merge_stored(self, stored: Mapping[str, Sequence[Row]]) -> None:
        """Add all of what `as_json` gave. A reader does so for dozens of blocks, so it is short."""
        for name, rows in stored.items():
            width, table = len(TABLES[name]), self.tables[name]
            only_adds = all(how == ADD for how in TABLES[name])
            places = range(width)
            for row in rows:
                key = tuple(row[:-width])
                known = table.get(key)
                if known is None:
                    table[key] = row[-width:]
                elif not only_adds:
                    self.add(name, key, *row[-width:])
                elif width == 1:
                    known[0] += row[-1]
                else:
                    for place in places:
                        known[place] += row[place - width]

    def as_json(self) -> dict[str, list[Row]]:
        return {name: [[*key, *values] for key, values in rows.items()] for name, rows in self.tables.items() if rows}

    @classmethod
    def from_json(cls, stored: Mapping[str, Sequence[Row]]) -> Sums:
        made = cls()
        made.merge_stored(stored)
        return made

    def rows(self, table: str) -> Iterator[tuple[Key, Row]]:
        yield from self.tables[table].items()


# One block as a reader lists it: id, version, state, first and last item.
_Listed = tuple[int, int, str, int, int]


def of(campaign: Campaign) -> Sums:
    """Return the sums of a campaign. One SQL statement for its blocks, and three for what no block has counted."""
    blocks: list[_Listed] = list(
        Block.objects.filter(campaign=campaign).order_by("first").values_list("pk", "version", "state", "first", "last")
    )
    late = [one for one in blocks if one[2] != Block.State.COUNTED]
    # What changed last is most likely looked at.
    live = late[-(MOST_LIVE // SIZE) :]
    total = _stored(campaign, blocks, without={one[0] for one in live})
    for _pk, _version, _state, first, last in live:
        total.merge(count(campaign, first, last))
    total.late += SIZE * (len(late) - len(live))
    left = MOST_LIVE - SIZE * len(live)
    total.merge(_of_tail(campaign, blocks[-1][4] if blocks else 0, left, total))
    return total


def standing(known: Sums) -> int:
    """Return how many judgements stand."""
    return sum(row[0] for _key, row in known.rows("people"))


def _stored(campaign: Campaign, blocks: Sequence[_Listed], *, without: Collection[int]) -> Sums:
    """Return the stored sums of these blocks but some, which this process may have added up before.

    A block is known by its id and how often it was counted, so nothing that is kept can be out of date unnoticed.
    """
    groups = groups_of([(pk, version) for pk, version, _state, _first, _last in blocks])
    wanted = [[name for name in group if name[0] not in without] for group in groups]
    key = f"sums:{campaign.pk}"
    kept: tuple[list[list[Name]], Sums] | None = cache.get(key)
    if kept is not None and kept[0] == wanted:
        return kept[1]
    found = Sums()
    wide = dict(WideBlock.objects.filter(campaign=campaign).values_list("place", "names")) if blocks else {}
    whole = [place for place, names in enumerate(wanted) if wide.get(place) == [list(name) for name in names]]
    stored = WideBlock.objects.filter(campaign=campaign, place__in=whole).values_list("place", "names", "sums")
    for place, names, sums in stored if whole else ():
        if names == wide[place]:
            found.merge_stored(sums)
        else:  # put together anew in between
            whole.remove(place)
    done = set(whole)
    left = [name for place, names in enumerate(wanted) if place not in done for name in names]
    loaded = Block.objects.filter(pk__in=[pk for pk, _version in left]).values_list("pk", "version", "sums")
    names_loaded = []
    for pk, version, sums in loaded if left else ():
        found.merge_stored(sums)
        names_loaded.append((pk, version))
    # One that was counted anew in between has other sums than its name says.
    if sorted(names_loaded) == sorted(left):
        cache.set(key, (wanted, found), timeout=3600)
    return found


Name = tuple[int, int]  # id and version of a block


def groups_of(names: Sequence[Name]) -> list[Sequence[Name]]:
    """Return what belongs to each wide block; blocks are only ever added behind the last, so none changes its place."""
    return [names[start : start + GROUP] for start in range(0, len(names), GROUP)]


def _of_tail(campaign: Campaign, after: int, most: int, total: Sums) -> Sums:
    """Return the sums of the items that are in no block yet, up to `most`; of the others, `total` learns the number."""
    ids = list(
        Task.objects.filter(campaign=campaign, pk__gt=after).order_by("pk").values_list("pk", flat=True)[: most + 1]
    )
    if len(ids) > most:
        total.late += Task.objects.filter(campaign=campaign, pk__gt=after).count() - most
        ids = ids[:most]
    return count(campaign, ids[0], ids[-1]) if ids else Sums()


def count(campaign: Campaign, first: int, last: int) -> Sums:
    """Return the sums of the campaign's items from `first` to `last`, counted from the rows. Two SQL statements."""
    with translation.override(None):  # words are stored, and translated by who reads them
        return _Counting(campaign, first, last).sums


# What a judgement says: words, preference, values.
_Read = tuple[Sequence[str], int | None, Sequence[Point]]


class _Counting:
    def __init__(self, campaign: Campaign, first: int, last: int) -> None:
        self._kind, self._options = kind(campaign.kind), campaign.options
        self._zone = timezone.get_default_timezone()
        self._of_item = {one.name for one in self._kind.dimensions(self._options) if one.of_item}
        self.sums = Sums()
        self._read: dict[tuple[str, str], _Read] = {}
        self._days: dict[int, int] = {}
        span = {"task__gte": first, "task__lte": last}
        tasks = Task.objects.filter(campaign=campaign, pk__gte=first, pk__lte=last).values_list(
            "pk", "meta", "batch", "state", "done", "wanted", "priority", "tags", "is_audit", "created_at"
        )
        self._tasks: dict[int, tuple[int | None, str, str, int, bool]] = {}
        self._origins: dict[int, list[str]] = {}
        for pk, meta, batch, state, done, wanted, priority, tags, audit, created in tasks:
            round = meta.get("round")
            origin = round if isinstance(round, int) else None, str(meta.get("policy") or "")
            self._origins[pk] = meta.get("origins") or []
            self._tasks[pk] = (*origin, batch, tags, audit)
            oldest = created.timestamp() if state == Task.State.OPEN else None
            self.sums.add("items", (*origin, batch, state), 1, done, wanted, priority, oldest)
        # (dimension, task, place, simulated) → what people said, as values and as categories
        self._values: dict[Key, list[tuple[int, str]]] = {}
        judgements = Feedback.objects.filter(campaign=campaign, **span).order_by()
        for row in judgements.values_list(
            "task_id",
            "user_id",
            "user__is_simulated",
            "payload",
            "shown_order",
            "version",
            "is_current",
            "is_review",
            "guideline_version",
            "seconds",
            "active_seconds",
            "created_at",
        ):
            self._judgement(*row)
        for (dimension, task, _place, simulated), said in self._values.items():
            self.sums.add("said", (dimension, simulated, pattern_of(said)), 1)
            if len(said) > 1:
                pattern = ",".join(str(value) for value, _category in sorted(said))
                self.sums.add("patterns", (*self._tasks[task][:2], dimension, simulated, pattern), 1)

    def _judgement(
        self,
        task: int,
        user: int,
        simulated: bool,
        payload: dict[str, Any],
        shown_order: list[int],
        version: int,
        current: bool,
        review: bool,
        guideline: int,
        seconds: float | None,
        active: float | None,
        created: datetime,
    ) -> None:
        add = self.sums.add
        round, policy, _batch, tags, audit = self._tasks[task]
        day = self._day(created)
        first = version == 1
        add("days", (user, day), int(first), int(not first), active or 0.0, int(active is None), int(current))
        if first and tags:
            add("read", (tags, day), 1)
        if not current:
            return
        times = (seconds or 0.0, int(seconds is not None), active or 0.0, int(active is not None))
        add("people", (user,), 1, *times, created.timestamp())
        add("volumes", (round, policy, guideline), 1)
        if audit:
            add("audit", (), 1)
        tally, preferred, points = self._reading(payload, shown_order)
        for words in tally:
            add("verdicts", (words,), 1)
        if preferred:
            # A positive value prefers the canonical first answer; `shown_order` tells on which side that stood.
            left = (preferred > 0) == (shown_order[0] == 0)
            add("sides", (), int(left), int(not left))
        if not review:
            self._said(task, simulated, points, preferred)

    def _reading(self, payload: dict[str, Any], shown_order: list[int]) -> _Read:
        """Return what a judgement says; most are the same few, so each of them is read once."""
        key = repr(payload), repr(shown_order)
        known = self._read.get(key)
        if known is None:
            tally = self._kind.tally(payload, options=self._options, shown_order=shown_order)
            known = self._read[key] = tally, self._kind.scale_value(payload), list(self._kind.points(payload))
        return known

    def _day(self, created: datetime) -> int:
        """Return the day by this server's clocks, whose distance to UTC is in quarters of an hour."""
        quarter = int(created.timestamp()) // 900
        if quarter not in self._days:
            self._days[quarter] = timezone.localtime(created, self._zone).toordinal()
        return self._days[quarter]

    def _said(self, task: int, simulated: bool, points: Sequence[Point], preferred: int | None) -> None:
        round, _policy, batch, _tags, _audit = self._tasks[task]
        origins = self._origins[task]
        for point in points:
            self._values.setdefault((point.dimension, task, point.place, simulated), []).append(
                (point.value, point.category)
            )
            if point.dimension not in self._of_item and point.place < len(origins) and origins[point.place]:
                key = (round, origins[point.place], point.dimension, point.category, simulated)
                self.sums.add("answers", key, 1)
        if preferred is not None and len(origins) == 2 and all(origins) and origins[0] != origins[1]:
            one, other = sorted((origins[0], origins[1]))
            won = preferred if origins[0] == one else -preferred
            key = (round, batch, one, other, simulated)
            self.sums.add("wins", key, int(won > 0), int(won < 0), int(won == 0))


_BETWEEN = "\x1f"  # in no category


def pattern_of(said: Sequence[tuple[int, str]]) -> str:
    """Return what was said of one item, or answer, whoever said it: each value with its category, in order."""
    return _BETWEEN.join(f"{value}:{category}" for value, category in sorted(said))


def said(sums: Sums, *, simulated: bool = False) -> dict[str, Counter[tuple[tuple[int, str], ...]]]:
    """Return by dimension what was said of an item or answer, by however many people, and of how many."""
    found: dict[str, Counter[tuple[tuple[int, str], ...]]] = {}
    for (dimension, by_simulated, pattern), (units,) in sums.rows("said"):
        if by_simulated == simulated:
            votes = [vote.partition(":") for vote in pattern.split(_BETWEEN)]
            of_all = tuple((int(value), category) for value, _colon, category in votes)
            found.setdefault(dimension, Counter())[of_all] += units
    return found


def patterns(sums: Sums, *, simulated: bool = False) -> dict[tuple[int | None, str, str], Counter[tuple[int, ...]]]:
    """Return, by (round, policy, dimension), which values items got from several people, and how many items."""
    found: dict[tuple[int | None, str, str], Counter[tuple[int, ...]]] = {}
    for (round, policy, dimension, by_simulated, values), (items,) in sums.rows("patterns"):
        if by_simulated == simulated:
            pattern = tuple(map(int, values.split(",")))
            found.setdefault((round, policy, dimension), Counter())[pattern] += items
    return found
