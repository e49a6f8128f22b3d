"""What one person writes is judged by others, and never by themselves."""

from __future__ import annotations

import pytest

from annotation.errors import Invalid
from annotation.models import Assignment, Campaign, Event, Feedback, Task, User
from annotation.services import campaigns, queue, submission
from annotation.told import of
from tests.factories import make_campaign, make_task, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def people() -> tuple[User, User, User]:
    return make_user(), make_user(), make_user()


def written(people: tuple[User, User, User], kind: str) -> tuple[Campaign, Campaign]:
    """Return a campaign in which people write, and one of `kind` in which what they write is judged."""
    lead, one, other = people
    judged = make_campaign("Judged here", kind=kind, lead=lead, annotators=[one, other])
    writing = make_campaign("Written here", kind="rewrite", lead=lead, annotators=[one, other])
    make_task(writing, prompt="How long?", completions=["Some time."])
    campaigns.update(campaign=writing, actor=lead, options={"rated_in": judged.name})
    writing.refresh_from_db()
    return writing, judged


def write(campaign: Campaign, user: User, text: str, *, again: bool = False) -> Feedback:
    assignment = (
        Assignment.objects.get(campaign=campaign, user=user) if again else queue.next_task(user=user, campaign=campaign)
    )
    assert assignment is not None
    return submission.submit(assignment=assignment, data={"text": text}, client_key=text)


@pytest.mark.parametrize(
    ("kind", "answers"), [("ratings", ["Ten minutes."]), ("pairwise", ["Some time.", "Ten minutes."])]
)
def test_it_goes_to_somebody_else(people, kind, answers):
    _, one, other = people
    writing, judged = written(people, kind)
    write(writing, one, "Ten minutes.")
    task = judged.tasks.get()
    assert [answer["text"] for answer in task.content["completions"]] == answers
    assert task.content["messages"][-1]["content"] == "How long?"
    judged.refresh_from_db()
    assert queue.next_task(user=one, campaign=judged) is None
    held = queue.next_task(user=other, campaign=judged)
    assert held is not None and held.task == task


def test_a_newer_version_takes_the_place_of_the_older(people):
    _, one, _ = people
    writing, judged = written(people, "ratings")
    write(writing, one, "Ten minutes.")
    write(writing, one, "Twelve minutes.", again=True)
    states = {task.content["completions"][0]["text"]: task.state for task in judged.tasks.all()}
    assert states == {"Ten minutes.": Task.State.WITHDRAWN, "Twelve minutes.": Task.State.OPEN}


def test_what_cannot_be_judged_is_kept_and_told(people):
    _, one, _ = people
    writing, judged = written(people, "pairwise")
    write(writing, one, "Some time.")
    assert not judged.tasks.exists()  # nothing was changed, so there is nothing to compare
    campaigns.close_campaign(campaign=judged, actor=people[0])
    write(writing, one, "Ten minutes.", again=True)
    assert Feedback.objects.current().get().payload["text"] == "Ten minutes."
    assert "no open campaign" in str(of(Event.objects.get(action="rewrite.not_passed_on").detail["reason"]))


def test_only_a_campaign_of_ones_own_can_be_named(people):
    lead, one, _ = people
    writing, _ = written(people, "ratings")
    make_campaign("Somebody else's", kind="ratings", lead=one)
    make_campaign("Writing too", kind="rewrite", lead=lead)
    for name in ("Somebody else's", "No such", "Written here", "Writing too"):
        with pytest.raises(Invalid) as refused:
            campaigns.update(campaign=writing, actor=lead, options={"rated_in": name})
        assert "rated_in" in refused.value.errors
    assert campaigns.update(campaign=writing, actor=lead, options={"rated_in": ""}).options["rated_in"] == ""
