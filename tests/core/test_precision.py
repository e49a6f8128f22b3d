"""Computing in bfloat16 by a setting, on the CPU: nearly the same course, and weights that stay in float32."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from training.core import distributed

OFFLINE = {"max_steps": 3, "batch_size": 4, "learning_rate": 1e-3, "eval_share": 0.0}
ON_POLICY = {
    "iterations": 2,
    "prompts_per_iteration": 2,
    "samples_per_prompt": 2,
    "batch_size": 4,
    "max_new_tokens": 4,
    "eval_share": 0.0,
}
DOUBLE = {"critic_heads": "double"}
ASKED = [{"id": f"q{n}", "prompt": [{"role": "user", "content": f"Question {n}?"}]} for n in range(4)]


def lines_of(spec) -> list[dict]:
    return [json.loads(line) for line in (Path(spec.output) / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize(
    ("name", "more"),
    [("dpo", OFFLINE), ("dpo", {**OFFLINE, "lora_rank": 2}), ("grpo", ON_POLICY), ("ppo", ON_POLICY | DOUBLE)],
)
def test_bfloat16_takes_nearly_the_course_of_float32(do, policy, reward, name, more):
    if name != "dpo":
        more = {**more, "rows": ASKED, "scorers": {"reward": str(reward)}}
    told = {bf16: do(name, into=f"bf16-{bf16}", model=policy, bf16=bf16, **more)[0] for bf16 in (False, True)}
    plain, short = (lines_of(told[bf16]) for bf16 in (False, True))
    assert [line["step"] for line in plain] == [line["step"] for line in short]
    if name == "dpo":
        assert short[0]["loss"] == pytest.approx(math.log(2), abs=1e-3)
        assert [line["loss"] for line in short] == pytest.approx([line["loss"] for line in plain], abs=0.05)
    figure = "gradient_norm"
    assert [line[figure] for line in short] != [line[figure] for line in plain]  # it really computed otherwise
    stored = "adapter_model" if "lora_rank" in more else "model"
    kept = load_file(Path(told[True].output) / "model" / f"{stored}.safetensors")
    assert {weight.dtype for weight in kept.values()} == {torch.float32}


def test_processes_speak_by_nccl_between_gpus_and_by_gloo_between_cpus():
    assert distributed.backend_for(torch.device("cuda", 1)) == "nccl"
    assert distributed.backend_for(torch.device("cpu")) == "gloo"
