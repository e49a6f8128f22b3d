"""Regions and the severity of images, from the import of an item to the rows of its judgement."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import datasets as hub
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from annotation import dataset_views, datasets
from annotation.errors import Invalid
from annotation.models import Campaign, User
from annotation.permissions import assignment_for
from annotation.services.intake import import_lines
from tests.annotation.pictures import data_uri, picture
from tests.factories import judge, make_assignment, make_campaign

pytestmark = pytest.mark.django_db
PIXELS = data_uri(picture(size=(200, 100)))
ROWS = [
    {"id": "asked", "prompt": "Which bird is this?", "image": PIXELS, "completions": ["A wren.", "A tit."]},
    {
        "id": "drawn",
        "prompt": "Draw a bird.",
        "completions": [{"image": data_uri(picture("red"))}, {"image": data_uri(picture("blue"))}],
    },
    {"id": "text", "prompt": "Which bird is small?", "completions": ["A wren.", "A robin."]},
]


def campaign_of(annotator: User, kind: str, **options: Any) -> Campaign:
    campaign = make_campaign(annotators=[annotator], kind=kind, options=options)
    assert import_lines(campaign=campaign, lines=map(json.dumps, ROWS), actor=None).errors == []
    return campaign


def region(of: str, label: str = "odd") -> dict[str, Any]:
    return {"of": of, "index": 0, "box": [0.1, 0.2, 0.5, 0.5], "label": label, "note": "a beak"}


def test_a_region_names_its_image_in_the_row_whichever_answer_it_is_in(annotator: User, tmp_path: Path) -> None:
    campaign = campaign_of(annotator, "pairwise", regions=["Odd"])
    marked = {"asked": [region("prompt")], "drawn": [region("1"), region("2")], "text": [region("prompt")]}
    for _ in ROWS:
        assignment = make_assignment(annotator, campaign)
        sent = marked[assignment.task.external_id]
        judge(annotator, campaign, assignment=assignment, data={"preference": "2", "regions": sent})
    rows = {row["task"]: row for row in datasets.rows(campaign, "pairs")}
    view = dataset_views.view("pairs")
    assert all(set(row) == {*view.columns, *view.image_columns} for row in rows.values())
    (one,) = rows["asked"]["regions"]
    assert rows["asked"][one["column"]][one["index"]]["sha256"] == one["sha256"]
    assert (one["column"], one["box"], one["pixels"]) == ("images", [0.1, 0.2, 0.5, 0.5], [20, 20, 100, 50])
    assert (one["label"], one["note"], one["width"], one["height"]) == ("odd", "a beak", 200, 100)
    drawn = rows["drawn"]
    assert sorted(one["column"] for one in drawn["regions"]) == ["chosen_images", "rejected_images"]
    assert all(drawn[one["column"]][one["index"]]["sha256"] == one["sha256"] for one in drawn["regions"])
    assert rows["text"]["regions"] == []  # the item has no image, so none was asked about
    file = tmp_path / "pairs.jsonl"
    file.write_text("".join(datasets.lines(rows.values())))
    read = hub.load_dataset("json", data_files=str(file), split="train", cache_dir=str(tmp_path / "cache"))
    assert [len(row["regions"]) for row in read] == [len(row["regions"]) for row in rows.values()]
    kept = {row["task"]: row["payload"] for row in datasets.rows(campaign, "judgements")}
    assert kept["asked"]["regions"]["marked"][0]["of"] == "prompt" and "regions" not in kept["text"]


def test_a_row_about_one_answer_has_the_regions_of_the_prompt_and_its_own(annotator: User) -> None:
    campaign = campaign_of(annotator, "critique", regions=["Odd"], minimum=1, score=False)
    for _ in ROWS:
        assignment = make_assignment(annotator, campaign)
        drawn = assignment.task.external_id == "drawn"
        said = {"weaknesses_1": "Bad.", "weaknesses_2": "Bad.", "regions": [region("2")] if drawn else []}
        judge(annotator, campaign, assignment=assignment, data=said)
        if drawn:
            order = assignment.shown_order
    rows = [row for row in datasets.rows(campaign, "critiques") if row["task"] == "drawn"]
    assert [len(row["regions"]) for row in rows] == [int(position == order[1]) for position in (0, 1)]
    (one,) = rows[order[1]]["regions"]
    assert one["column"] == "completion_images"


def test_severity_of_the_image_is_asked_only_where_there_is_one(annotator: User) -> None:
    campaign = campaign_of(annotator, "safety", pack="beavertails-v", image_severity=True)
    safe = {"safe_1": "safe", "safe_2": "safe"}
    for _ in ROWS:
        assignment = make_assignment(annotator, campaign)
        if assignment.task.external_id != "asked":
            judge(annotator, campaign, assignment=assignment, data=safe)
            continue
        with pytest.raises(Invalid) as caught:
            judge(annotator, campaign, assignment=assignment, data=safe)
        assert set(caught.value.errors) == {"safe_image"}
        said = {**safe, "safe_image": "unsafe", "harm_image_horror_and_gore": "2"}
        judge(annotator, campaign, assignment=assignment, data=said)
    rows = list(datasets.rows(campaign, "safety"))
    view = dataset_views.view("safety")
    assert all(set(row) == {*view.columns, *view.image_columns} for row in rows)
    severities = {row["task"]: (row["image_severity"], row["image_harms"]) for row in rows}
    assert severities == {
        "asked": (2, {"horror_and_gore": 2}),
        "drawn": (None, None),
        "text": (None, None),
    }


def test_a_submit_asks_for_the_content_only_where_images_are_asked_about(annotator: User) -> None:
    counts = []
    for options in ({}, {"regions": ["Odd"]}):
        campaign = campaign_of(annotator, "pairwise", **options)
        key = make_assignment(annotator, campaign).key
        assignment = assignment_for(annotator, key)
        with CaptureQueriesContext(connection) as captured:
            judge(annotator, campaign, assignment=assignment, data={"preference": "2"})
        counts.append(len(captured))
    assert counts[1] == counts[0] + 1
