"""What the demo starts with, made step by step, interrupted, and made again."""

from __future__ import annotations

import gzip
import json

import pytest

from annotation.demo.select_hh_helpful import UNWANTED
from annotation.models import Campaign, Event, Membership, Role, Task, User
from annotation.services import campaigns, intake, members
from frontend import demo
from training.models import Loop, Round, Run

pytestmark = pytest.mark.django_db


def counts() -> dict[str, int]:
    return {model.__name__: model.objects.count() for model in (User, Campaign, Membership, Task, Loop, Round, Run)}


def test_three_people_and_two_campaigns_with_work_in_them():
    first = demo.seed()
    assert first is not None and first.state == Round.State.DRAFTING
    assert set(User.objects.values_list("username", flat=True)) == {"lead", "ann", "ben"}
    real = Campaign.objects.get(name="Real answers")
    assert real.state == Campaign.State.OPEN and real.tasks.count() >= 300
    assert not any(task.meta.get("published_choice") is None for task in real.tasks.all())
    for campaign in Campaign.objects.all():
        roles = set(campaign.memberships.values_list("user__username", "role"))
        assert roles == {("lead", Role.LEAD), ("ann", Role.ANNOTATOR), ("ben", Role.ANNOTATOR)}
        assert campaign.guidelines.get().text
    loop = Loop.objects.get()
    assert loop.campaign.name == "Shape a small model"
    # Stored so that the checkout may move.
    assert not loop.prompts_path.startswith("/") and not first.policy.path.startswith("/")


def test_made_again_it_changes_nothing_even_after_people_changed_it():
    demo.seed()
    lead = User.objects.get(username="lead")
    real = Campaign.objects.get(name="Real answers")
    campaigns.update(campaign=real, actor=lead, name="Answers from 2022")
    members.remove(campaign=real, username="ben", actor=lead)
    campaigns.pause_campaign(campaign=real, actor=lead)
    before = counts()
    demo.seed()
    assert counts() == before
    real.refresh_from_db()
    assert (real.name, real.state) == ("Answers from 2022", Campaign.State.PAUSED)


def test_interrupted_half_way_it_goes_on(monkeypatch: pytest.MonkeyPatch):
    whole = intake.import_lines

    def cut_off(**arguments):
        lines = [line for number, line in zip(range(50), arguments["lines"], strict=False)]
        whole(campaign=arguments["campaign"], actor=arguments["actor"], lines=lines)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(demo.intake, "import_lines", cut_off)
        with pytest.raises(KeyboardInterrupt):
            demo.seed()
    assert Task.objects.count() == 50
    assert Campaign.objects.get().state == Campaign.State.DRAFT
    demo.seed()
    assert Task.objects.count() == 400 and Campaign.objects.count() == 2
    assert Event.objects.filter(action="demo.seeded").count() == 2


def test_passwords_are_handed_out_once_and_kept_as_hashes(client):
    demo.seed()
    assert not any(user.has_usable_password() for user in User.objects.all())
    handed_out = {user.username: password for user, password in demo.hand_out_passwords(again=False)}
    assert set(handed_out) == {"lead", "ann", "ben"} and len(set(handed_out.values())) == 3
    assert demo.hand_out_passwords(again=False) == []
    for name, password in handed_out.items():
        assert User.objects.get(username=name).password.startswith("argon2")
        assert client.login(username=name, password=password)
    again = {user.username: password for user, password in demo.hand_out_passwords(again=True)}
    assert set(again) == set(handed_out)
    assert not client.login(username="ann", password=handed_out["ann"])


def test_it_says_so_when_the_model_could_not_answer():
    first = demo.seed()
    assert first is not None
    Round.objects.filter(pk=first.pk).update(state=Round.State.STALLED, note="The disk is full.")
    said: list[str] = []
    demo.wait_for_answers(first, say=said.append, meanwhile=lambda: None)
    assert "The disk is full." in said[0]
    assert demo.seed() is None


def test_the_shipped_pairs_are_many_different_and_clean():
    with gzip.open(demo.PAIRS, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    assert len(rows) >= 300
    assert len({row["id"] for row in rows}) == len({row["prompt"][0]["content"] for row in rows}) == len(rows)
    for row in rows:
        texts = [message["content"] for message in row["prompt"]] + [one["text"] for one in row["completions"]]
        assert row["prompt"][-1]["role"] == "user" and len(row["completions"]) == 2
        assert not UNWANTED.search("\n".join(texts)), row["id"]
    first_is_published = sum(row["meta"]["published_choice"] == 0 for row in rows)
    assert 0.4 < first_is_published / len(rows) < 0.6
