"""vLLM behind the sampling function, by a stand-in that takes the same calls: vLLM itself needs a GPU."""

from __future__ import annotations

import json
import sys
from itertools import chain
from pathlib import Path

import pytest
import torch

from tests.core.worlds import make_spec
from training.core import vllm_sampling
from training.core.backbone import load_policy, start_policy
from training.core.decode import completion_logps, generate, stop_ids
from training.core.job import RunError
from training.core.run import KINDS, open_job

STAND_IN = Path(__file__).parent / "stand_in_vllm"
PROMPTS = [[5, 9, 14, 7], [8, 6], [11, 12, 13, 14, 15, 16]]
RL = {
    "iterations": 2,
    "prompts_per_iteration": 2,
    "samples_per_prompt": 2,
    "batch_size": 4,
    "max_new_tokens": 4,
    "learning_rate": 0.05,
    "eval_share": 0.0,
}


@pytest.fixture
def vllm(monkeypatch):
    """Have the stand-in where `import vllm` finds it, and a run believe that it has a GPU."""
    monkeypatch.syspath_prepend(str(STAND_IN))
    monkeypatch.setattr(vllm_sampling, "_has_gpu", lambda job: True)
    monkeypatch.setenv("ATTUNE_SAMPLER", "vllm")
    import vllm

    yield vllm
    for name in [name for name in sys.modules if name.partition(".")[0] == "vllm"]:
        del sys.modules[name]


def sampling(model, tokenizer, **changes):
    return {"n": 3, "temperature": 0.7, "max_new_tokens": 6, "stop": stop_ids(model, tokenizer), "seeds": [1, 2, 3]} | (
        changes
    )


def test_it_takes_and_gives_what_our_own_decoding_does(policy, vllm):
    """Greedy answers are the same; drawn ones differ by their seed, and their nats are the policy's and not vLLM's."""
    model, tokenizer = load_policy(str(policy))
    engine = vllm_sampling.Engine(str(policy), longest=64)
    greedy = sampling(model, tokenizer, temperature=0.0, n=2)
    ours, theirs = generate(model, PROMPTS, **greedy), engine.generate(model, PROMPTS, **greedy)
    assert [[(d.ids, d.ended) for d in some] for some in theirs] == [[(d.ids, d.ended) for d in some] for some in ours]
    for one, other in zip(chain(*ours), chain(*theirs), strict=True):
        assert other.logp == pytest.approx(one.logp, abs=1e-4) and other.sampled_logp == 0

    asked = sampling(model, tokenizer)
    drawn = engine.generate(model, PROMPTS, **asked)
    assert [len(some) for some in drawn] == [3, 3, 3] and len({tuple(draw.ids) for draw in drawn[0]}) > 1
    assert drawn == engine.generate(model, PROMPTS, **asked)
    assert drawn != engine.generate(model, PROMPTS, **asked | {"seeds": [4, 5, 6]})
    for prompt, several in zip(PROMPTS, drawn, strict=True):
        for draw in several:
            (warm,) = completion_logps(model, [prompt], [draw.ids], temperature=0.7)
            (plain,) = completion_logps(model, [prompt], [draw.ids])
            assert (draw.logp, draw.sampled_logp) == pytest.approx((plain, warm), abs=1e-4)
            assert draw.ended == (draw.ids[-1] in asked["stop"])
    assert len(vllm.LLM.made) == 1 and not vllm.LLM.made[0].enable_lora
    for more in ({"watch": print}, {"pictures": [{"pixel_values": torch.zeros(1)}]}):
        with pytest.raises(RunError, match="whole answers to text alone"):
            engine.generate(model, PROMPTS, **asked, **more)


def test_an_adapter_is_sent_from_its_folder_and_anew_after_each_update(tmp_path, policy, vllm):
    """vLLM keeps an adapter under its number: the same folder under the same number would answer as before."""
    torch.manual_seed(0)
    model, tokenizer = start_policy(str(policy), lora_rank=3)
    asked = sampling(model, tokenizer, temperature=0.0, n=1)
    engine = vllm_sampling.Engine(str(policy), rank=3)
    answers = []
    for step in range(2):
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(weight, std=2.0 + step)
        engine.renewed(model, tmp_path)
        answers.append(engine.generate(model, PROMPTS, **asked))
        assert [[d.ids for d in some] for some in answers[-1]] == [
            [d.ids for d in some] for some in generate(model, PROMPTS, **asked)
        ]
    assert answers[0] != answers[1]
    assert [path.name for path in tmp_path.iterdir()] == ["2"] and vllm.LLM.made[-1].max_lora_rank == 8
    stored = vllm_sampling.Engine(str(policy), adapter=tmp_path / "2", rank=3)
    assert stored.generate(model, PROMPTS, **asked) == answers[1]


def test_a_run_draws_by_it_and_a_loop_renews_it(tmp_path, policy, reward, vllm):
    rows = [{"id": f"q{n}", "prompt": [{"role": "user", "content": f"Question {n}?"}]} for n in range(4)]
    more = {"samples_per_prompt": 2, "max_new_tokens": 4, "rows_at_once": 4}
    spec = make_spec(tmp_path / "sample", "sample", model=policy, rows=rows, **more)
    result = KINDS[spec.kind](open_job(spec))
    assert any("drawn by vLLM" in note for note in result.notes) and vllm.LLM.made[-1].calls == 2
    written = [json.loads(line) for line in (Path(spec.output) / "samples.jsonl").read_text().splitlines()]
    assert all(answer["logp"] > -500 for row in written for answer in row["completions"])

    before = len(vllm.LLM.made)
    spec = make_spec(
        tmp_path / "rl", "grpo", model=policy, rows=rows, scorers={"reward": str(reward)}, lora_rank=2, **RL
    )
    result = KINDS[spec.kind](open_job(spec))
    (engine,) = vllm.LLM.made[before:]
    assert sorted(engine.adapters) == [1, 2] and engine.max_lora_rank == 8  # one of each iteration
    first, second = (engine.adapters[number].state_dict() for number in (1, 2))
    assert any(not torch.equal(first[name], second[name]) for name in first)
    assert any("drawn by vLLM" in note for note in result.notes) and not (Path(spec.output) / "sampler").exists()


def test_what_it_cannot_do_is_said_or_left_to_our_own(tmp_path, policy, reward, vllm, monkeypatch):
    rows = [{"id": f"q{n}", "prompt": [{"role": "user", "content": f"Question {n}?"}]} for n in range(4)]
    model, _ = load_policy(str(policy))
    spec = make_spec(tmp_path / "rl", "grpo", model=policy, rows=rows, scorers={"reward": str(reward)}, **RL)
    job = open_job(spec)
    with pytest.raises(RunError, match=r"All weights of this policy change.*Set lora_rank"):
        KINDS[spec.kind](job)
    for more, says in (({"prefixed": True}, "tokens of a policy's users"), ({"at_hand": True}, "in none")):
        with pytest.raises(RunError, match=says):
            vllm_sampling.for_folder(job, str(policy), model, **more)
    adapted, _ = start_policy(str(policy), lora_rank=2)
    adapted.save_pretrained(tmp_path / "adapter")
    config = tmp_path / "adapter" / "adapter_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"use_dora": True}))
    with pytest.raises(RunError, match="no counterpart of use_dora"):
        vllm_sampling.for_folder(job, str(tmp_path / "adapter"), adapted)
    for name, value, says in (
        ("ATTUNE_SAMPLER", "fast", "Set it to auto, own or vllm"),
        ("ATTUNE_SAMPLER_MEMORY", "1.5", "a share of the GPU's memory"),
    ):
        with monkeypatch.context() as told, pytest.raises(RunError, match=says):
            told.setenv(name, value)
            vllm_sampling.for_folder(job, str(policy), model)
    monkeypatch.setenv("ATTUNE_SAMPLER", "auto")
    assert vllm_sampling.for_training(job, str(policy), model, longest=64) == (None, [])
    assert vllm_sampling.for_folder(job, str(policy), model)[0] is not None
    monkeypatch.setattr(vllm_sampling, "_has_gpu", lambda job: False)
    assert vllm_sampling.for_folder(job, str(policy), model) == (None, [])
    monkeypatch.setenv("ATTUNE_SAMPLER", "vllm")
    with pytest.raises(RunError, match=r"needs a GPU, and there is none\. Or set TRAIN_SAMPLER to auto\."):
        vllm_sampling.for_folder(job, str(policy), model)
