"""Looking at an upload before it is imported: its first items, what its columns are, and whose it is."""

from __future__ import annotations

import json
import os
import re
from io import BytesIO
from typing import Any

import pytest
from django.core.files.storage import default_storage
from django.urls import reverse
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from annotation.importing import kept_files, uploads
from annotation.models import Event, Task
from annotation.services import campaigns as services
from annotation.tasks import expire_files
from tests.frontend.lead_world import World, make_world

pytestmark = pytest.mark.django_db

CSV = (
    "question,left,right,topic\nWhy?,one,two,physics\nHow?,same,same,art\n"
    + "".join(f"Q{number}?,a{number},b{number},more\n" for number in range(8))
).encode()
CHOSEN = {"prompt": "question", "answer_1": "left", "answer_2": "right", "domain": "topic"}


@pytest.fixture
def world() -> World:
    return make_world(tasks=0)


def at(name: str, world: World, *more: object) -> str:
    return reverse(name, args=[world.campaign.pk, *more])


def upload(world: World, data: bytes, name: str = "pairs.csv", who: str = "lead") -> str:
    file = BytesIO(data)
    file.name = name
    response: Any = world.client(who).post(at("campaign-import", world), {"file": file, "preview": "1"})
    assert response.status_code == 302, response.content.decode()
    return response.url


def text_of(response: Any) -> str:
    return re.sub(r"\s+", " ", response.content.decode())


def test_from_the_upload_through_the_preview_to_the_items(world: World) -> None:
    client = world.client("lead")
    address = upload(world, CSV)
    html = text_of(client.get(address))
    assert "pairs.csv" in html and "No item yet" in html
    assert "Its columns are question, left, right, topic" in html
    assert Task.objects.count() == 0
    shown = client.post(address, {**CHOSEN, "look": "1"})
    html = text_of(shown)
    assert "They make 9 items. 1 cannot be taken." in html and "identical" in html
    assert html.count("compared__pair") == 5 and "Prompt · line 2 · physics" in html
    assert '<option value="right" selected>' in html  # what was chosen stays chosen
    assert Task.objects.count() == 0
    done = client.post(address, {**CHOSEN, "import": "1"})
    assert done.status_code == 302 and "?report=" in done.url
    assert Task.objects.filter(campaign=world.campaign, prompt__domain="physics").count() == 1
    assert Task.objects.count() == 9
    event = Event.objects.get(action="tasks.lines_refused")
    refused = json.loads(client.get(at("import-errors", world, event.pk)).getvalue())
    assert refused["row"] == {"question": "How?", "left": "same", "right": "same", "topic": "art"}
    # It is gone with the import, and a second press says so.
    again = client.post(address, {**CHOSEN, "import": "1"}, follow=True)
    assert "no longer here" in text_of(again) and kept_files.names_in(uploads.FOLDER) == []


def test_a_known_layout_needs_no_columns(world: World) -> None:
    client = world.client("engineer")
    rows = [{"prompt": f"Q{n}", "chosen": "a", "rejected": "b", "meta": {"SECRET": 1}} for n in range(3)]
    address = upload(world, json.dumps(rows).encode(), "rows.json", "engineer")
    assert "All 3 rows were read. They make 3 items." in text_of(client.get(address))
    assert client.post(address, {"import": "1"}, follow=True).status_code == 200
    assert Task.objects.count() == 3


def test_pasted_lines_and_tables_are_looked_at_too(world: World) -> None:
    client = world.client("lead")
    for text in ('{"prompt": "a", "completions": ["x", "y"]}\r\n', CSV.decode()):
        there = client.post(at("campaign-import", world), {"text": text, "preview": "1"})
        assert client.get(there.url).status_code == 200
    assert client.post(there.url, {**CHOSEN, "import": "1"}).status_code == 302


def test_pairs_of_more_answers(world: World) -> None:
    client = world.client("lead")
    address = upload(world, b"q,a,b,c\nWhy?,x,y,z\n")
    chosen = {"prompt": "q", "answer_1": "a", "answer_2": "b", "answer_3": "c"}
    assert "3 completions; this campaign compares 2" in text_of(client.post(address, chosen))
    assert "They make 3 items" in text_of(client.post(address, {**chosen, "per_item": "2"}))


def test_columns_that_make_nothing_keep_the_upload_and_say_why(world: World) -> None:
    client = world.client("lead")
    address = upload(world, CSV)
    wrong = client.post(address, {"prompt": "topic", "answer_1": "left", "import": "1"})
    assert wrong.status_code == 422
    assert "No row was good, so nothing was imported. Line 2: It has 1 completion" in text_of(wrong)
    twice = client.post(address, {**CHOSEN, "answer_2": "left", "import": "1"})
    assert twice.status_code == 422 and "Two answers are the same column" in text_of(twice)
    unknown = client.post(address, {**CHOSEN, "prompt": "nothing", "import": "1"})
    assert unknown.status_code == 422 and "nothing is not one of the available choices" in text_of(unknown)
    services.close_campaign(campaign=world.campaign, actor=world.lead)
    closed = client.post(address, {**CHOSEN, "import": "1"})
    assert closed.status_code == 422 and "This campaign is closed" in text_of(closed)
    assert kept_files.names_in(uploads.FOLDER) != [] and Task.objects.count() == 0


def test_what_cannot_be_read_is_told_at_the_upload(world: World) -> None:
    client = world.client("lead")
    for action in ({"preview": "1"}, {}):
        file = BytesIO(b"PK\x03\x04")
        file.name = "sheet.xlsx"
        response = client.post(at("campaign-import", world), {"file": file, **action})
        assert response.status_code == 422 and "save the sheet as CSV" in text_of(response)
    assert kept_files.names_in(uploads.FOLDER) == []


def test_an_upload_is_for_whoever_made_it_and_for_one_campaign(world: World) -> None:
    address = upload(world, CSV)
    assert world.client("annotator").get(address).status_code == 403
    assert world.client("stranger").get(address).status_code == 404
    engineer = world.client("engineer")
    assert "no longer here" in text_of(engineer.get(address, follow=True))
    other = services.create(name="Other", actor=world.lead)
    token = address.rstrip("/").rsplit("/", 1)[1]
    elsewhere = reverse("import-preview", args=[other.pk, token])
    assert "no longer here" in text_of(world.client("lead").get(elsewhere, follow=True))
    for nonsense in ("x", "0" * 32, "0" * 31 + "g"):
        assert world.client("lead").get(at("import-preview", world, nonsense)).status_code == 302


def test_uploads_expire_after_a_day(world: World) -> None:
    address = upload(world, CSV, "../../ä b-c.csv")
    (name,) = kept_files.names_in(uploads.FOLDER)
    assert name.endswith("-ä_b-c.csv")
    expire_files()
    assert kept_files.names_in(uploads.FOLDER) == [name]
    os.utime(default_storage.path(f"{uploads.FOLDER}/{name}"), (0, 0))
    expire_files()
    assert kept_files.names_in(uploads.FOLDER) == []
    assert "no longer here" in text_of(world.client("lead").get(address, follow=True))


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    data=st.one_of(
        st.binary(max_size=80),
        st.sampled_from(
            [
                CSV,
                b"[{}]",
                b"a,b\n1",
                b'{"a": "\\u0000", "b": "\\ud800"}',
                b'{"a\\u0000": 1, "\\ud800": 2}',
                b"PAR1PAR1",
                b"\x1f\x8b\x08",
            ]
        ),
        st.text(alphabet='[]{}",:\n a1é<&', max_size=60).map(str.encode),
    ),
    name=st.sampled_from(["a.csv", "a.json", "a.parquet", "a.arrow", "..", "x" * 300, "a/b\\c", "-", "\u202e.tsv"]),
    chosen=st.dictionaries(
        st.sampled_from(["prompt", "answer_1", "answer_2", "id", "per_item", "together", "import", "nonsense"]),
        st.one_of(st.sampled_from(["question", "left", "a", "b", "1", "2"]), st.text(max_size=5)),
        max_size=5,
    ),
)
def test_no_upload_makes_a_page_fail(world: World, data: bytes, name: str, chosen: dict[str, str]) -> None:
    client: Any = world.client("lead")
    client.raise_request_exception = False
    file = BytesIO(data)
    file.name = name
    chosen = {key: value.encode(errors="replace").decode() for key, value in chosen.items()}
    response = client.post(at("campaign-import", world), {"file": file, "preview": "1"})
    assert response.status_code in (302, 422), (data, name)
    if response.status_code == 302:
        assert client.get(response.url).status_code in (200, 302)
        assert client.post(response.url, chosen).status_code in (200, 302, 422)
