"""Submit, amend, skip, draft: what a person said is stored once, and never lost."""

from __future__ import annotations

from datetime import timedelta

import pytest
import time_machine
from django.utils import timezone

from annotation.errors import CampaignClosed, Invalid, LeaseLost
from annotation.models import Assignment, Event, Feedback, Task
from annotation.services import campaigns, queue, submission
from annotation.signals import task_completed
from tests.factories import judge, make_assignment, make_campaign, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def campaign(lead, annotator):
    return make_campaign(lead=lead, annotators=[annotator], tasks=3, lease_seconds=60)


def expire(campaign) -> None:
    """Let every lease of the campaign run out."""
    Assignment.objects.filter(campaign=campaign, state="open").update(expires_at=timezone.now() - timedelta(seconds=1))
    queue.expire_leases()


class TestSubmit:
    def test_a_judgement_is_stored_with_what_was_on_screen(self, campaign, annotator):
        held = make_assignment(annotator, campaign)
        with time_machine.travel(timezone.now() + timedelta(seconds=12)):
            feedback = submission.submit(
                assignment=held, data={"preference": "1", "comment": " why\r\nnot "}, client_key="k", active_seconds=9.5
            )
        stored = Feedback.objects.get(pk=feedback.pk)
        left = held.shown_order[0]
        assert stored.payload == {"verdict": "prefer", "preference": 3 if left == 0 else -3, "comment": "why\nnot"}
        assert stored.shown_order == held.shown_order
        assert (stored.version, stored.is_current, stored.guideline_version) == (1, True, 1)
        assert 12 <= stored.seconds < 14
        assert stored.active_seconds == 9.5
        held.refresh_from_db()
        assert held.state == Assignment.State.SUBMITTED
        task = Task.objects.get(pk=held.task_id)
        assert (task.state, task.done, task.seats) == (Task.State.COMPLETE, 1, 0)

    def test_markup_in_a_comment_is_stored_as_it_is(self, campaign, annotator):
        text = '<script>alert("1")</script> & <b>bold</b> \u202e 🙂'
        feedback = judge(annotator, campaign, data={"preference": "both_bad", "comment": text})
        assert Feedback.objects.get(pk=feedback.pk).payload["comment"] == text

    def test_the_same_key_again_gives_the_same_row(self, campaign, annotator):
        held = make_assignment(annotator, campaign)
        first = submission.submit(assignment=held, data={"preference": "1"}, client_key="k")
        again = submission.submit(assignment=held, data={"preference": "7"}, client_key="k")
        assert again.pk == first.pk
        assert Feedback.objects.count() == 1
        assert Task.objects.get(pk=held.task_id).done == 1

    def test_two_people_may_use_the_same_key(self, campaign, annotator, lead):
        assert judge(annotator, campaign, client_key="k").pk != judge(lead, campaign, client_key="k").pk

    def test_a_key_used_for_another_item_is_refused_and_nothing_is_lost(self, campaign, annotator):
        judge(annotator, campaign, client_key="k")
        held = make_assignment(annotator, campaign)
        with pytest.raises(Invalid, match="fresh one"):
            submission.submit(assignment=held, data={"preference": "1"}, client_key="k")
        assert make_assignment(annotator, campaign) == held

    @pytest.mark.parametrize("key", ["", "x" * 65, "a\x00b"])
    def test_a_key_that_cannot_be_one_is_refused(self, campaign, annotator, key):
        held = make_assignment(annotator, campaign)
        with pytest.raises(Invalid, match="client_key"):
            submission.submit(assignment=held, data={"preference": "1"}, client_key=key)

    def test_an_incomplete_judgement_says_which_field_and_changes_nothing(self, campaign, annotator):
        held = make_assignment(annotator, campaign)
        with pytest.raises(Invalid) as refused:
            submission.submit(assignment=held, data={}, client_key="k")
        assert "preference" in refused.value.errors
        assert make_assignment(annotator, campaign) == held

    @pytest.mark.parametrize("seconds", [float("nan"), float("inf"), -1.0])
    def test_a_broken_clock_costs_no_judgement(self, campaign, annotator, seconds):
        assert judge(annotator, campaign, active_seconds=seconds).active_seconds is None

    def test_what_the_page_measured_is_stored_in_canonical_order(self, campaign, annotator):
        held = make_assignment(annotator, campaign)
        Assignment.objects.filter(pk=held.pk).update(shown_order=[1, 0])
        held.refresh_from_db()
        judge(annotator, campaign, assignment=held, behaviour={"read": [1, 0], "changes": 1, "typed": -3, "x": 1})
        assert Feedback.objects.get().behaviour == {"read": [0, 1], "changes": 1}
        judge(annotator, campaign, assignment=held, behaviour={"read": [1, 1]})
        assert Feedback.objects.current().get().behaviour == {"read": [1, 1]}
        assert judge(annotator, campaign, assignment=held, behaviour="{").behaviour is None
        assert Feedback.objects.filter(behaviour__isnull=True).count() == 1

    def test_the_guideline_in_force_is_stored(self, campaign, annotator, lead):
        held = make_assignment(annotator, campaign)
        campaigns.write_guideline(campaign=campaign, text="Shorter is better.", actor=lead)
        assert judge(annotator, campaign, assignment=held).guideline_version == 2


class TestAmend:
    def test_a_new_key_writes_a_new_version_that_supersedes_the_old_one(self, campaign, annotator):
        first = judge(annotator, campaign, preference=3)
        second = judge(annotator, campaign, assignment=first.assignment, preference=-1)
        first.refresh_from_db()
        assert (first.is_current, second.is_current) == (False, True)
        assert (second.version, second.supersedes_id) == (2, first.pk)
        assert second.payload["preference"] == -1
        assert first.payload["preference"] == 3, "the old words are kept"
        assert second.seconds == first.seconds
        assert Task.objects.get(pk=first.task_id).done == 1

    def test_an_old_key_after_an_amendment_changes_nothing(self, campaign, annotator):
        first = judge(annotator, campaign, client_key="one", preference=3)
        judge(annotator, campaign, assignment=first.assignment, client_key="two", preference=-1)
        assert judge(annotator, campaign, assignment=first.assignment, client_key="one").pk == first.pk
        assert Feedback.objects.current().get().payload["preference"] == -1

    def test_the_history_shows_what_stands_newest_first(self, campaign, annotator, lead):
        first, second = judge(annotator, campaign), judge(annotator, campaign)
        judge(lead, campaign)
        amended = judge(annotator, campaign, assignment=first.assignment)
        assert submission.last_submitted(user=annotator, campaign=campaign) == [amended, second]
        assert submission.last_submitted(user=annotator, campaign=campaign, limit=1) == [amended]


class TestLateSubmit:
    def test_it_counts_when_the_seat_is_still_free(self, campaign, annotator):
        held = make_assignment(annotator, campaign)
        expire(campaign)
        judge(annotator, campaign, assignment=held)
        task = Task.objects.get(pk=held.task_id)
        assert (task.state, task.done, task.seats) == (Task.State.COMPLETE, 1, 0)

    def test_else_the_lease_is_lost_and_the_draft_kept(self, campaign, annotator, lead):
        held = make_assignment(annotator, campaign)
        expire(campaign)
        judge(lead, campaign)
        with pytest.raises(LeaseLost, match="kept as a draft"):
            submission.submit(assignment=held, data={"preference": "2", "comment": "mine"}, client_key="k")
        held.refresh_from_db()
        assert held.draft == {"preference": "2", "comment": "mine"}
        assert held.state == Assignment.State.EXPIRED
        assert Feedback.objects.filter(assignment=held).count() == 0
        task = Task.objects.get(pk=held.task_id)
        assert (task.done, task.seats) == (1, 0)

    def test_not_even_while_the_last_seat_is_held_by_somebody_else(self, campaign, annotator, lead):
        held = make_assignment(annotator, campaign)
        expire(campaign)
        others = make_assignment(lead, campaign)
        assert others.task_id == held.task_id
        with pytest.raises(LeaseLost):
            judge(annotator, campaign, assignment=held)
        assert judge(lead, campaign, assignment=others).version == 1


class TestCampaignState:
    def test_paused_takes_submits(self, campaign, annotator, lead):
        held = make_assignment(annotator, campaign)
        campaigns.pause_campaign(campaign=campaign, actor=lead)
        assert judge(annotator, campaign, assignment=held).version == 1

    def test_closed_says_so_and_keeps_the_draft(self, campaign, annotator, lead):
        held = make_assignment(annotator, campaign)
        campaigns.close_campaign(campaign=campaign, actor=lead)
        with pytest.raises(CampaignClosed, match="closed"):
            submission.submit(assignment=held, data={"preference": "2"}, client_key="k")
        held.refresh_from_db()
        assert held.draft == {"preference": "2"}
        with pytest.raises(CampaignClosed):
            submission.skip(assignment=held, reason="unclear")


class TestSkip:
    def test_the_seat_goes_to_somebody_else_and_the_item_never_comes_back(self, campaign, annotator, lead):
        held = make_assignment(annotator, campaign)
        skipped = submission.skip(assignment=held, reason="no_expertise", note=" no Latin ")
        assert (skipped.state, skipped.skip_reason, skipped.skip_note) == ("skipped", "no_expertise", "no Latin")
        submission.skip(assignment=held, reason="other")
        assert Task.objects.get(pk=held.task_id).seats == 1
        assert make_assignment(annotator, campaign).task_id != held.task_id
        assert make_assignment(lead, campaign).task_id == held.task_id

    def test_a_skipped_item_may_still_be_judged_when_its_seat_is_free(self, campaign, annotator):
        held = make_assignment(annotator, campaign)
        submission.skip(assignment=held, reason="unclear")
        judge(annotator, campaign, assignment=held)
        held.refresh_from_db()
        assert held.state == Assignment.State.SUBMITTED

    def test_a_judged_item_cannot_be_skipped(self, campaign, annotator):
        feedback = judge(annotator, campaign)
        with pytest.raises(LeaseLost, match="undo"):
            submission.skip(assignment=feedback.assignment, reason="unclear")

    @pytest.mark.parametrize(("reason", "note"), [("bored", ""), ("other", "x" * 2001), ("other", "a\x00")])
    def test_what_is_no_reason_is_refused(self, campaign, annotator, reason, note):
        with pytest.raises(Invalid):
            submission.skip(assignment=make_assignment(annotator, campaign), reason=reason, note=note)


class TestDraft:
    def test_it_comes_back_with_the_item_and_goes_with_the_submit(self, campaign, annotator):
        held = make_assignment(annotator, campaign)
        submission.save_draft(assignment=held, draft={"preference": "3"})
        assert make_assignment(annotator, campaign).draft == {"preference": "3"}
        judge(annotator, campaign, assignment=held)
        submission.save_draft(assignment=held, draft={"preference": "3"})
        held.refresh_from_db()
        assert held.draft is None, "a draft that arrives after the submit is old"

    @pytest.mark.parametrize(
        "draft", [["x"], {"a": "\x00"}, {"a": float("nan")}, {"a": object()}, {"a": "x" * 200_001}]
    )
    def test_what_cannot_be_kept_is_refused(self, campaign, annotator, draft):
        with pytest.raises(Invalid):
            submission.save_draft(assignment=make_assignment(annotator, campaign), draft=draft)


def test_the_last_judgement_of_an_item_is_announced_once(lead, annotator):
    campaign = make_campaign(lead=lead, annotators=[annotator], tasks=1, overlap=2)
    heard = []

    def listen(task: Task, **_: object) -> None:
        heard.append((task.pk, task.state, task.batch))

    task_completed.connect(listen)
    try:
        first = judge(lead, campaign)
        assert heard == []
        judge(annotator, campaign)
        judge(lead, campaign, assignment=first.assignment)
    finally:
        task_completed.disconnect(listen)
    assert heard == [(first.task_id, Task.State.COMPLETE, "")]


def test_judgements_write_no_events(campaign, annotator):
    """They are their own audit trail, append-only; a second row each would double the table."""
    before = Event.objects.count()
    judge(annotator, campaign)
    make_user()
    assert Event.objects.count() == before
