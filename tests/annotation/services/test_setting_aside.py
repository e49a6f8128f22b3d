"""Setting aside: the text stays, the seat goes, nobody is given one item too often."""

from __future__ import annotations

import pytest

from annotation.errors import CampaignClosed, LeaseLost, TooMany
from annotation.models import Assignment, Task
from annotation.progress import my_progress
from annotation.services import campaigns, queue, setting_aside, submission
from tests.factories import judge, make_assignment, make_campaign, make_task

pytestmark = pytest.mark.django_db

DRAFT = {"comment": "half a thought", "preference": "2"}


def seats(task: Task) -> int:
    return Task.objects.get(pk=task.pk).seats


def test_the_draft_stays_and_the_seat_goes_to_somebody_else(lead, annotator):
    campaign = make_campaign(lead=lead, annotators=[annotator], tasks=2)
    held = make_assignment(lead, campaign)
    for _ in range(2):
        aside = setting_aside.set_aside(assignment=held, draft=DRAFT)
        assert (aside.state, aside.draft, seats(held.task)) == (Assignment.State.POSTPONED, DRAFT, 1)
    assert my_progress(lead, campaign).set_aside == 1
    assert [one.pk for one in setting_aside.pile(user=lead, campaign=campaign)] == [held.pk]
    assert make_assignment(lead, campaign).task_id != held.task_id, "the next item comes on screen"
    assert make_assignment(annotator, campaign).task_id == held.task_id


def test_it_comes_back_when_asked_for_as_it_was(lead):
    campaign = make_campaign(lead=lead, tasks=3)
    held = make_assignment(lead, campaign)
    setting_aside.set_aside(assignment=held, draft=DRAFT)
    on_screen = make_assignment(lead, campaign)
    ahead = queue.next_task(user=lead, campaign=campaign, ahead=True)
    for _ in range(2):
        again = setting_aside.take_up(assignment=held)
        assert (again.pk, again.draft, again.shown_order) == (held.pk, DRAFT, held.shown_order)
        assert seats(held.task) == 0
    on_screen.refresh_from_db()
    ahead.refresh_from_db()
    assert on_screen.state == Assignment.State.OPEN
    assert ahead.state == Assignment.State.RELEASED, "what was fetched ahead made room"
    assert judge(lead, campaign, assignment=again).version == 1
    assert my_progress(lead, campaign).set_aside == 0


def test_it_comes_back_by_itself_when_nothing_else_is_left_but_is_never_fetched_ahead(lead):
    campaign = make_campaign(lead=lead, tasks=2)
    held = make_assignment(lead, campaign)
    setting_aside.set_aside(assignment=held, draft=DRAFT)
    other = make_assignment(lead, campaign)
    assert queue.next_task(user=lead, campaign=campaign, ahead=True) is None
    judge(lead, campaign, assignment=other)
    again = make_assignment(lead, campaign)
    assert (again.pk, again.draft) == (held.pk, DRAFT)


def test_what_others_have_judged_meanwhile_is_not_judged_once_more_and_no_text_is_lost(lead, annotator):
    campaign = make_campaign(lead=lead, annotators=[annotator], tasks=1)
    held = make_assignment(lead, campaign)
    setting_aside.set_aside(assignment=held, draft=DRAFT)
    on_screen = make_assignment(annotator, campaign)
    with pytest.raises(LeaseLost, match="What you typed is kept"):
        setting_aside.take_up(assignment=held)
    judge(annotator, campaign, assignment=on_screen)
    with pytest.raises(LeaseLost, match="What you typed is kept"):
        setting_aside.take_up(assignment=held)
    with pytest.raises(LeaseLost):
        submission.submit(assignment=held, data={"preference": "3"}, client_key="late")
    assert queue.next_task(user=lead, campaign=campaign) is None
    kept = setting_aside.pile(user=lead, campaign=campaign)
    assert [one.draft["preference"] for one in kept] == ["3"], "the newest of what was typed"
    assert not setting_aside.is_wanted(kept[0])


def test_what_is_submitted_from_an_old_tab_counts_while_the_item_is_free(lead):
    campaign = make_campaign(lead=lead, tasks=1)
    held = make_assignment(lead, campaign)
    setting_aside.set_aside(assignment=held)
    assert judge(lead, campaign, assignment=held).version == 1
    assert Task.objects.get(pk=held.task_id).done == 1
    with pytest.raises(LeaseLost, match="judged or skipped"):
        setting_aside.set_aside(assignment=held)


def test_a_pile_has_an_end(lead, monkeypatch):
    monkeypatch.setattr(setting_aside, "MOST", 2)
    campaign = make_campaign(lead=lead, tasks=3)
    aside = [setting_aside.set_aside(assignment=make_assignment(lead, campaign)) for _ in range(2)]
    held = make_assignment(lead, campaign)
    with pytest.raises(TooMany, match="You have set 2 items aside"):
        setting_aside.set_aside(assignment=held)
    assert make_assignment(lead, campaign) == held, "it stays on screen"
    setting_aside.let_go(assignment=aside[0])
    assert setting_aside.set_aside(assignment=held).state == Assignment.State.POSTPONED
    assert make_assignment(lead, campaign) == aside[0], "what was let go is the queue's, and comes first"


def test_nothing_is_taken_up_while_nothing_is_handed_out(lead):
    campaign = make_campaign(lead=lead, tasks=1)
    held = make_assignment(lead, campaign)
    setting_aside.set_aside(assignment=held, draft=DRAFT)
    campaigns.pause_campaign(campaign=campaign, actor=lead)
    with pytest.raises(CampaignClosed, match="is kept"):
        setting_aside.take_up(assignment=held)
    campaigns.close_campaign(campaign=campaign, actor=lead)
    with pytest.raises(CampaignClosed):
        setting_aside.set_aside(assignment=held)


def test_a_task_withdrawn_meanwhile_is_not_taken_up(lead):
    campaign = make_campaign(lead=lead)
    task = make_task(campaign)
    held = setting_aside.set_aside(assignment=make_assignment(lead, campaign))
    queue.withdraw(tasks=[task.pk])
    with pytest.raises(LeaseLost):
        setting_aside.take_up(assignment=held)
