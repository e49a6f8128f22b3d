"""Import and export over REST: every line is answered for, and what comes out is what TRL reads."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pyarrow.csv as arrow_csv
import pyarrow.parquet as arrow_parquet
import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from rest_framework.test import APIClient

from annotation.api.exchange import PIECE_BYTES, compressed, in_pieces
from annotation.models import Campaign, Event, Task, User
from annotation.services import intake
from tests.annotation.api.conftest import add_pairs, pair_line
from tests.factories import judge

LINES = "application/x-ndjson"


def send(client: APIClient, campaign: Campaign, body: bytes, content_type: str = LINES) -> Any:
    return client.post(f"/api/campaigns/{campaign.pk}/import/", body, content_type=content_type)


def export(client: APIClient, campaign: Campaign, query: str = "", **headers: Any) -> Any:
    response = client.get(f"/api/campaigns/{campaign.pk}/export/{query}", **headers)
    assert response.status_code == 200, response.content
    return response


def rows_of(response: Any) -> list[dict[str, Any]]:
    return [json.loads(line) for line in b"".join(response.streaming_content).splitlines()]


def test_good_lines_are_200_and_the_same_again_creates_nothing(
    clients: dict[str, APIClient], campaign: Campaign, people: dict[str, User]
) -> None:
    body = b"\n".join(pair_line(number) for number in range(10, 14))
    first = send(clients["engineer"], campaign, body)
    assert (first.status_code, first.json()["created"], first.json()["errors"]) == (200, 4, [])
    again = send(clients["engineer"], campaign, body)
    assert (again.status_code, again.json()["created"], again.json()["existing"]) == (200, 0, 4)
    assert Event.objects.filter(action="tasks.imported", actor=people["engineer"]).count() == 2


def test_bad_lines_are_told_by_number_and_the_good_ones_kept(clients: dict[str, APIClient], campaign: Campaign) -> None:
    body = b"\n".join([pair_line(20), b"not json", pair_line(21), b'{"prompt": "no answers"}', b"", pair_line(22)])
    response = send(clients["lead"], campaign, body)
    report = response.json()
    assert (response.status_code, report["created"], report["failed"]) == (207, 3, 2)
    assert [error["line"] for error in report["errors"]] == [2, 4]
    assert all(error["reason"].endswith((".", "?")) for error in report["errors"])


def test_nothing_but_bad_lines_is_422(clients: dict[str, APIClient], campaign: Campaign) -> None:
    response = send(clients["lead"], campaign, b"x\n\x00\xff\n[]\n")
    assert response.status_code == 422
    answer = response.json()
    assert set(answer) == {"detail", "errors"}  # like every other error
    assert list(answer["errors"]) == ["1", "2", "3"]
    assert all(reason.endswith((".", "?")) for reasons in answer["errors"].values() for reason in reasons)


@pytest.mark.parametrize("content_type", ["application/jsonl", "text/plain", "application/octet-stream"])
def test_other_names_for_lines_are_read_too(
    clients: dict[str, APIClient], campaign: Campaign, content_type: str
) -> None:
    assert send(clients["lead"], campaign, pair_line(30), content_type).json()["created"] == 1


def test_a_form_with_a_file_is_read_and_one_without_is_told(clients: dict[str, APIClient], campaign: Campaign) -> None:
    path = f"/api/campaigns/{campaign.pk}/import/"
    file = SimpleUploadedFile("pairs.jsonl", pair_line(40) + b"\n" + pair_line(41))
    assert clients["lead"].post(path, {"file": file}, format="multipart").json()["created"] == 2
    without = clients["lead"].post(path, {"other": "x"}, format="multipart")
    assert without.status_code == 400 and "file" in without.json()["errors"]
    assert send(clients["lead"], campaign, pair_line(42), "application/xml").status_code == 415


def test_a_body_is_read_by_the_line(clients: dict[str, APIClient], campaign: Campaign) -> None:
    """The stream is asked for lines, never for the whole; a line of a gigabyte would be cut."""

    class Body(io.BytesIO):
        asked: list[int] = []

        def read(self, size: int | None = -1) -> bytes:
            assert size is not None and 0 <= size < 10_000_000
            return super().read(size)

    body = b"\n".join(pair_line(number) for number in range(50, 60))
    given: dict[str, Any] = {"wsgi.input": Body(body), "CONTENT_LENGTH": str(len(body))}
    path = f"/api/campaigns/{campaign.pk}/import/"
    response = clients["lead"].generic("POST", path, "", content_type=LINES, **given)
    assert response.json()["created"] == 10


CSV = b"question,left,right,topic\nWhy?,one,two,physics\nHow?,same,same,art\n"
COLUMNS = json.dumps({"prompt": "question", "completions": ["left", "right"], "domain": "topic"})


def test_other_formats_and_columns(clients: dict[str, APIClient], campaign: Campaign) -> None:
    path = f"/api/campaigns/{campaign.pk}/import/?{urlencode({'mapping': COLUMNS})}"
    for body, content_type in [
        (CSV, "text/csv; charset=utf-8"),
        (gzip.compress(CSV), "application/octet-stream"),
        (parquet(CSV), "application/vnd.apache.parquet"),
        (parquet(CSV), "application/octet-stream"),
    ]:
        report = clients["engineer"].post(path, body, content_type=content_type).json()
        assert (report["created"] + report["existing"], report["failed"]) == (1, 1), content_type
    file = SimpleUploadedFile("pairs.csv", CSV)
    assert clients["engineer"].post(path, {"file": file}, format="multipart").json()["existing"] == 1
    task = Task.objects.get(campaign=campaign, prompt__domain="physics")
    assert task.meta["origins"] == ["left", "right"]


def parquet(text: bytes) -> bytes:
    out = io.BytesIO()
    arrow_parquet.write_table(arrow_csv.read_csv(io.BytesIO(text)), out)
    return out.getvalue()


def test_a_wrong_mapping_or_format_is_told(clients: dict[str, APIClient], campaign: Campaign) -> None:
    path = f"/api/campaigns/{campaign.pk}/import/"
    wrong = clients["lead"].post(path + "?mapping={", CSV, content_type="text/csv")
    assert wrong.status_code == 422 and wrong.json()["errors"]["mapping"] == ["The mapping is not valid JSON."]
    wrong = clients["lead"].post(path, CSV, content_type="application/vnd.apache.parquet")
    assert wrong.status_code == 422 and "does not begin as Parquet does" in wrong.json()["detail"]


def test_all_refused_rows_can_be_fetched_mended_and_sent_again(
    clients: dict[str, APIClient], campaign: Campaign, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "MAX_ERRORS", 2)
    body = b"\n".join([pair_line(70), *[b'{"prompt": "%d", "completions": ["x"]}' % number for number in range(9)]])
    report = send(clients["lead"], campaign, body).json()
    assert (report["failed"], len(report["errors"])) == (9, 2)
    assert report["refused"].startswith("http://testserver/api/")
    for name in ("annotator", "stranger"):
        assert clients[name].get(report["refused"]).status_code in (403, 404)
    refused = clients["engineer"].get(report["refused"])
    assert refused["Content-Type"] == LINES and refused["Content-Disposition"].startswith("attachment")
    lines = b"".join(refused.streaming_content)
    assert [json.loads(line)["line"] for line in lines.splitlines()] == list(range(2, 11))
    mended = lines.replace(b'["x"]', b'["x", "y"]')
    assert send(clients["lead"], campaign, mended).json()["created"] == 9
    nothing = send(clients["lead"], campaign, b"{").json()
    (address,) = [word for word in nothing["detail"].split() if word.startswith("http")]
    assert json.loads(b"".join(clients["lead"].get(address).streaming_content))["text"] == "{"
    for wrong in (1, 10**30):
        assert clients["lead"].get(f"/api/campaigns/{campaign.pk}/import/{wrong}/refused/").status_code == 404


def test_the_export_has_the_columns_that_trl_reads(
    clients: dict[str, APIClient], campaign: Campaign, people: dict[str, User]
) -> None:
    judge(people["annotator"], campaign, preference=3)
    judge(people["annotator"], campaign, preference=-1)
    judge(people["annotator"], campaign, preference=0)
    response = export(clients["engineer"], campaign)
    assert response["Content-Type"] == LINES
    assert response["Content-Disposition"] == 'attachment; filename="kind-answers-pairs.jsonl"'
    strong, slight = rows_of(response)
    assert [message["role"] for message in strong["prompt"]] == ["user"]
    assert strong["chosen"][0]["content"].startswith("First")
    assert strong["rejected"][0]["content"].startswith("Second")
    assert slight["chosen"][0]["content"].startswith("Second")
    assert (strong["strength"], slight["strength"]) == (1.0, pytest.approx(1 / 3))
    assert (strong["chosen_origin"], strong["rejected_origin"]) == ("policy-0", "policy-1")
    assert strong["annotator"] == people["annotator"].pseudonym
    assert b"annotator@" not in json.dumps(strong).encode() and people["annotator"].username not in strong.values()
    judgements = rows_of(export(clients["engineer"], campaign, "?view=judgements"))
    assert [row["payload"]["verdict"] for row in judgements] == ["prefer", "prefer", "tie"]
    later = rows_of(export(clients["engineer"], campaign, f"?after={strong['feedback']}"))
    assert later == [slight]


def test_the_export_filters(clients: dict[str, APIClient], campaign: Campaign, people: dict[str, User]) -> None:
    add_pairs(campaign, range(100, 140), batch="round-1")
    for _ in range(43):
        judge(people["annotator"], campaign)
    everything = rows_of(export(clients["lead"], campaign))
    train, test = (rows_of(export(clients["lead"], campaign, f"?split={name}")) for name in ("train", "test"))
    assert len(train) + len(test) == len(everything) == 43 and train and test
    assert not {str(row["prompt"]) for row in train} & {str(row["prompt"]) for row in test}
    assert len(rows_of(export(clients["lead"], campaign, "?batch=round-1"))) == 40
    assert len(rows_of(export(clients["lead"], campaign, "?batch=round-1&batch="))) == 43
    for wrong in (
        "?view=pears",
        "?split=dev",
        "?after=-1",
        "?after=99999999999999999999",
        "?audit=perhaps",
        "?batch=%00",
    ):
        response = clients["lead"].get(f"/api/campaigns/{campaign.pk}/export/{wrong}")
        assert response.status_code in (400, 422), wrong
        assert response.json()["errors"]


def test_the_export_can_be_compressed(
    clients: dict[str, APIClient], campaign: Campaign, people: dict[str, User]
) -> None:
    judge(people["annotator"], campaign)
    plain = b"".join(export(clients["lead"], campaign).streaming_content)
    on_the_way = export(clients["lead"], campaign, HTTP_ACCEPT_ENCODING="br, gzip;q=0.5")
    assert on_the_way["Content-Encoding"] == "gzip"
    assert gzip.decompress(b"".join(on_the_way.streaming_content)) == plain
    file = export(clients["lead"], campaign, "?gzip=1", HTTP_ACCEPT="application/x-ndjson")
    assert file["Content-Type"] == "application/gzip" and file["Content-Disposition"].endswith('.jsonl.gz"')
    assert gzip.decompress(b"".join(file.streaming_content)) == plain


def test_the_first_line_is_sent_at_once_and_the_rest_in_pieces() -> None:
    taken = 0

    def lines() -> Iterator[str]:
        nonlocal taken
        for _ in range(1000):
            taken += 1
            yield "ä" * 1000 + "\n"

    pieces = in_pieces(lines())
    assert next(pieces).decode() == "ä" * 1000 + "\n" and taken == 1
    second = next(pieces)
    assert PIECE_BYTES <= len(second) <= 3 * PIECE_BYTES and taken < 100
    assert sum(piece.count(b"\n") for piece in pieces) + second.count(b"\n") + 1 == 1000
    assert next(compressed(iter([b"first"]))).startswith(b"\x1f\x8b")


def test_the_schema_names_every_column(
    clients: dict[str, APIClient], campaign: Campaign, people: dict[str, User]
) -> None:
    judge(people["annotator"], campaign)
    for view in ("pairs", "judgements", "prompts"):
        told = clients["lead"].get(f"/api/campaigns/{campaign.pk}/export/schema/?view={view}").json()["columns"]
        (row, *_) = rows_of(export(clients["lead"], campaign, f"?view={view}"))
        assert set(row) == set(told)


def test_an_export_is_known_again_and_goes_on_where_it_broke_off(
    clients: dict[str, APIClient], campaign: Campaign, people: dict[str, User]
) -> None:
    for _ in range(3):
        judge(people["annotator"], campaign)
    whole = export(clients["lead"], campaign, "?layout=unpaired")
    tag, through = whole["ETag"], whole["Export-Through"]
    rows = rows_of(whole)
    assert len(rows) == 6 and set(rows[0]) == {"prompt", "completion", "label", "annotator", "feedback"}
    path = f"/api/campaigns/{campaign.pk}/export/?layout=unpaired"
    assert clients["lead"].get(path, HTTP_IF_NONE_MATCH=f'"x", {tag}').status_code == 304
    # Three rows came: two of the first judgement and one of the second, which gives two.
    rest = f"?layout=unpaired&through={through}&after={rows[0]['feedback']}&skip=1"
    judge(people["lead"], campaign)
    assert rows_of(export(clients["lead"], campaign, rest)) == rows[3:]
    changed = export(clients["lead"], campaign, "?layout=unpaired", HTTP_IF_NONE_MATCH=tag)
    assert changed["ETag"] != tag and len(rows_of(changed)) == 8
    other = export(clients["lead"], campaign, "?layout=unpaired&audit=false")
    assert other["ETag"] != changed["ETag"]


def test_the_export_comes_as_parquet(
    clients: dict[str, APIClient], campaign: Campaign, people: dict[str, User]
) -> None:
    judge(people["annotator"], campaign)
    judge(people["annotator"], campaign)
    response = export(clients["engineer"], campaign, "?file=parquet&layout=reward", HTTP_ACCEPT_ENCODING="gzip")
    assert response["Content-Type"] == "application/vnd.apache.parquet" and "Content-Encoding" not in response
    assert response["Content-Disposition"].endswith('-reward.parquet"')
    table = arrow_parquet.read_table(io.BytesIO(b"".join(response.streaming_content)))
    assert table.to_pylist() == rows_of(export(clients["engineer"], campaign, "?layout=reward"))


def test_what_does_not_fit_is_told(clients: dict[str, APIClient], campaign: Campaign) -> None:
    offer = clients["lead"].get(f"/api/campaigns/{campaign.pk}/export/offer/").json()
    assert "preference" in offer["layouts"] and "safe_rlhf" not in offer["layouts"]
    assert {"pairs", "turns", "people", "aggregates"} <= set(offer["views"]) and "outcomes" not in offer["views"]
    for wrong, name in (
        ("?layout=safe_rlhf", "format"),
        ("?layout=pears", "layout"),
        ("?since=yesterday", "since"),
        ("?until=9999-99-99", "until"),
        ("?since=0001-01-01T00:00:00%2B23:00", "since"),
        ("?min_agreement=2", "min_agreement"),
        ("?file=xlsx", "file"),
        ("?round=x", "round"),
    ):
        response = clients["lead"].get(f"/api/campaigns/{campaign.pk}/export/{wrong}")
        assert response.status_code in (400, 422), wrong
        assert name in response.json()["errors"], wrong
    told = clients["lead"].get(f"/api/campaigns/{campaign.pk}/export/schema/?layout=reward").json()
    assert (told["name"], "margin" in told["columns"]) == ("reward", True)
