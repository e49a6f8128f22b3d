"""Two processes as one: the same course as alone, the same stop, and no quiet world of one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.core.worlds import make_spec
from training.core.run import main
from training.recipes.spec import EXIT_STOPPED, RunResult

ROOT = Path(__file__).parents[2]
# 1 row is left over in the last batch of each epoch: then the second process has none.
KNOBS = {"batch_size": 7, "micro_batch": 2, "epochs": 2, "learning_rate": 1e-3, "eval_every": 3, "max_length": 200}

# Seven prompts: the second process has one less.
ON_POLICY = {
    "iterations": 3,
    "prompts_per_iteration": 7,
    "samples_per_prompt": 3,
    "max_new_tokens": 6,
    "batch_size": 10,
    "micro_batch": 2,
    "learning_rate": 1e-3,
    "passes": 2,
}


def environment(processes: int) -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "ATTUNE_PROCESSES": str(processes)}


def started(spec, processes: int) -> subprocess.Popen:
    command = [sys.executable, "-m", "training.core.several", str(processes), f"{spec.output}/spec.json"]
    with (Path(spec.output) / "log.txt").open("ab") as log:
        return subprocess.Popen(command, env=environment(processes), cwd=ROOT, stdout=log, stderr=log)


def log_of(spec) -> str:
    return (Path(spec.output) / "log.txt").read_text()


def lines_of(spec) -> list[dict]:
    return [json.loads(line) for line in (Path(spec.output) / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("name", ["dpo", "rloo"])
def test_two_processes_take_the_course_of_one(tmp_path, policy, reward, name):
    """On fixed data, and on the policy's own answers; `test_stopped_in_two_processes` has supervised learning."""
    more = KNOBS if name == "dpo" else {**ON_POLICY, "scorers": {"reward": str(reward)}}
    one = make_spec(tmp_path / "one", name, model=policy, **more)
    assert main(f"{one.output}/spec.json") == 0
    two = make_spec(tmp_path / "two", name, model=policy, **more)
    assert started(two, 2).wait(240) == 0, log_of(two)
    assert "process 0 of 2" in log_of(two) and "process 1 of 2" in log_of(two)
    assert [line["step"] for line in lines_of(two)] == [line["step"] for line in lines_of(one)]
    for mine, theirs in zip(lines_of(two), lines_of(one), strict=True):
        for figure in ("loss", "eval_loss", "reward", "length", "kl"):
            assert abs(mine.get(figure, 0) - theirs.get(figure, 0)) < 1e-4, figure
    weights, expected = (load_file(f"{spec.output}/model/model.safetensors") for spec in (two, one))
    for key, value in expected.items():
        torch.testing.assert_close(weights[key], value, atol=1e-4, rtol=1e-3)
    first, second = RunResult.read(one.output), RunResult.read(two.output)
    assert first is not None and second is not None and first.counts == second.counts


def test_stopped_in_two_processes_and_finished_in_one(tmp_path, policy):
    """The place in the data is counted in examples, so that another number of processes can go on from it."""
    knobs = {**KNOBS, "epochs": 15, "eval_every": 0}
    spec = make_spec(tmp_path / "run", "sft", model=policy, **knobs)
    process = started(spec, 2)
    deadline = time.monotonic() + 200
    while not (Path(spec.output) / "metrics.jsonl").exists() and time.monotonic() < deadline:
        assert process.poll() is None, log_of(spec)
        time.sleep(0.05)
    (Path(spec.output) / "STOP").touch()
    assert process.wait(120) == EXIT_STOPPED, log_of(spec)
    assert lines_of(spec)[-1]["step"] < lines_of(spec)[-1]["total_steps"]
    assert main(f"{spec.output}/spec.json") == 0
    steps = [line["step"] for line in lines_of(spec)]
    assert steps == list(range(1, lines_of(spec)[-1]["total_steps"] + 1))


def test_a_launcher_that_starts_fewer_processes_than_promised_is_found_out(tmp_path, policy, monkeypatch):
    spec = make_spec(tmp_path / "run", "sft", model=policy, max_steps=1)
    monkeypatch.setenv("ATTUNE_PROCESSES", "2")
    assert main(f"{spec.output}/spec.json") == 1
    told = json.loads((Path(spec.output) / "error.json").read_text())["message"]
    assert told.startswith("ATTUNE_PROCESSES is 2, but the launcher started 1.")
    monkeypatch.delenv("ATTUNE_PROCESSES")
    assert main(f"{spec.output}/spec.json") == 0
