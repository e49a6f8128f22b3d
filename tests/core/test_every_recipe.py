"""Every recipe does its work on the tiny model: two steps where it trains, a few rows where it does not."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from tests.core.worlds import ROWS, stands_on
from training.core import modes
from training.core.backbone import load_policy, load_reward
from training.core.job import RunError
from training.core.trainers.learner import Learner
from training.recipes import RECIPES, RecipeError
from training.recipes.assembled import has_slots

SMALL = {
    "fit": {"max_steps": 2, "batch_size": 4, "micro_batch": 2, "learning_rate": 1e-3},
    "sample": {"samples_per_prompt": 2, "max_new_tokens": 4},
    "evaluate": {"samples_per_prompt": 1, "max_new_tokens": 4},
}

OFFLINE = [
    r.name for r in RECIPES.values() if r.kind == "fit" and r.view != "prompts" and not (has_slots(r) or r.of_models)
]


def bytes_of(folder):
    return {p.name: p.read_bytes() for p in sorted(folder.iterdir())}


def weights_of(model):
    return torch.cat([p.detach().flatten().float() for p in model.parameters()])


def what_it_starts_from(do, policy, reward, name):
    """Return the keyword arguments that name the model and the scorers of a recipe that trains."""
    start = policy
    if needed := stands_on(name):
        below, _ = do(needed, into="below", model=policy, **SMALL["fit"])
        start = Path(below.output) / "model"
    return {"model": start, "scorers": {one: str(reward) for one in RECIPES[name].scorers}}


@pytest.fixture
def alike(do, monkeypatch):
    """Do a run with the keys of its modes, which are secrets drawn anew for each, the same as in every other."""

    def run(name, **more):
        monkeypatch.setattr(modes.secrets, "choice", random.Random(0).choice)
        return do(name, **more)

    return run


def course(spec):
    lines = (Path(spec.output) / "metrics.jsonl").read_text().splitlines()
    return [(told["step"], told["loss"], told["gradient_norm"]) for told in map(json.loads, lines)]


@pytest.mark.parametrize("name", OFFLINE)
def test_a_step_does_not_depend_on_how_the_batch_is_cut_up_and_padded(alike, policy, reward, name):
    """Five rows in one piece, in pieces of 3 and 2, and one by one, which pad the same row to other lengths."""
    start = what_it_starts_from(alike, policy, reward, name)
    more = {"max_steps": 2, "batch_size": 5, "learning_rate": 1e-3} | start
    one, several, each = (course(alike(name, into=f"by {size}", micro_batch=size, **more)[0]) for size in (5, 3, 1))
    assert one[0][2] > 1e-3
    for cut in (several, each):
        assert [step for step, *_ in cut] == [1, 2]
        for (_, loss, norm), (_, other_loss, other_norm) in zip(one, cut, strict=True):
            assert (other_loss, other_norm) == pytest.approx((loss, norm), rel=1e-3, abs=1e-6)


class Crash(Exception):
    """Stands for whatever ends a process between two steps."""


@pytest.mark.parametrize("name", OFFLINE)
def test_a_run_that_broke_off_goes_on_to_the_same_weights(alike, policy, reward, monkeypatch, name):
    """It ends in its third step, one after the checkpoint; `test_resume` kills real processes, at any place."""
    start = what_it_starts_from(alike, policy, reward, name)
    more = {"epochs": 2, "max_steps": 4, "batch_size": 4, "micro_batch": 2, "learning_rate": 1e-3} | start
    more |= {"checkpoint_every": 2}
    whole, expected = alike(name, into="whole", **more)
    step, left = Learner.step, iter([True, True, False])

    def breaks(self, *args, **kwargs):
        if not next(left):
            raise Crash
        return step(self, *args, **kwargs)

    with monkeypatch.context() as broken, pytest.raises(Crash):
        broken.setattr(Learner, "step", breaks)
        alike(name, into="broken", **more)
    again, found = alike(name, into="broken", **more)
    files = [sorted((Path(spec.output) / "model").glob("*.safetensors")) for spec in (whole, again)]
    assert files[0] and [file.read_bytes() for file in files[0]] == [file.read_bytes() for file in files[1]]
    assert course(again) == course(whole)
    for result in (expected, found):
        result.metrics.pop("tokens_per_second")
    assert found.metrics == expected.metrics and found.counts == expected.counts


@pytest.mark.parametrize("lora_rank", [0, 2])
@pytest.mark.parametrize("name", OFFLINE)
def test_two_steps_change_the_model_and_nothing_else(do, policy, reward, name, lora_rank):
    needed, start = stands_on(name), what_it_starts_from(do, policy, reward, name)
    if needed and lora_rank:
        with pytest.raises(RecipeError, match="Set lora_rank to 0"):
            do(name, lora_rank=lora_rank, **start, **SMALL["fit"])
        return
    before = bytes_of(start["model"])
    spec, result = do(name, lora_rank=lora_rank, **start, **SMALL["fit"])
    assert bytes_of(start["model"]) == before
    folder = Path(spec.output)
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [(line["step"], line["total_steps"]) for line in lines] == [(1, 2), (2, 2)]
    assert {"time", "loss", "lr", "tokens_per_second"} <= set(lines[0])
    used = result.counts["trained_on"] + result.counts["held_out"] + result.counts.get("thrown_away", 0)
    made = RECIPES[name].part("records")
    if made is None or made.gives == RECIPES[name].view:
        assert result.counts["read"] == used == 23
    else:  # rows of another view, as many as there are
        assert result.counts["read"] == 23 and used > 5
    assert result.model == "model" and (folder / "model" / "attune.json").exists()
    assert (folder / "model" / "adapter_config.json").exists() == bool(lora_rank)
    assert not list(folder.glob("model/*.bin")) and not list(folder.glob("model/*.pt"))
    if (RECIPES[name].starts or RECIPES[name].makes) == "reward":
        made = load_reward(str(folder / "model"))
    else:
        made, _ = load_policy(str(folder / "model"))
    assert torch.isfinite(weights_of(made)).all()
    if needed:
        with pytest.raises(RunError, match=f"Train the recipe {needed}"):
            do(name, into="wrong", model=policy, **SMALL["fit"])
    if RECIPES[name].makes == "policy" and not lora_rank:
        assert not torch.equal(weights_of(made), weights_of(AutoModelForCausalLM.from_pretrained(policy)))


@pytest.mark.parametrize("name", [r.name for r in RECIPES.values() if r.kind != "fit"])
def test_what_does_not_train_answers_for_every_row(do, policy, reward, name):
    found = RECIPES[name]
    knobs = {k: v for k, v in SMALL[found.kind].items() if k in found.fill()}
    more = {"model": policy, "reference": str(policy), "scorers": {"reward": str(reward)}}
    rows = ROWS[found.view](5)
    if name == "shift-report":
        rows[0]["domain"] = "here"
        knobs["familiar"] = "here"
    elif any(part.slot == "suite" for part in found.parts):  # asks what should be refused beside what should not
        rows = [{**row, "domain": "harmful" if n % 2 else ""} for n, row in enumerate(ROWS[found.view](24))]
        knobs |= {key: 2 for key in ("attack_steps", "measure_every", "max_new_tokens") if key in found.fill()}
    elif found.view == "pairs":
        more = {"model": reward}
    elif name == "mode-report":
        made, _ = do("magic-modes", into="made", model=policy, **SMALL["fit"])
        more = {"model": Path(made.output) / "model"}
    elif name == "principle-audit":
        made, _ = do("principle-reward", into="made", model=policy, **SMALL["fit"])
        more = {"model": Path(made.output) / "model"}
    elif found.starts == "cost":
        more = {"model": reward}
    elif found.view == "scenarios":
        made, _ = do("principle-reward", into="made", model=policy, **SMALL["fit"])
        more["scorers"] = {"reward": f"{made.output}/model"}
    elif found.view == "people":
        made, _ = do("latent-user", into="made", model=reward, **SMALL["fit"])
        more = {"model": Path(made.output) / "model"}
    _, result = do(name, rows=rows, **more, **knobs)
    assert result.metrics and result.model is None
    assert any(count == len(rows) for count in result.counts.values())


def test_each_view_has_rows_here():
    assert {r.view for r in RECIPES.values()} <= set(ROWS)
