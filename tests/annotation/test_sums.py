"""The sums that are kept are those of the rows whatever people do, in whatever order, and whatever was counted when."""

from __future__ import annotations

import contextlib
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from django.core.cache import cache
from django.db import connection
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from annotation import agreement, evidence, operations, sums
from annotation.errors import AnnotationError
from annotation.models import Assignment, Block, Campaign, Feedback, Membership, Role, Task, WideBlock
from annotation.progress import campaign_progress
from annotation.services import batches, block_counts, campaigns, erasure, gold, quality, queue, reviews, submission
from annotation.sums import Sums
from annotation.tallies import campaign_tally
from tests.factories import judge, make_campaign, make_task, make_user

pytestmark = pytest.mark.django_db

PEOPLE, ITEMS = 4, 7
people, some, liking = st.integers(0, PEOPLE - 1), st.integers(0, 30), st.integers(-3, 3)
steps = st.one_of(
    st.tuples(st.just("submit"), people, liking),
    st.tuples(st.just("submit"), people, liking),
    st.tuples(st.just("change"), some, liking),
    st.tuples(st.just("skip"), people, some),
    st.tuples(st.just("withdraw"), some, some),
    st.tuples(st.just("override"), some, liking),
    st.tuples(st.just("erase"), people, some),
    st.tuples(st.just("more"), st.integers(1, 4), some),
    st.tuples(st.just("prioritise"), some, some),
    st.tuples(st.just("gold"), some, some),
    st.tuples(st.just("count"), some, some),
    st.tuples(st.just("count"), some, some),
)


class World:
    """A small campaign, and what its people can do to it."""

    def __init__(self) -> None:
        self.lead = make_user()
        self.campaign = make_campaign(lead=self.lead)
        campaigns.update(campaign=self.campaign, actor=self.lead, gold_percent=20)
        self.people = [self._somebody() for _ in range(PEOPLE)]
        self.more(ITEMS, 1)

    def _somebody(self) -> Any:
        person = make_user()
        Membership.objects.create(campaign=self.campaign, user=person, role=Role.ANNOTATOR)
        return person

    def submit(self, person: int, preference: int) -> None:
        held = queue.next_task(user=self.people[person], campaign=self.campaign)
        if held is not None:
            judge(self.people[person], self.campaign, assignment=held, preference=preference, active_seconds=3.5)

    def change(self, which: int, preference: int) -> None:
        if said := _pick(Feedback.objects.current().filter(campaign=self.campaign, is_review=False), which):
            judge(said.user, self.campaign, assignment=said.assignment, preference=preference)

    def skip(self, person: int, _: int) -> None:
        held = queue.next_task(user=self.people[person], campaign=self.campaign)
        if held is not None:
            submission.skip(assignment=held, reason="unclear")

    def withdraw(self, which: int, _: int) -> None:
        queue.withdraw(tasks=[_pick(self.campaign.tasks.all(), which).pk])

    def override(self, which: int, preference: int) -> None:
        task = _pick(self.campaign.tasks.all(), which)
        reviews.override(task=task, data={"preference": str(4 - preference)}, cause="mistake", actor=self.lead)

    def erase(self, person: int, _: int) -> None:
        gone = self.people[person]
        erasure.erase(person=gone, actor=self.lead, confirmation=gone.username)
        self.people[person] = self._somebody()

    def more(self, items: int, which: int) -> None:
        for number in range(which, which + items):
            meta = {"round": number % 2, "policy": f"policy-{number % 3}"} if number % 4 else {}
            task = make_task(self.campaign, wanted=1 + number % 3, meta=meta, batch=f"batch-{number % 3}")
            Task.objects.filter(pk=task.pk).update(is_audit=number % 5 == 0)

    def prioritise(self, which: int, priority: int) -> None:
        batch = _pick(self.campaign.tasks.all(), which).batch
        batches.prioritise(campaign=self.campaign, batch=batch, priority=priority, actor=self.lead)

    def gold(self, which: int, _: int) -> None:
        gold.set_gold(task=_pick(self.campaign.tasks.all(), which), value={"preference": 2}, actor=self.lead)

    def count(self, *_: int) -> None:
        block_counts.count_late(campaign=self.campaign)
        quality.keep(campaign=self.campaign)


def _pick(found: Any, which: int) -> Any:
    rows = list(found.order_by("pk"))
    return rows[which % len(rows)] if rows else None


def plainly(campaign: Campaign) -> dict[str, Any]:
    """Return figures counted one by one out of the rows, without anything of `annotation.sums`."""
    said = list(Feedback.objects.filter(campaign=campaign).select_related("task"))
    standing = [one for one in said if one.is_current]
    items: dict[Any, list[int]] = {}
    for task in campaign.tasks.all():
        row = items.setdefault((task.meta.get("round"), task.meta.get("policy", ""), task.batch, task.state), [0, 0, 0])
        row[:] = row[0] + 1, row[1] + task.done, row[2] + task.wanted
    patterns: Counter[Any] = Counter()
    for task in campaign.tasks.all():
        values = sorted(one.payload["preference"] for one in standing if one.task_id == task.pk and not one.is_review)
        if len(values) > 1:
            name = ",".join(map(str, values))
            patterns[task.meta.get("round"), task.meta.get("policy", ""), "preference", False, name] += 1
    first = sum(one.payload["preference"] > 0 for one in standing if not one.is_review)
    second = sum(one.payload["preference"] < 0 for one in standing if not one.is_review)
    lefts = [(one.payload["preference"] > 0) == (one.shown_order == [0, 1]) for one in standing if _prefers(one)]
    return {
        "items": items,
        "people": Counter(one.user_id for one in standing),
        "days": Counter((one.user_id, one.version > 1) for one in said),
        "verdicts": len(standing),
        "sides": (sum(lefts), len(lefts) - sum(lefts)),
        "volumes": Counter((one.task.meta.get("round"), one.task.meta.get("policy", "")) for one in standing),
        "patterns": patterns,
        "wins": (first, second),
        "audit": sum(one.task.is_audit for one in standing),
    }


def _anew(campaign: Campaign, simulated: bool) -> evidence.Evidence:
    """Return the evidence counted at one time."""
    return evidence.count(campaign, 0, 10**9)[simulated]


def _prefers(one: Feedback) -> bool:
    return one.payload["preference"] != 0


def figures(known: Sums) -> dict[str, Any]:
    """Return the same out of the sums."""
    days: Counter[Any] = Counter()
    for (user, _day), (first, later, _active, _unmeasured, _standing) in known.rows("days"):
        days[user, False] += first
        days[user, True] += later
    volumes: Counter[Any] = Counter()
    for (round, policy, _guideline), (count,) in known.rows("volumes"):
        volumes[round, policy] += count
    wins = [row for _key, row in known.rows("wins")]
    return {
        "items": {key: row[:3] for key, row in known.rows("items")},
        "people": Counter({user: row[0] for (user,), row in known.rows("people")}),
        "days": +days,
        "verdicts": sum(count for _key, (count,) in known.rows("verdicts")),
        "sides": tuple(known.tables["sides"].get((), (0, 0))),
        "volumes": volumes,
        "patterns": Counter({key: count for key, (count,) in known.rows("patterns")}),
        "wins": (sum(row[0] for row in wins), sum(row[1] for row in wins)),
        "audit": sum(count for _key, (count,) in known.rows("audit")),
    }


def _rounded(known: Sums) -> dict[str, Any]:
    """Return every table; sums of times depend in their last digit on the order in which they are added."""
    return {
        name: {key: [one and round(one, 6) for one in row] for key, row in known.rows(name)} for name in sums.TABLES
    }


@given(moves=st.lists(steps, min_size=1, max_size=12))
@settings(
    max_examples=15,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_sums_are_those_of_the_rows_whatever_happened(moves: list[tuple[str, int, int]], monkeypatch: Any) -> None:
    monkeypatch.setattr(sums, "SIZE", 2)
    monkeypatch.setattr(sums, "GROUP", 2)
    monkeypatch.setattr(sums, "MOST_LIVE", 3000)
    world = World()
    for name, one, other in moves:
        with contextlib.suppress(AnnotationError):  # such as an item that the reviewer judged before
            getattr(world, name)(one, other)
    expected = plainly(world.campaign)
    assert figures(sums.of(world.campaign)) == expected
    assert _rounded(sums.of(world.campaign)) == _rounded(sums.count(world.campaign, 0, 10**9))
    world.count()
    assert not Block.objects.exclude(state=Block.State.COUNTED).filter(campaign=world.campaign).exists()
    assert figures(sums.of(world.campaign)) == expected
    assert campaign_tally(world.campaign).total == expected["verdicts"]
    quality.keep(campaign=world.campaign)
    for simulated in (False, True):  # what was kept on the way, of the blocks that stand as they were then
        assert evidence.of(world.campaign, simulated=simulated) == _anew(world.campaign, simulated)
    held = Assignment.objects.filter(campaign=world.campaign, state=Assignment.State.OPEN).count()
    free = sum(Task.objects.filter(campaign=world.campaign, state=Task.State.OPEN).values_list("seats", flat=True))
    plain = agreement.campaign_agreement(world.campaign)["preference"]
    monkeypatch.setattr(agreement, "MOST", 0)
    kept = agreement.campaign_agreement(world.campaign)["preference"]
    if plain.items:  # who judged alone is no part of the one, and kappa no part of the other
        assert replace(kept, people=0, kappa=None) == replace(plain, people=0, kappa=None)
    monkeypatch.setattr(agreement, "MOST", 10_000)
    queue_now = operations.queue(world.campaign)
    assert (queue_now.free_seats, queue_now.leases) == (free, held)


@pytest.fixture
def judged(monkeypatch: Any) -> Campaign:
    """Return a campaign whose six judged items are two blocks, both counted, and a seventh item."""
    monkeypatch.setattr(sums, "SIZE", 3)
    monkeypatch.setattr(sums, "MOST_LIVE", 3)
    campaign = make_campaign(tasks=7)
    for _ in range(6):
        judge(campaign.created_by, campaign, preference=1)
    assert block_counts.count_late(campaign=campaign) == 2
    return campaign


def test_a_judgement_while_its_block_is_counted_is_not_missed(judged: Campaign, monkeypatch: Any) -> None:
    said = Feedback.objects.filter(campaign=judged).earliest("pk")
    judge(said.user, judged, assignment=said.assignment, preference=-1)
    count = sums.count

    def count_and_judge(*of: Any) -> Sums:
        found = count(*of)
        judge(said.user, judged, assignment=said.assignment, preference=0)  # after the rows were read
        return found

    monkeypatch.setattr(sums, "count", count_and_judge)
    assert block_counts.count_late(campaign=judged) == 0, "what was counted is out of date already"
    monkeypatch.setattr(sums, "count", count)
    assert dict(campaign_tally(judged).verdicts)["About the same"] == 1
    assert block_counts.count_late(campaign=judged) == 1


def test_a_reader_counts_so_much_by_itself_and_says_what_is_behind(judged: Campaign) -> None:
    for said in Feedback.objects.filter(campaign=judged).order_by("pk"):
        judge(said.user, judged, assignment=said.assignment, preference=-1)
    known = sums.of(judged)
    # The newer block is counted by the reader; the older one says what it said; the last item is in no block.
    assert known.late == 3 + 1
    position = campaign_tally(judged, known).position
    assert position.n == 6
    assert campaign_progress(judged, known).tasks == 6
    block_counts.count_late(campaign=judged)
    assert sums.of(judged).late == 0 and campaign_progress(judged).tasks == 7


def test_what_was_counted_is_read_in_four_statements_and_kept(judged: Campaign) -> None:
    with CaptureQueriesContext(connection) as first:
        sums.of(judged)
    with CaptureQueriesContext(connection) as second:
        sums.of(judged)
    assert (len(first), len(second)) == (6, 4)


def test_blocks_are_put_together_and_a_wide_one_is_believed_only_of_what_it_names(
    judged: Campaign, monkeypatch: Any
) -> None:
    monkeypatch.setattr(sums, "GROUP", 2)
    block_counts.count_late(campaign=judged)
    (wide,) = WideBlock.objects.filter(campaign=judged)
    before = sums.of(judged)
    # Spoiled on purpose, so that it shows whether the wide one is read: it is, while it names what stands there.
    WideBlock.objects.filter(pk=wide.pk).update(sums={})
    assert _rounded(sums.of(judged)) == _rounded(before), "this process had it already"
    cache.clear()
    assert sums.standing(sums.of(judged)) == 0
    said = Feedback.objects.filter(campaign=judged).latest("pk")
    judge(said.user, judged, assignment=said.assignment, preference=-1)
    assert sums.standing(sums.of(judged)) == 6, "one of its blocks is late, so each is read by itself"
    block_counts.count_late(campaign=judged)
    assert sums.standing(sums.of(judged)) == 6
    wide.refresh_from_db()
    assert sums.standing(Sums.from_json(wide.sums)) == 6


def test_other_options_read_judgements_otherwise(judged: Campaign) -> None:
    campaigns.update(campaign=judged, actor=judged.created_by, options={"question": "Which one?"})
    assert set(Block.objects.filter(campaign=judged).values_list("state", flat=True)) == {Block.State.LATE}
