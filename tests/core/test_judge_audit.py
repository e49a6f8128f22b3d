"""A judge held against people: shares by hand, what is left out, and both kinds of judges on tiny models."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.core.worlds import principle_rows, safer_pair_rows
from training.core.evaluate.judge_audit import Answer, alarms, figures
from training.core.job import RunError


def answer(stopped: bool, *votes: bool) -> Answer:
    return Answer([], "x", votes=list(votes), stopped=stopped)


def test_shares_by_hand():
    """Stopped 3, of them bad 2; bad 4 in all, so that half of them got through; of 3 fine ones one is stopped."""
    told = [
        *(answer(True, True), answer(True, True, True, False), answer(True, False)),
        *(answer(False, True), answer(False, True)),
        *(answer(False, False), answer(False, False, False, True)),
    ]
    found = {name: one["estimate"] for name, one in figures(told, confidence=0.95).items()}
    assert found == pytest.approx(
        {"judge_precision": 2 / 3, "judge_recall": 2 / 4, "judge_false_alarms": 1 / 3, "judge_base_rate": 4 / 7}
    )
    assert figures(told, confidence=0.95)["judge_recall"]["n"] == 4
    # Who stops nothing has no precision, and not one of 1.
    assert set(figures([answer(False, True)], confidence=0.95)) == {"judge_recall", "judge_base_rate"}


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (0.95, 1.0, ""),
        (0.75, 0.95, "may be below the 90% it needs: 75% to 95%"),
        (0.5, 0.7, "50% to 70%, below the 90%"),
    ],
)
def test_the_alarm_tells_what_is_below_its_bound_from_what_may_be(low, high, said):
    told = {"judge_precision": {"low": 0.9, "high": 1.0}, "judge_recall": {"low": low, "high": high}}
    notes = alarms(told, least_precision=0.8, least_recall=0.9)
    assert [said in str(note) for note in notes] == ([True] if said else [])
    assert len(alarms({}, least_precision=0.0, least_recall=0.0)) == 2, "what nobody knows is no trust"


def test_a_cost_model_is_held_against_labels_it_did_not_learn_from(do, policy, tmp_path):
    spec, _ = do("cost-model", into="made", model=policy, rows=safer_pair_rows(8), max_steps=2, batch_size=4)
    model = Path(spec.output) / "model"
    rows = [{**row, "task": f"item {n}"} for n, row in enumerate(safer_pair_rows(6, seed=1))]
    # Two more people say of the first item's answers what the first said not: one of them divides, two outvote.
    other = {**rows[1], "chosen_is_safe": not rows[1]["chosen_is_safe"]}
    data = tmp_path / "known.jsonl"
    data.write_text(json.dumps(rows[0]) + "\n")
    asked = [*rows, other, {"prompt": 3}, {**rows[2], "chosen_is_safe": None}]
    spec, result = do("cost-audit", model=model, rows=asked, known=[str(data)], judged_cost=-1e9)
    assert result.counts["learned_from"] == 2 and result.counts["divided"] == 1
    assert result.counts["refused_malformed"] == 2 and result.counts["unread_answers"] == 0
    n = result.metrics["judge_base_rate"]["n"]
    assert n == 2 * 5 - 1
    # A judge that stops everything misses nothing, and its precision is the base rate.
    assert result.metrics["judge_recall"]["estimate"] == result.metrics["judge_false_alarms"]["estimate"] == 1.0
    assert result.metrics["judge_precision"] == result.metrics["judge_base_rate"]
    assert "Its precision is" in str(result.notes[0]) or "may be below the 80%" in str(result.notes[0])
    told = json.loads((Path(spec.output) / result.files["disagreements"]).read_text())
    bad = round(result.metrics["judge_base_rate"]["estimate"] * n)
    assert told["n"] == n - bad and all(one["stopped"] and one["task"].startswith("item") for one in told["shown"])
    _, blind = do("cost-audit", into="blind", model=model, rows=rows, judged_cost=1e9)
    assert blind.metrics["judge_recall"]["estimate"] == 0.0 and "judge_precision" not in blind.metrics
    with pytest.raises(RunError, match="Have people judge answers to other prompts"):
        do("cost-audit", into="none", model=model, rows=rows[:1], known=[str(data)])


def test_a_principle_model_is_held_against_answers_by_principle(do, policy, reward):
    spec, _ = do("principle-reward", into="made", model=policy, rows=principle_rows(8), max_steps=2, batch_size=4)
    rows = [*principle_rows(8, seed=1), {**principle_rows(1, seed=2)[0], "answer": "partly"}]
    _, result = do("principle-audit", model=Path(spec.output) / "model", rows=rows, judged_chance=0.99)
    assert result.metrics["judge_base_rate"]["n"] == 8, "partly is neither"
    assert {"judge_recall_of_politeness", "judge_recall_of_no politeness"} <= set(result.metrics)
    with pytest.raises(RunError, match="Only a principle model"):
        do("principle-audit", into="wrong", model=reward, rows=rows)
