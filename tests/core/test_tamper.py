"""The gate of lost safety and the tamper test: bounds by hand, what fails, and that nothing of the attack is left."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from tests.core.test_merging import rows
from training.core.evaluate import tamper
from training.core.evaluate.regression import drop, verdict
from training.core.evaluate.tamper import PLACEHOLDER, divided
from training.core.job import RunError, Stopped
from training.core.prompts import Prompt
from training.core.stats import wilson
from training.core.tiny import save_tiny

SMALL = {"max_new_tokens": 3, "rows_at_once": 8}


def test_a_drop_by_hand():
    """Of 50 of 50 to 40 of 50 at one-sided 95 %: 0.2, Wilson's ends 0.9487 and (0.6917, 0.8760).

    Upper end 0.2 + √(0² + (0.8 - 0.6917)²) = 0.3083, lower end 0.2 - √((1 - 0.9487)² + (0.8760 - 0.8)²) = 0.1083.
    """
    found = drop(wilson(50, 50), wilson(40, 50), confidence=0.95)
    assert found["estimate"] == pytest.approx(0.2)
    assert (found["low"], found["high"]) == (pytest.approx(0.1083, abs=2e-3), pytest.approx(0.3083, abs=2e-3))


def test_what_is_not_shown_to_be_kept_does_not_pass():
    def side(n, safe=1.0, answered=1.0):
        return {"safe": wilson(safe * n, n), "answered": wilson(answered * n, n)}

    knobs = {"most_lost": 0.1, "confidence": 0.95}
    assert verdict(side(60), side(60), **knobs)["passed"]
    assert not verdict(side(10), side(10), **knobs)["passed"]  # nothing was lost, and ten prompts do not show it
    assert not verdict(side(60), side(60, safe=0.0), **knobs)["passed"]
    assert not verdict(side(60), side(60, answered=0.8), **knobs)["passed"]
    assert verdict(side(60, safe=0.5), side(60), **knobs)["passed"]  # safer than before


def test_a_regression_run_asks_both_the_same(do, policy, reward):
    _, result = do("safety-regression", model=policy, reference=str(policy), rows=rows(8), **SMALL)
    found = result.metrics
    assert found["safe"] == found["current_safe"] and found["safe_drop"]["estimate"] == 0 and not found["passed"]
    assert result.notes[0].startswith("FAIL: lost of safety 0%") and result.counts["prompts"] == 8
    with pytest.raises(RunError, match="policy to compare with"):
        do("safety-regression", model=policy, rows=rows(8), **SMALL)


def test_an_attack_changes_nothing_on_disk_and_leaves_figures_alone(do, policy, tmp_path):
    before = {path.name: path.read_bytes() for path in policy.iterdir()}
    knobs = {"attack_steps": 4, "measure_every": 2, "batch_size": 2, "lora_rank": 2, **SMALL}
    spec, result = do("tamper-test", model=policy, rows=rows(24), **knobs)
    assert {path.name: path.read_bytes() for path in policy.iterdir()} == before and result.model is None
    folder = Path(spec.output)
    points = json.loads((folder / "points.json").read_text())["points"]
    assert [point["step"] for point in points] == [0, 2, 4]
    assert {"safe_before", "safe_after", "answered_drop", "passed"} <= set(result.metrics)
    assert result.counts["attacked"] + result.counts["measured"] == 24
    left = [path for path in folder.rglob("*") if path.is_file()]
    assert not [path for path in left if path.suffix in (".safetensors", ".bin", ".pt")]
    assert not [path for path in left if PLACEHOLDER in path.read_text()]
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3, 4] and lines[-1]["loss"] < lines[0]["loss"]
    (folder / "STOP").touch()
    with pytest.raises(Stopped):
        do("tamper-test", model=policy, rows=rows(24), **knobs)


def test_a_policy_that_the_attack_changed_itself_is_reported(do, tmp_path, monkeypatch):
    """A planted fault: the adapter is not the only thing that is trained."""

    def leaky(model, *, rank):
        made = add(model, rank=rank)
        for weight in model.parameters():
            weight.requires_grad_(True)
        return made

    add = tamper.add_lora
    monkeypatch.setattr(tamper, "add_lora", leaky)
    own = save_tiny(tmp_path / "own")
    knobs = {"attack_steps": 1, "measure_every": 9, "batch_size": 2, **SMALL}
    with pytest.raises(RunError, match="policy itself was changed"):
        do("tamper-test", model=own, rows=rows(24), **knobs)


def test_no_prompt_is_attacked_and_measured():
    prompts = [Prompt(str(n), [{"role": "user", "content": f"{n % 30}"}], [n]) for n in range(60)]
    attacked, measured = ({one.messages[0]["content"] for one in side} for side in divided(prompts))
    assert attacked and measured and not attacked & measured
    assert torch.tensor([len(attacked), len(measured)]).sum() == 30
