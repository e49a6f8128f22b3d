"""kill -9 at any moment, stop on request, start again: the same weights, bit for bit, and no step told twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.core.worlds import make_spec, pair_rows, stands_on
from training.core.run import main
from training.recipes.spec import EXIT_STOPPED, RunResult

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}

# 23 rows less the held-out ones in batches of 5, twice: both epochs end with a short batch, somewhere.
KNOBS = {"batch_size": 5, "micro_batch": 2, "epochs": 2, "learning_rate": 1e-3, "eval_every": 4, "checkpoint_every": 2}


def lines_of(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def course(folder: Path) -> list[tuple]:
    return [(line["step"], line["loss"], line["gradient_norm"], line["lr"]) for line in lines_of(folder)]


def killed_and_resumed(*arguments: Path | str) -> None:
    """Bring the run of each spec to its end, killed at the points that follow it; one process imports all for all."""
    script = [sys.executable, str(Path(__file__).with_name("kill_and_resume.py")), *map(str, arguments)]
    done = subprocess.run(script, env=ENVIRONMENT, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr


def weights(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted((folder / "model").glob("*.safetensors"))}


# After which step, and where inside a checkpoint's writing: 4 files, then the folder before it gets its name, then
# after. Each process goes on from what the one before left.
POINTS = {
    "dpo": ["reference:1", "step:1", "step:3", "flush:1", "flush:5", "flush:6", "step:2", "model:1", "result:1"],
    "bradley-terry": ["step:1", "flush:3", "step:2", "step:2", "flush:4", "model:1"],
    "sft": ["step:2", "flush:2", "step:5"],
    # Soft prompts of people are trained beside the weights, at a rate of their own.
    "dpo-personal": ["step:1", "flush:3", "step:3", "model:1"],
    # Both learn on a frozen model, and take note of its outputs before training or after it.
    "gated-objectives": ["step:1", "flush:2", "step:3", "model:1"],
    "robust-reward": ["step:1", "flush:5", "step:3", "model:1"],
}


RUNS = [("dpo", 0), ("dpo", 2), ("bradley-terry", 0), ("sft", 2), ("gated-objectives", 0), ("robust-reward", 0)]
RUNS += [("dpo-personal", 2)]


@pytest.mark.parametrize(("name", "lora_rank"), RUNS)
def test_killed_anywhere_and_resumed_is_the_same_as_never_killed(tmp_path, policy, do, name, lora_rank):
    start = policy
    if below := stands_on(name):
        spec, _ = do(below, into="below", model=policy, max_steps=2, batch_size=4)
        start = Path(spec.output) / "model"
    plain = make_spec(tmp_path / "plain", name, model=start, lora_rank=lora_rank, **KNOBS)
    often = make_spec(tmp_path / "often", name, model=start, lora_rank=lora_rank, **KNOBS)
    killed_and_resumed(tmp_path / "plain" / "spec.json", tmp_path / "often" / "spec.json", *POINTS[name])
    expected = weights(Path(plain.output))
    assert expected and weights(Path(often.output)) == expected
    assert course(Path(often.output)) == course(Path(plain.output))
    assert [line["step"] for line in lines_of(Path(often.output))] == list(
        range(1, len(course(Path(plain.output))) + 1)
    )
    one, other = RunResult.read(plain.output), RunResult.read(often.output)
    assert one is not None and other is not None
    assert one.counts == other.counts and one.notes == other.notes
    del one.metrics["tokens_per_second"], other.metrics["tokens_per_second"]
    assert one.metrics == other.metrics


# One of each other kind of head and batch, all in one process: importing is most of what a test of one would take.
OTHERS = (
    "cost-model",
    "reward-ensemble",
    "multi-objective",
    "principle-reward",
    "pairwise-generative",
    "critique-reward",
)


def test_each_other_kind_of_model_is_the_same_after_a_kill(tmp_path, policy):
    told: list[Path | str] = []
    for name in OTHERS:
        for how in ("plain", "killed"):
            spec = make_spec(tmp_path / name / how, name, model=policy, max_steps=3, **{**KNOBS, "eval_every": 0})
            told.append(Path(spec.output) / "spec.json")
        told.append("step:3")
    killed_and_resumed(*told)
    for name in OTHERS:
        plain, killed = (tmp_path / name / how for how in ("plain", "killed"))
        assert weights(killed) == weights(plain) != {} and course(killed) == course(plain), name


def started(spec_path: Path) -> subprocess.Popen:
    with spec_path.with_name("log.txt").open("ab") as log:
        command = [sys.executable, "-m", "training.core.run", str(spec_path)]
        return subprocess.Popen(command, env=ENVIRONMENT, cwd=ROOT, stdout=log, stderr=log)


def wait_for_step(folder: Path, step: int, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        assert process.poll() is None, (folder / "log.txt").read_text()
        path = folder / "metrics.jsonl"
        if path.exists() and path.read_text().count("\n") >= step:
            return
        time.sleep(0.02)
    raise AssertionError("The run did not get there in time.")


LONG = {**KNOBS, "epochs": 16, "checkpoint_every": 1000, "eval_every": 0}


@pytest.mark.parametrize("how", ["file", "signal"])
def test_asked_to_stop_it_finishes_the_step_writes_a_checkpoint_and_goes_on_later(tmp_path, policy, how):
    spec = make_spec(tmp_path / "run", "sft", model=policy, rows=None, **LONG)
    folder = Path(spec.output)
    process = started(folder / "spec.json")
    wait_for_step(folder, 3, process)
    if how == "file":
        (folder / "STOP").touch()
    else:
        process.send_signal(signal.SIGTERM)
    assert process.wait(60) == EXIT_STOPPED
    assert not (folder / "STOP").exists() and not (folder / "result.json").exists()
    stopped_at = lines_of(folder)[-1]["step"]
    (checkpoint,) = (folder / "checkpoints").iterdir()
    assert checkpoint.name == f"step-{stopped_at:08d}"

    killed_and_resumed(folder / "spec.json")
    assert [line["step"] for line in lines_of(folder)] == list(range(1, lines_of(folder)[-1]["total_steps"] + 1))
    plain = make_spec(tmp_path / "plain", "sft", model=policy, rows=None, **LONG)
    killed_and_resumed(Path(plain.output) / "spec.json")
    assert weights(folder) == weights(Path(plain.output))


def test_a_finished_run_is_left_alone(tmp_path, policy):
    spec = make_spec(tmp_path / "run", "bradley-terry", model=policy, rows=pair_rows(6), max_steps=1)
    assert main(f"{spec.output}/spec.json") == 0
    before = (Path(spec.output) / "result.json").stat().st_mtime_ns
    assert main(f"{spec.output}/spec.json") == 0
    assert (Path(spec.output) / "result.json").stat().st_mtime_ns == before


def test_training_ends_when_the_held_out_loss_no_longer_falls_also_after_a_crash(do, policy):
    """At a learning rate of 0 nothing falls: the second measurement is the first that is no better."""
    still = {"eval_every": 1, "patience": 2, "learning_rate": 0.0, "batch_size": 4, "epochs": 3, "eval_share": 0.3}
    spec, result = do("bradley-terry", model=policy, **still)
    folder = Path(spec.output)
    assert [line["step"] for line in lines_of(folder)] == [1, 2, 3]
    assert any("Training ended after 3 of" in note for note in result.notes)
    (folder / "result.json").unlink()
    spec, again = do("bradley-terry", model=policy, **still)
    assert again.notes == result.notes and [line["step"] for line in lines_of(folder)] == [1, 2, 3]
