"""Where there are CUDA devices: RL in bfloat16, several processes by NCCL, and vLLM's answers beside our own.

Never run so far: no GPU could be had when these were written.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from itertools import chain
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from tests.core.worlds import make_spec, pair_rows, tiny_policy
from training.core import vllm_sampling
from training.core.backbone import load_policy, start_policy
from training.core.decode import generate, stop_ids
from training.core.run import KINDS, open_job

pytestmark = pytest.mark.gpu

ROOT = Path(__file__).parents[2]
ASKED = [{"id": f"q{n}", "prompt": [{"role": "user", "content": f"Question {n}?"}]} for n in range(4)]
RL = {"iterations": 2, "prompts_per_iteration": 2, "samples_per_prompt": 2, "batch_size": 4, "max_new_tokens": 4}
PROMPTS = [[5, 9, 14, 7], [8, 6], [11, 12, 13, 14, 15, 16]]
needs_vllm = pytest.mark.skipif(importlib.util.find_spec("vllm") is None, reason="vLLM is not installed")


@pytest.fixture(scope="module")
def policy(tmp_path_factory) -> Path:
    return tiny_policy(tmp_path_factory.mktemp("policy"))


@pytest.fixture(scope="module")
def reward(tmp_path_factory, policy) -> Path:
    spec = make_spec(tmp_path_factory.mktemp("reward"), "bradley-terry", model=policy, max_steps=2, batch_size=4)
    KINDS["fit"](open_job(spec))
    return Path(spec.output) / "model"


def test_grpo_in_bfloat16_keeps_its_figures_finite(tmp_path, policy, reward, monkeypatch):
    monkeypatch.setenv("ATTUNE_SAMPLER", "own")
    scorers = {"reward": str(reward)}
    spec = make_spec(
        tmp_path / "rl", "grpo", model=policy, rows=ASKED, scorers=scorers, bf16=True, eval_share=0.0, **RL
    )
    job = open_job(spec)
    assert job.device.type == "cuda"
    KINDS[spec.kind](job)
    lines = [json.loads(line) for line in (Path(spec.output) / "metrics.jsonl").read_text().splitlines()]
    assert len(lines) == 2 and all(line["loss"] == line["loss"] for line in lines)


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="two GPUs")
@pytest.mark.parametrize("sharded", ["0", "1"])
def test_two_processes_by_nccl_take_the_course_of_one(tmp_path, policy, sharded):
    assert dist.is_nccl_available()
    curves = []
    for processes in (1, 2):
        spec = make_spec(
            tmp_path / f"of-{processes}",
            "dpo",
            model=policy,
            rows=pair_rows(40),
            batch_size=8,
            max_steps=4,
            eval_share=0.0,
        )
        spec.write()
        more = {"ATTUNE_PROCESSES": str(processes), "ATTUNE_SHARDED": sharded} if processes > 1 else {}
        start = ["training.core.several", str(processes)] if processes > 1 else ["training.core.run"]
        line = [sys.executable, "-m", *start, f"{spec.output}/spec.json"]
        subprocess.run(line, cwd=ROOT, env={**os.environ, **more}, check=True, timeout=600)
        lines = (Path(spec.output) / "metrics.jsonl").read_text().splitlines()
        curves.append([json.loads(line)["loss"] for line in lines])
    assert curves[1] == pytest.approx(curves[0], abs=1e-4)


@needs_vllm
@pytest.mark.parametrize("lora_rank", [0, 4])
def test_vllm_answers_greedily_as_we_do(tmp_path, policy, lora_rank):
    """A whole model in float32; an adapter in bfloat16, as vLLM's adapters are, and so nearly everywhere the same."""
    torch.manual_seed(0)
    model, tokenizer = start_policy(str(policy), lora_rank=lora_rank)
    if lora_rank:
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(weight, std=0.5)
    model.to("cuda")
    engine = vllm_sampling.Engine(str(policy), rank=lora_rank, dtype="bfloat16" if lora_rank else "float32", longest=64)
    if lora_rank:
        engine.renewed(model, tmp_path)
    asked = {"n": 1, "temperature": 0.0, "max_new_tokens": 8, "stop": stop_ids(model, tokenizer), "seeds": [1, 2, 3]}
    ours, theirs = generate(model, PROMPTS, **asked), engine.generate(model, PROMPTS, **asked)
    pairs = list(zip(chain(*ours), chain(*theirs), strict=True))
    assert sum(one.ids == other.ids for one, other in pairs) >= (2 if lora_rank else 3)
    for one, other in pairs:
        if one.ids == other.ids:
            assert other.logp == pytest.approx(one.logp, abs=1e-2)


@needs_vllm
def test_vllm_draws_a_loop_s_answers(tmp_path, policy, reward, monkeypatch):
    monkeypatch.setenv("ATTUNE_SAMPLER", "vllm")
    scorers = {"reward": str(reward)}
    spec = make_spec(
        tmp_path / "rl", "grpo", model=policy, rows=ASKED, scorers=scorers, lora_rank=8, eval_share=0.0, **RL
    )
    result = KINDS[spec.kind](open_job(spec))
    assert any("drawn by vLLM" in note for note in result.notes)
    load_policy(f"{spec.output}/model")
