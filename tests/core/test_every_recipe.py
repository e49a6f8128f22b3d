"""Every recipe does its work on the tiny model: two steps where it trains, a few rows where it does not."""

from __future__ import annotations

import json

import pytest
import torch
from transformers import AutoModelForCausalLM

from tests.core.worlds import ROWS, stands_on
from training.core.backbone import load_policy, load_reward
from training.core.job import RunError
from training.recipes import RECIPES
from training.recipes.assembled import has_slots

SMALL = {
    "fit": {"max_steps": 2, "batch_size": 4, "micro_batch": 2, "learning_rate": 1e-3},
    "sample": {"samples_per_prompt": 2, "max_new_tokens": 4},
    "evaluate": {"samples_per_prompt": 1, "max_new_tokens": 4},
}

OFFLINE = [r.name for r in RECIPES.values() if r.kind == "fit" and r.view != "prompts" and not has_slots(r)]


def bytes_of(folder):
    return {p.name: p.read_bytes() for p in sorted(folder.iterdir())}


def weights_of(model):
    return torch.cat([p.detach().flatten().float() for p in model.parameters()])


@pytest.mark.parametrize("lora_rank", [0, 2])
@pytest.mark.parametrize("name", OFFLINE)
def test_two_steps_change_the_model_and_nothing_else(do, policy, reward, name, lora_rank):
    start = policy
    scorers = {"scorers": {one: str(reward) for one in RECIPES[name].scorers}}
    if needed := stands_on(name):
        below, _ = do(needed, into="below", model=policy, **SMALL["fit"])
        start = policy.__class__(below.output) / "model"
        if lora_rank:
            with pytest.raises(RunError, match="Set lora_rank to 0"):
                do(name, model=start, lora_rank=lora_rank, **SMALL["fit"])
            return
    before = bytes_of(start)
    spec, result = do(name, model=start, lora_rank=lora_rank, **SMALL["fit"], **scorers)
    assert bytes_of(start) == before
    folder = policy.__class__(spec.output)
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
        more = {"model": policy.__class__(made.output) / "model"}
    elif found.view == "people":
        made, _ = do("latent-user", into="made", model=reward, **SMALL["fit"])
        more = {"model": policy.__class__(made.output) / "model"}
    _, result = do(name, rows=rows, **more, **knobs)
    assert result.metrics and result.model is None
    assert any(count == len(rows) for count in result.counts.values())


def test_each_view_has_rows_here():
    assert {r.view for r in RECIPES.values()} <= set(ROWS)
