"""The playground: two versions answer one conversation, each by its own weights, and a turn becomes an item."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

import pytest
import torch
from django.test import Client
from django.urls import reverse
from rest_framework.test import APIClient

from annotation.models import Campaign, Event, Feedback, Role, User
from annotation.services import members, queue
from tests.training.chat_world import make_chat_loop, say, toy
from training import paths
from training.core.guard.grounding import Document, Knowledge
from training.core.personal import UserTokens
from training.errors import Invalid, WrongState
from training.models import Chat, ChatTurn, Loop, ModelVersion, Sample
from training.recipes.users_file import USERS_FILE
from training.services import answering, chats, knowledge, playground, versions

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("silence")]

State = ChatTurn.State


@pytest.fixture
def policies(campaign: Campaign) -> tuple[ModelVersion, ModelVersion]:
    """The policy in use, and another one in a folder of its own."""
    make_chat_loop(campaign)
    current = versions.current(campaign, ModelVersion.Kind.POLICY)
    assert current is not None
    folder = paths.files() / "models" / "other"
    folder.mkdir(parents=True)
    other = versions.register(campaign=campaign, kind=ModelVersion.Kind.POLICY, path=str(folder), actor=None)
    return current, other


def ask(chat: Chat, message: str, *, key: str = "", goes_on: int = 0) -> ChatTurn:
    turn = playground.say(chat=chat, message=message, client_key=key or uuid.uuid4().hex, goes_on=goes_on)
    answering.answer(turn.pk, command=toy())
    turn.refresh_from_db()
    return turn


def started(name: str) -> int:
    return len((paths.files() / "models" / name / "starts.txt").read_text().splitlines())


def test_two_versions_answer_one_conversation_which_goes_on_with_either(
    campaign: Campaign, lead: User, policies: tuple[ModelVersion, ModelVersion]
) -> None:
    one, other = policies
    chat = playground.start(campaign=campaign, user=lead, policy=one, beside=other, system="Be brief.")
    turn = ask(chat, "Hello there.")
    assert turn.state == State.ANSWERED and turn.shown_order == [0, 1] and len(turn.answers) == 2
    assert started("base") == started("other") == 1, "each answer is of its own model"
    assert chats.conversation(turn)[0] == {"role": "system", "content": "Be brief."}
    following = ask(chat, "And then?", goes_on=1)
    turn.refresh_from_db()
    assert (turn.state, turn.chosen) == (State.CHOSEN, 1)
    assert chats.conversation(following)[2] == {"role": "assistant", "content": turn.answers[1]["text"]}
    assert not Feedback.objects.exists()
    with pytest.raises(Invalid, match="one of the answers"):
        playground.say(chat=chat, message="On", client_key="k", goes_on=2)


def test_one_version_answers_once_and_the_same_key_is_the_same_turn(
    campaign: Campaign, lead: User, policies: tuple[ModelVersion, ModelVersion]
) -> None:
    chat = playground.start(campaign=campaign, user=lead, policy=policies[1], temperature=0.0)
    turn = ask(chat, "Hello.", key="once")
    assert len(turn.answers) == 1 and playground.say(chat=chat, message="Hello.", client_key="once") == turn
    waiting = playground.say(chat=chat, message="More.", client_key="twice")
    with pytest.raises(WrongState, match="still answering"):
        playground.say(chat=chat, message="Now!", client_key="thrice")
    answering.fall_silent()
    answering.answer(waiting.pk, command=toy(mode="fails"))
    waiting.refresh_from_db()
    assert waiting.state == State.FAILED
    answering.fall_silent()
    again = ask(chat, "More, please.")
    assert again.pk == waiting.pk and again.state == State.ANSWERED, "it takes the failed one's place"


def test_a_playground_and_an_annotators_chat_of_one_person_do_not_meet(
    campaign: Campaign, annotator: User, policies: tuple[ModelVersion, ModelVersion]
) -> None:
    work = say(campaign, annotator).chat
    talk = playground.start(campaign=campaign, user=annotator, policy=policies[0])
    assert chats.current(campaign=campaign, user=annotator) == work
    assert playground.current(campaign=campaign, user=annotator) == talk
    fresh = playground.start(campaign=campaign, user=annotator, policy=policies[1])
    talk.refresh_from_db()
    assert talk.state == Chat.State.ENDED and fresh.pk != talk.pk


def test_a_turn_becomes_an_item_once_with_its_samples(
    campaign: Campaign, lead: User, annotator: User, policies: tuple[ModelVersion, ModelVersion]
) -> None:
    one, other = policies
    chat = playground.start(campaign=campaign, user=lead, policy=one, beside=other)
    turn = ask(chat, "How long does bread rise?")
    turn.chat = chat
    task = playground.make_item(turn=turn, actor=lead)
    assert playground.make_item(turn=turn, actor=lead) == task and playground.saved(chat, [turn]) == {task.external_id}
    assert [sample.version for sample in Sample.objects.order_by("pk")] == [one, other]
    assert Event.objects.filter(action="playground.saved", actor=lead).count() == 1
    given = queue.next_task(user=annotator, campaign=campaign)
    assert given.task == task
    alone = ask(playground.start(campaign=campaign, user=lead, policy=one), "Alone?")
    alone.chat = Chat.objects.get(pk=alone.chat_id)
    with pytest.raises(Exception, match="cannot be judged"):
        playground.make_item(turn=alone, actor=lead)
    # The page says so beforehand.
    assert playground.objections(alone.chat, [alone]) == {1: "It has 1 completion; this campaign compares 2."}
    assert playground.objections(chat, [turn]) == {1: ""}


def test_what_a_guard_said_is_shown_as_its_own_and_never_judged_as_the_models(
    client: Client, campaign: Campaign, lead: User, policies: tuple[ModelVersion, ModelVersion]
) -> None:
    Loop.objects.filter(campaign=campaign).update(settings={"guard": "a-guard"})
    one, other = policies
    turn = ask(playground.start(campaign=campaign, user=lead, policy=one, beside=other), "How do I build a bomb?")
    assert [answer["source"] for answer in turn.answers] == ["refused", "refused"]
    turn.chat = Chat.objects.get(pk=turn.chat_id)
    with pytest.raises(WrongState, match="The guard answered here"):
        playground.make_item(turn=turn, actor=lead)
    client.force_login(lead)
    page = reverse("playground", args=[campaign.pk])
    shown = client.get(page).content.decode()
    assert "The guard said this" in shown and "It quotes:" not in shown
    assert "People cannot be asked to judge this turn. The guard answered here" in shown
    assert "Have people judge this turn" not in shown
    # Where it quotes a document, the page leads to the version that it cites.
    text = "Bombs are found by the police. Call them."
    knowledge.write(campaign=campaign, actor=lead, name="leaflet", text=text)
    turn.answers[0]["text"] = Knowledge([Document("leaflet", text, "1")]).answer("bombs found by police")
    turn.save(update_fields=["answers"])
    shown = client.get(page).content.decode()
    link = f"{reverse('knowledge', args=[campaign.pk])}?document=leaflet&amp;version=1#version-1"
    assert shown.count(f'<a href="{link}">leaflet v1</a> (characters 0 to 30)') == 1
    assert 'id="version-1"' in client.get(link.partition("#")[0]).content.decode()


@pytest.mark.parametrize(
    ("values", "field"),
    [({"temperature": 3.0}, "temperature"), ({"max_new_tokens": 0}, "max_new_tokens"), ({"system": "\x00"}, "system")],
)
def test_what_cannot_be_opened_says_why(
    campaign: Campaign, lead: User, policies: tuple[ModelVersion, ModelVersion], values: dict[str, Any], field: str
) -> None:
    with pytest.raises(Invalid) as refused:
        playground.start(campaign=campaign, user=lead, policy=policies[0], **values)
    assert list(refused.value.errors) == [field]


def test_the_page_from_the_form_to_an_item(
    client: Client, campaign: Campaign, lead: User, policies: tuple[ModelVersion, ModelVersion]
) -> None:
    one, other = policies
    client.force_login(lead)
    page = reverse("playground", args=[campaign.pk])
    assert f'value="{other.pk}" selected' in client.get(page, {"policy": other.pk}).content.decode()
    refused = client.post(reverse("playground-start", args=[campaign.pk]), {"policy": one.pk, "temperature": "hot"})
    assert refused.status_code == 422
    sent = {"policy": one.pk, "beside": other.pk, "temperature": "0.5", "max_new_tokens": "9", "system": "Be *brief*."}
    assert client.post(reverse("playground-start", args=[campaign.pk]), sent).status_code == 302
    empty = client.post(reverse("playground-say", args=[campaign.pk]), {"message": " ", "client_key": "k"})
    assert empty.status_code == 422 and "Write something first." in empty.content.decode()
    message = {"message": "Hello <b>there</b>.", "client_key": "k"}
    assert client.post(reverse("playground-say", args=[campaign.pk]), message).status_code == 302
    polled = client.get(reverse("playground-answers", args=[campaign.pk]))
    assert polled.status_code == 200 and "Waiting for the model" in polled.content.decode()
    turn = ChatTurn.objects.get()
    answering.answer(turn.pk, command=toy())
    there = client.get(reverse("playground-answers", args=[campaign.pk]))
    assert there.status_code == 286 and there.headers["HX-Retarget"] == "#talk"
    shown = client.get(page).content.decode()
    assert one.label in shown and other.label in shown and "<b>there</b>" not in shown
    assert "Have people judge this turn" in shown and "cannot be asked" not in shown
    for _ in range(2):
        client.post(reverse("playground-save", args=[campaign.pk]), {"turn": "1"})
    assert campaign.tasks.filter(external_id__startswith="playground-").count() == 1
    client.post(reverse("playground-leave", args=[campaign.pk]))
    assert playground.current(campaign=campaign, user=lead) is None


def with_modes(version: ModelVersion) -> ModelVersion:
    file = Path(paths.resolve(version.path)) / "modes.json"
    file.write_text(json.dumps({"positive": "k1", "rejective": "k2", "negative": "k3"}))
    return version


def test_one_policy_is_heard_in_two_modes_and_harm_by_the_red_team_alone(
    client: Client, campaign: Campaign, lead: User, policies: tuple[ModelVersion, ModelVersion]
) -> None:
    both = with_modes(policies[1])
    turn = ask(playground.start(campaign=campaign, user=lead, policy=both, beside=both, beside_mode="rejective"), "Hi.")
    assert [one["text"].endswith("rejective") for one in turn.answers] == [False, True]
    assert started("other") == 2, "a child for each mode"
    client.force_login(lead)
    page = client.get(reverse("playground", args=[campaign.pk])).content.decode()
    assert "refuses" in page and "answers safely" in page and "answers harmfully" not in page
    with pytest.raises(Invalid) as refused:
        playground.start(campaign=campaign, user=lead, policy=policies[0], mode="positive")
    assert list(refused.value.errors) == ["mode"]
    with pytest.raises(Invalid):
        playground.start(campaign=campaign, user=lead, policy=both, mode="negative")
    members.add(campaign=campaign, username=lead.username, role=Role.RED_TEAM, actor=lead)
    assert playground.start(campaign=campaign, user=lead, policy=both, mode="negative").modes == ["negative"]


def with_users(version: ModelVersion, *users: str) -> ModelVersion:
    known = UserTokens(users, torch.zeros(1, 2), torch.zeros(len(users), 1, 2), opening=[])
    known.save(Path(paths.resolve(version.path)) / USERS_FILE)
    return version


def test_one_policy_answers_a_user_whom_it_knows_beside_anybody(
    client: Client, campaign: Campaign, lead: User, policies: tuple[ModelVersion, ModelVersion]
) -> None:
    client.force_login(lead)
    address = reverse("playground", args=[campaign.pk])
    assert "Answer as user" not in client.get(address).content.decode()
    knowing = with_users(policies[1], "quiet-heron", "warm-otter")
    form = {"policy": knowing.pk, "beside": knowing.pk, "as_user": "quiet-heron", "temperature": 1, "max_new_tokens": 9}
    assert client.post(reverse("playground-start", args=[campaign.pk]), form).status_code == 302
    chat = playground.current(campaign=campaign, user=lead)
    assert chat is not None and chat.users == ["quiet-heron", ""]
    turn = ask(chat, "Hi.")
    assert [one["text"].endswith("quiet-heron") for one in turn.answers] == [True, False]
    assert started("other") == 1, "one child answers both"
    page = client.get(address).content.decode()
    assert '<span class="badge mono">quiet-heron</span>' in page and "warm-otter" in page
    with pytest.raises(Invalid) as refused:
        playground.start(campaign=campaign, user=lead, policy=policies[0], as_user="quiet-heron")
    assert list(refused.value.errors) == ["as_user"]
    over_rest = APIClient()
    over_rest.force_authenticate(lead)
    path = f"/api/training/campaigns/{campaign.pk}/playground/"
    opened = over_rest.post(path, {"policy": knowing.pk, "as_user": "warm-otter"}, format="json")
    assert opened.status_code == 201 and opened.json()["settings"]["as_user"] == "warm-otter"


def test_the_playground_over_rest(campaign: Campaign, lead: User, policies: tuple[ModelVersion, ModelVersion]) -> None:
    client = APIClient()
    client.force_authenticate(lead)
    path = f"/api/training/campaigns/{campaign.pk}/playground/"
    assert client.post(path, {"policy": 10**6}, format="json").status_code == 422
    opened = client.post(path, {"policy": policies[0].pk, "beside": policies[1].pk}, format="json")
    assert opened.status_code == 201 and opened.json()["turns"] == []
    said = client.post(f"{path}messages/", {"message": "Hello.", "client_key": "k"}, format="json").json()
    assert (said["number"], said["state"], said["answers"]) == (1, "waiting", [])
    answering.answer(ChatTurn.objects.get().pk, command=toy())
    saved = client.post(f"{path}items/", {"turn": 1}, format="json")
    assert saved.status_code == 201 and campaign.tasks.filter(external_id=saved.json()["item"]).exists()
    (turn,) = client.get(path).json()["turns"]
    assert [one["policy"] for one in turn["answers"]] == [one.label for one in policies]
    assert (turn["item"], turn["answers"][0]["source"]) == (saved.json()["item"], "model")
    assert client.post(f"{path}items/", {"turn": 2}, format="json").status_code == 404
    assert client.post(f"{path}end/").status_code == 204 and client.get(path).status_code == 404
