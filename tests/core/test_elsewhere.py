"""A run that another engine does, by stand-ins that read what verl and AReaL read and write their files.

What these themselves do with the settings is not shown here: each has an environment of its own.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import psutil
import pyarrow.parquet as parquet
import pytest
import torch
from safetensors.torch import load_file

from tests.core.worlds import make_spec
from training.core import elsewhere
from training.core.backbone import load_policy
from training.core.records import held_out, prompt_hash
from training.core.reward_server import rewards
from training.core.run import main
from training.core.scoring import load_scorers
from training.recipes.spec import EXIT_STOPPED, RunResult

STAND_IN = Path(__file__).parent / "stand_in"
KNOBS = {
    "iterations": 4,
    "prompts_per_iteration": 3,
    "samples_per_prompt": 2,
    "batch_size": 6,
    "micro_batch": 2,
    "max_new_tokens": 6,
    "checkpoint_every": 2,
    "eval_share": 0.3,
}

AREAL = {"engine": "areal", "kl_weight": 0.0, "micro_batch": 8}


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Put the stand-ins where their interpreter finds them, as verl 0.9.1 and AReaL 1.0.4."""
    for name, version in (("areal", "1.0.4"), ("verl", "0.9.1")):
        told = tmp_path / "site" / f"{name}-{version}.dist-info"
        told.mkdir(parents=True)
        (told / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    monkeypatch.setattr(elsewhere, "EVERY_SECONDS", 0.02)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path / 'site'}{os.pathsep}{STAND_IN}")
    return told


def ordered(tmp_path, policy, reward, *, name="grpo", engine="verl", settings=None, python=sys.executable, **changes):
    told = {"name": engine, "python": python, "settings": settings or {}}
    more = {**KNOBS, **changes}
    return make_spec(tmp_path / "run", name, model=policy, scorers={"reward": str(reward)}, engine=told, **more)


def told_of(spec) -> str:
    return json.loads((Path(spec.output) / "error.json").read_text())["message"]


def lines_of(spec) -> list[dict]:
    return [json.loads(line) for line in (Path(spec.output) / "metrics.jsonl").read_text().splitlines()]


def weights_in(folder: Path) -> tuple[str, torch.Tensor]:
    weights = load_file(folder / "model.safetensors")
    return min(weights), weights[min(weights)]


def test_prompts_go_out_rewards_are_given_and_figures_and_weights_come_back(tmp_path, policy, reward, installed):
    spec = ordered(tmp_path, policy, reward)
    assert main(f"{spec.output}/spec.json") == 0
    result = RunResult.read(spec.output)
    asked = [json.loads(line) for line in Path(spec.data).read_text().splitlines()]
    apart = [row for row in asked if held_out(prompt_hash(row["prompt"]), share=0.3)]
    rows = parquet.read_table(Path(spec.output) / "engine" / "prompts.parquet").to_pylist()
    assert [row["prompt"] for row in rows] == [row["prompt"] for row in asked if row not in apart] and apart
    assert result.counts["held_out"] == len(apart) and result.counts["prompts"] == len(rows)

    lines = lines_of(spec)
    assert [(line["step"], line["total_steps"]) for line in lines] == [(step, 4) for step in (1, 2, 3, 4)]
    scorer = load_scorers({"reward": str(reward)}, device=torch.device("cpu"))["reward"]
    first = [rows[(3 + place) % len(rows)]["prompt"] for place in range(3) for _ in range(2)]
    expected = scorer.score(first, ["no", "thanks 1"] * 3)
    assert abs(lines[0]["reward"] - sum(expected) / 6) < 1e-5 and lines[0]["gradient_norm"] == 1.0
    assert "training/epoch" not in lines[0] and result.metrics["reward"] == pytest.approx(lines[-1]["reward"])

    name, after = weights_in(Path(spec.output) / "model")
    torch.testing.assert_close(after, load_file(policy / "model.safetensors")[name] + 0.004)
    load_policy(f"{spec.output}/model")
    note = json.loads((Path(spec.output) / "model" / "attune.json").read_text())
    assert (note["recipe"], note["base"]) == ("grpo", str(policy))
    assert not (Path(spec.output) / "engine" / "address.json").exists()  # the token in it is worth nothing any more
    assert not (Path(spec.output) / "checkpoints").exists()


def test_what_went_wrong_goes_on_from_the_newest_checkpoint(tmp_path, policy, reward, installed):
    """An engine that fails is told of; one that was killed, or was stopped as it hung, is to be tried again."""
    spec = ordered(tmp_path, policy, reward)
    here = Path(spec.output) / "engine"
    here.mkdir()
    (here / "faults.json").write_text(json.dumps([[2, "exit"], [4, "kill"], [4, "stall"]]))
    assert main(f"{spec.output}/spec.json") == 1
    assert told_of(spec) == "verl ended with code 3. The run's log has its words."
    assert main(f"{spec.output}/spec.json") == EXIT_STOPPED
    assert [line["step"] for line in lines_of(spec)] == [1, 2, 3]
    threading.Thread(target=stopped_once_it_hangs, args=(here,), daemon=True).start()
    assert main(f"{spec.output}/spec.json") == EXIT_STOPPED
    assert not psutil.pid_exists(int((here / "stalled").read_text()))
    assert main(f"{spec.output}/spec.json") == 0
    assert [line["step"] for line in lines_of(spec)] == [1, 2, 3, 4]
    name, after = weights_in(Path(spec.output) / "model")
    torch.testing.assert_close(after, load_file(policy / "model.safetensors")[name] + 0.004)


def test_areal_does_it_too_and_nothing_that_it_started_outlives_it(tmp_path, policy, reward, installed):
    """Killed in the third step it goes on from the second; stopped as it hangs, its worker ends with it."""
    spec = ordered(tmp_path, policy, reward, **AREAL, checkpoint_every=2)
    here = Path(spec.output) / "engine"
    here.mkdir()
    (here / "faults.json").write_text(json.dumps([[3, "kill"], [4, "stall"]]))
    assert main(f"{spec.output}/spec.json") == EXIT_STOPPED
    assert [line["step"] for line in lines_of(spec)] == [1, 2] and not psutil.pid_exists(worker_of(here))
    threading.Thread(target=stopped_once_it_hangs, args=(here,), daemon=True).start()
    assert main(f"{spec.output}/spec.json") == EXIT_STOPPED
    assert not psutil.pid_exists(int((here / "stalled").read_text())) and not psutil.pid_exists(worker_of(here))
    assert main(f"{spec.output}/spec.json") == 0

    lines = lines_of(spec)
    assert [(line["step"], line["total_steps"]) for line in lines] == [(step, 4) for step in (1, 2, 3, 4)]
    rows = [json.loads(line) for line in (here / "prompts.jsonl").read_text().splitlines()]
    scorer = load_scorers({"reward": str(reward)}, device=torch.device("cpu"))["reward"]
    first = [rows[place % len(rows)]["messages"] for place in range(3) for _ in range(2)]
    expected = scorer.score(first, ["no", "thanks"] * 3)  # without the token that ends them
    assert abs(lines[0]["reward"] - sum(expected) / 6) < 1e-5 and lines[0]["gradient_norm"] == 1.0
    name, after = weights_in(Path(spec.output) / "model")
    torch.testing.assert_close(after, load_file(policy / "model.safetensors")[name] + 0.004)
    result = RunResult.read(spec.output)
    assert result.counts["prompts"] == len(rows) and result.counts["held_out"]
    assert json.loads((Path(spec.output) / "model" / "attune.json").read_text())["base"] == str(policy)


def worker_of(here: Path) -> int:
    return int((here / "worker").read_text())


def stopped_once_it_hangs(here: Path) -> None:
    deadline = time.monotonic() + 60
    while not (here / "stalled").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    (here.parent / "STOP").touch()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"settings": {"trainer.nnodes": 2}}, "Set trainer.nnodes to 1."),
        ({"settings": {"trainer.nnode": 1}}, "verl cannot be told trainer.nnode."),
        ({"whiten": False, "name": "ppo"}, "verl always whitens the advantages of GAE."),
        ({"engine": "areal"}, "AReaL has no KL term in the loss."),
        ({**AREAL, "settings": {"cluster.n_nodes": 2}}, "Set cluster.n_nodes to 1."),
        ({**AREAL, "settings": {"cluster.n_node": 1}}, "AReaL cannot be told cluster.n_node."),
        ({"python": "/nowhere/python"}, "/nowhere/python cannot be started"),
        ({"prompts_per_iteration": 30}, "an iteration asks 30"),
    ],
)
def test_what_cannot_be_done_there_is_refused_before_it_starts(tmp_path, policy, reward, installed, changes, says):
    spec = ordered(tmp_path, policy, reward, **changes)
    assert main(f"{spec.output}/spec.json") == 1
    assert says in told_of(spec)
    assert not (Path(spec.output) / "metrics.jsonl").exists()


def test_another_version_is_refused(tmp_path, policy, reward, installed):
    spec = ordered(tmp_path, policy, reward)
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: verl\nVersion: 0.8.0\n")
    assert main(f"{spec.output}/spec.json") == 1
    assert told_of(spec).startswith("Settings are compiled for verl 0.9.1, and ") and "has 0.8.0." in told_of(spec)


def test_rewards_are_given_to_who_knows_the_token_and_the_unreadable_gets_the_lowest(tmp_path):
    class Length:
        def score(self, prompts, texts):
            return [float(len(text)) - 5 if text else None for text in texts]

    address = tmp_path / "address.json"
    with rewards(Length(), address, written=lambda ids: "x" * len(ids)):
        told = json.loads(address.read_text())
        assert address.stat().st_mode & 0o077 == 0

        def asked(text: str | list[int], token: str = told["token"]) -> float:
            answer = {"text": text} if isinstance(text, str) else {"ids": text}
            body = json.dumps({"messages": [{"role": "user", "content": "?"}], **answer}).encode()
            request = urllib.request.Request(told["url"], data=body, headers={"Authorization": f"Bearer {token}"})
            with urllib.request.urlopen(request, timeout=10) as answer:
                return json.loads(answer.read())["reward"]

        assert [asked(text) for text in ("abcdefg", "ab", "", [5, 6])] == [2.0, -3.0, -3.0, -3.0]
        with pytest.raises(urllib.error.HTTPError, match="403"):
            asked("abc", token="guessed")
    with pytest.raises(urllib.error.URLError):
        asked("abc")
