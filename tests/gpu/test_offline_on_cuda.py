"""Training where there is a CUDA device: bfloat16, memory that really runs out, and resuming to the same weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.core.test_resume import KNOBS, killed_and_resumed
from tests.core.worlds import make_spec, pair_rows, tiny_policy
from training.core.run import KINDS, open_job

pytestmark = pytest.mark.gpu


@pytest.fixture(scope="module")
def policy(tmp_path_factory) -> Path:
    return tiny_policy(tmp_path_factory.mktemp("policy"))


@pytest.mark.parametrize("lora_rank", [0, 4])
def test_dpo_in_bfloat16_starts_at_ln_2_and_learns(tmp_path, policy, lora_rank):
    spec = make_spec(
        tmp_path / "run",
        "dpo",
        model=policy,
        rows=pair_rows(200),
        bf16=True,
        lora_rank=lora_rank,
        learning_rate=2e-3,
        batch_size=16,
        epochs=3,
    )
    job = open_job(spec)
    assert job.device.type == "cuda"
    result = KINDS["fit"](job)
    assert result.metrics["eval_accuracy"]["estimate"] > 0.9


def test_killed_and_resumed_on_the_device(tmp_path, policy):
    for name, points in (("plain", []), ("often", ["step:1", "flush:3", "step:2", "model:1"])):
        make_spec(tmp_path / name, "dpo", model=policy, **KNOBS)
        killed_and_resumed(tmp_path / name / "spec.json", *points)
    one, other = (load_file(tmp_path / name / "model" / "model.safetensors") for name in ("plain", "often"))
    assert all(torch.equal(one[key], other[key]) for key in one)


def test_memory_that_runs_out_halves_the_micro_batch(tmp_path, policy):
    """A share of the device's memory that holds a few of these rows and not all 256 at once."""
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + 400e6) / total)
    try:
        rows = [{**row, "prompt": "word " * 90} for row in pair_rows(256)]
        spec = make_spec(
            tmp_path / "run", "bradley-terry", model=policy, rows=rows, batch_size=256, micro_batch=256, eval_share=0.0
        )
        result = KINDS["fit"](open_job(spec))
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert any("micro_batch is" in note for note in result.notes)
    assert result.metrics["steps"] == 1
