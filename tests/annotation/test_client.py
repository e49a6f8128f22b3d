"""The client against a real server: import, judge, export that breaks off, freeze, and a message that is verified."""

from __future__ import annotations

import http.server
import re
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any

import pyarrow.parquet as arrow
import pytest

from annotation import webhooks
from annotation.client import Client, RequestRefused, verified
from tests.factories import PASSWORD, judge, make_campaign, make_user


@pytest.fixture
def lead(transactional_db):
    return make_user("lea", password=PASSWORD)


@pytest.fixture(autouse=True)
def files(settings, tmp_path):
    settings.ATTUNE_FILES = tmp_path / "files"


class Cutting(http.server.BaseHTTPRequestHandler):
    """Passes requests on, and cuts the answer to each of the first exports off a little later."""

    def do_GET(self):
        asked = urllib.request.Request(self.server.behind + self.path, headers=dict(self.headers))
        with urllib.request.urlopen(asked) as response:
            body = response.read()
        self.server.asked.append(self.path)
        self.send_response(200)
        for name in ("Content-Type", "Export-Through", "ETag"):
            self.send_header(name, response.headers[name])
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        cut = self.server.cuts.pop(0) if self.server.cuts else len(body)
        self.wfile.write(body[:cut])
        self.close_connection = True

    def log_message(self, *_):
        pass


def test_from_rows_to_rows(live_server, lead, tmp_path):
    attune = Client.signed_in(live_server.url, username="lea", password=PASSWORD)
    campaign = make_campaign("Pairs", lead=lead).pk
    rows = [{"id": f"q{n}", "prompt": f"Question {n}?", "completions": ["Yes.", f"Yes, {n}."]} for n in range(6)]
    report = attune.import_rows(campaign, [*rows, {"prompt": "no answers"}])
    assert (report.created, report.failed, report.errors[0]["line"]) == (6, 1, 7)
    while item := attune.next_item(campaign):
        assert attune.submit(item, {"preference": "1" if "," in item.completions[0] else "7"}) > 0
    assert [one.name for one in attune.campaigns()] == ["Pairs"] and attune.campaign(campaign).kind == "pairwise"
    whole = list(attune.export(campaign, layout="unpaired"))
    assert len(whole) == 12
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Cutting)
    size = len(b"".join(str(row).encode() for row in whole))
    server.behind, server.asked, server.cuts = live_server.url, [], [size // 2, 40, size // 3, 0]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    cut = Client(f"http://127.0.0.1:{server.server_port}", attune._token)
    assert list(cut.export(campaign, layout="unpaired")) == whole
    assert len(server.asked) == 5 and "through=" in server.asked[-1]
    server.shutdown()
    server.server_close()
    tag = attune.download(campaign, tmp_path / "pairs.parquet", view="pairs", file="parquet")
    assert arrow.read_table(tmp_path / "pairs.parquet").num_rows == 6
    (tmp_path / "pairs.parquet").unlink()
    assert attune.download(campaign, tmp_path / "pairs.parquet", view="pairs", file="parquet", etag=tag) == tag
    assert not (tmp_path / "pairs.parquet").exists(), "nothing is new"
    frozen = attune.freeze(campaign, licence="cc0-1.0")
    assert frozen.rows == 6 and [one.id for one in attune.snapshots(campaign)] == [frozen.id]
    assert len(list(attune.snapshot_rows(frozen.id))) == 6
    attune.snapshot_folder(frozen.id, tmp_path / "folder.zip")
    secret = attune.add_webhook(campaign, "https://example.org/hook", ["batch.completed"])
    assert secret.startswith("whsec_")
    with pytest.raises(RequestRefused, match="Some values") as refused:
        list(attune.export(campaign, view="pears"))
    assert refused.value.status == 400 and "view" in refused.value.errors
    with pytest.raises(RequestRefused) as refused:
        Client(live_server.url, "wrong").campaign(campaign)
    assert refused.value.status == 401


def test_the_examples_of_the_readme_run_as_they_stand(transactional_db, live_server, tmp_path, monkeypatch):
    """Only the address and the password are others; the file that one reads is what its line with curl gives."""
    lead = make_user("lead", password=PASSWORD)
    campaign = make_campaign("Real answers", lead=lead, tasks=4)
    for _ in range(4):
        judge(lead, campaign, preference=2)
    readme = Path(__file__).resolve().parents[2] / "README.md"
    examples = re.findall(r"```python\n(.*?)```", readme.read_text(), re.DOTALL)
    assert ["load_dataset" in one for one in examples] == [True, False]
    monkeypatch.chdir(tmp_path)
    attune = Client.signed_in(live_server.url, username="lead", password=PASSWORD)
    attune.download(campaign.pk, tmp_path / "pairs.jsonl", view="pairs")
    for example in examples:
        said = example.replace("http://127.0.0.1:8000", live_server.url).replace(
            'password="…"', f"password={PASSWORD!r}"
        )
        known: dict[str, Any] = {}
        exec(compile(said, "README.md", "exec"), known)
        if "load_dataset" in example:
            promised = re.search(r"print\(.*?# (.*?), …", example)[1].split(", ")
            assert set(promised) <= set(known["pairs"].column_names) and len(known["pairs"]) == 4
        else:
            assert {row["prompt"][0]["content"] for row in known["rows"]} <= {f"Question {n}?" for n in range(4)}
            assert known["frozen"].rows == 4 and known["run"].state == "queued"
            assert arrow.read_table(tmp_path / "pairs.parquet").num_rows == 4


def test_a_message_is_taken_only_when_it_is_signed_and_new():
    secret, body = "whsec_" + "QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFB", '{"type":"ping"}'
    now = int(time.time())

    def headers(timestamp):
        signed = webhooks.signature(secret, message_id="msg_1", timestamp=timestamp, body=body)
        return {"Webhook-Id": "msg_1", "Webhook-Timestamp": str(timestamp), "Webhook-Signature": f"v1,x {signed}"}

    assert verified(secret, headers(now), body.encode()) == {"type": "ping"}
    for wrong_headers, wrong_body in ((headers(now - 600), body), (headers(now), body + " "), ({}, body)):
        with pytest.raises(ValueError):
            verified(secret, wrong_headers, wrong_body.encode())


def test_it_needs_nothing_but_the_standard_library():
    code = "import annotation.client, sys; print(sorted({'django', 'torch', 'orjson', 'celery'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
