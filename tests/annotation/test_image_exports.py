"""Exports of campaigns with images: placeholders where TRL wants them, references beside them, one type a column."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import datasets as hub
import pytest
from trl.data_utils import prepare_multimodal_messages

from annotation import dataset_views, datasets
from annotation.api.serializers import as_shown
from annotation.feedback import kind as kind_called
from annotation.models import Campaign, Image, User
from annotation.services.intake import import_lines
from tests.annotation.feedback.examples import EXAMPLES
from tests.annotation.pictures import data_uri, picture
from tests.factories import judge, make_assignment, make_campaign
from training.core import records

pytestmark = pytest.mark.django_db
SITE = "https://attune.example.org"


def lines_of(rows: list[dict[str, Any]]) -> list[str]:
    return [json.dumps(row) for row in rows]


def illustrated(annotator: User, *, kind: str = "pairwise", answers: int = 2) -> Campaign:
    """Return a campaign with a text, an image in a prompt, and images as answers, each judged by one person."""
    campaign = make_campaign(annotators=[annotator], kind=kind)
    texts = ["A wren.", "A robin, I think.", "A tit.", "A finch."][:answers]
    images = [{"image": data_uri(picture(colour)), "alt": colour} for colour in ("red", "blue", "green", "white")]
    rows = [
        {"id": "text", "prompt": "Which bird is small?", "completions": texts},
        {"id": "asked", "prompt": "Which bird is this?", "image": data_uri(picture()), "completions": texts},
        {"id": "drawn", "prompt": "Draw a bird.", "completions": images[:answers]},
    ]
    assert import_lines(campaign=campaign, lines=lines_of(rows), actor=None).errors == []
    return campaign


def exported(campaign: Campaign, view: str = "pairs") -> dict[str, dict[str, Any]]:
    return {row["task"]: row for row in datasets.rows(campaign, view, site=SITE)}


def test_pairs_have_placeholders_and_references(annotator: User) -> None:
    campaign = illustrated(annotator)
    for _ in range(3):
        judge(annotator, campaign, preference=2)
    rows = exported(campaign)
    asked = rows["asked"]
    assert asked["prompt"] == [
        {
            "role": "user",
            "content": [{"type": "image", "text": None}, {"type": "text", "text": "Which bird is this?"}],
        }
    ]
    (image,) = asked["images"]
    assert image["url"] == f"{SITE}/api/campaigns/{campaign.pk}/images/{image['sha256']}/"
    assert Image.objects.filter(campaign=campaign, sha256=image["sha256"]).exists()
    assert (image["width"], image["height"]) == (64, 48)
    assert rows["text"]["images"] == rows["text"]["chosen_images"] == []
    drawn = rows["drawn"]
    assert drawn["chosen"] == [{"role": "assistant", "content": [{"type": "image", "text": None}]}]
    assert [one["alt"] for one in drawn["chosen_images"] + drawn["rejected_images"]] == ["red", "blue"]
    view = dataset_views.view("pairs")
    assert set(asked) == {*view.columns, *view.image_columns}


def test_datasets_and_trl_read_them_as_they_are(annotator: User, tmp_path: Path) -> None:
    campaign = illustrated(annotator)
    for _ in range(3):
        judge(annotator, campaign, preference=2)
    file = tmp_path / "pairs.jsonl"
    file.write_text("".join(datasets.lines(datasets.rows(campaign, "pairs", site=SITE))))
    rows = hub.load_dataset("json", data_files=str(file), split="train", cache_dir=str(tmp_path / "cache"))
    assert len(rows) == 3
    for row in rows:
        messages = prepare_multimodal_messages(row["prompt"], images=row["images"])
        filled = [part for message in messages for part in message["content"] if part["type"] == "image"]
        assert [part["image"]["sha256"] for part in filled] == [image["sha256"] for image in row["images"]]


@pytest.mark.parametrize("kind", sorted(EXAMPLES))
def test_every_kind_takes_images_and_still_sees_the_text(annotator: User, kind: str) -> None:
    answers = min(2, kind_called(kind).completions[1])
    campaign = illustrated(annotator, kind=kind, answers=answers)
    for _ in range(3):
        judge(annotator, campaign, data=EXAMPLES[kind])
    for view in dataset_views.VIEWS.values():
        if view.name == "prompts":
            continue
        for row in datasets.rows(campaign, view.name):
            assert set(row) == {*view.columns, *view.image_columns}, view.name
            for column in ("prompt", "chosen", "rejected", "completion"):
                assert all(isinstance(message["content"], list) for message in row.get(column, []))


def test_judgements_keep_the_text_and_name_the_images(annotator: User) -> None:
    campaign = illustrated(annotator)
    for _ in range(3):
        judge(annotator, campaign)
    rows = exported(campaign, "judgements")
    assert [one["text"] for one in rows["text"]["completions"]] == ["A wren.", "A robin, I think."]
    assert [len(one["images"]) for one in rows["drawn"]["completions"]] == [1, 1]


def test_a_campaign_of_text_exports_as_before(annotator: User) -> None:
    campaign = make_campaign(annotators=[annotator], tasks=1)
    judge(annotator, campaign)
    (row,) = datasets.rows(campaign, "pairs")
    assert "images" not in row and isinstance(row["chosen"][0]["content"], str)


def test_text_recipes_learn_from_the_text_rows_and_say_why_not_from_the_others(annotator: User) -> None:
    campaign = illustrated(annotator)
    for _ in range(3):
        judge(annotator, campaign, preference=2)
    tally = records.Tally()
    read = records.parse_lines(datasets.lines(datasets.rows(campaign, "pairs")), view="pairs", tally=tally)
    assert len(read) == 1
    (note,) = tally.notes()
    assert note.startswith(
        "2 rows were left out because they have images where this recipe or this model reads text alone"
    )


def test_rest_hands_out_text_and_images(annotator: User) -> None:
    campaign = illustrated(annotator)
    shown = {}
    for _ in range(3):
        assignment = make_assignment(annotator, campaign)
        shown[assignment.task.external_id] = as_shown(assignment, campaign)
        judge(annotator, campaign, assignment=assignment)
    assert shown["text"]["prompt"] == [{"role": "user", "content": "Which bird is small?"}]
    assert "completion_images" not in shown["text"]
    (message,) = shown["asked"]["prompt"]
    assert message["content"] == "Which bird is this?"
    assert message["images"][0]["url"].startswith(f"/api/campaigns/{campaign.pk}/images/")
    assert shown["drawn"]["completions"] == ["", ""]
    assert [len(images) for images in shown["drawn"]["completion_images"]] == [1, 1]
