"""The queue: who is given what, for how long, and where the seat goes afterwards."""

from __future__ import annotations

from collections import defaultdict
from datetime import timedelta

import pytest
import time_machine
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from annotation.errors import LeaseLost
from annotation.models import Assignment, Task
from annotation.services import campaigns, queue, submission, withdrawal
from tests.factories import judge, make_assignment, make_campaign, make_task, make_user

OPEN, EXPIRED, RELEASED = Assignment.State.OPEN, Assignment.State.EXPIRED, Assignment.State.RELEASED


def seats(task: Task) -> int:
    return Task.objects.get(pk=task.pk).seats


@pytest.mark.django_db
class TestNext:
    def test_highest_priority_first_then_the_oldest(self, lead):
        campaign = make_campaign(lead=lead)
        old, new = make_task(campaign), make_task(campaign)
        urgent = make_task(campaign, priority=5)
        given = [judge(lead, campaign).task_id for _ in range(3)]
        assert given == [urgent.pk, old.pk, new.pk]

    def test_asking_again_gives_the_same_item_and_takes_no_second_seat(self, lead):
        campaign = make_campaign(lead=lead, tasks=2, overlap=3)
        first = make_assignment(lead, campaign)
        assert make_assignment(lead, campaign).pk == first.pk
        assert seats(first.task) == 2

    def test_ahead_gives_the_item_behind_the_one_on_screen(self, lead):
        campaign = make_campaign(lead=lead, tasks=3)
        on_screen = make_assignment(lead, campaign)
        ahead = queue.next_task(user=lead, campaign=campaign, ahead=True)
        assert ahead is not None
        assert ahead.pk != on_screen.pk
        assert queue.next_task(user=lead, campaign=campaign, ahead=True) == ahead, "two slots, no more"
        judge(lead, campaign, assignment=on_screen)
        assert make_assignment(lead, campaign).pk == ahead.pk, "what was prefetched comes on screen"

    def test_nobody_is_given_more_than_is_wanted_and_nobody_one_item_twice(self, lead):
        campaign = make_campaign(lead=lead, tasks=1, overlap=2)
        people = [make_user() for _ in range(3)]
        given = [queue.next_task(user=person, campaign=campaign) for person in people]
        assert [one is not None for one in given] == [True, True, False]
        judge(people[0], campaign)
        assert queue.next_task(user=people[0], campaign=campaign) is None
        judge(people[1], campaign)
        task = Task.objects.get(campaign=campaign)
        assert (task.state, task.done, task.seats) == (Task.State.COMPLETE, 2, 0)

    def test_an_item_may_want_another_number_than_its_campaign(self, lead):
        campaign = make_campaign(lead=lead)
        task = make_task(campaign, wanted=4)
        assert (task.wanted, task.seats) == (4, 4)

    def test_the_order_is_balanced_for_each_item_and_each_person(self, lead):
        """With two people an item each order comes once; with one, a person's own screens differ by one at most."""
        campaign = make_campaign(lead=lead, tasks=12, overlap=2)
        people = [make_user() for _ in range(2)]
        by_task, by_person = defaultdict(list), defaultdict(list)
        for _ in range(12):
            for person in people:
                judged = judge(person, campaign)
                by_task[judged.task_id].append(judged.shown_order)
                by_person[person.pk].append(judged.shown_order[0])
                assert judged.assignment.shown_order == judged.shown_order
        assert all(sorted(orders) == [[0, 1], [1, 0]] for orders in by_task.values())
        assert all(5 <= sum(firsts) <= 7 for firsts in by_person.values())
        alone = make_campaign(lead=lead, tasks=9)
        firsts = [judge(people[0], alone).shown_order[0] for _ in range(9)]
        assert sum(firsts) in (4, 5)

    def test_the_one_on_screen_counts_when_the_next_is_drawn_ahead(self, lead):
        campaign = make_campaign(lead=lead, tasks=4)
        on_screen = make_assignment(lead, campaign)
        ahead = queue.next_task(user=lead, campaign=campaign, ahead=True)
        assert ahead is not None
        assert ahead.shown_order == on_screen.shown_order[::-1]

    def test_an_item_holds_everything_that_is_shown(self, lead):
        campaign = make_campaign(lead=lead, tasks=1)
        assignment = make_assignment(lead, campaign)
        assert [one["text"] for one in assignment.task.content["completions"]] == [
            "Answer one to question 0.",
            "Answer two to question 0.",
        ]
        with CaptureQueriesContext(
            connection,
        ) as asked:
            assert assignment.task.content["messages"]
            assert assignment.campaign.name
            assert assignment.user.username
        assert len(asked) == 0


@pytest.mark.django_db
class TestCampaignState:
    def test_paused_gives_nothing_new_but_keeps_what_is_on_screen(self, lead):
        campaign = make_campaign(lead=lead, tasks=2)
        held = make_assignment(lead, campaign)
        campaign = campaigns.pause_campaign(campaign=campaign, actor=lead)
        assert queue.next_task(user=lead, campaign=campaign) == held
        judge(lead, campaign, assignment=held)
        assert queue.next_task(user=lead, campaign=campaign) is None
        campaign = campaigns.open_campaign(campaign=campaign, actor=lead)
        assert queue.next_task(user=lead, campaign=campaign) is not None

    def test_a_pause_takes_effect_at_once_even_for_a_page_that_does_not_know_of_it(self, lead):
        stale = make_campaign(lead=lead, tasks=1)
        campaigns.pause_campaign(campaign=type(stale).objects.get(pk=stale.pk), actor=lead)
        assert stale.is_open
        assert queue.next_task(user=lead, campaign=stale) is None

    def test_draft_and_closed_give_nothing(self, lead):
        campaign = make_campaign(lead=lead, tasks=1, is_open=False)
        assert queue.next_task(user=lead, campaign=campaign) is None
        campaign = campaigns.open_campaign(campaign=campaign, actor=lead)
        make_assignment(lead, campaign)
        campaign = campaigns.close_campaign(campaign=campaign, actor=lead)
        assert queue.next_task(user=lead, campaign=campaign) is None


@pytest.mark.django_db
class TestLease:
    def test_an_expired_lease_frees_the_seat_for_somebody_else(self, lead, annotator):
        campaign = make_campaign(lead=lead, annotators=[annotator], tasks=1, lease_seconds=60)
        first = make_assignment(lead, campaign)
        assert queue.next_task(user=annotator, campaign=campaign) is None
        assert queue.expire_leases() == 0
        with time_machine.travel(timezone.now() + timedelta(seconds=61)):
            assert queue.expire_leases() == 1
            assert queue.expire_leases() == 0
            assert make_assignment(annotator, campaign).task_id == first.task_id
        first.refresh_from_db()
        assert first.state == EXPIRED

    def test_a_lease_that_ran_out_unnoticed_is_renewed_when_its_owner_comes_back(self, lead):
        campaign = make_campaign(lead=lead, tasks=1, lease_seconds=60)
        first = make_assignment(lead, campaign)
        with time_machine.travel(timezone.now() + timedelta(seconds=600)):
            again = make_assignment(lead, campaign)
            assert again.pk == first.pk
            assert again.expires_at > timezone.now()
            assert queue.expire_leases() == 0

    def test_what_expired_comes_back_to_a_lone_annotator_draft_and_order_kept(self, lead):
        """Else one annotator who has lunch would leave items behind that nobody can ever judge."""
        campaign = make_campaign(lead=lead, tasks=1, lease_seconds=60)
        first = make_assignment(lead, campaign)
        submission.save_draft(assignment=first, draft={"comment": "half a thought"})
        with time_machine.travel(timezone.now() + timedelta(seconds=61)):
            assert queue.expire_leases() == 1
            again = make_assignment(lead, campaign)
            assert (again.pk, again.key, again.shown_order) == (first.pk, first.key, first.shown_order)
            assert again.draft == {"comment": "half a thought"}
            assert seats(first.task) == 0
            stored = Assignment.objects.get(pk=first.pk)
            assert (stored.state, stored.closed_at) == (OPEN, None)
            assert judge(lead, campaign).seconds < 5, "the clock starts again"

    def test_released_items_are_free_at_once(self, lead, annotator):
        campaign = make_campaign(lead=lead, annotators=[annotator], tasks=1)
        held = make_assignment(lead, campaign)
        queue.release(assignment=held)
        queue.release(assignment=held)
        assert seats(held.task) == 1
        assert make_assignment(annotator, campaign).task_id == held.task_id
        held.refresh_from_db()
        assert held.state == RELEASED

    def test_extend_gives_the_full_time_again_until_the_lease_is_lost(self, lead):
        campaign = make_campaign(lead=lead, tasks=1, lease_seconds=60)
        held = make_assignment(lead, campaign)
        with time_machine.travel(timezone.now() + timedelta(seconds=50)):
            assert queue.extend(assignment=held).expires_at > timezone.now() + timedelta(seconds=59)
        with time_machine.travel(timezone.now() + timedelta(seconds=300)):
            queue.expire_leases()
            with pytest.raises(LeaseLost, match="Your answer is kept"):
                queue.extend(assignment=held)

    def test_who_comes_late_is_given_what_is_in_reserve_and_no_more(self, lead):
        people = [make_user() for _ in range(4)]
        campaign = make_campaign(lead=lead, annotators=people, tasks=1)
        held = make_assignment(people[0], campaign)
        assert queue.next_task(user=people[1], campaign=campaign) is None
        campaign = campaigns.update(campaign=campaign, actor=lead, reserve=1)
        late = queue.next_task(user=people[1], campaign=campaign)
        assert late is not None and late.task_id == held.task_id
        assert queue.next_task(user=people[1], campaign=campaign) == late, "the same, and nothing more of the reserve"
        assert queue.next_task(user=people[2], campaign=campaign) is None, "one was in reserve"
        for person, assignment in ((people[0], held), (people[1], late)):
            judge(person, campaign, assignment=assignment)
        task = Task.objects.get()
        assert (task.state, task.wanted, task.done, task.seats) == (Task.State.COMPLETE, 2, 2, 0)
        campaign = campaigns.update(campaign=campaign, actor=lead, reserve=5)
        assert queue.next_task(user=people[3], campaign=campaign) is None, "nobody has it on screen any more"
        campaign.refresh_from_db()
        assert campaign.reserve_given == 1, "what was looked for in vain is not counted"

    def test_the_sweeper_returns_several_seats_of_one_task(self, lead):
        campaign = make_campaign(lead=lead, tasks=2, overlap=3, lease_seconds=60)
        for _ in range(3):
            make_assignment(make_user(), campaign)
        judged_by = make_user()
        make_assignment(judged_by, campaign)
        with time_machine.travel(timezone.now() + timedelta(seconds=61)):
            assert queue.expire_leases() == 4
        assert list(Task.objects.filter(campaign=campaign).values_list("seats", flat=True)) == [3, 3]

    def test_withdrawn_tasks_leave_the_queue_and_free_the_slots_of_those_who_held_them(self, lead):
        campaign = make_campaign(lead=lead, tasks=2)
        held = make_assignment(lead, campaign)
        assert queue.withdraw(tasks=[held.task_id]) == 1
        assert queue.withdraw(tasks=[held.task_id]) == 0
        held.refresh_from_db()
        assert held.state == RELEASED
        assert make_assignment(lead, campaign).task_id != held.task_id
        assert judge(lead, campaign, assignment=held).version == 1, "what was on screen still counts"
        task = Task.objects.get(pk=held.task_id)
        assert (task.state, task.done, task.seats) == (Task.State.WITHDRAWN, 1, 0)


@pytest.mark.django_db
def test_a_batch_is_withdrawn_as_a_whole_and_nothing_beside_it(lead):
    campaign, other = make_campaign(lead=lead), make_campaign(lead=lead)
    for batch in ("round-1", "round-1", "round-1-gate", ""):
        make_task(campaign, batch=batch)
    make_task(other, batch="round-1")
    judge(lead, campaign)
    make_assignment(lead, campaign)
    assert withdrawal.withdraw(campaign=campaign, batches=["round-1", "round-1-gate"]) == 2
    states = Task.objects.filter(campaign=campaign).order_by("id").values_list("state", flat=True)
    assert list(states) == ["complete", "withdrawn", "withdrawn", "open"]
    assert Task.objects.get(campaign=other).state == "open"
    assert make_assignment(lead, campaign).task.batch == "", "the item that is wanted, not the one that was held"


def statements(captured: CaptureQueriesContext) -> list[str]:
    """Return what was sent, without BEGIN and COMMIT, which are counted apart."""
    return [
        query["sql"] for query in captured if query["sql"].split()[0].upper().rstrip(";") not in {"BEGIN", "COMMIT"}
    ]


@pytest.mark.django_db(transaction=True)
class TestStatements:
    """Counted with nothing around the call, as in a request: no savepoints; BEGIN and COMMIT come on top, once each."""

    def test_a_new_item_costs_four(self, lead):
        campaign = make_campaign(lead=lead, tasks=3)
        with CaptureQueriesContext(connection) as captured:
            held = make_assignment(lead, campaign)
        assert len(statements(captured)) == 4, statements(captured)
        assert len(captured) == 6
        with CaptureQueriesContext(connection) as captured:
            assert make_assignment(lead, campaign) == held
        assert len(captured) == 1, "an item already held"
        with CaptureQueriesContext(connection) as captured:
            ahead = queue.next_task(user=lead, campaign=campaign, ahead=True)
        assert ahead is not None
        assert len(statements(captured)) == 4

    def test_an_item_that_came_back_costs_four(self, lead):
        campaign = make_campaign(lead=lead, tasks=1)
        queue.release(assignment=make_assignment(lead, campaign))
        with CaptureQueriesContext(connection) as captured:
            make_assignment(lead, campaign)
        assert len(statements(captured)) == 4, statements(captured)

    def test_nothing_left_costs_at_most_three(self, lead):
        campaign = make_campaign(lead=lead)
        with CaptureQueriesContext(connection) as captured:
            assert queue.next_task(user=lead, campaign=campaign) is None
        assert len(statements(captured)) <= 3, statements(captured)

    def test_a_submit_costs_seven_an_amendment_six_and_a_repeat_three(self, lead):
        campaign = make_campaign(lead=lead, tasks=1)
        held = make_assignment(lead, campaign)
        for key, expected in (("a", 7), ("b", 6), ("b", 3)):
            with CaptureQueriesContext(connection) as captured:
                submission.submit(assignment=held, data={"preference": "1"}, client_key=key)
            assert len(statements(captured)) == expected, statements(captured)
            assert len(captured) <= 9, "BEGIN and COMMIT included"
