"""A share of the items for more people, quotas per batch, and which batch comes first."""

from __future__ import annotations

import pytest
from django.core.cache import cache

from annotation import limits
from annotation.errors import Invalid, TooMany
from annotation.importing.storing import overlap_of
from annotation.models import Campaign, Task
from annotation.progress import my_progress
from annotation.services import batches, campaigns, queue, setting_aside
from tests.factories import judge, make_assignment, make_campaign, make_task

pytestmark = pytest.mark.django_db


class TestCohort:
    def test_so_many_per_cent_are_drawn_and_always_the_same(self):
        campaign = Campaign(pk=7, overlap=1, cohort_percent=20, cohort_overlap=3)
        drawn = [overlap_of(campaign, f"item-{n}") for n in range(2000)]
        assert set(drawn) == {1, 3}
        assert 340 <= drawn.count(3) <= 460, "400 expected, a standard deviation is 18"
        assert drawn == [overlap_of(campaign, f"item-{n}") for n in range(2000)]
        other = Campaign(pk=8, overlap=1, cohort_percent=20, cohort_overlap=3)
        assert drawn != [overlap_of(other, f"item-{n}") for n in range(2000)]

    @pytest.mark.parametrize(("percent", "expected"), [(0, 1), (100, 4)])
    def test_none_and_all(self, percent, expected):
        campaign = Campaign(pk=1, overlap=1, cohort_percent=percent, cohort_overlap=4)
        assert {overlap_of(campaign, f"item-{n}") for n in range(300)} == {expected}

    def test_it_is_decided_at_import_and_a_row_s_own_number_counts_more(self, lead):
        campaign = make_campaign(lead=lead)
        campaigns.update(campaign=campaign, actor=lead, cohort_percent=100, cohort_overlap=5)
        drawn, own = make_task(campaign), make_task(campaign, wanted=2)
        assert (drawn.wanted, drawn.seats, own.wanted) == (5, 5, 2)
        campaigns.update(campaign=campaign, actor=lead, cohort_percent=0)
        drawn.refresh_from_db()
        assert drawn.wanted == 5, "what is stored stays"


class TestQuota:
    @pytest.fixture
    def campaign(self, lead, annotator) -> Campaign:
        cache.clear()
        made = make_campaign(lead=lead, annotators=[annotator])
        for batch in ("round-1", "round-1", "round-1", "round-1", "round-2", ""):
            make_task(made, batch=batch)
        return made

    @pytest.mark.parametrize("setting", [{"batch_limit": 2}, {"batch_share": 50}])
    def test_no_person_judges_more_of_a_batch_than_their_part(self, campaign, lead, annotator, setting):
        campaign = campaigns.update(campaign=campaign, actor=lead, **setting)
        assert my_progress(lead, campaign).available == 6
        given = [judge(lead, campaign).task.batch for _ in range(4)]
        assert given == ["round-1", "round-1", "round-2", ""]
        assert queue.next_task(user=lead, campaign=campaign) is None
        mine = my_progress(lead, campaign)
        assert (mine.available, mine.quota_reached) == (0, True)
        assert [judge(annotator, campaign).task.batch for _ in range(2)] == ["round-1", "round-1"]
        assert not Task.objects.open().exists()

    def test_what_is_held_counts_and_what_is_fetched_ahead_too(self, campaign, lead):
        campaign = campaigns.update(campaign=campaign, actor=lead, batch_limit=1)
        assert make_assignment(lead, campaign).task.batch == "round-1"
        ahead = queue.next_task(user=lead, campaign=campaign, ahead=True)
        assert ahead is not None and ahead.task.batch == "round-2"

    @pytest.mark.parametrize(
        ("count", "share", "wanted", "expected"),
        [(0, 30, 10, 3), (0, 30, 11, 4), (0, 1, 10, 1), (2, 50, 10, 2), (9, 0, 1, 9)],
    )
    def test_the_lesser_of_count_and_share_is_the_quota(self, count, share, wanted, expected):
        assert limits.quota(Campaign(batch_limit=count, batch_share=share), wanted) == expected

    def test_one_batch_s_name_inside_another_s_is_no_match(self, lead):
        campaign = make_campaign(lead=lead)
        for batch in ("round-1", "round-1", "round-11"):
            make_task(campaign, batch=batch)
        campaign = campaigns.update(campaign=campaign, actor=lead, batch_limit=1)
        assert [judge(lead, campaign).task.batch for _ in range(2)] == ["round-1", "round-11"]


class TestPriority:
    def test_a_batch_comes_before_the_others(self, lead):
        campaign = make_campaign(lead=lead)
        for batch in ("old", "old", "new"):
            make_task(campaign, batch=batch)
        assert batches.prioritise(campaign=campaign, batch="new", priority=5, actor=lead) == 1
        found = [(one.name, one.items, one.priority) for one in batches.batches(campaign)]
        assert found == [("new", 1, 5), ("old", 2, 0)]
        assert make_assignment(lead, campaign).task.batch == "new"

    @pytest.mark.parametrize(("batch", "priority"), [("none", 1), ("", 1), ("new\x00", 1), ("new", 2**40)])
    def test_what_there_is_not_is_refused(self, lead, batch, priority):
        campaign = make_campaign(lead=lead)
        make_task(campaign, batch="new")
        with pytest.raises(Invalid):
            batches.prioritise(campaign=campaign, batch=batch, priority=priority, actor=lead)


def test_the_limit_of_a_day_holds_for_what_was_set_aside_too(lead):
    campaign = make_campaign(lead=lead, tasks=2)
    campaign = campaigns.update(campaign=campaign, actor=lead, daily_limit=1)
    held = setting_aside.set_aside(assignment=make_assignment(lead, campaign))
    judge(lead, campaign)
    with pytest.raises(TooMany, match="kept for another day"):
        setting_aside.take_up(assignment=held)
