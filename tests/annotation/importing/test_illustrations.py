"""Images in rows: found wherever data sets put them, stored once, and a bad one costs its row and no other."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import pytest
from django.core.files.storage import default_storage

from annotation.importing import attachments, formats
from annotation.importing.attachments import FolderFiles
from annotation.importing.mapping import of_object
from annotation.importing.rows import Unreadable
from annotation.messages import answer_of, images_of, text_of
from annotation.models import Campaign, Completion, Image, Task
from annotation.services.intake import ImportReport, import_lines, import_rows
from tests.annotation.pictures import animation, bomb, data_uri, picture, zipped
from tests.factories import make_campaign

pytestmark = pytest.mark.django_db
RED, BLUE, GREEN = picture("red"), picture("blue"), picture("green", kind="JPEG")


@pytest.fixture
def campaign() -> Campaign:
    return make_campaign("Pictures")


def import_(campaign: Campaign, *rows: dict[str, Any]) -> ImportReport:
    return import_lines(campaign=campaign, lines=[json.dumps(row) for row in rows], actor=None)


def import_file(campaign: Campaign, data: bytes, name: str, **told: Any) -> ImportReport:
    rows, files = attachments.opened(io.BytesIO(data), name=name)
    return import_rows(campaign=campaign, rows=rows, files=files, actor=None, **told)


def asked(campaign: Campaign) -> list[dict[str, Any]]:
    return Task.objects.get(campaign=campaign).content["messages"]


def pair(prompt: Any, **more: Any) -> dict[str, Any]:
    return {"id": "q", "prompt": prompt, "completions": ["A wren.", "A robin."], **more}


def shown(message: dict[str, Any]) -> list[tuple[str, Any]]:
    """Return the parts of a message: an image as its size, a text as it is."""
    return [
        ("image", (part["width"], part["height"])) if part["type"] == "image" else ("text", part["text"])
        for part in message["content"]
    ]


URI = data_uri(RED)
ASK = [("image", (64, 48)), ("text", "What?")]
text_part = {"type": "text", "text": "What?"}
PROMPTS: dict[str, dict[str, Any]] = {
    "part with a data URI": pair([{"role": "user", "content": [{"type": "image", "image": URI}, text_part]}]),
    "OpenAI": pair([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": URI}}, text_part]}]),
    "OpenAI's responses": pair(
        [
            {
                "role": "user",
                "content": [{"type": "input_image", "image_url": URI}, {"type": "input_text", "text": "What?"}],
            }
        ]
    ),
    "base64 alone": pair(
        [{"role": "user", "content": [{"type": "image", "image": base64.b64encode(RED * 4).decode()}, text_part]}]
    ),
    "TRL with placeholders": pair([{"role": "user", "content": [{"type": "image"}, text_part]}], images=[URI]),
    "after Arrow": pair(
        [{"role": "user", "content": [{"type": "image", "text": None}, {**text_part, "image": None}]}],
        images=[{"bytes": URI, "path": None}],
    ),
    "TRL without placeholders": pair([{"role": "user", "content": "What?"}], images=[URI]),
    "a column beside a text": pair("What?", image=URI),
    "RLAIF-V": {"id": "q", "question": "What?", "image": URI, "chosen": "A wren.", "rejected": "A robin."},
}


@pytest.mark.parametrize("row", PROMPTS.values(), ids=PROMPTS.keys())
def test_an_image_of_a_prompt_is_found_in_every_layout(campaign: Campaign, row: dict[str, Any]) -> None:
    report = import_(campaign, row)
    assert (report.created, report.errors) == (1, [])
    (message,) = asked(campaign)
    assert shown(message) == ASK
    image = Image.objects.get(campaign=campaign)
    assert images_of(message["content"])[0]["image"] == image.sha256
    assert default_storage.exists(image.file.name) and default_storage.exists(image.thumbnail.name)


ANSWERS: dict[str, list[Any]] = {
    "objects": [{"image": data_uri(RED), "origin": "a", "alt": "Red"}, {"image": data_uri(BLUE), "origin": "b"}],
    "with text": [{"image": data_uri(RED), "text": "Here."}, {"image": data_uri(BLUE), "text": "Here."}],
    "parts": [{"type": "image", "image": data_uri(RED)}, {"type": "image", "image": data_uri(BLUE)}],
    "lists of parts": [[{"type": "image", "image": data_uri(RED)}], [{"type": "image", "image": data_uri(BLUE)}]],
    "messages": [
        [{"role": "assistant", "content": [{"type": "image", "image": data_uri(one)}]}] for one in (RED, BLUE)
    ],
    "cells": [data_uri(RED), data_uri(BLUE)],
}


@pytest.mark.parametrize("completions", ANSWERS.values(), ids=ANSWERS.keys())
def test_images_are_answers_in_every_layout(campaign: Campaign, completions: list[Any]) -> None:
    report = import_(campaign, {"id": "q", "prompt": "A bird", "completions": completions})
    assert (report.created, report.errors) == (1, [])
    answers = [answer_of(one) for one in Task.objects.get().content["completions"]]
    assert [len(images_of(answer)) for answer in answers] == [1, 1]
    assert {one.text for one in Completion.objects.all()} == {text_of(answers[0])}
    assert all(one.parts for one in Completion.objects.all())


def test_an_image_is_stored_once_and_an_item_too(campaign: Campaign) -> None:
    rows = [pair("What?", id=f"q{number}", image=URI) for number in range(3)]
    first, again = import_(campaign, *rows), import_(campaign, *rows)
    assert (first.created, again.created, again.existing) == (3, 0, 3)
    assert Image.objects.count() == 1
    assert len(default_storage.listdir(f"images/{campaign.pk}")[1]) == 2
    other = make_campaign("Other")
    import_(other, rows[0])
    assert Image.objects.filter(campaign=other).count() == 1


def test_without_an_id_the_image_tells_items_apart(campaign: Campaign) -> None:
    rows = [{**pair("What?", image=data_uri(one)), "id": None} for one in (RED, BLUE, RED)]
    report = import_(campaign, *rows)
    assert (report.created, report.existing) == (2, 1)


def test_the_name_in_the_storage_says_nothing(campaign: Campaign) -> None:
    import_(campaign, pair("What?", image=URI))
    image = Image.objects.get()
    assert image.sha256 not in image.file.name and len(image.file.name.rsplit("/", 1)[1]) == 36
    with image.file.open() as file:
        assert file.read().startswith(b"\x89PNG")


BAD: dict[str, tuple[Any, str]] = {
    "address": ("https://example.org/a.png", "nothing is fetched from anywhere"),
    "address in OpenAI's layout": ({"url": "http://169.254.169.254/latest/"}, "nothing is fetched"),
    "file address": ("file:///etc/passwd", "nothing is fetched"),
    "name": ("a.png", "did not come along"),
    "truncated": (data_uri(RED[:-30]), "damaged or was cut off"),
    "bomb": (data_uri(bomb()), "million pixels"),
    "svg": (data_uri(b"<svg onload='x'/>", "image/svg+xml"), "is an SVG"),
    "animation": (data_uri(animation("WEBP")), "moves"),
    "GIF": (data_uri(animation("GIF"), "image/gif"), "is a GIF"),
    "text": (data_uri(b"hello"), "is no PNG, JPEG or WebP"),
    "no base64": ("data:image/png,hello", "without base64"),
    "broken base64": ("data:image/png;base64,???", "neither a data URI, nor base64"),
    "number": (5, "is missing"),
    "hash of nothing": ("0" * 64, "no image of this campaign"),
}


@pytest.mark.parametrize(("image", "reason"), BAD.values(), ids=BAD.keys())
def test_a_bad_image_costs_its_row_and_says_why(campaign: Campaign, image: Any, reason: str) -> None:
    bad = pair([{"role": "user", "content": [{"type": "image", "image": image}]}], id="bad")
    report = import_(campaign, pair("What?", id="good"), bad, pair("What else?", id="better", image=URI))
    assert (report.created, report.failed) == (2, 1)
    (error,) = report.errors
    assert error.line == 2 and reason in error.reason
    assert error.reason.endswith(".") and len(error.reason) < 300
    assert Image.objects.count() == 1


def test_images_and_placeholders_must_be_as_many(campaign: Campaign) -> None:
    one_place = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What?"}]}]
    report = import_(campaign, pair(one_place, images=[URI, URI]), pair(one_place, images=[]))
    assert [error.reason[:25] for error in report.errors] == ["It has 2 images, and plac", "It has a placeholder for "]


def test_other_parts_and_too_many_images_are_refused(campaign: Campaign) -> None:
    sound = [{"role": "user", "content": [{"type": "audio", "audio": "x"}]}]
    report = import_(campaign, pair(sound), pair("What?", images=[URI] * 21))
    assert [error.reason for error in report.errors] == [
        "A part of message 1 of its prompt has the type 'audio'; text and images can be judged.",
        "It has more than 20 images.",
    ]


def test_the_same_image_twice_is_no_choice(campaign: Campaign) -> None:
    report = import_(campaign, {"prompt": "A bird", "completions": [{"image": URI}, {"image": URI}]})
    assert "identical" in report.errors[0].reason


def test_text_parts_alone_are_text(campaign: Campaign) -> None:
    import_(campaign, pair([{"role": "user", "content": [{"type": "text", "text": "What?"}]}]))
    assert asked(campaign) == [{"role": "user", "content": "What?"}]


ROWS = "\n".join(
    [
        json.dumps({"id": "one", "prompt": "A bird", "completions": [{"image": "img/a.png"}, {"image": "img/b.jpg"}]}),
        json.dumps({"id": "two", "prompt": "A fish", "completions": ["img/a.png", "img/b.jpg"]}),
        json.dumps({"id": "bad", "prompt": "A cat", "completions": [{"image": "img/c.png"}, {"image": "img/b.jpg"}]}),
        json.dumps({"id": "img/a.png", "prompt": "Plain", "completions": ["Yes.", "No."]}),
    ]
)
IMAGES = {"img/a.png": RED, "img/b.jpg": GREEN}


@pytest.mark.parametrize("folder", ["", "my set/"])
def test_a_zip_archive_has_rows_and_images(campaign: Campaign, folder: str) -> None:
    files = {f"{folder}rows.jsonl": ROWS, "__MACOSX/._rows.jsonl": "x"}
    data = zipped({**files, **{f"{folder}{name}": image for name, image in IMAGES.items()}})
    report = import_file(campaign, data, "set.zip")
    assert report.created == 3
    assert [(error.line, error.reason) for error in report.errors] == [
        (3, "The image of completion 1 'img/c.png' is not in the archive.")
    ]
    assert Image.objects.count() == 2
    two = Task.objects.get(external_id="two")
    assert all(images_of(answer_of(one)) for one in two.content["completions"])


def test_a_table_in_an_archive_names_its_images(campaign: Campaign) -> None:
    data = zipped({"rows.csv": "ask,left,right\nA bird,img/a.png,img/b.jpg\n", **IMAGES})
    report = import_file(
        campaign, data, "a.zip", columns=of_object({"prompt": "ask", "completions": ["left", "right"]})
    )
    assert (report.created, report.errors) == (1, [])
    assert Task.objects.get().meta["origins"] == ["left", "right"]


def test_a_name_that_leads_out_of_the_folder_finds_nothing(campaign: Campaign, tmp_path: Path) -> None:
    inside = tmp_path / "set"
    inside.mkdir()
    (tmp_path / "secret.png").write_bytes(RED)
    (inside / "a.png").write_bytes(RED)
    rows = [pair("What?", id=name, image=name) for name in ("a.png", "../secret.png", str(tmp_path / "secret.png"))]
    report = import_rows(
        campaign=campaign,
        rows=formats.rows_of(io.BytesIO("\n".join(map(json.dumps, rows)).encode())),
        files=FolderFiles([inside]),
        actor=None,
    )
    assert report.created == 1
    assert all("is not in the folder of its rows" in error.reason for error in report.errors)


ARCHIVES: dict[str, tuple[bytes, str]] = {
    "no rows": (zipped({"a.png": RED}), "has no file with rows"),
    "two files of rows": (zipped({"a.jsonl": "", "b.csv": ""}), "has several files with rows"),
    "cut off": (zipped({"rows.jsonl": ROWS})[:-40], "damaged or was cut off"),
    "spreadsheet": (zipped({"[Content_Types].xml": "", "xl/a.xml": ""}), "spreadsheet"),
}


@pytest.mark.parametrize(("data", "reason"), ARCHIVES.values(), ids=ARCHIVES.keys())
def test_an_archive_that_cannot_be_read_says_why(data: bytes, reason: str) -> None:
    with pytest.raises(Unreadable, match=reason):
        attachments.opened(io.BytesIO(data), name="a.zip")


def test_an_image_in_parquet_is_read_and_one_that_is_refused_comes_back(campaign: Campaign) -> None:
    import pyarrow as arrow
    from pyarrow import parquet

    def struct(data: bytes) -> dict[str, Any]:
        return {"bytes": data, "path": "a.png"}

    table = arrow.table(
        {
            "question": ["What?", "What?"],
            "image": [struct(RED), struct(RED[:-60])],
            "chosen": ["A wren.", "A wren."],
            "rejected": ["A robin.", "A robin."],
        }
    )
    buffer, refused = io.BytesIO(), io.BytesIO()
    parquet.write_table(table, buffer)
    report = import_file(campaign, buffer.getvalue(), "a.parquet", refused_to=refused)
    assert (report.created, report.failed) == (1, 1)
    assert shown(asked(campaign)[0]) == ASK
    line = json.loads(refused.getvalue())
    assert line["line"] == 2 and "damaged" in line["reason"]
    line["row"]["image"]["bytes"] = data_uri(BLUE)  # mended
    again = import_(campaign, line)
    assert (again.created, again.errors) == (1, [])


def test_pick_a_pic_has_its_images_as_bytes(campaign: Campaign) -> None:
    import pyarrow as arrow
    from pyarrow import parquet

    buffer = io.BytesIO()
    row = {"caption": ["A bird"], "jpg_0": [GREEN], "jpg_1": [picture("red", kind="JPEG")], "label_0": [1.0]}
    parquet.write_table(arrow.table({**row, "label_1": [0.0], "junk": [b"\0\1"]}), buffer)
    report = import_file(campaign, buffer.getvalue(), "a.parquet")
    assert (report.created, report.errors) == (1, [])
    task = Task.objects.get()
    assert task.meta["labels"] == {"label_0": 1.0, "label_1": 0.0}
    assert task.meta["origins"] == ["jpg_0", "jpg_1"]


def test_a_failure_while_storing_leaves_no_file(campaign: Campaign, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError("the database went away")

    monkeypatch.setattr(type(Image.objects), "bulk_create", fails)
    with pytest.raises(RuntimeError):
        import_(campaign, pair("What?", image=URI))
    assert default_storage.listdir(f"images/{campaign.pk}")[1] == []
