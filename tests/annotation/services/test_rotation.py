"""Items whose answer is known, mixed into what people are given: how often, which, and that nothing shows it."""

from __future__ import annotations

import json
from statistics import mean

import pytest

from annotation import datasets, rotation
from annotation.models import Assignment, Campaign, Gold, Task, User
from annotation.progress import my_progress
from annotation.services import campaigns, erasure, gold, intake, queue, reviews, setting_aside, submission
from tests.annotation.services.test_queue_property import check_invariants
from tests.factories import judge, make_assignment, make_campaign, make_task, make_user

pytestmark = pytest.mark.django_db
RIGHT = {"answer": {"preference": "2"}}


def mixed(lead: User, *, items: int, golds: int, percent: int = 50, annotators: tuple[User, ...] = ()) -> Campaign:
    """Return a campaign with gold that is mixed in."""
    campaign = make_campaign(lead=lead, tasks=items, annotators=annotators)
    for number in range(golds):
        gold.set_gold(task=make_task(campaign, number=1000 + number), value=RIGHT, actor=lead)
    return campaigns.update(campaign=campaign, actor=lead, gold_percent=percent)


def work(user: User, campaign: Campaign, most: int = 1000) -> list[Assignment]:
    """Let somebody judge until there is nothing left, or so many items; return what they were given."""
    given = []
    while len(given) < most and (assignment := queue.next_task(user=user, campaign=campaign)):
        judge(user, campaign, assignment=assignment)
        given.append(assignment)
    return given


@pytest.mark.parametrize("percent", [1, 5, 7, 30, 50])
def test_the_mean_gap_gives_the_campaigns_share_exactly_and_no_two_people_the_same(percent: int):
    campaign = Campaign(pk=7, gold_percent=percent)
    gaps = [rotation.gap_after(last, user=3, campaign=campaign) for last in range(10_000)]
    assert mean(gaps) + 1 == pytest.approx(100 / percent, rel=0.04)
    assert min(gaps) == 0 and max(gaps) <= 2 * (100 / percent)
    others = [rotation.gap_after(last, user=4, campaign=campaign) for last in range(100)]
    assert others != gaps[:100] and gaps[:50] == [
        rotation.gap_after(last, user=3, campaign=campaign) for last in range(50)
    ]


def test_nobody_is_given_the_same_gold_twice_and_each_has_an_order_of_their_own(lead: User):
    campaign = mixed(lead, items=12, golds=6)
    one, other = make_user(), make_user()
    first, second = work(one, campaign, 9), work(other, campaign, 9)
    for given in (first, second):
        golds = [assignment.task_id for assignment in given if assignment.is_gold]
        assert len(golds) == len(set(golds)) and 2 <= len(golds) <= 6
    assert [one.task_id for one in first if one.is_gold] != [one.task_id for one in second if one.is_gold]
    check_parked(campaign)


def check_parked(campaign: Campaign) -> None:
    check_invariants(campaign)
    for task in Task.objects.filter(campaign=campaign, gold__isnull=False):
        assert task.state == Task.State.COMPLETE


def test_gold_never_comes_alone_for_long_when_the_others_are_done(lead: User):
    """Twenty golds and four items: once those are judged, a few more come, and then nothing.

    Each of these comes with a chance of one in three after the one before, so that ten do once in sixty thousand times.
    """
    for _number in range(2):
        campaign = mixed(lead, items=4, golds=20)
        given = work(make_user(), campaign)
        ordinary = [place for place, one in enumerate(given) if not one.is_gold]
        assert len(ordinary) == 4
        assert len(given) - ordinary[-1] <= 10, [one.is_gold for one in given]


def test_gold_that_was_released_lost_or_set_aside_comes_back_and_no_seat_is_lost(lead: User):
    campaign = mixed(lead, items=3, golds=2)
    person = make_user()
    held = next_gold(person, campaign)
    queue.release(assignment=held)
    check_parked(campaign)
    again = next_gold(person, campaign)
    assert again.pk == held.pk and again.is_gold, "the same assignment, not a second one of the item"
    setting_aside.set_aside(assignment=again, draft={"comment": "later"})
    assert setting_aside.is_wanted(Assignment.objects.select_related("task").get(pk=again.pk))
    other = next_gold(make_user(), campaign)
    judge(other.user, campaign, assignment=other)
    taken = setting_aside.take_up(assignment=again)
    assert taken.state == Assignment.State.OPEN and taken.draft == {"comment": "later"}
    queue.release(assignment=taken)
    judge(person, campaign, assignment=taken)  # late: the seat had gone back
    check_parked(campaign)
    late = next_gold(make_user(), campaign)
    Task.objects.filter(pk=late.task_id).update(state=Task.State.COMPLETE)
    submission.skip(assignment=late, reason="unclear")
    check_parked(campaign)


def next_gold(user: User, campaign: Campaign) -> Assignment:
    """Return gold for this person, whatever they must judge before."""
    for _again in range(20):
        assignment = make_assignment(user, campaign)
        if assignment.is_gold:
            return assignment
        judge(user, campaign, assignment=assignment)
        make_task(campaign)
    raise AssertionError("no gold came")


def test_skipping_gold_does_not_bring_the_next_one(lead: User):
    campaign = mixed(lead, items=40, golds=10, percent=10)
    person = make_user()
    skipped = given = 0
    while (assignment := queue.next_task(user=person, campaign=campaign)) and given < 30:
        given += 1
        if assignment.is_gold:
            submission.skip(assignment=assignment, reason="unclear")
            skipped += 1
        else:
            judge(person, campaign, assignment=assignment)
    assert skipped <= 8


def test_a_second_look_by_the_same_person_amends_and_counts_once(lead: User):
    campaign = mixed(lead, items=5, golds=2)
    person = make_user()
    held = next_gold(person, campaign)
    judge(person, campaign, assignment=held, preference=1)
    judge(person, campaign, assignment=held, preference=-1)
    check_parked(campaign)
    assert Task.objects.get(pk=held.task_id).done == 1


def test_the_number_of_items_left_tells_nothing(lead: User):
    campaign = mixed(lead, items=30, golds=8, percent=20)
    person = make_user()
    totals = []
    for _number in range(25):
        totals.append(my_progress(person, campaign).total)
        judge(person, campaign)
    assert set(totals) <= {totals[0] - 1, totals[0], totals[0] + 1}, totals


def test_switching_it_off_gives_the_items_back_to_the_queue_and_practice_stays_out(lead: User):
    campaign = mixed(lead, items=1, golds=2)
    practice = make_task(campaign, number=77)
    gold.set_gold(task=practice, value={**RIGHT, "purpose": "practice"}, actor=lead)
    campaigns.update(campaign=campaign, actor=lead, gold_percent=0)
    check_invariants(campaign)
    campaign.refresh_from_db()
    given = work(make_user(), campaign)
    assert len(given) == 3 and not any(one.is_gold for one in given) and practice.pk not in {g.task_id for g in given}
    gold.retire(stored=Gold.objects.get(task=practice), actor=lead)
    assert [one.task_id for one in work(make_user(), campaign)] == [practice.pk]


def test_gold_is_imported_parked_and_its_judgements_are_left_out_of_exports(lead: User):
    campaign = mixed(lead, items=2, golds=0)
    known = {"answer": {"preference": "1"}, "purpose": "check"}
    row = {"prompt": "Two and two?", "completions": ["4", "5"], "gold": known}
    intake.import_lines(campaign=campaign, lines=[json.dumps(row)], actor=lead)
    stored = Gold.objects.get(task__campaign=campaign)
    assert (stored.purpose, stored.task.state, stored.task.wanted) == ("check", Task.State.COMPLETE, 0)
    person = make_user()
    judge(person, campaign, assignment=next_gold(person, campaign))
    work(person, campaign)
    usual = {row["task"] for row in datasets.rows(campaign, "pairs")}
    every = {row["task"] for row in datasets.rows(campaign, "pairs", datasets.Filters(include_gold=True))}
    assert every - usual == {stored.task.external_id}
    assert reviews.conflicts(campaign) == []


def test_erasing_a_person_leaves_gold_parked_and_every_seat_accounted_for(lead: User):
    person = make_user()
    campaign = mixed(lead, items=6, golds=3, annotators=(person,))
    work(person, campaign, 5)
    make_assignment(person, campaign)
    erasure.erase(person=person, actor=lead, confirmation=person.username)
    check_parked(campaign)


def test_an_item_for_other_people_is_no_gold_for_this_one(lead: User):
    campaign = mixed(lead, items=8, golds=2)
    Task.objects.filter(gold__isnull=False).update(tags=1)
    campaign.barred = 1
    assert not any(one.is_gold for one in work(make_user(), campaign))
