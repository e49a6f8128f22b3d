"""A run on the policy's own answers that another engine does: files in, a process, files out (arXiv:2409.19256).

The engine has an environment of its own, of which we know the interpreter. It gets the recipe as its own settings, the
prompts as Parquet, and a file that asks this process for each answer's reward; its figures become the run's, and its
last checkpoint the run's model. Nothing of its code is imported here, and of ours it imports nothing.

In the run's folder ``engine/`` holds what it reads, and ``checkpoints/`` its own, from which it goes on after a crash.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from training.core import backbone
from training.core.job import Job, RunError, Stopped
from training.core.prompts import Prompt, prompt_notes, read_prompts
from training.core.records import Tally, held_out, prompt_hash
from training.core.scorers import Scorer, is_judge
from training.core.scoring import load_scorers
from training.core.trainers.offline import save_model
from training.core.trainers.state import finished_numbers, tail_means
from training.recipes.alarms import alarms
from training.recipes.engines import Files, compiler, verl
from training.recipes.note import Note
from training.recipes.spec import RunResult, write_json, write_text

EVERY_SECONDS = 0.5
UNTIL_KILL = 20.0  # seconds between asking an engine to end and ending it
LONGEST_BODY = 4_000_000  # bytes of a question for a reward

# Runs in the engine's environment, with the standard library alone. The address is read anew for each answer, as after
# a crash the rewards come from another process.
REWARD_FILE = '''\
"""Asks Attune for the reward of an answer. Written for one run; do not edit."""

import json
import pathlib
import urllib.request

ADDRESS = pathlib.Path(__file__).with_name("address.json")


def compute_score(data_source, solution_str, ground_truth, extra_info=None, **_):
    told = json.loads(ADDRESS.read_text())
    body = json.dumps({"messages": json.loads(extra_info["messages"]), "text": solution_str}).encode()
    headers = {"Content-Type": "application/json", "Authorization": "Bearer " + told["token"]}
    request = urllib.request.Request(told["url"], data=body, headers=headers)
    with urllib.request.urlopen(request, timeout=600) as answer:
        return float(json.loads(answer.read())["reward"])
'''


def improve_elsewhere(job: Job) -> RunResult:
    """Have the spec's engine do the run, from its newest checkpoint if it has one, and return the result.

    Raises `Stopped` when asked to stop, and when the engine was killed: both go on from its last checkpoint.
    """
    spec, knobs = job.spec, job.knobs
    assert spec.engine is not None
    name, python, own = spec.engine["name"], spec.engine["python"], dict(spec.engine.get("settings", {}))
    here = job.folder / "engine"
    files = Files(
        model=spec.model,
        data=str(here / "prompts.parquet"),
        reward=str(here / "reward.py"),
        checkpoints=str(job.folder / "checkpoints"),
    )
    settings = compiler(name)(job.recipe, knobs, files, seed=spec.seed, own=own)
    if name != "verl":
        raise RunError(
            Note(
                "Settings are compiled for {engine}, and it cannot be started from here: it has no program that reads "
                "nothing but settings.",
                engine=name,
            )
        )
    if settings["trainer.nnodes"] != 1:
        raise RunError(Note("Rewards are given on this machine alone. Set trainer.nnodes to 1."))
    if backbone.is_adapter(spec.model):
        raise RunError(Note("The engine starts from whole weights, and this model is an adapter. Merge it first."))
    refuse_other_version(name, python, verl.VERSION)
    here.mkdir(parents=True, exist_ok=True)
    tokenizer = backbone.load_tokenizer(spec.tokenizer or spec.model, trust_remote_code=spec.trust_remote_code)
    tally = Tally()
    assert spec.data is not None
    prompts = read_prompts(spec.data, tokenizer, tally, max_length=settings["data.max_prompt_length"])
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
    write_prompts(used, Path(files.data))
    write_text(Path(files.reward), REWARD_FILE)
    write_json(here / "settings.json", settings)
    scorer = reward_scorer(job)
    with rewards(scorer, here / "address.json"):
        follow(job, [python, "-m", "verl.trainer.main_ppo", *verl.arguments(settings)], total=knobs["iterations"])
    trained = finished_model(Path(files.checkpoints), steps=knobs["iterations"])
    model, _ = backbone.load_policy(str(trained), trust_remote_code=spec.trust_remote_code)
    save_model(job, model, tokenizer)
    told = Note(
        "It was trained by {engine} {version}, with the settings in engine/settings.json.",
        engine=name,
        version=verl.VERSION,
    )
    counts = dict(tally.counts) | {"prompts": len(used), "held_out": len(prompts) - len(used)}
    return RunResult(
        model="model",
        metrics=tail_means(job.folder),
        files={"settings": "engine/settings.json"},
        counts=counts,
        notes=[told, *prompt_notes(tally), *alarms(finished_numbers(job.folder))],
    )


def refuse_other_version(name: str, python: str, version: str) -> None:
    """Raise RunError where the interpreter does not have the engine in the version that settings are compiled for."""
    asked = [python, "-c", f"import importlib.metadata as found; print(found.version({name!r}))"]
    try:
        told = subprocess.run(asked, capture_output=True, text=True, timeout=120, check=False, env=_environment())
    except (OSError, subprocess.TimeoutExpired) as error:
        raise RunError(
            Note(
                "{python} cannot be started ({error}). Check where {engine} is.",
                python=python,
                error=str(error),
                engine=name,
            )
        ) from error
    found = told.stdout.strip()
    if told.returncode or found != version:
        raise RunError(
            Note(
                "Settings are compiled for {engine} {version}, and {python} has {found}. Install that version there.",
                engine=name,
                version=version,
                python=python,
                found=found or Note("none"),
            )
        )


def write_prompts(prompts: list[Prompt], path: Path) -> None:
    """Write the prompts as verl's RL data set reads them: a row each, with what its reward function is told."""
    import pyarrow as arrow  # here, as every run imports this module and few write Parquet
    import pyarrow.parquet as parquet

    rows = [
        {
            "data_source": "attune",
            "prompt": [{"role": message["role"], "content": message["content"]} for message in prompt.messages],
            "ability": "",
            "reward_model": {"style": "model", "ground_truth": ""},
            "extra_info": {"index": number, "id": prompt.id, "messages": json.dumps(prompt.messages)},
        }
        for number, prompt in enumerate(prompts)
    ]
    part = path.with_name(path.name + ".part")
    parquet.write_table(arrow.Table.from_pylist(rows), part)
    part.replace(path)


def reward_scorer(job: Job) -> Scorer:
    """Return the one scorer that the recipe learns from; RunError for what cannot say a number of one answer alone."""
    named = load_scorers(job.spec.scorers, device=job.device, trust_remote_code=job.spec.trust_remote_code)
    if "reward" not in named or len(named) > 1:
        raise RunError(Note("An engine learns from one reward model. Name one as reward, and no other."))
    if is_judge(named["reward"]):
        raise RunError(Note("A judge of two answers gives an answer alone no reward. Take a reward model."))
    return named["reward"]


@contextlib.contextmanager
def rewards(scorer: Scorer, address: Path) -> Iterator[None]:
    """Within it, this process gives rewards to who knows the token in the file `address`, one answer at a time.

    An answer that cannot be read gets the lowest reward given so far, as it is not to be worth more than any other.
    """
    token = secrets.token_urlsafe(32)
    lock = threading.Lock()
    lowest = [0.0]

    class Door(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            if not secrets.compare_digest(self.headers.get("Authorization", ""), f"Bearer {token}"):
                self.send_error(403)
                return
            length = int(self.headers.get("Content-Length") or 0)
            if not 0 < length <= LONGEST_BODY:
                self.send_error(413)
                return
            try:
                asked = json.loads(self.rfile.read(length))
                messages, text = asked["messages"], str(asked["text"])
            except (ValueError, KeyError, TypeError):
                self.send_error(400)
                return
            with lock:
                found = scorer.score([messages], [text])[0]
                if found is not None:
                    lowest[0] = min(lowest[0], found)
                reward = lowest[0] if found is None else found
            body = json.dumps({"reward": reward}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing: an answer each would fill the run's log."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Door)
    told = json.dumps({"url": f"http://127.0.0.1:{server.server_address[1]}/", "token": token})
    address.unlink(missing_ok=True)
    with open(os.open(address, os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o600), "w") as file:  # the token is in it
        file.write(told)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
        address.unlink(missing_ok=True)


def follow(job: Job, command: list[str], *, total: int) -> None:
    """Run the engine to its end, and tell its figures as the run's; RunError when it failed, `Stopped` when killed."""
    here = job.folder / "engine"
    reached = latest_step(job.folder / "checkpoints")
    job.rewind(reached)
    figures = here / "figures.jsonl"
    figures.unlink(missing_ok=True)  # the engine writes it anew
    read = 0
    process = subprocess.Popen(
        command, cwd=here, env=_environment() | {"VERL_FILE_LOGGER_PATH": str(figures)}, stdin=subprocess.DEVNULL
    )
    try:
        while True:
            code = process.poll()
            lines = (
                figures.read_text().split("\n")[:-1] if figures.exists() else []
            )  # behind the last break: half a line
            for line in lines[read:]:
                _tell(job, json.loads(line), total=total, after=reached)
            read = len(lines)
            if code is not None:
                break
            if job.stop_requested():
                raise Stopped
            time.sleep(EVERY_SECONDS)
    finally:
        _end(process)
    if code < 0:
        raise Stopped  # as the kernel does when memory is short: to be tried again, and so often as any other run
    if code:
        raise RunError(Note("{engine} ended with code {code}. The run's log has its words.", engine="verl", code=code))


def _tell(job: Job, line: dict[str, Any], *, total: int, after: int) -> None:
    """Write one of the engine's lines as one of the run's, by the names that figures have here."""
    step, told = line.get("step"), line.get("data")
    if not isinstance(step, int) or not isinstance(told, dict) or step <= after:
        return
    numbers = {
        name: float(told[their]) for their, name in verl.METRICS.items() if isinstance(told.get(their), (int, float))
    }
    if numbers:
        job.progress(step=step, total_steps=total, **numbers)


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(UNTIL_KILL)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _environment() -> dict[str, str]:
    """Return the engine's environment: Ray, by which it starts its processes, begins a cluster that ends with it."""
    return {**os.environ, "RAY_ADDRESS": "local", "WANDB_MODE": "disabled"}


def latest_step(checkpoints: Path) -> int:
    """Return the step of the engine's newest finished checkpoint, 0 where there is none."""
    file = checkpoints / "latest_checkpointed_iteration.txt"
    text = file.read_text().strip() if file.exists() else ""
    return int(text) if text.isdigit() else 0


def finished_model(checkpoints: Path, *, steps: int) -> Path:
    """Return the folder of the policy after the last step; RunError when it is not there, or not in safe files."""
    reached = latest_step(checkpoints)
    if reached != steps:
        raise RunError(
            Note(
                "The engine ended without an error after {n} of {steps} steps. Start the run again.",
                n=reached,
                steps=steps,
            )
        )
    folder = checkpoints / f"global_step_{reached}" / "actor" / "huggingface"
    if not (folder / "config.json").is_file() or not any(folder.glob("*.safetensors")):
        raise RunError(Note("{folder} has no weights as safetensors, and others are not read.", folder=str(folder)))
    return folder
