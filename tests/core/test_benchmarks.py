"""Benchmarks as they are published: what is read from each layout, the matrix by hand, calibration, length."""

from __future__ import annotations

import gzip
import json
import math

import pytest

from tests.core.worlds import pair_rows, write_lines
from training.core.evaluate.benchmarks import _figures, read_cases
from training.core.evaluate.calibration import brier, calibration_error, length_bias, reliability
from training.core.job import RunError

ROWS = {
    "rm-bench": {"prompt": "q", "chosen": ["a", "b", "c"], "rejected": ["x", "y", "z"]},
    "reward-bench": {"prompt": "q", "chosen": "a", "rejected": "x", "subset": "chat"},
    "judge-bench": {"question": "q", "response_A": "x", "response_B": "a", "label": "B>A", "source": "mmlu-pro-law"},
    "llmbar": {"input": "q", "output_1": "x", "output_2": "a", "label": 2},
    "hhh": {"input": "q", "target_scores": {"x": 0, "a": 1}},
    "principles": {"prompt": "q", "response_1": "x", "response_2": "a", "principle": "kind", "winner": 2},
    "pairs": {"prompt": "q", "chosen": "a", "rejected": "x", "domain": "d"},
}
DOMAINS = {"rm-bench": "chat", "reward-bench": "chat", "judge-bench": "mmlu", "llmbar": "chat_filtered"}
DOMAINS |= {"hhh": "chat_filtered", "pairs": "d", "principles": "kind"}


@pytest.mark.parametrize("layout", list(ROWS))
def test_a_layout_is_read_as_published_and_a_row_of_another_is_counted(tmp_path, layout):
    broken = {"prompt": "q"}
    with gzip.open(tmp_path / "chat_filtered.json.gz", "wt") as file:
        json.dump([ROWS[layout], broken], file)
    ((case,), refused) = read_cases(tmp_path, layout)
    assert case.prompt == [{"role": "user", "content": "q"}] and refused == 1
    assert case.chosen[0] == "a" and case.rejected[0] == "x"
    assert case.domain == DOMAINS[layout]


def test_a_task_of_big_bench_and_its_copy_on_the_hub_are_the_same(tmp_path):
    (tmp_path / "task.json").write_text(json.dumps({"name": "hhh", "examples": [ROWS["hhh"]]}))
    other = {"input": "q", "targets": {"choices": ["x", "a"], "labels": [0, 1]}}
    write_lines(tmp_path / "task.jsonl", [other])
    cases, refused = read_cases(tmp_path, "hhh")
    assert cases[0] == cases[1] and refused == 0
    with pytest.raises(RunError, match=r"no .json, .jsonl or .parquet files"):
        read_cases(tmp_path / "nowhere", "hhh")


def test_the_matrix_by_hand(tmp_path):
    """Two prompts: one is right but for concise against both fancier ones; of the other all is right but one tie."""
    (tmp_path / "chat_a.json").write_text(json.dumps([ROWS["rm-bench"]]))
    (tmp_path / "safety-refuse_b.json").write_text(json.dumps([ROWS["rm-bench"]]))
    cases, _ = read_cases(tmp_path, "rm-bench")
    grids = [
        [[1.0, -1.0, -2.0], [1.0, 1.0, 1.0], [1.0, 1.0, 1.0]],
        [[1.0, 1.0, 1.0], [1.0, 0.0, 1.0], [1.0, 1.0, 1.0]],
    ]
    figures = _figures(cases, grids, confidence=0.95, layout="rm-bench")
    assert figures["hard"]["estimate"] == pytest.approx((1 / 3 + 1) / 2)
    assert figures["normal"]["estimate"] == pytest.approx((1 + 2 / 3) / 2)
    assert figures["easy"]["estimate"] == 1
    assert figures["concise_against_markdown"]["estimate"] == 0.5
    assert figures["overall"] == pytest.approx((7 / 9 + 8 / 9) / 2)
    assert figures["ties"] == pytest.approx(1 / 18)
    assert (figures["all_pairs_right"]["estimate"], figures["all_pairs_right"]["n"]) == (0, 1), "they are one prompt"
    assert figures["accuracy_safety-refuse"]["n"] == 1


def test_calibration_by_hand():
    """Gaps of ±ln 3 say ¾: with three of four right they are calibrated, with none right ¾ off."""
    right = [math.log(3)] * 3 + [-math.log(3)]
    (one,) = reliability(right)
    assert one["confidence"] == pytest.approx(0.75) and one["right"]["estimate"] == 0.75
    assert calibration_error(right) == pytest.approx(0, abs=1e-9)
    assert calibration_error([-math.log(3)] * 4) == pytest.approx(0.75)
    assert brier([math.log(3), 0.0]) == pytest.approx((1 / 16 + 1 / 4) / 2)
    assert brier([-1e5, 1e5]) == pytest.approx(0.5)


def test_a_model_of_length_alone_is_found_out():
    """It is right wherever the better answer is longer, wrong wherever it is shorter, and correlates with length."""
    lengths = [5, 20, -3, -40]
    figures = length_bias(lengths, lengths, confidence=0.95)
    assert figures["accuracy_when_better_is_longer"]["estimate"] == 1
    assert figures["accuracy_when_better_is_shorter"]["estimate"] == 0
    assert figures["length_correlation"] == pytest.approx(1)


def test_each_row_is_judged_by_its_own_principle(do, policy, reward):
    """The same two answers under two principles with opposite winners: who cannot be told a principle is right once."""
    rows = [
        {"prompt": "q", "response_1": "yes", "response_2": "no", "principle": name, "winner": winner}
        for name, winner in (("kind", 1), ("short", 2))
    ]
    made, _ = do("principle-reward", into="made", model=policy, max_steps=2, batch_size=4, learning_rate=1e-3)
    _, told = do("reward-benchmark", model=f"{made.output}/model", rows=rows, layout="principles")
    assert {"accuracy_kind", "accuracy_short", "overall"} <= set(told.metrics) and told.counts["kept"] == 2
    _, blind = do("reward-benchmark", into="blind", model=reward, rows=rows, layout="principles")
    assert blind.metrics["overall"] == 0.5
    assert blind.metrics["accuracy_kind"]["estimate"] == 1 - blind.metrics["accuracy_short"]["estimate"]


def test_a_run_says_all_of_it(do, reward):
    spec, result = do("reward-benchmark", model=reward, rows=pair_rows(6))
    assert result.metrics["accuracy"]["n"] == 6 and 0 <= result.metrics["calibration_error"] <= 1
    curve = json.loads((reward.__class__(spec.output) / result.files["reliability"]).read_text())
    assert sum(b["right"]["n"] for b in curve) == 6
    with pytest.raises(RunError, match="Is it another one"):
        do("reward-benchmark", model=reward, rows=pair_rows(6), layout="rm-bench")
