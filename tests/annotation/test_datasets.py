"""The views: their columns, their filters, and that a prompt stands on one side only."""

from __future__ import annotations

import json

import datasets as hub
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import translation

from annotation import dataset_views, datasets
from annotation.errors import Invalid
from annotation.feedback import KINDS
from annotation.services import quality
from tests.factories import judge, make_campaign, make_task, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def campaign(lead, annotator):
    return make_campaign("Helpful", lead=lead, annotators=[annotator])


def rows(campaign, view="pairs", *, after_id=0, **filters):
    return list(datasets.rows(campaign, view, datasets.Filters(**filters), after_id=after_id))


def test_a_pair_carries_what_a_trainer_and_an_auditor_need(campaign, annotator):
    make_task(
        campaign,
        prompt="Why?",
        completions=("because", "no idea"),
        origins=("policy-1", "policy-2"),
        external_id="e1",
        meta={"round": 3, "policy": "policy-2"},
        is_audit=True,
    )
    feedback = judge(annotator, campaign, preference=-2, active_seconds=4.5)
    (row,) = rows(campaign)
    assert row == {
        "prompt": [{"role": "user", "content": "Why?"}],
        "chosen": [{"role": "assistant", "content": "no idea"}],
        "rejected": [{"role": "assistant", "content": "because"}],
        "strength": 2 / 3,
        "annotator": annotator.pseudonym,
        "position": feedback.shown_order.index(1),
        "seconds": feedback.seconds,
        "active_seconds": 4.5,
        "round": 3,
        "policy": "policy-2",
        "chosen_origin": "policy-2",
        "rejected_origin": "policy-1",
        "campaign": "Helpful",
        "task": "e1",
        "feedback": feedback.pk,
        "audit": True,
        "simulated": False,
        "guideline": 1,
        "turn": None,
        "comment": "",
        "annotator_weight": None,
    }
    assert set(row) == set(dataset_views.VIEWS["pairs"].columns)
    quality.refresh(campaign=campaign)
    (row,) = rows(campaign)
    assert row["annotator_weight"] == 1.0, "one person is the mean"


def test_every_judgement_stands_in_judgements_and_preferences_only_in_pairs(campaign, annotator):
    for _ in range(3):
        make_task(campaign)
    judge(annotator, campaign, preference=0)
    judge(annotator, campaign, data={"preference": "both_bad"})
    judge(annotator, campaign, preference=1, behaviour={"changes": 2})
    assert [row["strength"] for row in rows(campaign)] == [1 / 3]
    found = rows(campaign, "judgements")
    assert [row["verdict"] for row in found] == ["About the same", "Both are bad", "Answer 1 is slightly better"]
    assert found[2]["payload"]["preference"] == 1
    assert [row["behaviour"] for row in found] == [None, None, {"changes": 2}]
    assert set(found[0]) == set(dataset_views.VIEWS["judgements"].columns)
    assert found[2]["completions"][0]["origin"] == "model-a"
    assert set(found[0]) == set(dataset_views.VIEWS["judgements"].columns)


def test_prompts_stand_once_each(campaign):
    make_task(campaign, prompt="Why?")
    make_task(campaign, prompt="Why?", completions=("x", "y"))
    make_task(campaign, prompt="How?")
    found = rows(campaign, "prompts")
    assert [row["prompt"][0]["content"] for row in found] == ["Why?", "How?"]
    assert found[0]["id"] == datasets.prompt_hash(found[0]["prompt"])
    assert set(found[0]) == set(dataset_views.VIEWS["prompts"].columns)


def test_an_amended_judgement_counts_once_as_it_now_stands(campaign, annotator):
    make_task(campaign)
    first = judge(annotator, campaign, preference=3)
    judge(annotator, campaign, preference=-3, assignment=first.assignment)
    (row,) = rows(campaign)
    assert row["chosen_origin"] == "model-b"


def test_filters(campaign, lead, annotator):
    robot = make_user("robot", is_simulated=True)
    campaign.memberships.create(user=robot, role="annotator")
    make_task(campaign, batch="round-1", wanted=3)
    make_task(campaign, batch="round-2", wanted=3, is_audit=True)
    for person in (lead, annotator, robot):
        judge(person, campaign)
        judge(person, campaign)
    everything = rows(campaign)
    assert len(everything) == 6
    assert len(rows(campaign, batches=["round-1"])) == 3
    assert len(rows(campaign, batches=[])) == 0
    assert [row["audit"] for row in rows(campaign, include_audit=False)] == [False] * 3
    assert len(rows(campaign, include_simulated=False)) == 4
    assert {row["annotator"] for row in rows(campaign, exclude_users=[lead.pk])} == {
        annotator.pseudonym,
        robot.pseudonym,
    }
    assert rows(campaign, after_id=everything[3]["feedback"]) == everything[4:]
    assert rows(make_campaign()) == []


def test_an_export_is_the_same_in_every_language(campaign, annotator):
    said = {"payload": {"verdict": "both_bad", "preference": 0, "comment": ""}, "by": "m", "score": None}
    make_task(campaign, meta={"suggestion": said})
    judge(annotator, campaign, preference=3)
    with translation.override("en"):
        exported = [rows(campaign, view) for view in ("judgements", "pairs")]
    with translation.override("de"):
        assert [rows(campaign, view) for view in ("judgements", "pairs")] == exported
        assert translation.get_language() == "de"
    assert exported[0][0]["verdict"].endswith("is much better")
    assert exported[0][0]["suggestion"]["verdict"] == "Both are bad"


def test_train_and_test_share_no_prompt_and_leave_none_out(campaign, annotator):
    for number in range(60):
        make_task(campaign, prompt=f"Question {number % 30}?", completions=(f"a{number}", f"b{number}"))
        judge(annotator, campaign)
    for view in ("pairs", "judgements", "prompts"):
        train, test = rows(campaign, view, split="train"), rows(campaign, view, split="test")
        assert len(train) + len(test) == len(rows(campaign, view))
        assert test, "thirty prompts leave some for the test"
        contents = [{json.dumps(row["prompt"]) for row in part} for part in (train, test)]
        assert contents[0].isdisjoint(contents[1])


def test_a_tenth_of_prompts_is_for_the_test_for_ever():
    hashes = [datasets.prompt_hash([{"role": "user", "content": f"Question {number}?"}]) for number in range(5000)]
    share = sum(datasets.split(one) == "test" for one in hashes) / 5000
    assert 0.085 < share < 0.115
    # Fixed, so that what was held out yesterday is held out by every later version too.
    assert hashes[0] == "d3294c7911754dc93d8b433a834cd194107e5f87b9cc2ce74ec589773b9fb23d"
    assert datasets.split("00000000" + "f" * 56) == "test"
    assert datasets.split("00000001" + "f" * 56) == "train"
    assert datasets.split("0000000a" + "0" * 56) == "test"


def test_a_hash_sees_roles_and_contents_only():
    plain = [{"role": "user", "content": "Grüße 🙂"}]
    assert datasets.prompt_hash(plain) == datasets.prompt_hash([{"content": "Grüße 🙂", "role": "user", "name": "x"}])
    assert datasets.prompt_hash(plain) != datasets.prompt_hash([{"role": "system", "content": "Grüße 🙂"}])


def test_lines_are_read_by_the_usual_library_as_they_are(campaign, annotator, tmp_path):
    make_task(campaign, prompt="Zürich\u2028 “quoted”\n", completions=("ä\t", "🙂"))
    make_task(campaign)
    judge(annotator, campaign, preference=3)
    judge(annotator, campaign, preference=-1)
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(datasets.lines(datasets.rows(campaign, "pairs"))), encoding="utf-8")
    assert "Zürich" in path.read_text(), "readable, not escaped"
    loaded = hub.Dataset.from_json(str(path), cache_dir=str(tmp_path / "cache"))
    assert list(loaded) == [json.loads(json.dumps(row)) for row in rows(campaign)]


def test_wrong_arguments_are_refused_before_the_first_row(campaign):
    with pytest.raises(Invalid, match="did you mean 'pairs'"):
        datasets.rows(campaign, "pair")
    with pytest.raises(Invalid, match="train, test"):
        datasets.Filters(split="dev")


def test_every_view_of_every_kind_exists():
    assert {view for kind in KINDS.values() for view in kind.views} <= set(dataset_views.VIEWS)


def test_rows_are_read_in_pieces_and_an_amendment_meanwhile_comes_once(campaign, annotator, monkeypatch):
    monkeypatch.setattr(datasets, "CHUNK", 2)
    for _ in range(5):
        make_task(campaign)
    judged = [judge(annotator, campaign, preference=1) for _ in range(5)]
    with CaptureQueriesContext(connection) as captured:
        coming = datasets.rows(campaign, "pairs")
        first = next(coming)
    assert len(captured) == 4, "whether there are images, people's weights, the end, and the first piece"
    judge(annotator, campaign, preference=-3, assignment=judged[0].assignment)
    assert [row["task"] for row in (first, *coming)] == [one.task.external_id for one in judged]
    assert len(rows(campaign)) == 5


def test_a_line_holds_whatever_a_row_holds():
    rows = [{"text": "ä “𝄞” \n", "none": None, "list": [1.5, True]}, {"number": 2**70}]
    written = list(datasets.lines(rows))
    assert [json.loads(line) for line in written] == rows
    assert all(line.endswith("\n") and line.count("\n") == 1 for line in written)
