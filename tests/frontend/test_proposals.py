"""Asking for principles from the work screen: without a script by the same form, with one as fields to set."""

from __future__ import annotations

import pytest
from django.test import Client

from annotation.models import Assignment, Feedback, Proposal
from annotation.services import proposals
from tests.factories import make_assignment, make_campaign, make_task

CRITIQUE = "It is clear, but the last figure is wrong."

pytestmark = pytest.mark.django_db


@pytest.fixture
def held(annotator) -> Assignment:
    campaign = make_campaign(annotators=[annotator], kind="principled_critique")
    make_task(campaign, completions=["An answer."])
    return make_assignment(annotator, campaign)


def path(held: Assignment) -> str:
    return f"/work/{held.campaign_id}/propose/"


def test_without_a_script_the_same_screen_comes_back_with_proposals_in_it(client: Client, annotator, held) -> None:
    client.force_login(annotator)
    sent = {"assignment": held.key, "critique": CRITIQUE, "principle_1_statement": "My own <b>"}
    page = client.post(path(held), sent)
    content = page.content.decode()
    assert page.status_code == 200 and CRITIQUE in content
    assert "My own &lt;b&gt;" in content and "2 proposed by rules" in content
    assert 'name="principle_2_proposed_by" value="rules-1"' in content
    assert " checked" not in content.partition("data-judge")[2].partition("</form>")[0], (
        "nothing is answered for anybody"
    )
    assert not Feedback.objects.exists()
    held.refresh_from_db()
    assert held.draft["principle_2_proposed"] in ("Clear", "Accuracy of information")
    again = client.get(f"/work/{held.campaign_id}/").content.decode()
    assert 'name="principle_2_proposed_by" value="rules-1"' in again, "a lost page finds it again"


def test_what_was_typed_comes_back_when_nothing_can_be_proposed(client: Client, annotator, held) -> None:
    client.force_login(annotator)
    page = client.post(path(held), {"assignment": held.key, "critique": " ", "principle_1_statement": "My own"})
    assert page.status_code == 422
    assert "Write your critique first" in page.content.decode() and "My own" in page.content.decode()


def test_a_script_gets_the_fields_to_set(client: Client, annotator, held) -> None:
    client.force_login(annotator)
    script = {"HTTP_HX_REQUEST": "true"}
    nothing = client.post(path(held), {"assignment": held.key, "critique": CRITIQUE, "only_known": "1"}, **script)
    assert nothing.status_code == 204
    told = client.post(path(held), {"assignment": held.key, "critique": CRITIQUE}, **script).json()
    assert not told["is_waiting"] and told["fields"]["principle_1_answer"] == ""
    known = client.post(path(held), {"assignment": held.key, "critique": CRITIQUE, "only_known": "1"}, **script)
    assert known.json()["fields"] == told["fields"]
    sent = {"assignment": held.key, "critique": CRITIQUE, "proposal": told["proposal"], **told["fields"]}
    assert client.post(path(held), sent, **script).json()["fields"] == {}
    refused = client.post(path(held), {"assignment": held.key, "critique": ""}, **script)
    assert refused.status_code == 422 and refused.content.startswith(b"Write your critique first")


def test_a_proposal_of_somebody_else_does_not_exist(client: Client, annotator, lead, held) -> None:
    other = make_campaign(lead=lead, kind="principled_critique")
    make_task(other, completions=["An answer."])
    theirs = proposals.ask(assignment=make_assignment(lead, other), critique=CRITIQUE)
    client.force_login(annotator)
    for number in (theirs.pk, "x", "9" * 30, "²"):
        answer = client.post(path(held), {"assignment": held.key, "critique": CRITIQUE, "proposal": number})
        assert answer.status_code == 404
    assert client.post(path(held), {"assignment": theirs.assignment.key, "critique": "x"}).status_code == 404


def test_while_a_worker_is_at_it_one_is_told_to_wait(client: Client, annotator, held) -> None:
    asked = proposals.ask(assignment=held, critique=CRITIQUE)
    Proposal.objects.filter(pk=asked.pk).update(state=Proposal.State.RUNNING, result=None)
    client.force_login(annotator)
    page = client.post(path(held), {"assignment": held.key, "critique": CRITIQUE})
    assert "Ask again in a moment" in page.content.decode() and CRITIQUE in page.content.decode()
    told = client.post(
        path(held), {"assignment": held.key, "critique": CRITIQUE, "proposal": asked.pk}, HTTP_HX_REQUEST="true"
    ).json()
    assert told["is_waiting"] and told["fields"] == {}
