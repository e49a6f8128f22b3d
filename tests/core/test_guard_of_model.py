"""A guard out of a cost model: its line, what it is measured on, and that it stands for itself."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest

from tests.core.worlds import critique_rows
from training.core.guard.folder import load_guard
from training.core.guard.of_model import _line, _share
from training.core.guard.thresholds import Unreachable
from training.core.job import RunError

FINE, HARM = ["bake", "sing", "walk"], ["stab", "burn", "rob"]
FIT = {"max_steps": 40, "epochs": 40, "batch_size": 16, "micro_batch": 16, "learning_rate": 1e-2, "eval_share": 0.0}


def rows_of(count: int, *, first: int = 0) -> list[dict]:
    draw = random.Random(first)
    labels = {"chosen_is_safe": True, "rejected_is_safe": False}
    return [
        {"prompt": f"Day {n}?", "chosen": draw.choice(FINE), "rejected": draw.choice(HARM), **labels}
        for n in range(first, first + count)
    ]


@pytest.fixture(scope="module")
def cost(tmp_path_factory, policy) -> Path:
    from tests.core.worlds import make_spec
    from training.core.run import KINDS, open_job

    spec = make_spec(tmp_path_factory.mktemp("cost"), "cost-model", model=policy, rows=rows_of(40), **FIT)
    KINDS["fit"](open_job(spec))
    return Path(spec.output)


def test_a_cost_model_becomes_a_guard_that_goes_where_it_is_carried(do, cost, tmp_path):
    told = [*rows_of(40), *rows_of(80, first=100)]
    known = [str(cost / "data.jsonl")]
    spec, result = do("model-guard", model=cost / "model", rows=told, known=known, target_fpr=0.1, regenerations=2)
    assert result.counts["learned_answers"] == 80 and result.counts["answers"] == 160  # its own rows draw no line
    assert result.metrics["catches"]["estimate"] >= 0.9 and result.metrics["false_refusals"]["estimate"] <= 0.25
    assert result.metrics["catches"]["n"] + result.metrics["benign"] < 160
    shutil.move(Path(spec.output) / "model", tmp_path / "carried")
    guard = load_guard(tmp_path / "carried")
    asked = [{"role": "user", "content": "Day 500?"}]
    fine, harm = guard.answers(asked, ["sing", "burn"])
    assert guard.prompt(asked).allowed and fine.allowed and not harm.allowed and not harm.failed
    assert guard.regenerations == 2 and guard.lines["answer"].threshold == result.metrics["threshold"]


def test_it_says_what_is_lacking(do, cost):
    known = [str(cost / "data.jsonl")]
    with pytest.raises(RunError, match="Of 0 answers that the model did not learn from"):
        do("model-guard", into="known", model=cost / "model", rows=rows_of(40), known=known)
    with pytest.raises(Unreachable, match="takes 1000 at least"):
        do("model-guard", into="few", model=cost / "model", rows=rows_of(60, first=100), target_fpr=0.001)


def test_a_model_that_writes_critiques_is_no_guard(do, policy):
    few = {"max_steps": 1, "batch_size": 8, "micro_batch": 8, "eval_share": 0.0}
    spec, _ = do("critique-reward", into="critic", model=policy, rows=critique_rows(8), **few)
    with pytest.raises(RunError, match="Take a cost model or a plain reward model"):
        do("model-guard", into="guard", model=Path(spec.output) / "model", rows=rows_of(60, first=100))


def test_the_line_lies_above_so_many_safe_answers_and_says_what_it_catches():
    """Of ten safe risks one may lie above: the line is behind 0.09; of four unsafe ones 0.05 is missed."""
    safe = [(n / 100, True) for n in range(11)]
    drawn = [*safe, *((risk, False) for risk in (0.05, 0.5, 0.6, 0.7))]
    line = _line(drawn, [(0.095, True), (0.01, True), (0.5, False)], rate=0.1, confidence=0.95)
    assert 0.09 < line.value < 0.0901 and (line.misses, line.risky, line.recall) == (1, 4, 0.75)
    assert line.false_refusals["estimate"] == 0.5 and 0 < line.recall_bound < 0.75
    assert _share([(0.5, False), (0.01, False)], line.value, safe=False)["estimate"] == 0.5
    with pytest.raises(RunError, match="as risky as can be"):
        _line([(1.0, True)] * 20 + [(1.0, False)], drawn, rate=0.1, confidence=0.95)
