"""A chat over REST, from its start to its export; who may read it, and what nobody is told."""

from __future__ import annotations

from typing import Any

import pytest
from rest_framework.test import APIClient

from annotation.models import Campaign, Feedback, User
from annotation.services import members
from tests.factories import make_user
from tests.training.chat_world import answered, make_chat_loop
from training.models import ChatTurn

pytestmark = pytest.mark.django_db


@pytest.fixture
def chatty(campaign: Campaign) -> Campaign:
    make_chat_loop(campaign)
    return campaign


def client_of(user: User) -> APIClient:
    client = APIClient()
    client.force_authenticate(user)
    return client


def post(client: APIClient, path: str, **body: Any) -> Any:
    return client.post(f"/api/training/{path}", body, format="json")


def test_a_chat_from_its_start_to_its_export(chatty: Campaign, annotator: User, lead: User) -> None:
    mine = client_of(annotator)
    started = post(mine, f"campaigns/{chatty.pk}/chats/")
    assert started.status_code == 201
    chat = started.json()
    assert (chat["state"], chat["mode"], chat["policy"], chat["turns"]) == ("open", "helpful", None, [])
    assert post(mine, f"campaigns/{chatty.pk}/chats/").json()["id"] == chat["id"], "once is enough"

    said = post(mine, f"chats/{chat['id']}/messages/", message="How long?", client_key="k1")
    assert (said.status_code, said.json()["state"], said.json()["answers"]) == (201, "waiting", [])
    assert post(mine, f"chats/{chat['id']}/messages/", message="How long?", client_key="k1").json() == said.json()
    early = post(mine, f"chats/{chat['id']}/choose/", preference="1", client_key="k2")
    assert (early.status_code, early.json()["errors"]) == (409, {})

    turn = answered(ChatTurn.objects.get(), "An hour.", "A day.")
    read = mine.get(f"/api/training/chats/{chat['id']}/").json()["turns"][0]
    in_order = [{"text": ["An hour.", "A day."][position]} for position in turn.shown_order]
    assert (read["state"], read["answers"], read["chosen"]) == ("answered", in_order, None)

    wrong = post(mine, f"chats/{chat['id']}/choose/", preference="11", client_key="k2")
    assert wrong.status_code == 422 and "preference" in wrong.json()["errors"]
    chosen = post(mine, f"chats/{chat['id']}/choose/", preference="7", comment="longer", client_key="k2")
    assert (chosen.status_code, chosen.json()["state"], chosen.json()["chosen"]) == (200, "chosen", 1)
    assert post(mine, f"chats/{chat['id']}/choose/", preference="7", client_key="k2").json() == chosen.json()
    assert chosen.json()["assignment"] == Feedback.objects.get().assignment.key

    (pair,) = client_of(lead).get(f"/api/campaigns/{chatty.pk}/export/?view=pairs").getvalue().splitlines()
    assert in_order[1]["text"].encode() in pair.split(b'"rejected"')[0] and b'"policy":"policy-0"' in pair
    ended = post(mine, f"chats/{chat['id']}/end/")
    assert ended.json()["state"] == "ended" and ended.json()["ended_at"]
    late = post(mine, f"chats/{chat['id']}/messages/", message="More?", client_key="k3")
    assert late.status_code == 409 and "has ended" in late.json()["detail"]


def test_a_lead_reads_all_chats_and_who_answers_and_a_colleague_none(
    chatty: Campaign, annotator: User, lead: User
) -> None:
    other = make_user()
    members.add(campaign=chatty, username=other.username, role="annotator", actor=lead)
    chat = post(client_of(annotator), f"campaigns/{chatty.pk}/chats/").json()["id"]
    assert client_of(other).get(f"/api/training/chats/{chat}/").status_code == 404
    assert client_of(other).get(f"/api/training/campaigns/{chatty.pk}/chats/").json()["results"] == []
    assert post(client_of(other), f"chats/{chat}/end/").status_code == 404
    (seen,) = client_of(lead).get(f"/api/training/campaigns/{chatty.pk}/chats/").json()["results"]
    assert (seen["policy"], seen["annotator"]) == ("policy-0", annotator.pseudonym)
    assert client_of(lead).get(f"/api/training/chats/{chat}/").json()["policy"] == "policy-0"
    assert client_of(annotator).get(f"/api/training/chats/{chat}/").json()["policy"] is None
    members.remove(campaign=chatty, username=annotator.username, actor=lead)
    assert client_of(annotator).get(f"/api/training/chats/{chat}/").status_code == 404


def test_a_lead_allows_it_like_any_other_setting(campaign: Campaign, annotator: User, lead: User) -> None:
    make_chat_loop(campaign, chat=False)
    mine = client_of(annotator)
    refused = post(mine, f"campaigns/{campaign.pk}/chats/")
    assert refused.status_code == 409 and "A lead can allow it" in refused.json()["detail"]
    path = f"/api/training/campaigns/{campaign.pk}/loop/"
    changed = client_of(lead).patch(path, {"settings": {"chat": True}}, format="json")
    assert changed.json()["settings"]["chat"] is True
    assert post(mine, f"campaigns/{campaign.pk}/chats/").status_code == 201


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"message": "x" * 4001, "client_key": "k"}, "message"),
        ({"message": "", "client_key": "k"}, "message"),
        ({"message": "Hello."}, "client_key"),
        ({"message": "Hello.", "client_key": "k", "colour": "red"}, "colour"),
        ({"message": ["Hello."], "client_key": "k"}, "message"),
    ],
)
def test_what_does_not_fit_is_said_at_its_field(
    chatty: Campaign, annotator: User, body: dict[str, Any], field: str
) -> None:
    mine = client_of(annotator)
    chat = post(mine, f"campaigns/{chatty.pk}/chats/").json()["id"]
    refused = post(mine, f"chats/{chat}/messages/", **body)
    assert refused.status_code == 400 and list(refused.json()["errors"]) == [field]
    listed = mine.post(f"/api/training/chats/{chat}/choose/", [1], format="json")
    assert listed.status_code == 400
