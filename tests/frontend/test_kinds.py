"""Every kind of feedback by plain POST, without a script; and on the lead's pages."""

from __future__ import annotations

import pytest
from django.test import Client

from annotation.export_formats import offered
from annotation.feedback import KINDS
from annotation.models import Assignment, Campaign, Feedback
from tests.annotation.feedback.examples import EXAMPLES
from tests.factories import make_assignment, make_campaign, make_task

# The categories of a safety judgement that were not named stand at "none": these many in the example.
NOT_NAMED = {"safety": 2 * 19 - 3, "dual": 2 * 19 - 1}

pytestmark = pytest.mark.django_db


@pytest.fixture(params=sorted(KINDS))
def campaign(request, lead, annotator):
    made = make_campaign(kind=request.param, lead=lead, annotators=[annotator], overlap=2)
    answers = ["One answer.", "Another answer."][: KINDS[request.param].completions[1]]
    for number in range(2):
        make_task(made, number=number, completions=answers)
    return made


def test_without_a_script_a_form_is_filled_refused_sent_and_amended(client: Client, annotator, campaign) -> None:
    client.force_login(annotator)
    path = f"/work/{campaign.pk}/"
    page = client.get(path)
    assert page.status_code == 200
    held = Assignment.objects.get(user=annotator, state="open")
    example = EXAMPLES[campaign.kind]

    refused = client.post(path, {"assignment": held.key, "client_key": "k"})
    assert refused.status_code == 422
    assert b"field--invalid" in refused.content
    assert not Feedback.objects.exists()

    accepted = client.post(path, {"assignment": held.key, "client_key": "k", **example})
    assert accepted.status_code == 302
    feedback = Feedback.objects.get()
    assert feedback.payload == KINDS[campaign.kind].parse(
        example, options=campaign.options, shown_order=held.shown_order
    )
    again = client.get(f"/work/{campaign.pk}/undo/").content.decode()
    for name, value in example.items():
        if value not in ("", "0"):
            assert f'name="{name}"' in again
    form = again.partition("data-judge")[2].partition("</form>")[0]
    chosen = sum(f'type="radio" name="{name}"' in form for name in example)
    assert form.count(" checked") == chosen + NOT_NAMED.get(campaign.kind, 0)
    history = client.get(f"/work/{campaign.pk}/history/")
    assert history.status_code == 200


def test_what_was_sent_and_refused_stays_in_the_form(client: Client, annotator, campaign) -> None:
    client.force_login(annotator)
    client.get(f"/work/{campaign.pk}/")
    held = Assignment.objects.get(user=annotator, state="open")
    sent = dict(list(EXAMPLES[campaign.kind].items())[1:])
    text = next((name for name in sent if name.startswith(("comment", "weaknesses", "critique"))), None)
    assert text is not None
    sent[text] = "What I had typed <b>so far</b>."
    page = client.post(f"/work/{campaign.pk}/", {"assignment": held.key, **sent})
    assert page.status_code == 422
    assert "What I had typed &lt;b&gt;so far&lt;/b&gt;." in page.content.decode()


def test_leads_see_what_was_said(client: Client, lead, annotator, campaign) -> None:
    for person in (lead, annotator):
        held = make_assignment(person, campaign)
        client.force_login(person)
        client.post(f"/work/{campaign.pk}/", {"assignment": held.key, **EXAMPLES[campaign.kind]})
    client.force_login(lead)
    page = client.get(f"/campaigns/{campaign.pk}/")
    assert page.status_code == 200
    content = page.content.decode()
    assert "Agreement" in content
    assert ("Left or right" in content) == KINDS[campaign.kind].compares
    assert (f"/campaigns/{campaign.pk}/loop/" in content) == KINDS[campaign.kind].compares
    for view in offered(KINDS[campaign.kind], campaign.options)[0]:
        assert view in client.get(f"/campaigns/{campaign.pk}/export/?view={view}").content.decode()


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_campaign_of_each_kind_is_made_by_form(client: Client, lead, kind: str) -> None:
    make_campaign(lead=lead)
    client.force_login(lead)
    page = client.get(f"/campaigns/new/?kind={kind}")
    assert page.status_code == 200
    assert f'name="kind" value="{kind}"' in page.content.decode()
    form = page.context["form"]
    usual = {name: form[name].value() for name in form.fields}
    sent = {name: value for name, value in usual.items() if value not in (None, False)}
    sent |= {"name": f"By form: {kind}", "kind": kind}
    preview = client.post("/campaigns/preview/", sent)
    assert preview.status_code == 200
    made = client.post("/campaigns/new/", sent)
    assert made.status_code == 302, made.context["form"].errors
    stored = Campaign.objects.get(name=f"By form: {kind}")
    assert (stored.kind, stored.options) == (kind, KINDS[kind].default_options())
    edit = client.get(f"/campaigns/{stored.pk}/edit/")
    assert edit.status_code == 200


def test_answers_are_asked_about_one_by_one_before_their_order_is(client: Client, annotator) -> None:
    asked = {"question": "In which order?", "attributes": ["Tone"], "flags": []}
    rated, plain = (
        make_campaign(name, kind="ranking", options=options, annotators=[annotator])
        for name, options in (("rated", asked), ("plain", {**asked, "attributes": []}))
    )
    client.force_login(annotator)
    steps = ["First each answer by itself", "Tone", "In which order?", 'name="rank_1"']
    for campaign, expected in ((rated, steps), (plain, steps[2:])):
        make_task(campaign, completions=["One answer.", "Another answer."])
        page = client.get(f"/work/{campaign.pk}/").content.decode().partition("data-judge")[2]
        assert sorted((one for one in steps if one in page), key=page.index) == expected
        assert page.count("In which order?") == 1
