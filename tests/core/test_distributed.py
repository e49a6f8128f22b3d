"""Two processes as one, each with the whole model or with its shards of it: the same course as alone, the same stop, a
checkpoint that either goes on from, and no quiet world of one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
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
    "iterations": 2,
    "prompts_per_iteration": 7,
    "samples_per_prompt": 3,
    "max_new_tokens": 6,
    "batch_size": 10,
    "micro_batch": 2,
    "learning_rate": 1e-3,
    "passes": 2,
}


COURSES = (("dpo", "copies"), ("rloo", "copies"), ("dpo", "shards"), ("ppo", "shards"))


def environment(processes: int, *, sharded: bool = False) -> dict[str, str]:
    told = {"ATTUNE_PROCESSES": str(processes), "ATTUNE_SHARDED": "1" if sharded else "0"}
    return {**os.environ, "OMP_NUM_THREADS": "1", **told}


def started(spec, processes: int) -> subprocess.Popen:
    """Start a run as the worker does, its model in shards."""
    command = [sys.executable, "-m", "training.core.several", str(processes), f"{spec.output}/spec.json"]
    with (Path(spec.output) / "log.txt").open("ab") as log:
        env = environment(processes, sharded=True)
        return subprocess.Popen(command, env=env, cwd=ROOT, stdout=log, stderr=log)


@pytest.fixture(scope="module")
def courses(tmp_path_factory, policy, reward):
    """Return the spec of each course, done in two processes, and of runs that were killed after their fifth step.

    Of these one lost one of two processes that share the model, and one was alone; two in shards went on with each.
    """
    specs = {
        key: make_spec(tmp_path_factory.mktemp("-".join(key)), key[0], model=policy, **knobs_of(key[0], reward))
        for key in COURSES
    }
    for name in ("killed", "alone"):
        specs[name] = make_spec(tmp_path_factory.mktemp(name), "dpo", model=policy, **knobs_of("dpo", reward))
    cache = tmp_path_factory.mktemp("cache")
    for name, spec in specs.items():
        if name[0] == "dpo" or name == "killed":  # the first to go computes the reference's numbers for them all
            specs[name] = replace(spec, cache=str(cache))
            specs[name].write()
    runs = [f"{spec.output}/spec.json:2:{how}" for (_, how), spec in zip(COURSES, specs.values(), strict=False)]
    killed, alone = (f"{specs[name].output}/spec.json" for name in ("killed", "alone"))
    runs += [f"{killed}:2:shards-killed-5", f"{killed}:2:shards", f"{alone}:1:copies-killed-5", f"{alone}:2:shards"]
    command = [sys.executable, "-m", "tests.core.in_processes", *runs]
    done = subprocess.run(command, env=environment(2), cwd=ROOT, capture_output=True, text=True, timeout=300)
    codes = [json.loads(line) for line in done.stdout.splitlines()]
    logs = "".join(log_of(spec)[-3000:] for spec in specs.values())
    assert codes == [[0, 0]] * len(COURSES) + [[1, -9], [0, 0], [-9], [0, 0]], f"{codes} {done.stderr} {logs}"
    return specs


def knobs_of(name, reward) -> dict:
    fixed = {**KNOBS, "checkpoint_every": 2}
    return fixed if name == "dpo" else {**ON_POLICY, "scorers": {"reward": str(reward)}}


def log_of(spec) -> str:
    return (Path(spec.output) / "log.txt").read_text()


def lines_of(spec) -> list[dict]:
    return [json.loads(line) for line in (Path(spec.output) / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize(("name", "how"), COURSES)
def test_two_processes_take_the_course_of_one(tmp_path, policy, reward, courses, name, how):
    """On fixed data, and on the policy's own answers; `test_stopped_in_two_processes` has supervised learning."""
    one = make_spec(tmp_path / "one", name, model=policy, **knobs_of(name, reward))
    assert main(f"{one.output}/spec.json") == 0
    two = courses[name, how]
    assert ("in shards (FSDP2) over 2 processes: 2 blocks" in log_of(two)) == (how == "shards" and name == "dpo")
    assert ("in shards (FSDP2) over 2 processes: 4 blocks" in log_of(two)) == (name == "ppo")  # policy and critic
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


def test_what_two_processes_found_of_the_reference_others_need_not_compute(courses):
    """Only the first run has added to the cache, and both of its processes' rows are there."""
    first = courses["dpo", "copies"]
    (written,) = Path(first.cache).iterdir()
    numbers = [load_file(f"{courses[key].output}/reference.safetensors")["logps"] for key in courses if key[0] == "dpo"]
    assert torch.isfinite(numbers[0]).all() and len(load_file(written)["rows"]) == len(numbers[0])
    assert all(torch.equal(other, numbers[0]) for other in numbers[1:]) and len(numbers) > 1


def test_shards_that_lost_a_process_go_on_to_the_last_bit(courses):
    """What was killed after its fifth step goes on from the fourth, and its figures are the same."""
    whole, killed = courses["dpo", "shards"], courses["killed"]
    timed = ("time", "tokens_per_second")
    told = [[{k: v for k, v in line.items() if k not in timed} for line in lines_of(spec)] for spec in (whole, killed)]
    assert told[0] == told[1]
    one, other = (load_file(f"{spec.output}/model/model.safetensors") for spec in (whole, killed))
    assert all(torch.equal(one[key], other[key]) for key in one) and set(one) == set(other)


def test_stopped_in_two_processes_and_finished_in_one(tmp_path, policy):
    """In shards, and then by one process that has all of it, as another run does without a stop.

    The place in the data is counted in examples, so that another number of processes can go on from it.
    """
    knobs = {**KNOBS, "epochs": 6, "eval_every": 0}
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
    alone = make_spec(tmp_path / "alone", "sft", model=policy, **knobs)
    assert main(f"{alone.output}/spec.json") == 0
    for mine, theirs in zip(lines_of(spec), lines_of(alone), strict=True):
        assert abs(mine["loss"] - theirs["loss"]) < 1e-4


def test_begun_in_one_process_and_finished_in_shards(courses):
    """A checkpoint that one process has written whole is cut up, and its weights and moments lead to the same end."""
    begun, whole = courses["alone"], courses["dpo", "copies"]
    assert "process 0 of 1" in log_of(begun) and "in shards (FSDP2) over 2" in log_of(begun)
    for mine, theirs in zip(lines_of(begun), lines_of(whole), strict=True):
        assert abs(mine["loss"] - theirs["loss"]) < 1e-4
    one, other = (load_file(f"{spec.output}/model/model.safetensors") for spec in (whole, begun))
    for key, value in one.items():
        torch.testing.assert_close(other[key], value, atol=1e-4, rtol=1e-3)


def test_a_launcher_that_starts_fewer_processes_than_promised_is_found_out(tmp_path, policy, monkeypatch):
    spec = make_spec(tmp_path / "run", "sft", model=policy, max_steps=1)
    monkeypatch.setenv("ATTUNE_PROCESSES", "2")
    assert main(f"{spec.output}/spec.json") == 1
    told = json.loads((Path(spec.output) / "error.json").read_text())["message"]
    assert told.startswith("ATTUNE_PROCESSES is 2, but the launcher started 1.")
    monkeypatch.delenv("ATTUNE_PROCESSES")
    monkeypatch.setenv("ATTUNE_SHARDED", "1")  # among one process there is nothing to share out
    assert main(f"{spec.output}/spec.json") == 1
    told = json.loads((Path(spec.output) / "error.json").read_text())["message"]
    assert told.startswith("The model is to be in shards (ATTUNE_SHARDED), and there is one process.")
    monkeypatch.setenv("ATTUNE_SHARDED", "yes")
    assert main(f"{spec.output}/spec.json") == 1
    monkeypatch.delenv("ATTUNE_SHARDED")
    assert main(f"{spec.output}/spec.json") == 0
