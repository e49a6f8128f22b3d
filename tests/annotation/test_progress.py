"""Progress: what a lead sees of a campaign, what a person sees of themselves."""

from __future__ import annotations

from datetime import timedelta

import pytest
import time_machine
from django.core.cache import cache
from django.utils import timezone

from annotation import progress as progress_module
from annotation.progress import batch_progress, campaign_progress, day_of, my_progress
from annotation.services import campaigns, queue, submission
from tests.factories import judge, make_assignment, make_campaign, make_task

pytestmark = pytest.mark.django_db


def test_an_empty_campaign_has_no_share_of_nothing(lead):
    progress = campaign_progress(make_campaign(lead=lead))
    assert (progress.tasks, progress.judgements, progress.wanted, progress.share) == (0, 0, 0, 0.0)
    assert progress.people == []


def test_a_campaign_in_the_middle_of_its_work(lead, annotator, django_assert_max_num_queries):
    campaign = make_campaign(lead=lead, annotators=[annotator], tasks=4, overlap=2)
    judge(lead, campaign, active_seconds=10)
    judge(lead, campaign, active_seconds=20)
    judge(annotator, campaign)
    submission.skip(assignment=make_assignment(annotator, campaign), reason="unclear")
    make_assignment(annotator, campaign)
    with django_assert_max_num_queries(7):  # of them four for the sums
        progress = campaign_progress(campaign)
    assert (progress.tasks, progress.complete, progress.judgements, progress.wanted) == (4, 1, 3, 8)
    assert (progress.open_leases, progress.skipped, progress.share) == (1, 1, 3 / 8)
    first, second = progress.people
    assert (first.username, first.done, first.today, first.skipped, first.holding) == ("lead", 2, 2, 0, 0)
    assert first.active_seconds == 15
    assert first.last_at is not None
    assert (second.username, second.done, second.skipped, second.holding) == ("annotator", 1, 1, 1)


def test_one_batch_of_it(lead):
    campaign = make_campaign(lead=lead)
    make_task(campaign, batch="round-1")
    make_task(campaign, batch="round-2")
    judge(lead, campaign)
    assert (batch_progress(campaign, "round-1").complete, batch_progress(campaign, "round-2").complete) == (1, 0)
    assert (batch_progress(campaign, "round-1").given_to, batch_progress(campaign, "round-2").given_to) == (1, 0)
    assert batch_progress(campaign, "").tasks == 0


def test_withdrawn_items_are_not_wanted_any_more(lead):
    campaign = make_campaign(lead=lead, tasks=3)
    judge(lead, campaign)
    queue.withdraw(tasks=list(campaign.tasks.values_list("pk", flat=True)))
    progress = campaign_progress(campaign)
    assert (progress.tasks, progress.complete, progress.wanted, progress.withdrawn) == (1, 1, 1, 2)


def test_ones_own_progress(lead, annotator, django_assert_num_queries):
    campaign = make_campaign(lead=lead, annotators=[annotator], tasks=6, overlap=2)
    judge(annotator, campaign)
    submission.skip(assignment=make_assignment(annotator, campaign), reason="other")
    make_assignment(annotator, campaign)
    with django_assert_num_queries(2):
        mine = my_progress(annotator, campaign)
    assert (mine.done, mine.today, mine.skipped, mine.holding, mine.available, mine.total) == (1, 1, 1, 1, 3, 5)
    queue.release(assignment=make_assignment(annotator, campaign))
    assert my_progress(annotator, campaign).available == 4, "what was given back may come again"


def test_available_is_what_next_would_give(lead, annotator):
    campaign = make_campaign(lead=lead, annotators=[annotator], tasks=5)
    for _ in range(2):
        judge(lead, campaign)
    make_assignment(lead, campaign)
    available = my_progress(annotator, campaign).available
    for _ in range(available):
        judge(annotator, campaign)
    assert queue.next_task(user=annotator, campaign=campaign) is None
    assert my_progress(annotator, campaign).available == 0
    campaign = campaigns.pause_campaign(campaign=campaign, actor=lead)
    assert my_progress(lead, campaign).available == 0


def test_many_open_items_are_counted_once_a_minute(lead, annotator, monkeypatch, django_assert_num_queries):
    monkeypatch.setattr(progress_module, "EXACT", 3)
    cache.clear()
    campaign = make_campaign(lead=lead, annotators=[annotator], tasks=8)
    assert my_progress(annotator, campaign).available == 8
    judge(annotator, campaign)
    with django_assert_num_queries(2):
        mine = my_progress(annotator, campaign)
    assert (mine.done, mine.available, mine.total) == (1, 7, 8), "what one took oneself shows at once"
    for _ in range(2):
        judge(lead, campaign)
    assert my_progress(annotator, campaign).available == 7, "what others took shows within a minute"
    judge(lead, campaign)
    judge(lead, campaign)
    assert my_progress(annotator, campaign).available == 3, "and at once when few are left"
    cache.clear()


def test_yesterday_is_not_today(lead):
    campaign = make_campaign(lead=lead, tasks=2)
    with time_machine.travel(timezone.now() - timedelta(days=2)):
        judge(lead, campaign)
    judge(lead, campaign)
    assert (my_progress(lead, campaign).done, my_progress(lead, campaign).today) == (2, 1)
    assert campaign_progress(campaign).people[0].today == 1


def test_a_day_is_told_to_who_had_it(lead, annotator, django_assert_max_num_queries):
    campaign = make_campaign(lead=lead, annotators=[annotator], tasks=5, overlap=2)
    with time_machine.travel(timezone.now() - timedelta(days=1), tick=False):
        judge(annotator, campaign, active_seconds=500)
    for seconds in (10, 20, 60, None):
        judge(annotator, campaign, active_seconds=seconds)
    judge(lead, campaign, active_seconds=99)
    with django_assert_max_num_queries(1):
        day = day_of(annotator, campaign)
    assert (day.judged, day.active_seconds, day.typical_seconds) == (4, 90, 20)
    assert day_of(lead, make_campaign("Empty", lead=lead)).typical_seconds is None
