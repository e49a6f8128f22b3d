"""A run on the policy's own answers that another engine does: files in, a process, files out (arXiv:2409.19256).

The engine has an environment of its own, of which we know the interpreter. It gets the recipe as its own settings, the
prompts, and a file that asks this process for each answer's reward; its figures become the run's, and its last
checkpoint the run's model. What differs between engines is in `engine_programs`.

In the run's folder ``engine/`` holds what it reads, and ``checkpoints/`` its own, from which it goes on after a crash.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from typing import Any

import psutil

from training.core import backbone
from training.core.collate import turn_of
from training.core.engine_programs import Program, checked, program
from training.core.job import Job, RunError, Stopped
from training.core.prompts import prompt_notes, read_prompts
from training.core.records import Tally, held_out, prompt_hash
from training.core.reward_server import reward_scorer, rewards
from training.core.sampler import text_of
from training.core.trainers.offline import save_model
from training.core.trainers.state import finished_numbers, tail_means
from training.recipes.alarms import alarms
from training.recipes.assembled import from_json
from training.recipes.engines import Files, compiler
from training.recipes.note import Note
from training.recipes.spec import RunResult

EVERY_SECONDS = 0.5
UNTIL_KILL = 20.0  # seconds between asking an engine to end and ending it


def improve_elsewhere(job: Job) -> RunResult:
    """Have the spec's engine do the run, from its newest checkpoint if it has one, and return the result.

    Raises `Stopped` when asked to stop, and when the engine was killed: both go on from its last checkpoint.
    """
    spec, knobs = job.spec, job.knobs
    assert spec.engine is not None
    name, python, own = spec.engine["name"], spec.engine["python"], dict(spec.engine.get("settings", {}))
    here = job.folder / "engine"
    compile_settings, engine = compiler(name), program(name)
    files = Files(
        model=spec.model,
        data=str(here / engine.prompts),
        reward=str(here / "reward.py"),
        checkpoints=str(job.folder / "checkpoints"),
    )
    settings = compile_settings(job.recipe, knobs, files, seed=spec.seed, own=own)
    if settings[engine.nodes] != 1:
        raise RunError(Note("Rewards are given on this machine alone. Set {name} to 1.", name=engine.nodes))
    if backbone.is_adapter(spec.model):
        raise RunError(Note("The engine starts from whole weights, and this model is an adapter. Merge it first."))
    refuse_other_version(engine, python)
    here.mkdir(parents=True, exist_ok=True)
    tokenizer = backbone.load_tokenizer(spec.tokenizer or spec.model, trust_remote_code=spec.trust_remote_code)
    tally = Tally()
    assert spec.data is not None
    prompts = read_prompts(spec.data, tokenizer, tally, max_length=settings[engine.longest_prompt])
    share = knobs["eval_share"]
    used = [prompt for prompt in prompts if not held_out(prompt_hash(prompt.messages), share=share)]
    if len(used) < knobs["prompts_per_iteration"]:
        raise RunError(
            Note(
                "{n} prompts are left to learn from, and an iteration asks {many}. Give more, or lower "
                "prompts_per_iteration.",
                n=len(used),
                many=knobs["prompts_per_iteration"],
            )
        )
    engine.write(here, used, settings)
    scorer = reward_scorer(job)
    ends = {tokenizer.eos_token_id, turn_of(tokenizer).end_id}

    def written(ids: list[int]) -> str:
        return text_of(tokenizer, ids[:-1] if ids and ids[-1] in ends else ids)

    with rewards(scorer, here / "address.json", written=written):
        follow(job, engine, engine.command(python, settings), total=knobs["iterations"])
    checkpoints, steps = job.folder / "checkpoints", knobs["iterations"]
    reached = engine.reached(checkpoints)
    trained = engine.trained(checkpoints, steps)
    if reached < steps and not trained.is_dir():
        raise RunError(
            Note(
                "The engine ended without an error after {n} of {steps} steps. Start the run again.",
                n=reached,
                steps=steps,
            )
        )
    model, _ = backbone.load_policy(str(checked(trained)), trust_remote_code=spec.trust_remote_code)
    save_model(job, model, tokenizer)
    told = Note(
        "It was trained by {engine} {version}, with the settings in engine/settings.json.",
        engine=engine.title,
        version=engine.version,
    )
    counts = dict(tally.counts) | {"prompts": len(used), "held_out": len(prompts) - len(used)}
    return RunResult(
        model="model",
        metrics=tail_means(job.folder),
        files={"settings": "engine/settings.json"},
        counts=counts,
        notes=[told, *prompt_notes(tally), *alarms(finished_numbers(job.folder), from_json(job.spec.recipe)[1])],
    )


def refuse_other_version(engine: Program, python: str) -> None:
    """Raise RunError where the interpreter does not have the engine in the version that settings are compiled for."""
    asked = [python, "-c", f"import importlib.metadata as found; print(found.version({engine.name!r}))"]
    try:
        told = subprocess.run(asked, capture_output=True, text=True, timeout=120, check=False, env=_environment())
    except (OSError, subprocess.TimeoutExpired) as error:
        raise RunError(
            Note(
                "{python} cannot be started ({error}). Check where {engine} is.",
                python=python,
                error=str(error),
                engine=engine.title,
            )
        ) from error
    found = told.stdout.strip()
    if told.returncode or found != engine.version:
        raise RunError(
            Note(
                "Settings are compiled for {engine} {version}, and {python} has {found}. Install that version there.",
                engine=engine.title,
                version=engine.version,
                python=python,
                found=found or Note("none"),
            )
        )


def follow(job: Job, engine: Program, command: list[str], *, total: int) -> None:
    """Run the engine to its end, and tell its figures as the run's; RunError when it failed, `Stopped` when killed."""
    here = job.folder / "engine"
    reached = engine.reached(job.folder / "checkpoints")
    job.rewind(reached)
    figures = here / "figures.jsonl"
    figures.unlink(missing_ok=True)  # the engine writes it anew
    read = 0
    began = {"VERL_FILE_LOGGER_PATH": str(figures)}
    process = subprocess.Popen(command, cwd=here, env=_environment() | began, stdin=subprocess.DEVNULL)
    started: set[psutil.Process] = set()
    try:
        while True:
            started |= _below(process)
            code = process.poll()
            lines = (
                figures.read_text().split("\n")[:-1] if figures.exists() else []
            )  # behind the last break: half a line
            for line in lines[read:]:
                _tell(job, json.loads(line), engine=engine, total=total, after=reached)
            read = len(lines)
            if code is not None:
                break
            if job.stop_requested():
                raise Stopped
            time.sleep(EVERY_SECONDS)
    finally:
        _end(process, started)
    if code < 0:
        raise Stopped  # as the kernel does when memory is short: to be tried again, and so often as any other run
    if code:
        said = Note("{engine} ended with code {code}. The run's log has its words.", engine=engine.title, code=code)
        raise RunError(said)


def _tell(job: Job, line: dict[str, Any], *, engine: Program, total: int, after: int) -> None:
    """Write one of the engine's lines as one of the run's, by the names that figures have here."""
    step, told = line.get("step"), line.get("data")
    if not isinstance(step, int) or not isinstance(told, dict) or step <= after:
        return
    numbers = {
        name: float(told[their]) for their, name in engine.metrics.items() if isinstance(told.get(their), (int, float))
    }
    if numbers:
        job.progress(step=step, total_steps=total, **numbers)


def _below(process: subprocess.Popen[bytes]) -> set[psutil.Process]:
    """Return the processes that the engine has started, and those that these have."""
    try:
        return set(psutil.Process(process.pid).children(recursive=True))
    except psutil.NoSuchProcess:
        return set()


def _end(process: subprocess.Popen[bytes], started: set[psutil.Process]) -> None:
    """End the engine and all that it has `started`: what trains and samples for it outlives it where it is killed."""
    started |= _below(process)
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(UNTIL_KILL)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    for one in started:
        with contextlib.suppress(psutil.NoSuchProcess):  # a number of its that another has by now counts as that
            one.kill()
    psutil.wait_procs(started, timeout=UNTIL_KILL)


def _environment() -> dict[str, str]:
    """Return the engine's environment: Ray, by which it starts its processes, begins a cluster that ends with it."""
    return {**os.environ, "RAY_ADDRESS": "local", "WANDB_MODE": "disabled"}
