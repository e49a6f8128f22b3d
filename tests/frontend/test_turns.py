"""Dialogues on the annotator's screen and the lead's pages, without a script."""

from __future__ import annotations

import json

import pytest
from django.test import Client

from annotation.models import Assignment, Feedback
from annotation.services import intake
from tests.annotation.feedback.test_scoped import EACH, by_turn
from tests.factories import make_campaign

pytestmark = pytest.mark.django_db

BREAD = [
    {"role": "user", "content": "My bread is flat."},
    {"role": "assistant", "content": "Use more yeast."},
    {"role": "user", "content": "I did that already."},
    {"role": "assistant", "content": "Is the yeast alive?"},
]
MORE = [{"role": "user", "content": "No idea at all."}, {"role": "assistant", "content": "Stir it into warm water."}]


def campaign_of(kind, scope, lead, annotator, row=None):
    campaign = make_campaign(kind=kind, lead=lead, annotators=[annotator], options={"scope": scope})
    lines = [json.dumps({"id": "bread", **(row or {"messages": BREAD})})]
    report = intake.import_lines(campaign=campaign, lines=lines, actor=lead)
    assert report.created == 1, report.errors
    return campaign


@pytest.mark.parametrize("kind", EACH)
def test_each_turn_is_filled_refused_sent_and_amended(client: Client, lead, annotator, kind) -> None:
    campaign = campaign_of(kind, "each_turn", lead, annotator)
    client.force_login(annotator)
    path = f"/work/{campaign.pk}/"
    page = client.get(path).content.decode()
    assert page.count("data-turn ") == page.count(" turn--judged") == 2
    item = page.partition("<article")[2].partition("</article>")[0]
    ids = [part.partition('"')[0] for part in item.split(' id="')[1:]]
    assert len(ids) == len(set(ids))
    held = Assignment.objects.get(user=annotator, state="open")

    first = {name: value for name, value in by_turn(kind).items() if name.startswith("turn_1_")}
    refused = client.post(path, {"assignment": held.key, "client_key": "k", **first})
    assert refused.status_code == 422
    assert "Turn 2: " in refused.content.decode()
    assert "Turn 1: " not in refused.content.decode()
    assert not Feedback.objects.exists()

    assert client.post(path, {"assignment": held.key, "client_key": "k", **by_turn(kind)}).status_code == 302
    assert [part["turn"] for part in Feedback.objects.get().payload["turns"]] == [1, 2]
    again = client.get(f"{path}undo/").content.decode()
    for name, value in by_turn(kind).items():
        assert f'name="{name}"' in again
        if "comment" in name and value:
            assert value in again
    history = client.get(f"{path}history/").content.decode()
    assert "Turn 1: " in history


def test_the_form_keeps_a_draft_of_several_turns(client: Client, lead, annotator) -> None:
    campaign = campaign_of("safety", "each_turn", lead, annotator)
    client.force_login(annotator)
    path = f"/work/{campaign.pk}/"
    client.get(path)
    held = Assignment.objects.get(user=annotator, state="open")
    draft = json.dumps({"turn_2_safe_1": "safe", "turn_2_comment": "Halfway."})
    assert client.post(f"{path}draft/", {"assignment": held.key, "draft": draft}).status_code == 204
    page = client.get(path).content.decode()
    assert "Halfway." in page
    client.force_login(lead)
    for address in (f"reviews/{held.task_id}", f"gold/{held.task_id}"):
        shown = client.get(f"/campaigns/{campaign.pk}/{address}/", follow=True).content.decode()
        assert all(message["content"] in shown for message in BREAD), address
    second = page.partition('name="turn_2_safe_1" value="safe"')[2].partition(">")[0]
    assert " checked" in second


def test_a_chosen_turn_is_shown_with_what_came_after_folded_away(client: Client, lead, annotator) -> None:
    row = {"messages": BREAD + MORE, "turn": 2}
    campaign = campaign_of("ratings", "turn", lead, annotator, row)
    client.force_login(annotator)
    page = client.get(f"/work/{campaign.pk}/").content.decode()
    assert "Turn 2 of the assistant, which is judged" in page
    after = page.partition("turns--after")[2].partition("</details>")[0]
    assert "2 turns came after; they are not judged" in after
    assert "No idea at all." in after and "Stir it into warm water." in after
    assert "Use more yeast." in page.partition("turns--after")[0]


def test_two_dialogues_stand_side_by_side(client: Client, lead, annotator) -> None:
    other = [*BREAD[:1], {"role": "assistant", "content": "Throw it away."}]
    campaign = campaign_of("pairwise", "dialogue", lead, annotator, {"dialogues": [BREAD, other]})
    client.force_login(annotator)
    page = client.get(f"/work/{campaign.pk}/").content.decode()
    assert "Dialogue A" in page and "Dialogue B" in page
    assert page.count("I did that already.") == 2  # rendered and raw
    held = Assignment.objects.get(user=annotator, state="open")
    sent = {"assignment": held.key, "client_key": "k", "preference": "1"}
    assert client.post(f"/work/{campaign.pk}/", sent).status_code == 302
    assert Feedback.objects.get().payload["preference"] == (3 if held.shown_order == [0, 1] else -3)


def test_a_lead_chooses_what_is_judged_and_sees_it(client: Client, lead) -> None:
    make_campaign(lead=lead)
    client.force_login(lead)
    page = client.get("/campaigns/new/?kind=safety").content.decode()
    assert "What is judged" in page and "Each turn of a dialogue" in page
    form = {"kind": "safety", "option-scope": "each_turn", "option-pack": "safe-rlhf", "option-question": "Safe?"}
    seen = client.post("/campaigns/preview/", {**form, "option-comment": "off", "option-severity": "on"})
    assert "turn_2_safe_1" in seen.content.decode()
    assert "What is judged" not in client.get("/campaigns/new/?kind=ranking").content.decode()


def test_a_scope_that_cannot_change_any_more_is_told_beside_its_field(client: Client, lead, annotator) -> None:
    campaign = campaign_of("critique", "turn", lead, annotator)
    client.force_login(lead)
    page = client.get(f"/campaigns/{campaign.pk}/edit/")
    assert page.status_code == 200
    fields = page.context["form"].initial
    sent = {"name": campaign.name, "overlap": 1, "lease_minutes": 30, "option-question": "Good?", "option-minimum": 40}
    answer = client.post(f"/campaigns/{campaign.pk}/edit/", {**fields, **sent, "option-scope": "dialogue"})
    assert answer.status_code == 422
    assert "start another campaign" in answer.content.decode()


def test_the_import_page_shows_the_turns_of_a_dialogue(client: Client, lead, annotator) -> None:
    campaign = campaign_of("critique", "each_turn", lead, annotator)
    client.force_login(lead)
    text = json.dumps({"messages": BREAD + MORE})
    answer = client.post(
        f"/campaigns/{campaign.pk}/import/", {"text": text, "preview": "1"}, follow=True
    ).content.decode()
    for number, turn in enumerate(BREAD[1::2] + MORE[1:], start=1):
        assert f"Turn {number}" in answer and turn["content"] in answer
