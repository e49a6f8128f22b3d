"""A reward model for people in the browser: its groups, and the quiz from the first question to scores of one's own."""

from __future__ import annotations

import json

import pytest
import torch
from django.urls import reverse
from rest_framework.test import APIClient

from tests.frontend.lead_world import World, finish_run, judge_all, make_world, start_run
from training import launch, paths
from training.core.personal import UserTokens
from training.models import ModelVersion, Run
from training.recipes.users_file import USERS_FILE

pytestmark = pytest.mark.django_db

ASKED = {"prompt": [{"role": "user", "content": "Tea?"}], "one": "Yes, please.", "other": "No."}
TOLD = {
    "people": [
        {"person": "p-one", "group": 0, "choices": 3, "known": 1.0, "stranger": 0.5},
        {"person": "p-two", "group": 1, "choices": 3, "known": 0.75, "stranger": 0.5},
    ],
    "groups": [1, 1],
    "quiz": {"group": 0, "question": ASKED, "first": {"group": 0}, "second": {"group": 1}},
}


def test_from_groups_over_the_quiz_to_scores_as_that_person() -> None:
    world: World = make_world(tasks=2)
    judge_all(world)
    version = finish_run(start_run(world)).output
    assert version is not None
    ModelVersion.objects.filter(pk=version.pk).update(recipe={"name": "latent-user", "version": 1, "knobs": {}})
    people, quiz = reverse("model-people", args=[version.pk]), reverse("model-quiz", args=[version.pk])
    lead, annotator = world.client("lead"), world.client("annotator")
    assert "Measure people and groups" in lead.get(people).content.decode()
    assert annotator.get(quiz).status_code == 404
    run = Run.objects.create(
        campaign=world.campaign,
        kind="evaluate",
        recipe={"name": "people-report", "version": 1, "knobs": {}},
        inputs={"model": version.path},
        parent=version,
    )
    folder = paths.run_folder(run.pk)
    folder.mkdir(parents=True)
    (folder / "people.json").write_text(json.dumps(TOLD))
    finish_run(run, metrics={"groups": 2}, files={"people": "people.json"})
    html = lead.get(people).content.decode()
    assert "p-two" in html and "75%" in html and quiz in html
    html = annotator.get(quiz).content.decode()
    assert "Tea?" in html and "?answers=1" in html
    ended = annotator.get(quiz, {"answers": "1"}).content.decode()
    assert "nearest to group 2" in ended and "See scores" not in ended  # annotators do not see models
    assert "nearest to group 2" in annotator.get(quiz, {"answers": "1x<0"}).content.decode()
    explorer = f"{reverse('explorer', args=[world.campaign.pk])}?as={run.pk}:1"
    assert f"?as={run.pk}:1" in lead.get(quiz, {"answers": "1"}).content.decode()
    sent = {"prompt": "Why?", "answer_0": "So.", "models": [version.pk]}
    assert lead.post(explorer, sent).status_code == 302
    spec = launch.spec_of(Run.objects.latest("pk"))
    assert spec.data is not None
    with open(spec.data) as file:
        assert json.load(file)["choices"] == [{"prompt": ASKED["prompt"], "chosen": "No.", "rejected": "Yes, please."}]
    rest = APIClient()
    rest.force_authenticate(world.engineer)
    assert rest.get(reverse("api-version-people", args=[version.pk])).json()["groups"] == [1, 1]


def test_a_policy_s_page_says_how_it_answers_each_of_its_users_but_the_forgotten() -> None:
    world: World = make_world(tasks=2)
    judge_all(world)
    run = start_run(world)
    version = finish_run(run).output
    assert version is not None
    page = reverse("model", args=[version.pk])
    assert "answers each of its users" not in world.client("lead").get(page).content.decode()
    folder = paths.run_folder(run.pk) / "model"
    folder.mkdir(parents=True, exist_ok=True)
    ModelVersion.objects.filter(pk=version.pk).update(path=str(folder))
    users = UserTokens(["heron", "otter", "vole"], torch.zeros(1, 2), torch.zeros(3, 1, 2), opening=[])
    users.save(folder / USERS_FILE)
    rows = [
        {"user": user, "trained_on": 30, "pairs": pairs, "win_rate": rate, "generic": rate and 0.25}
        for user, pairs, rate in (("heron", 4, 1.0), ("otter", 4, 0.75), ("vole", 0, None), ("gone", 4, 0.5))
    ]
    (paths.run_folder(run.pk) / "users.json").write_text(json.dumps({"users": rows}))
    html = world.client("lead").get(page).content.decode()
    assert html.index("otter") < html.index("heron") < html.index("vole") and "gone" not in html
    assert "75%" in html and "25%" in html
