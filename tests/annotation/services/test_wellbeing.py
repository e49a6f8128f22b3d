"""Declining what one would rather not read, resting from it, and how much of it there was."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
import time_machine
from django.utils import timezone

from annotation import limits, routing
from annotation.errors import Invalid
from annotation.exposure import exposure
from annotation.models import Assignment, Campaign, Event, Membership, Task
from annotation.permissions import campaign_for
from annotation.progress import my_progress
from annotation.services import campaigns, intake, people, queue, submission, wellbeing
from tests.factories import judge, make_assignment, make_campaign, make_task

pytestmark = pytest.mark.django_db


@pytest.fixture
def campaign(lead, annotator) -> Campaign:
    made = make_campaign(lead=lead, annotators=[annotator])
    for about in (["violence"], ["violence", "self-harm"], [], ["self-harm"]):
        make_task(made, about=about, wanted=2)
    made.refresh_from_db()
    return made


def about(campaign: Campaign, task: Task) -> list[str]:
    return routing.names(campaign.tags, task.tags, routing.ABOUT)


class TestDeclining:
    def test_what_is_declined_is_not_handed_out_and_nobody_is_told(self, campaign, annotator, lead):
        events = Event.objects.count()
        wellbeing.decline(campaign=campaign, user=annotator, declined=["violence"])
        seen = campaign_for(annotator, campaign.pk)
        assert my_progress(annotator, seen).available == 2
        given = [about(campaign, judge(annotator, seen).task) for _ in range(2)]
        assert given == [[], ["self-harm"]]
        assert queue.next_task(user=annotator, campaign=seen) is None
        assert Event.objects.count() == events
        assert campaign_for(lead, campaign.pk).declined == ()
        assert make_assignment(lead, campaign_for(lead, campaign.pk)).task.tags, "others are given them as before"

    def test_what_is_held_of_it_goes_back_at_once_with_the_draft(self, campaign, annotator):
        held = make_assignment(annotator, campaign)
        ahead = queue.next_task(user=annotator, campaign=campaign, ahead=True)
        submission.save_draft(assignment=held, draft={"comment": "so far"})
        wellbeing.decline(campaign=campaign, user=annotator, declined=["violence"])
        assert set(Assignment.objects.values_list("state", flat=True)) == {"released"}
        assert about(campaign, make_assignment(annotator, campaign).task) == []
        wellbeing.decline(campaign=campaign, user=annotator, declined=[])
        held.refresh_from_db()
        assert held.draft == {"comment": "so far"} and ahead is not None
        assert campaign_for(annotator, campaign.pk).declined == ()

    def test_only_what_items_are_about_can_be_declined(self, campaign, annotator, stranger):
        with pytest.raises(Invalid, match="there are: self-harm, violence"):
            wellbeing.decline(campaign=campaign, user=annotator, declined=["law"])
        with pytest.raises(Invalid, match="no role"):
            wellbeing.decline(campaign=campaign, user=stranger, declined=["violence"])

    def test_a_lead_learns_of_skills_only(self, campaign, annotator, lead):
        """A declined category must not show as an item that nobody can take."""
        from annotation.reach import out_of_reach

        wellbeing.decline(campaign=campaign, user=annotator, declined=["violence"])
        wellbeing.decline(campaign=campaign, user=lead, declined=["violence"])
        assert out_of_reach(campaign) == []
        people.set_skills(campaign=campaign, username="annotator", skills=["law"], actor=lead)
        assert Membership.objects.get(user=annotator).declined == ["violence"]


def test_a_row_says_what_it_is_about_else_the_campaign_does(lead):
    campaign = make_campaign(lead=lead)
    campaigns.update(campaign=campaign, actor=lead, about=["violence"])
    assert wellbeing.categories(campaign_for(lead, campaign.pk)) == ["violence"], "before the first item"
    rows = [
        {"id": "own", "prompt": "Q?", "completions": ["a", "b"], "about": "hate"},
        {"id": "usual", "prompt": "R?", "completions": ["a", "b"]},
        {"id": "nothing", "prompt": "S?", "completions": ["a", "b"], "about": ""},
    ]
    assert intake.import_lines(campaign=campaign, lines=map(json.dumps, rows), actor=lead).created == 3
    campaign.refresh_from_db()
    found = {task.external_id: about(campaign, task) for task in Task.objects.all()}
    assert found == {"own": ["hate"], "usual": ["violence"], "nothing": []}


class TestRest:
    @pytest.fixture
    def heavy(self, lead) -> Campaign:
        made = make_campaign(lead=lead)
        for _ in range(6):
            make_task(made, about=["violence"])
        made.refresh_from_db()
        return campaigns.update(campaign=made, actor=lead, rest_after=2)

    def test_after_so_many_in_a_row_comes_an_easier_one(self, heavy, lead):
        easy = make_task(heavy)
        given = [judge(lead, heavy).task for _ in range(5)]
        assert [task == easy for task in given] == [False, False, True, False, False]

    def test_or_a_rest_after_which_it_goes_on(self, heavy, lead):
        with time_machine.travel(timezone.now(), tick=False) as clock:
            for _ in range(2):
                for _ in range(2):
                    judge(lead, heavy)
                assert queue.next_task(user=lead, campaign=heavy) is None
                mine = my_progress(lead, heavy)
                assert mine.rest_until == timezone.now() + limits.REST
                clock.shift(limits.REST + timedelta(seconds=1))
                assert my_progress(lead, heavy).rest_until is None
            assert queue.next_task(user=lead, campaign=heavy) is not None

    def test_what_is_on_screen_counts_so_that_none_is_fetched_ahead(self, heavy, lead):
        judge(lead, heavy)
        held = make_assignment(lead, heavy)
        assert queue.next_task(user=lead, campaign=heavy, ahead=True) is None
        judge(lead, heavy, assignment=held)
        assert queue.next_task(user=lead, campaign=heavy) is None

    def test_nothing_rests_where_nothing_is_unpleasant(self, lead):
        campaign = make_campaign(lead=lead, tasks=5)
        campaign = campaigns.update(campaign=campaign, actor=lead, rest_after=1)
        for _ in range(5):
            judge(lead, campaign)
        assert my_progress(lead, campaign).rest_until is None


class TestWeek:
    def test_a_week_ends_on_sunday(self, lead):
        campaign = make_campaign(lead=lead, tasks=4)
        campaign = campaigns.update(campaign=campaign, actor=lead, weekly_limit=2)
        with time_machine.travel("2026-11-26T12:00:00Z", tick=False) as clock:  # a Thursday
            judge(lead, campaign)
            clock.shift(timedelta(days=2))
            judge(lead, campaign)
            assert queue.next_task(user=lead, campaign=campaign) is None
            mine = my_progress(lead, campaign)
            assert (mine.left_this_week, mine.left_now, mine.limit_reached) == (0, 0, True)
            clock.shift(timedelta(days=2))
            assert my_progress(lead, campaign).left_now == 2
            assert queue.next_task(user=lead, campaign=campaign) is not None


def test_exposure_is_by_category_for_oneself_and_in_total(campaign, annotator, lead, django_assert_num_queries):
    with time_machine.travel(timezone.now() - timedelta(days=10)):
        judge(annotator, campaign)
    judge(annotator, campaign)
    judge(lead, campaign)
    with django_assert_num_queries(1):
        mine = exposure(campaign, annotator)
    assert [(one.category, one.week, one.total) for one in mine] == [("violence", 1, 2), ("self-harm", 1, 1)]
    assert [(one.category, one.total) for one in exposure(campaign)] == [("violence", 3), ("self-harm", 1)]
    assert exposure(make_campaign(lead=lead), lead) == []
