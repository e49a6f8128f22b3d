"""The reward explorer in the browser and over REST: asked, scored piece by piece, beside what people said."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse
from PIL import Image
from rest_framework.test import APIClient

from annotation.models import Task
from tests.factories import make_campaign
from tests.frontend.lead_world import World, finish_run, judge_all, make_world, start_run
from training import launch, paths
from training.models import Run

pytestmark = pytest.mark.django_db

SAID = {
    "models": [
        {
            "model": "reward-0",
            "head": "gated",
            "names": ["kind", "short", "mixed"],
            "values": [[1.5, 0.5, 1.25], [0.5, 2.0, 0.0]],
            "spread": [None, None],
            "members": [[], []],
            "scores": [1.25, None],
            "why": [
                [
                    {"attribute": "kind", "points": 1.5, "weight": 0.75, "contribution": 1.125},
                    {"attribute": "short", "points": 0.5, "weight": 0.25, "contribution": 0.125},
                ],
                None,
            ],
        }
    ]
}


@pytest.fixture
def world() -> World:
    world = make_world(tasks=2)
    judge_all(world)
    finish_run(start_run(world))
    finish_run(start_run(world))
    return world


def ask(world: World, **data: object) -> Run:
    item = Task.objects.filter(campaign=world.campaign).first()
    assert item is not None
    page = reverse("explorer", args=[world.campaign.pk])
    texts = {f"answer_{n}": one["text"] for n, one in enumerate(reversed(item.content["completions"]))}
    versions = list(world.campaign.model_versions.values_list("pk", flat=True))
    response = world.client("engineer").post(f"{page}?item={item.pk}", {**texts, "models": versions, **data})
    assert response.status_code == 302, response.content.decode()[-3000:]
    run = Run.objects.latest("pk")
    assert response.url == reverse("explored", args=[run.pk])
    return run


def test_an_item_is_picked_scored_and_shown_beside_what_people_said(world: World) -> None:
    found = world.client("lead").get(reverse("explorer", args=[world.campaign.pk]), {"q": "question 1"})
    assert "?item=" in found.content.decode() and "item-0" not in found.content.decode()
    run = ask(world)
    spec = launch.spec_of(run)
    assert set(spec.scorers) == {"reward-0", "reward-1"} and spec.data is not None
    asked = json.loads(Path(spec.data).read_text())
    assert asked == run.inputs["asked"] and len(asked["completions"]) == 2
    html = world.client("lead").get(reverse("explored", args=[run.pk])).content.decode()
    assert "Still to come: reward-1, reward-0." in html and world.annotator.pseudonym in html
    # People preferred the item's first answer, which stands second here.
    assert "B is better" in html
    folder = paths.run_folder(run.pk)
    folder.mkdir(parents=True)
    (folder / "explored.json").write_text(json.dumps(SAID))
    part = world.client("lead").get(reverse("explored-progress", args=[run.pk]))
    html = part.content.decode()
    assert part.status_code == 200 and "Still to come: reward-1." in html
    assert "Why answer A scores so" in html and "75%" in html and "1.25" in html and "–" in html
    finish_run(run, metrics={"models_agree": 1.0})
    part = world.client("lead").get(reverse("explored-progress", args=[run.pk]))
    assert part.status_code == 286 and "Still to come" not in part.content.decode()


def test_what_does_not_fit_is_said_beside_the_box(world: World) -> None:
    page, client = reverse("explorer", args=[world.campaign.pk]), world.client("lead")
    versions = list(world.campaign.model_versions.values_list("pk", flat=True))
    empty = client.post(page, {"prompt": " ", "answer_0": "So.", "models": versions})
    assert empty.status_code == 422 and not Run.objects.filter(recipe__name="reward-explorer").exists()
    assert client.post(page, {"prompt": "Why?", "answer_0": "So."}).status_code == 422
    assert client.get(page, {"item": "999999999"}).status_code == 404
    elsewhere = make_campaign("Elsewhere", lead=world.lead, tasks=1).tasks.first()
    assert elsewhere is not None
    assert client.get(page, {"item": elsewhere.pk}).status_code == 404


def test_the_same_over_rest(world: World) -> None:
    client = APIClient()
    client.force_authenticate(world.engineer)
    item = Task.objects.filter(campaign=world.campaign).first()
    assert item is not None
    answers = [one["text"] for one in item.content["completions"]]
    body = {"prompt": item.content["messages"][0]["content"], "answers": answers}
    made = client.post(reverse("api-explorations", args=[world.campaign.pk]), body, format="json")
    assert made.status_code == 201 and made.json()["models"] == []
    assert [one["about"] for one in made.json()["people"]] == ["A, B"]
    read = client.get(reverse("api-exploration", args=[made.json()["id"]])).json()
    assert read["answers"] == answers and read["state"] == "queued"
    listed = client.get(reverse("api-explorations", args=[world.campaign.pk])).json()
    assert [one["id"] for one in listed["results"]] == [read["id"]]
    unknown = {**body, "versions": [10**6]}
    refused = client.post(reverse("api-explorations", args=[world.campaign.pk]), unknown, format="json")
    assert refused.status_code == 422 and "models" in refused.json()["errors"]


def png(red: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (30, 20), (red, 0, 0)).save(file, "PNG")
    return file.getvalue()


def test_a_prompt_is_sent_with_an_image_or_picked_with_its_own(world: World) -> None:
    page, client = reverse("explorer", args=[world.campaign.pk]), world.client("engineer")
    versions = list(world.campaign.model_versions.values_list("pk", flat=True))
    sent = {"prompt": "Is it red?", "answer_0": "Yes.", "models": versions}
    broken = SimpleUploadedFile("it.png", b"GIF89a")
    refused = client.post(page, {**sent, "image": broken})
    assert refused.status_code == 422 and "is a GIF" in refused.content.decode()
    assert client.post(page, {**sent, "image": SimpleUploadedFile("it.png", png(250))}).status_code == 302
    run = Run.objects.latest("pk")
    (image,) = world.campaign.images.all()
    spec = launch.spec_of(run)
    assert spec.data is not None and spec.images == {image.sha256: image.file.path}
    asked = json.loads(Path(spec.data).read_text())
    assert asked["images"] == [image.sha256] and asked["prompt"][0]["content"][1]["text"] == "Is it red?"
    html = client.get(reverse("explored", args=[run.pk])).content.decode()
    assert reverse("api-image", args=[world.campaign.pk, image.sha256]) in html and "Is it red?" in html
    assert "Is it red?" in client.get(page).content.decode()  # among what was looked at before

    # An item whose prompt and whose first answer show it; the words are typed over, the image stays.
    part = asked["prompt"][0]["content"][0]
    item = Task.objects.filter(campaign=world.campaign).first()
    assert item is not None
    item.content["messages"][-1]["content"] = asked["prompt"][0]["content"]
    item.content["completions"][0] |= {"text": "", "parts": [part]}
    item.save()
    html = client.get(f"{page}?item={item.pk}").content.decode()
    assert html.count(f"{image.sha256}/thumbnail") == 2 and "Images of answer A" in html
    boxes = {"answer_0": "", "answer_1": "No.", "models": versions}
    assert client.post(f"{page}?item={item.pk}", boxes).status_code == 302
    asked = Run.objects.latest("pk").inputs["asked"]
    assert asked["completions"] == [[{"role": "assistant", "content": [part]}], "No."]
    assert asked["completions_images"] == [[image.sha256], []]
    assert client.get(reverse("explored", args=[Run.objects.latest("pk").pk])).status_code == 200

    api = APIClient()
    api.force_authenticate(world.engineer)
    url, body = reverse("api-explorations", args=[world.campaign.pk]), {"prompt": "Is it red?", "answers": ["Yes."]}
    made = api.post(url, {**body, "images": [image.sha256]}, format="json").json()
    assert made["prompt"][0]["content"][0]["image"] == image.sha256
    unknown = api.post(url, {**body, "images": ["0" * 64]}, format="json")
    assert unknown.status_code == 422 and "image" in unknown.json()["errors"]
