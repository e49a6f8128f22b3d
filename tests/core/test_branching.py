"""Branched rollouts: who says what by hand, a true run, and that `refuel` learns from what it leaves."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from tests.core.scripted import scripted
from tests.core.worlds import make_spec, pair_rows
from training.core import sampler
from training.core.branching import Dialogue, begun, branch_turn, run_rollouts, swapped
from training.core.job import RunError, Stopped
from training.core.prompts import Prompt
from training.core.run import open_job
from training.core.scoring import load_scorers

SYSTEM, ASKED, SAID, MORE = (
    {"role": role, "content": text}
    for role, text in (("system", "be kind"), ("user", "hello"), ("assistant", "yes?"), ("user", "what is a sea"))
)
FEW = {"max_new_tokens": 6, "rows_at_once": 8}


def dialogues(count):
    """Prompts in whose conversation the user speaks twice."""
    return [{"id": f"{n}", "prompt": [*row["prompt"], SAID, MORE]} for n, row in enumerate(pair_rows(count))]


def rows_of(spec):
    return [json.loads(line) for line in (Path(spec.output) / "pairs.jsonl").read_text().splitlines()]


@pytest.fixture
def rollouts(do, policy, reward):
    def run(**more):
        return do("refuel-rollouts", **{"model": policy, "scorers": {"reward": str(reward)}, **FEW, **more})

    return run


def test_who_plays_the_user_reads_the_dialogue_from_the_other_side():
    told = [{"role": "assistant", "content": "hello"}, {"role": "user", "content": "yes?"}]
    assert swapped([SYSTEM, ASKED, SAID], "") == told
    assert swapped([SYSTEM, ASKED, SAID], "play") == [{"role": "user", "content": "play"}, *told]


def test_a_dialogue_begins_with_the_prompt_or_with_its_first_turn():
    prompt = Prompt("a", [SYSTEM, ASKED, SAID, MORE], [])
    given = begun(prompt, turns=3, simulated=False, user_turns=["go on", "and then"])
    assert given == Dialogue("a", [SYSTEM, ASKED], 3, ["what is a sea", "go on"])
    assert begun(prompt, turns=8, simulated=False, user_turns=[]).turns == 2, "nobody says more"
    assert begun(prompt, turns=3, simulated=True, user_turns=[]) == Dialogue("a", prompt.messages, 3, None)


def test_each_turn_is_as_likely_to_be_the_one_at_which_a_dialogue_parts():
    found = Counter(branch_turn(str(n), 3, seed=0) for n in range(3000))
    assert set(found) == {1, 2, 3} and all(abs(count - 1000) < 100 for count in found.values())


@pytest.mark.parametrize("outcome", ["last", "sum"])
def test_both_ways_share_what_was_before_and_the_gap_is_what_the_reward_model_says(rollouts, reward, outcome):
    spec, result = rollouts(rows=dialogues(16), user_turns="go on", turns=3, outcome=outcome)
    rows = rows_of(spec)
    assert len(rows) == result.counts["pairs"] > 8 and {row["turn"] for row in rows} == {1, 2, 3}
    assert result.counts["dialogues"] + result.counts["held_out"] == 16
    (scorer,) = load_scorers({"reward": str(reward)}, device=open_job(spec).device).values()
    for row in rows:
        start = {one["id"]: one["prompt"][0] for one in dialogues(16)}[row["id"].split("/")[0]]
        assert row["prompt"][0] == start and row["turns"] == 3
        users = [one["content"] for one in row["prompt"] if one["role"] == "user"]
        assert users == [start["content"], "what is a sea", "go on"][: row["turn"]]
        assert row["chosen"] != row["rejected"]
        for side in ("chosen", "rejected"):
            whole = [*row["prompt"], *row[side], *row[f"{side}_rest"]]
            assert [one["role"] for one in whole] == ["user", "assistant"] * 3
            places = [5] if outcome == "last" else list(range(len(row["prompt"]), 6, 2))
            scores = scorer.score([whole[:at] for at in places], [whole[at]["content"] for at in places])
            assert row[f"{side}_worth"] == pytest.approx(sum(scores), abs=1e-4)
        assert row["strength"] == pytest.approx(row["chosen_worth"] - row["rejected_worth"]) and row["strength"] > 0


def test_another_policy_plays_the_user_and_is_told_so(rollouts, policy, tmp_path, monkeypatch):
    """It hears each answer as a user's turn, behind its instruction, and says why to it; nothing of the system turn."""
    echo, tokenizer = scripted(lambda heard: f"why {heard}")
    load, folder = sampler.load_policy, tmp_path / "echo"
    folder.symlink_to(policy)
    monkeypatch.setattr(
        sampler, "load_policy", lambda path, **more: (echo, tokenizer) if path == str(folder) else load(path, **more)
    )
    prompts = [{"id": f"{n}", "prompt": [SYSTEM, *row["prompt"]]} for n, row in enumerate(pair_rows(16))]
    spec, _ = rollouts(
        rows=prompts, beside={"simulator": str(folder)}, turns=2, user_max_new_tokens=40, instruction="play"
    )
    rows = rows_of(spec)
    assert len(rows) > 3 and {row["turn"] for row in rows} == {1, 2}
    for row in rows:
        said = [*row["prompt"], *row["chosen"], *row["chosen_rest"]]
        assert said[3]["role"] == "user" and said[3]["content"].strip() == f"why {said[2]['content']}".strip()
    assert echo.heard and all(told.startswith("<|user|>play<|end|><|assistant|>") for told in echo.heard)
    assert not any("be kind" in told for told in echo.heard)


def test_a_run_that_was_stopped_goes_on_to_the_same_rows(rollouts, policy, reward, tmp_path):
    rows, more = dialogues(12), {"user_turns": "go on", "turns": 3, "rows_per_prompt": 2}
    whole = rows_of(rollouts(into="whole", rows=rows, **more)[0])
    assert rows_of(rollouts(into="again", rows=rows, **more)[0]) == whole
    assert rows_of(rollouts(into="other", rows=rows, seed=1, **more)[0]) != whole
    scorers = {"reward": str(reward)}
    spec = make_spec(tmp_path / "cut", "refuel-rollouts", model=policy, scorers=scorers, rows=rows, **FEW, **more)
    job, asked = open_job(spec), iter([False, True])
    job.stop_requested = lambda: next(asked)  # type: ignore[method-assign]
    with pytest.raises(Stopped):
        run_rollouts(job)
    run_rollouts(open_job(spec))
    assert rows_of(spec) == whole and not list(tmp_path.glob("cut/*.part"))


def test_refuel_learns_from_the_rows_beside_those_that_people_judged(do, rollouts, policy):
    spec, _ = rollouts(rows=dialogues(16), turns=2)
    scored = rows_of(spec)
    # As people judge the same dialogues: whole, of which the turn where they part is learned.
    whole = [{**row, **{side: row[side] + row[f"{side}_rest"] for side in ("chosen", "rejected")}} for row in scored]
    assert any(len(row["chosen"]) > 1 for row in whole)
    rows = [*({**row, "strength": 1 / 3} for row in pair_rows(4)), *scored, *({**row, "strength": 1} for row in whole)]
    more = {"model": policy, "reference": str(policy), "max_steps": 2, "batch_size": 4, "learning_rate": 1e-3}
    trained, result = do("refuel", into="trained", rows=rows, **more)
    assert result.counts["trained_on"] + result.counts["held_out"] == len(rows)
    first = json.loads((Path(trained.output) / "metrics.jsonl").read_text().splitlines()[0])
    assert abs(first["margin"]) < 1e-3, "before the first step it is the policy that wrote them"


def test_it_says_what_is_missing_and_what_was_left_out(do, rollouts, policy):
    with pytest.raises(RunError, match="need a reward model"):
        do("refuel-rollouts", model=policy, rows=dialogues(2))
    given = [{"id": "a", "prompt": "x" * 600}, *dialogues(4)]
    _, result = rollouts(into="long", rows=given, user_turns="y" * 600, turns=3)
    told = [str(note) for note in result.notes]
    assert any("leave no room for an answer" in one for one in told)
    assert result.counts["pairs"] == 0 and any("No pair is left" in one for one in told)
    assert any("grow longer than a model reads" in one for one in told)
