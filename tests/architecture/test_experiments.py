"""The experiments are whole: each has its marker, its ablation and its line in the table; and the frame is strict."""

from __future__ import annotations

import json
import math
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.experiments.__main__ import HERE, LIMIT_SECONDS, LIMITS, ROOT, TABLE, files, measured, rendered, stored
from tests.experiments.frame import Card, Report
from tests.experiments.world import Annotator, Bandit, gold

CARD = Card(0, "nothing", "Shows nothing.", "arXiv:0000.00000")


def test_each_experiment_has_its_marker_its_ablation_and_its_results():
    results = {one["file"]: one for one in stored()}
    for path in files([]):
        text = path.read_text()
        assert re.fullmatch(r"test_card_\d\d_[a-z0-9_]+", path.stem)
        assert "\npytestmark = pytest.mark.experiment" in text or (
            text.count("\ndef test_") == text.count("@pytest.mark.experiment")
        )
        assert "report(" in text and "without=" in text and "switched_off=" in text
        result = results[path.name]
        assert result["passed"] and all(line["passed"] for line in result["lines"]), path.name


def test_each_experiment_keeps_to_its_cpu_seconds_where_they_were_counted():
    assert set(LIMITS) <= {path.stem for path in files([])}
    took = {Path(one["file"]).stem: one["cpu_seconds"] for one in stored() if "cpu_seconds" in one}
    over = {name: seconds for name, seconds in took.items() if seconds > LIMITS.get(name, LIMIT_SECONDS)}
    assert not over, "Make these cheaper."


def test_each_result_names_a_commit_that_history_has():
    def git(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)

    if not shutil.which("git") or git("rev-parse", "--is-shallow-repository").stdout.strip() != "false":
        pytest.skip("There is no whole history here: it is a shallow clone, or none.")
    missing = {
        Path(one["file"]).stem.removeprefix("test_card_")
        for one in stored()
        if git("merge-base", "--is-ancestor", one["commit"], "HEAD").returncode != 0
    }
    assert not missing, "Run these anew from a commit that stays."


def test_the_table_is_what_was_measured():
    assert {one["file"] for one in stored()} <= {path.name for path in HERE.glob("test_card_*.py")}
    assert TABLE.read_text() == rendered(stored()), "Run `python -m tests.experiments --render`."


def test_a_cost_is_cpu_time_on_one_thread_with_what_was_started():
    """Half a second of work in a process of the process, and half a second of sleep, which costs nothing."""
    work = "import time; [None for _ in iter(lambda: time.process_time() < 0.5, False)]"
    command = "import os, subprocess, sys, time; time.sleep(0.5); subprocess.run([sys.executable, '-c', sys.argv[1]])"
    command += "; print(os.environ['OMP_NUM_THREADS'], os.environ['LINES']); sys.exit(3)"
    cost = measured([sys.executable, "-c", command, work], {"LINES": "here", "OMP_NUM_THREADS": "8"})
    assert (cost.code, cost.output) == (3, "1 here\n")
    assert 0.5 <= cost.cpu_seconds <= cost.seconds - 0.4


def test_what_hangs_is_stopped_with_what_it_started():
    command = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(60)'])"
    cost = measured([sys.executable, "-c", command], {}, hangs=0.5)
    assert cost.code < 0 and "Stopped after" in cost.output and cost.seconds < 30


def test_the_table_shows_cpu_seconds_where_they_were_counted(monkeypatch, tmp_path):
    monkeypatch.setenv("ATTUNE_EXPERIMENT_LINES", str(tmp_path / "lines"))
    Report()(CARD, "share", [0.4, 0.8], without=0.1, seeds=[0, 1], switched_off="it", at_least=0.5)
    line = json.loads((tmp_path / "lines").read_text()) | {"seconds": 70}
    assert 0 <= line["cpu_seconds"] < 5
    shown = rendered([{"commit": "abc", "lines": [line | {"cpu_seconds": 33.3}]}])
    assert "| 2 | 33 | abc |" in shown
    del line["cpu_seconds"]
    assert "| 2 | 70 | abc |" in rendered([{"commit": "abc", "lines": [line]}])


def test_a_figure_below_its_bound_is_refused_and_one_that_needs_no_method_too(monkeypatch):
    monkeypatch.delenv("ATTUNE_EXPERIMENT_LINES", raising=False)
    more = {"seeds": [0, 1], "switched_off": "it", "at_least": 0.5}
    Report()(CARD, "share", [0.4, 0.8], without=0.1, **more)
    with pytest.raises(AssertionError, match=r"misses ≥ 0.5 on every seed"):
        Report()(CARD, "share", [0.4, 0.8], without=0.1, every_seed=True, **more)
    with pytest.raises(AssertionError, match=r"misses ≥ 0.5"):
        Report()(CARD, "share", [0.1, 0.8], without=0.1, **more)
    with pytest.raises(AssertionError, match=r"the ablation meets ≥ 0.5 too"):
        Report()(CARD, "share", [0.8, 0.8], without=[0.5, 0.7], **more)
    with pytest.raises(AssertionError, match=r"is nan"):
        Report()(CARD, "share", [0.8, 0.8], without=math.nan, **more)


def test_the_bandit_s_oracles():
    """Rewards 0 and ln 2 under a uniform reference at β = 1: the optimum is (1/3, 2/3).

    With costs -1 and 1, half of each answer costs 0, so that within a limit of 0 half of the reward can be had.
    """
    bandit = Bandit(np.array([[0.0, math.log(2)]]), np.array([[-1.0, 1.0]]), np.array([[0.5, 0.5]]))
    assert bandit.optimum(1.0)[0].tolist() == pytest.approx([1 / 3, 2 / 3])
    assert bandit.best_within(0.0) == pytest.approx(math.log(2) / 2)
    assert bandit.best_within(2.0) == pytest.approx(math.log(2))
    assert math.isnan(bandit.best_within(-1.5))
    drawn = Bandit.drawn(200, 50, seed=0, correlation=0.7)
    assert np.corrcoef(drawn.rewards.ravel(), drawn.costs.ravel())[0, 1] == pytest.approx(0.7, abs=0.02)


def test_the_annotator_is_as_noisy_as_told():
    """At a gap of ln 3 temperatures 3 in 4 prefer the better one; with 20 % flips 0.75·0.8 + 0.25·0.2."""
    for flips, share in ((0.0, 0.75), (0.2, 0.65)):
        annotator = Annotator(temperature=0.5, flips=flips)
        votes = [annotator.prefers_first(0.5 * math.log(3)) for _ in range(20_000)]
        assert sum(votes) / len(votes) == pytest.approx(share, abs=0.01)
    assert gold("the old animal", "red cat dog rice") == 0.5
