"""Principles proposed from a critique: asked for once for each wording, found again, and told when nobody answers."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.utils import timezone
from kombu.exceptions import OperationalError

from annotation import tasks
from annotation.errors import Invalid, TooMany
from annotation.extraction.base import Extractor, ExtractorFailed, Found
from annotation.models import Proposal
from annotation.services import proposals
from tests.factories import make_assignment, make_campaign, make_task

CRITIQUE = "It is clear, but the last figure is wrong."

pytestmark = pytest.mark.django_db


@pytest.fixture
def assignment(annotator):
    campaign = make_campaign(annotators=[annotator], kind="principled_critique")
    make_task(campaign, completions=["An answer."])
    return make_assignment(annotator, campaign)


class Slow(Extractor):
    """Stands in for a model, which a worker asks."""

    name = "model:slow"

    def __init__(self, found: list[Found] | str) -> None:
        self.found = found

    def find(self, critique: str, known: Any) -> list[Found]:
        if isinstance(self.found, str):
            raise ExtractorFailed(self.found)
        return self.found


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Slow:
    """Put a model in the place of rules, and count what is sent to workers in `sent`."""
    one = Slow([Found("Clear", "yes", "It is clear")])
    one.sent = []  # type: ignore[attr-defined]
    monkeypatch.setattr(proposals, "extractor", lambda: one)
    monkeypatch.setattr(proposals.current_app, "send_task", lambda name, args, **_: one.sent.append((name, args)))  # type: ignore[attr-defined]
    return one


def test_rules_answer_at_once_and_a_wording_is_asked_for_once(assignment):
    first = proposals.ask(assignment=assignment, critique=CRITIQUE)
    assert first.state == Proposal.State.DONE and first.extractor == "rules-1"
    assert [one["key"] for one in first.result["proposals"]] == ["accuracy_of_information", "clear"] or [
        one["key"] for one in first.result["proposals"]
    ] == ["clear", "accuracy_of_information"]
    assert "2 proposed by rules" in proposals.in_words(first)
    again = proposals.ask(assignment=assignment, critique=f"  {CRITIQUE}\r\n")
    assert again.pk == first.pk and Proposal.objects.count() == 1
    assert proposals.known(assignment=assignment, critique=CRITIQUE).pk == first.pk
    assert proposals.known(assignment=assignment, critique="Other words.") is None


def test_a_model_is_asked_by_a_worker_and_the_row_holds_what_it_found(
    assignment, slow, django_capture_on_commit_callbacks
):
    with django_capture_on_commit_callbacks(execute=True):
        asked = proposals.ask(assignment=assignment, critique=CRITIQUE)
        proposals.ask(assignment=assignment, critique=CRITIQUE)
    assert slow.sent == [(proposals.TASK, [asked.pk])], "asked twice, sent once"
    assert proposals.in_words(asked) == ""
    tasks.propose_principles(asked.pk)
    asked.refresh_from_db()
    assert asked.state == Proposal.State.DONE and asked.extractor == "model:slow"
    assert "1 proposed by a model" in proposals.in_words(asked)
    slow.found = "must not be asked again"
    tasks.propose_principles(asked.pk)
    asked.refresh_from_db()
    assert asked.state == Proposal.State.DONE


def test_the_task_has_the_name_it_is_sent_by():
    assert tasks.propose_principles.name == proposals.TASK


def test_a_failure_is_told_and_may_be_tried_again(assignment, slow, django_capture_on_commit_callbacks):
    slow.found = "The model that proposes principles cannot be reached."
    with django_capture_on_commit_callbacks(execute=True):
        asked = proposals.ask(assignment=assignment, critique=CRITIQUE)
    tasks.propose_principles(asked.pk)
    asked.refresh_from_db()
    said = proposals.in_words(asked)
    assert said.startswith("The model that proposes principles cannot be reached. Go on by hand")
    with django_capture_on_commit_callbacks(execute=True):
        again = proposals.ask(assignment=assignment, critique=CRITIQUE)
    assert again.state == Proposal.State.QUEUED and len(slow.sent) == 2


def test_without_a_broker_people_go_on_by_hand(assignment, slow, monkeypatch, django_capture_on_commit_callbacks):
    def away(*args: Any, **kwargs: Any) -> None:
        raise OperationalError("no broker")

    monkeypatch.setattr(proposals.current_app, "send_task", away)
    with django_capture_on_commit_callbacks(execute=True):
        asked = proposals.ask(assignment=assignment, critique=CRITIQUE)
    assert asked.state == Proposal.State.FAILED
    assert "cannot be reached. Go on by hand" in proposals.in_words(asked)


def test_a_worker_that_never_answers_is_given_up_and_may_be_asked_again(
    assignment, slow, django_capture_on_commit_callbacks
):
    with django_capture_on_commit_callbacks(execute=True):
        asked = proposals.ask(assignment=assignment, critique=CRITIQUE)
    with time_machine.travel(timezone.now() + timedelta(minutes=5)):
        assert "No worker has answered" in proposals.in_words(asked)
        with django_capture_on_commit_callbacks(execute=True):
            proposals.ask(assignment=assignment, critique=CRITIQUE)
        assert len(slow.sent) == 2


def test_nothing_to_find_is_said(assignment):
    assert "No principle was found" in proposals.in_words(
        proposals.ask(assignment=assignment, critique="Bread needs time.")
    )


@pytest.mark.parametrize("critique", ["", "  \n", "x" * 10_001, "a\x00b", "\ud800"])
def test_what_is_no_critique_is_refused(assignment, critique):
    with pytest.raises(Invalid) as refused:
        proposals.ask(assignment=assignment, critique=critique)
    assert refused.value.errors["critique"]


def test_other_kinds_propose_nothing(annotator):
    campaign = make_campaign(annotators=[annotator], tasks=1)
    with pytest.raises(Invalid, match="no principles are proposed"):
        proposals.ask(assignment=make_assignment(annotator, campaign), critique=CRITIQUE)


def test_there_is_an_end_to_wordings(assignment):
    for number in range(proposals.MOST_WORDINGS):
        proposals.ask(assignment=assignment, critique=f"{CRITIQUE} {number}")
    with pytest.raises(TooMany):
        proposals.ask(assignment=assignment, critique=CRITIQUE)
    proposals.ask(assignment=assignment, critique=f"{CRITIQUE} 3")
