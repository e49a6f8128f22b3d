"""Sample runs: complete rows, the audit slice, resumption after any crash, and refusals in sentences."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.core.worlds import make_spec, pair_rows, prompt_rows
from training.core.decode import Draw, completion_logps
from training.core.generate import run_sample
from training.core.job import RunError, Stopped
from training.core.run import open_job
from training.core.sampler import Sampler
from training.recipes.spec import EXIT_STOPPED, RunResult

KNOBS = {"max_new_tokens": 8, "rows_at_once": 8, "samples_per_prompt": 3}


def rows_of(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "samples.jsonl").read_text().splitlines()]


def metrics_of(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_a_nul_is_shown_as_no_character(do, policy):
    spec, _ = do("sample", model=policy, **KNOBS)
    sampler = Sampler(open_job(spec), str(policy))
    ids = sampler.tokenizer("a\x00b", add_special_tokens=False)["input_ids"]
    assert sampler.tokenizer.decode(ids) == "a\x00b"
    assert sampler.text(Draw(ids, 0.0, 0.0, ended=False)) == "a\ufffdb"


def test_rows_are_complete_and_chosen_by_score(do, policy, reward, tmp_path):
    spec, result = do("sample", model=policy, scorers={"reward": str(reward)}, audit_share=0.2, **KNOBS)
    rows = rows_of(tmp_path / "run")
    assert result.files == {"samples": "samples.jsonl"}
    assert [row["id"] for row in rows] == [row["id"] for row in prompt_rows(23)]
    assert sum(row["audit"] for row in rows) == 5 == result.counts["audit"]
    for row in rows:
        assert len(row["completions"]) == 3
        scores = [answer["scores"]["reward"] for answer in row["completions"]]
        if row["audit"]:
            assert row["selection"] == "random"
        else:
            assert row["selection"] == "best_worst"
            assert {scores[i] for i in row["pair"]} == {max(scores), min(scores)}
    assert result.metrics["best_reward"] > result.metrics["mean_reward"]
    lines = metrics_of(tmp_path / "run")
    assert lines[-1]["step"] == lines[-1]["total_steps"] == 23 and all("time" in line for line in lines)
    assert not list((tmp_path / "run").glob("*.part"))
    # The stored log-probabilities are the policy's own.
    sampler = Sampler(open_job(spec), str(policy))
    answer = rows[0]["completions"][0]
    prompt = sampler.tokenizer.apply_chat_template(rows[0]["prompt"], add_generation_prompt=True, return_dict=False)
    if not answer["ended"]:
        ids = sampler.tokenizer(answer["text"], add_special_tokens=False)["input_ids"]
        if len(ids) == answer["tokens"]:
            assert completion_logps(sampler.model, [prompt], [ids])[0] == pytest.approx(answer["logp"], abs=1e-3)


def test_without_a_scorer_pairs_are_random_and_it_says_so(do, policy, tmp_path):
    _, result = do("sample", model=policy, **KNOBS)
    rows = rows_of(tmp_path / "run")
    assert all(row["selection"] == "random" and row["pair"] for row in rows)
    assert any("random" in note for note in result.notes)
    assert all(answer["scores"] == {} for row in rows for answer in row["completions"])


@pytest.mark.parametrize(("labeller", "by"), [("explicit", "reward"), ("implicit", "implied")])
def test_a_model_labels_pairs_that_a_policy_can_learn_from(do, policy, reward, tmp_path, labeller, by):
    trained, _ = do("dpo", into="trained", model=policy, rows=pair_rows(4), max_steps=1, batch_size=4, eval_share=0.0)
    scorers = {"reward": str(reward)} | ({"implied": f"{trained.output}/model"} if labeller == "implicit" else {})
    made = {"model": policy, "labeller": labeller, "asked_share": 0.5, "doubtful_share": 0.2, **KNOBS}
    _, result = do("sample", reference=str(policy), scorers=scorers, **made)
    rows = {row["id"]: row for row in rows_of(tmp_path / "run")}
    pairs = [json.loads(line) for line in (tmp_path / "run" / result.files["pairs"]).open()]
    assert len(pairs) == result.counts["labelled"] > 0

    def gap(row):
        one, other = (row["completions"][place]["scores"][by] for place in row["pair"])
        return abs(one - other)

    others = [row for row in rows.values() if row["pair"] is not None and not row["audit"]]
    asked = [row for row in others if row["asked"]]
    doubtful = [gap(row) for row in asked if row["doubtful"]]
    assert {pair["id"] for pair in pairs} == {row["id"] for row in asked if not row["doubtful"]}
    assert len(doubtful) == result.counts["doubtful"] == math.ceil(0.2 * len(asked)) > 0
    assert max(doubtful) <= min(gap(row) for row in asked if not row["doubtful"]), "people judge what is closest"
    left = [gap(row) for row in others if not row["asked"]]
    assert len(left) == result.counts["unasked"] == len(others) // 2
    assert max(left) <= min(gap(row) for row in others if row["asked"]), "the half whose scores are furthest apart"
    for pair in pairs:
        row = rows[pair["id"]]
        score = {answer["text"]: answer["scores"].get(by) for answer in row["completions"]}
        assert not row["audit"] and row["asked"] and row["selection"] == "best_worst" and pair["source"] == by
        assert score[pair["chosen"]] > score[pair["rejected"]]
    _, learned = do("dpo", into="learned", model=policy, rows=pairs, max_steps=1, batch_size=4, eval_share=0.0)
    assert learned.counts["read"] == len(pairs)
    with pytest.raises(RunError, match=f"no scorer called {by}"):
        do("sample", into="lacking", **made)
    if labeller == "implicit":
        with pytest.raises(RunError, match="needs the reference"):
            do("sample", into="alone", scorers=scorers, **made)


def test_other_prompts_and_portions_change_nothing(do, policy, tmp_path):
    do("sample", into="all", model=policy, **KNOBS)
    do("sample", into="few", model=policy, rows=prompt_rows(23)[5:9], **KNOBS | {"rows_at_once": 3})
    everything = {row["id"]: row for row in rows_of(tmp_path / "all")}
    for row in rows_of(tmp_path / "few"):
        texts = [answer["text"] for answer in everything[row["id"]]["completions"]]
        assert [answer["text"] for answer in row["completions"]] == texts


def test_stops_when_asked_and_goes_on_where_it_was(do, policy, tmp_path):
    do("sample", into="whole", model=policy, **KNOBS)
    spec = make_spec(tmp_path / "run", "sample", model=policy, **KNOBS)
    (tmp_path / "run" / "STOP").touch()
    with pytest.raises(Stopped):
        run_sample(open_job(spec))
    (tmp_path / "run" / "STOP").unlink()
    job = open_job(spec)
    asked = iter([False, False, True])
    job.stop_requested = lambda: next(asked)  # type: ignore[method-assign]
    with pytest.raises(Stopped):
        run_sample(job)
    assert metrics_of(tmp_path / "run")[-1]["step"] == 4
    # A torn line, as a crash in the middle of a write leaves it.
    with (tmp_path / "run" / "samples.jsonl.0.part").open("ab") as file:
        file.write(b'{"id": "99", "comp')
    run_sample(open_job(spec))
    assert (tmp_path / "run" / "samples.jsonl").read_bytes() == (tmp_path / "whole" / "samples.jsonl").read_bytes()
    assert [line["step"] for line in metrics_of(tmp_path / "run")] == [
        line["step"] for line in metrics_of(tmp_path / "whole")
    ]


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_child_is_as_good_as_new(do, policy, reward, tmp_path, how):
    knobs = KNOBS | {"max_new_tokens": 60, "rows_at_once": 3}
    scorers = {"reward": str(reward)}
    do("sample", into="whole", model=policy, scorers=scorers, **knobs)
    spec = make_spec(tmp_path / "run", "sample", model=policy, scorers=scorers, **knobs)
    command = [sys.executable, "-m", "training.core.run", str(Path(spec.output) / "spec.json")]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    child = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    part = tmp_path / "run" / "samples.jsonl.0.part"
    deadline = time.monotonic() + 120
    while not (part.exists() and part.read_bytes().count(b"\n") >= 2) and time.monotonic() < deadline:
        time.sleep(0.005)
    child.send_signal(how)
    code = child.wait(60)
    assert code == (EXIT_STOPPED if how == signal.SIGTERM else -signal.SIGKILL)
    done = part.read_bytes().count(b"\n")
    assert 2 <= done < 23 and RunResult.read(spec.output) is None
    assert subprocess.run(command, env=environment, stdout=subprocess.DEVNULL).returncode == 0
    assert (tmp_path / "run" / "samples.jsonl").read_bytes() == (tmp_path / "whole" / "samples.jsonl").read_bytes()
    assert RunResult.read(spec.output) == RunResult.read(tmp_path / "whole")


def test_rows_that_cannot_be_answered_are_counted_and_named(do, policy, tmp_path):
    rows = [
        *prompt_rows(2),
        {"id": "long", "prompt": "why " * 300},
        {"id": "empty", "prompt": " "},
        {"id": "none"},
        {"prompt": "A string is a user's turn."},
    ]
    _, result = do("sample", model=policy, rows=rows, **KNOBS)
    assert len(rows_of(tmp_path / "run")) == 3 == result.counts["prompts"]
    assert result.counts["read"] == 6 and result.counts["refused_too_long"] == 1
    assert any("line 3" in note and "no room" in note for note in result.notes)
    with pytest.raises(RunError, match="id 0"):
        do("sample", into="twice", model=policy, rows=prompt_rows(2) + prompt_rows(1), **KNOBS)
    with pytest.raises(RunError, match="no prompt"):
        do("sample", into="nothing", model=policy, rows=[{"id": "none"}], **KNOBS)
    with pytest.raises(RunError, match="max_new_tokens"):
        do("sample", into="endless", model=policy, **KNOBS | {"max_new_tokens": 512})
