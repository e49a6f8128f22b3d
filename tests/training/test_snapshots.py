"""Frozen data sets: the same rows give the same one, with a card; what changed; overlaps; splits; folder and hub."""

from __future__ import annotations

import http.server
import json
import threading
import zipfile
from io import BytesIO

import datasets as hub
import pytest

from annotation import datasets
from annotation.models import Prompt
from tests.factories import judge, make_campaign, make_task
from training.errors import Invalid, WrongState
from training.services import contamination, near_duplicates, publishing, snapshot_diff, snapshots

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def files(settings, tmp_path):
    settings.ATTUNE_FILES = tmp_path / "files"


@pytest.fixture
def campaign(lead, annotator):
    return make_campaign("Helpful", lead=lead, annotators=[annotator], tasks=12)


def frozen(campaign, view="pairs", **filters):
    return snapshots.freeze(campaign=campaign, view=view, filters=filters, actor=campaign.created_by)


def test_a_folder_with_its_card_is_read_by_datasets(campaign, annotator, tmp_path):
    for _ in range(12):
        judge(annotator, campaign)
    snapshot = snapshots.freeze(
        campaign=campaign, view="pairs", filters={}, actor=campaign.created_by, licence="cc-by-4.0"
    )
    with zipfile.ZipFile(BytesIO(b"".join(publishing.packed(snapshot)))) as archive:
        archive.extractall(tmp_path / "folder")
    card = (tmp_path / "folder" / "README.md").read_text()
    assert 'license: "cc-by-4.0"' in card and snapshot.sha256 in card
    assert "Krippendorff" in card and "No item has been judged by two people yet." in card
    assert "Guideline version 1" in card and "| `strength` |" in card
    assert annotator.pseudonym not in card
    assert snapshot.card["annotators"] == {annotator.pseudonym: 12}
    loaded = hub.load_dataset(str(tmp_path / "folder"), cache_dir=str(tmp_path / "cache"))
    assert sum(len(part) for part in loaded.values()) == 12
    sides = {name: {row["prompt"][0]["content"] for row in part} for name, part in loaded.items()}
    for name, prompts in sides.items():
        for prompt in prompts:
            assert datasets.split(datasets.prompt_hash([{"role": "user", "content": prompt}])) == name


def test_what_changed_between_two(campaign, annotator):
    first = [judge(annotator, campaign, preference=2) for _ in range(3)]
    older = frozen(campaign)
    assert frozen(campaign).pk == older.pk, "the same bytes give the same row"
    judge(annotator, campaign, preference=-1, assignment=first[0].assignment)
    judge(annotator, campaign, preference=0, assignment=first[1].assignment)
    judge(annotator, campaign)
    newer = frozen(campaign)
    found = snapshot_diff.difference(older, newer)
    assert (found.added, found.removed, found.changed, found.same) == (1, 1, 1, 1)
    assert {row["what"] for row in found.rows} == {"added", "removed", "changed"}
    (changed,) = [row for row in found.rows if row["what"] == "changed"]
    assert {"chosen", "rejected", "strength", "feedback"} <= set(changed["columns"])
    with pytest.raises(Invalid, match="two of one view"):
        snapshot_diff.difference(older, frozen(campaign, "prompts"))


def test_rows_that_share_words_with_a_suite_are_named_and_left_out(campaign, annotator, tmp_path, settings):
    words = "the quick brown fox jumps over the lazy dog while seven wizards brew strong coffee"
    make_task(campaign, prompt=f"Please repeat: {words.upper()}!", external_id="leaked", priority=9)
    make_task(campaign, prompt="What colour is the sky today?", external_id="short", priority=8)
    for _ in range(4):
        judge(annotator, campaign)
    suite = tmp_path / "suite"
    suite.mkdir()
    asked = [{"prompt": f"{words}.", "id": "1"}, {"prompt": "what colour is the sky today"}]
    (suite / "questions.json").write_text(json.dumps(asked))
    settings.ATTUNE_SHARED_FOLDERS = [str(suite)]
    everything = frozen(campaign)
    suites = contamination.Suites([str(suite)], n=13)
    found = list(contamination.overlaps(snapshots.lines(everything), suites))
    assert [one.task for one in found] == ["leaked", "short"]
    assert found[0].words.startswith("the quick brown fox") and len(found[0].words.split()) == 13
    clean = frozen(campaign, decontaminate={"suites": [str(suite)], "n": 8})
    assert clean.rows == everything.rows - 2
    assert clean.card["contaminated"]["count"] == 2
    assert "leaked" not in {row["task"] for row in snapshots.lines(clean)}
    again = contamination.Suites([f"snapshot:{clean.pk}"], n=13)
    assert len(list(contamination.overlaps(snapshots.lines(clean), again))) <= clean.rows
    for name in (str(tmp_path / "elsewhere"), "snapshot:999999", "../x", "a\x00b", str(suite / "none.json")):
        with pytest.raises(Invalid):
            contamination.Suites([name], n=13)


def test_near_duplicates_follow_the_first_of_them_for_ever():
    base = "Explain to a child of ten how a rainbow comes about after the rain, in three short sentences please."
    prompts = [
        ("a", base),
        ("b", base.replace("ten", "nine").upper()),
        ("c", "What is the capital of Mongolia, and how many people live there?"),
        ("d", base + "!"),
        ("e", "..."),
        ("f", "Hi"),
    ]
    found = near_duplicates.leaders(prompts)
    assert found == {"a": "a", "b": "a", "c": "c", "d": "a", "e": "e", "f": "f"}
    assert near_duplicates.leaders(prompts[:1])["a"] == "a", "what comes later moves nothing"
    one, two = (near_duplicates.signature_of(text) for text in (base, prompts[2][1]))
    assert near_duplicates.similarity(one, one) == 1.0 and near_duplicates.similarity(one, two) < 0.3


def test_what_is_near_any_known_text_is_known_not_only_near_one_that_leads_a_group():
    """Of the chain one – middle – last, one and last are no near duplicates, and `leaders` has only one to ask."""
    words = [f"word{number}" for number in range(40)]
    one = " ".join(words)
    middle = " ".join(["first", "changed", "here", *words[3:]])
    last = " ".join(["first", "changed", "here", *words[3:-3], "last", "changed", "there"])
    known = {"one": one, "middle": middle, "signs": " 🙂🙂 ", "images": "…"}
    assert near_duplicates.leaders([*known.items(), ("last", last)])["last"] == "last"
    asked = {"a": last, "b": one.upper() + "!", "c": "🙂🙂", "d": "🙂", "e": "", "f": "What is the capital?"}
    assert near_duplicates.near(known.values(), asked) == {"a", "b", "c"}
    assert near_duplicates.near([one], asked) == {"b"} and near_duplicates.near([], asked) == set()


def test_groups_stand_on_one_side_and_the_rest_where_it_stood(campaign, annotator):
    base = "Explain to a child of {} how a rainbow comes about after the rain, in three short sentences, number {}"
    for number in range(20):
        make_task(campaign, prompt=base.format("ten", number), external_id=f"rainbow-{number}")
    for _ in range(32):
        judge(annotator, campaign)
    ordinary = {name: frozen(campaign, split=name) for name in ("train", "test")}
    grouped = {name: frozen(campaign, split=name, group_near_duplicates=True) for name in ("train", "test")}
    rainbow = [
        sum("rainbow" in row["prompt"][0]["content"] for row in snapshots.lines(one)) for one in grouped.values()
    ]
    assert sorted(rainbow) == [0, 20]
    first = Prompt.objects.filter(campaign=campaign, messages__icontains="rainbow").order_by("id").first()
    assert rainbow[0 if datasets.split(first.content_hash) == "train" else 1] == 20
    assert sum(one.rows for one in grouped.values()) == sum(one.rows for one in ordinary.values()) == 32
    plain = frozen(campaign)
    whole = frozen(campaign, group_near_duplicates=True)
    assert whole.sha256 == plain.sha256 and whole != plain, "the same rows, and another split"
    assert (frozen(campaign), frozen(campaign, group_near_duplicates=True)) == (plain, whole)
    sides = {row["task"]: side for row, side in snapshots.with_sides(whole)}
    assert {row["task"] for row in snapshots.lines(grouped["test"])} == {
        task for task, side in sides.items() if side == "test"
    }


class Hub(http.server.BaseHTTPRequestHandler):
    """As much of a hub as an upload of small files speaks to."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked.append((self.path, self.headers.get("Authorization"), body))
        if self.path == "/api/repos/create":
            said = {"url": f"{self.server.url}/datasets/team/pairs"}
        elif "/preupload/" in self.path:
            wanted = json.loads(body)["files"]
            said = {"files": [{"path": f["path"], "uploadMode": "regular", "shouldIgnore": False} for f in wanted]}
        elif "/commit/" in self.path:
            said = {"commitUrl": f"{self.server.url}/datasets/team/pairs/commit/abc", "commitOid": "abc"}
        else:
            said = {"warnings": [], "errors": []}
        self._answer(said)

    def do_GET(self):
        self._answer({"id": "team/pairs", "sha": "abc", "siblings": []})

    def _answer(self, said):
        body = json.dumps(said).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def a_hub():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.asked, server.url = [], f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()


def test_it_is_pushed_to_a_hub_with_its_card(campaign, annotator, settings, a_hub):
    judge(annotator, campaign)
    snapshot = frozen(campaign)
    with pytest.raises(WrongState, match="HUB_ENDPOINT"):
        publishing.push(snapshot=snapshot, repository="team/pairs", actor=None)
    settings.ATTUNE_HUB_ENDPOINT, settings.ATTUNE_HUB_TOKEN = a_hub.url, "hf_secret"
    told = publishing.push(snapshot=snapshot, repository="team/pairs", actor=None)
    assert told["to"].endswith("/datasets/team/pairs") and told["commit"] == "abc"
    (commit,) = [body for path, _, body in a_hub.asked if "/commit/" in path]
    sent = {json.loads(line)["value"]["path"] for line in commit.splitlines() if b'"file"' in line}
    assert {"README.md", "snapshot.json"} < sent and any(name.startswith("data/") for name in sent)
    (created,) = [json.loads(body) for path, _, body in a_hub.asked if path == "/api/repos/create"]
    assert created.get("private", created.get("visibility")) in (True, "private") and created["type"] == "dataset"
    assert {who for _, who, _ in a_hub.asked} == {"Bearer hf_secret"}
    snapshot.refresh_from_db()
    assert [one["commit"] for one in snapshot.pushed] == ["abc"]
    for wrong in ("../x", "a/b/c", "", "a b"):
        with pytest.raises(Invalid):
            publishing.push(snapshot=snapshot, repository=wrong, actor=None)
    a_hub.shutdown()
    a_hub.server_close()
    with pytest.raises(WrongState, match="refused"):
        publishing.push(snapshot=snapshot, repository="team/pairs", actor=None)


def test_a_folder_takes_the_place_of_a_hub(campaign, annotator, settings, tmp_path):
    judge(annotator, campaign)
    settings.ATTUNE_HUB_FOLDER = str(tmp_path / "hub")
    snapshot = frozen(campaign)
    publishing.push(snapshot=snapshot, repository="team/pairs", actor=None)
    loaded = hub.load_dataset(str(tmp_path / "hub" / "team" / "pairs"), cache_dir=str(tmp_path / "cache"))
    assert sum(len(part) for part in loaded.values()) == 1
