"""What people say of the answers they like: frozen where a loop asks for it, read before they are answered, erased."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from django.test import Client
from django.urls import reverse
from rest_framework.test import APIClient

from annotation import datasets, personal_data
from annotation.errors import Invalid as Unfit
from annotation.models import Campaign, Event, User
from annotation.services import erasure, profile_text
from tests.factories import judge, make_task, make_user
from tests.training.chat_world import make_chat_loop, toy
from tests.training.round_world import first, go, judge_all
from training import paths
from training.core.personal import UserTokens
from training.errors import Invalid
from training.models import Loop, ModelVersion, Round
from training.recipes import recipe
from training.recipes.users_file import USERS_FILE
from training.services import answering, playground, profiles, rounds, snapshots

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("silence")]

LIKES = "Short answers.\nNo jokes."
PERSONAL = {"policy_recipe": "dpo-personal", "profiles": True}


def said(snapshot: Any) -> dict[str, str | None]:
    return {row["annotator"]: row["profile"] for row in snapshots.lines(snapshot)}


def test_it_is_frozen_beside_their_choices_where_the_loop_asks_for_it(loop: Loop, campaign: Campaign, annotator: User):
    silent, gone = make_user(), make_user()
    for person in (silent, gone):
        campaign.memberships.create(user=person, role="annotator")
    profile_text.set_text(user=annotator, text=LIKES)
    profile_text.set_text(user=gone, text="Of one who left.")
    for person in (annotator, silent, gone):
        make_task(campaign)
        judge(person, campaign)
    gone.memberships.all().delete()
    with pytest.raises(Invalid, match="Turn on profiles in its loop"):
        snapshots.freeze(campaign=campaign, view="pairs", filters={"profiles": True}, actor=None)
    assert profiles.filters(campaign, recipe("dpo-personal")) == {} and profiles.asking(annotator) == []
    rounds.configure(loop=loop, settings=PERSONAL, actor=None)
    assert profiles.filters(campaign, recipe("dpo-personal")) == {"profiles": True}
    assert profiles.filters(campaign, recipe("dpo")) == {}
    assert profiles.asking(annotator) == [campaign.name] and profiles.asking(gone) == []

    frozen = snapshots.freeze(campaign=campaign, view="pairs", filters={"profiles": True}, actor=None)
    assert said(frozen) == {annotator.pseudonym: LIKES, silent.pseudonym: None, gone.pseudonym: None}
    profile_text.set_text(user=annotator, text="Long ones after all.")
    later = snapshots.freeze(campaign=campaign, view="pairs", filters={"profiles": True}, actor=None)
    assert said(later)[annotator.pseudonym] == "Long ones after all." and said(frozen)[annotator.pseudonym] == LIKES
    assert later.pk != frozen.pk, "what a policy learned from stays known"
    with pytest.raises(Invalid, match="beside pairs alone"):
        snapshots.freeze(campaign=campaign, view="prompts", filters={"profiles": True}, actor=None)
    assert all("profile" not in row for row in datasets.rows(campaign, "pairs")), "no export has it"


def test_a_round_reads_it_and_an_erased_person_s_is_gone(loop: Loop, round: Round, campaign: Campaign, annotator: User):
    rounds.configure(loop=loop, settings={**PERSONAL, "gate_human_pairs": 4}, actor=None)
    other = make_user("olga")
    campaign.memberships.create(user=other, role="annotator")
    for person, text in ((annotator, LIKES), (other, "Many words.")):
        profile_text.set_text(user=person, text=text)
    go(round)
    judge_all(campaign, annotator, first)
    go(round)
    assert round.snapshot is not None and set(said(round.snapshot).values()) == {LIKES}
    file = paths.files() / "rounds" / str(round.pk) / "held-out.jsonl"

    def read() -> dict[str, str | None]:
        rows = [json.loads(line) for line in file.read_text().splitlines()]
        return {row["user"]: row.get("profile") for row in rows}

    assert read() == {annotator.pseudonym: LIKES, other.pseudonym: "Many words."}
    assert not [task for task in campaign.tasks.all() if "Short answers" in f"{task.content}{task.meta}"]

    pack = io.BytesIO()
    personal_data.pack(annotator, pack)
    assert json.loads(zipfile.ZipFile(pack).read("account.jsonl"))["profile_text"] == LIKES
    pseudonym = annotator.pseudonym
    campaign.memberships.get(user=annotator).delete()  # who has left is forgotten too
    erasure.erase(person=annotator, actor=annotator, confirmation=annotator.username)
    assert User.objects.get(pk=annotator.pk).profile_text == ""
    assert read() == {pseudonym: None, other.pseudonym: "Many words."}
    round.snapshot.refresh_from_db()
    assert round.snapshot.withdrawn_at is not None, "as of their judgements, which it holds"
    assert not Event.objects.filter(detail__icontains="Short answers").exists()


def test_a_person_s_text_is_their_own(annotator: User, lead: User, campaign: Campaign):
    other = make_user()
    profile_text.set_text(user=other, text="Not yours.")
    client = APIClient()
    address = reverse("api-own-profile-text")
    assert client.get(address).status_code == 401 and client.put(address, {"text": "x"}).status_code == 401
    client.force_authenticate(annotator)
    theirs = {"user": other.pk, "pseudonym": other.pseudonym}
    assert client.put(address, {"text": "x", **theirs}, format="json").status_code == 400
    assert client.put(address, {"text": f"  {LIKES}  "}, format="json").json() == {"text": LIKES, "read_in": []}
    assert client.get(address, theirs).json()["text"] == LIKES
    assert User.objects.get(pk=other.pk).profile_text == "Not yours."
    for wrong in ({}, {"text": None}, {"text": "x" * 1001}, {"text": "a\x00"}, {"text": ["x"]}):
        assert client.put(address, wrong, format="json").status_code in (400, 422), wrong
    assert client.put(address, {"text": ""}, format="json").json()["text"] == ""
    with pytest.raises(Unfit, match="surrogate"):
        profile_text.set_text(user=annotator, text="\ud83d")
    written = Event.objects.filter(action="account.profile_text_changed", actor=annotator)
    assert written.count() == 2 and "Short" not in "".join(f"{one.target}{one.detail}" for one in written)
    # Nobody who leads reads it among the people of a campaign.
    profile_text.set_text(user=annotator, text=LIKES)
    client.force_login(lead)
    assert "Short answers" not in client.get(reverse("campaign-people", args=[campaign.pk])).content.decode()


def test_the_page_says_who_reads_it_and_takes_it_away(loop: Loop, campaign: Campaign, annotator: User):
    client = Client()
    client.force_login(annotator)
    html = client.get("/profile/").content.decode()
    assert "What you like in answers" in html and "No campaign of yours reads it now." in html
    assert "administrators of this server can read it too" in html
    assert client.post("/profile/", {"action": "text", "profile-text": LIKES}).status_code == 302
    rounds.configure(loop=loop, settings=PERSONAL, actor=None)
    html = client.get("/profile/").content.decode()
    assert f"Read now in: {campaign.name}." in html and "No jokes." in html
    refused = client.post("/profile/", {"action": "text", "profile-text": "x" * 1001})
    assert refused.status_code == 422 and User.objects.get(pk=annotator.pk).profile_text == LIKES
    longest = "\n".join(["Short lines."] * 77)  # 1000 characters as a browser counts them, and it sends more
    sent = {"action": "text", "profile-text": longest.replace("\n", "\r\n")}
    assert len(longest) == 1000 and client.post("/profile/", sent).status_code == 302
    assert User.objects.get(pk=annotator.pk).profile_text == longest
    assert client.post("/profile/", {"action": "text", "profile-text": " "}).status_code == 302
    assert User.objects.get(pk=annotator.pk).profile_text == ""


def reading(version: ModelVersion, *users: str, tokens: int = 200) -> ModelVersion:
    known = UserTokens(users, torch.zeros(1, 2), torch.zeros(len(users), 1, 2), opening=[], profile_tokens=tokens)
    known.save(Path(paths.resolve(version.path)) / USERS_FILE)
    return version


def test_the_playground_reads_what_a_user_says_or_what_somebody_never_met_might(
    client: Client, campaign: Campaign, lead: User, annotator: User
):
    loop = make_chat_loop(campaign)
    version = reading(ModelVersion.objects.get(campaign=campaign), annotator.pseudonym)
    profile_text.set_text(user=annotator, text="Short.")
    both = {"policy": version, "beside": version}

    def heard(**more: str) -> list[str]:
        chat = playground.start(campaign=campaign, user=lead, temperature=0, max_new_tokens=9, **both, **more)
        turn = playground.say(chat=chat, message="Hi.", client_key="k")
        answering.answer(turn.pk, command=toy(mode="same"))
        turn.refresh_from_db()
        return [answer["text"] for answer in turn.answers]

    name = annotator.pseudonym
    assert heard(as_user=name) == [f"HI. {name}", "HI."], "the loop does not ask for it"
    rounds.configure(loop=loop, settings=PERSONAL, actor=None)
    assert heard(as_user=name) == [f"HI. {name} Short.", "HI."]
    assert heard(as_user=name, says="Long.", beside_says="Odd.") == [f"HI. {name} Long.", "HI. Odd."]
    client.force_login(lead)
    address = reverse("playground", args=[campaign.pk])
    assert "What somebody says they like" in client.get(address).content.decode()
    form = {"policy": version.pk, "says": "Long.", "temperature": 1, "max_new_tokens": 9}
    assert client.post(reverse("playground-start", args=[campaign.pk]), form).status_code == 302
    assert playground.current(campaign=campaign, user=lead).texts == ["Long."]
    assert "Long." in client.get(address).content.decode()

    reading(version, tokens=0)
    playground.end(campaign=campaign, user=lead)
    assert "What somebody says they like" not in client.get(address).content.decode()
    with pytest.raises(Invalid) as refused:
        playground.start(campaign=campaign, user=lead, policy=version, says="Long.")
    assert list(refused.value.errors) == ["says"] and "has not learned" in refused.value.errors["says"][0]
