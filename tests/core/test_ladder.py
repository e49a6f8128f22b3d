"""Static lengths: few shapes in an epoch, little padding, and the same results."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import GPTNeoConfig, GPTNeoForCausalLM

from tests.core.worlds import document_rows, make_spec, pair_rows
from training.core.batch import Tokens
from training.core.ladder import ladder, on_a_rung, rung
from training.core.run import KINDS, open_job
from training.core.tiny import tiny_tokenizer
from training.core.trainers.learner import Learner
from training.core.trainers.onpolicy import RolloutLearner

LONGEST = 192


def test_the_ladder_is_short_and_costs_little():
    assert ladder(100) == [8, 16, 24, 32, 40, 48, 56, 64, 72, 80, 88, 96, 100]
    assert ladder(300)[-4:] == [240, 256, 288, 300]
    assert len(ladder(4096)) == 56
    for length in range(1, 5000):
        assert length <= rung(length) <= max(length * 1.125, length + 7)
        assert rung(rung(length)) == rung(length)
    assert {rung(length) for length in range(1, 4097)} == set(ladder(4096))


def test_padding_stops_at_what_the_model_reads():
    ids = torch.ones(2, 97, dtype=torch.long)
    tokens = Tokens(ids, torch.ones_like(ids), torch.ones_like(ids, dtype=torch.bool))
    wider = on_a_rung(tokens, 7, longest=1000)
    assert wider.input_ids.shape == (2, 104) and wider.input_ids[:, 97:].eq(7).all()
    assert not wider.attention_mask[:, 97:].any() and not wider.completion_mask[:, 97:].any()
    assert on_a_rung(tokens, 7, longest=100).input_ids.shape == (2, 100)
    assert on_a_rung(tokens, 7, longest=97) is tokens


def lines_of(spec) -> list[dict]:
    return [json.loads(line) for line in (Path(spec.output) / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("name", ["sft", "rloo"])
def test_an_epoch_has_no_more_shapes_than_the_ladder_and_the_same_results(tmp_path, policy, reward, monkeypatch, name):
    """On fixed rows of many lengths, and on the policy's own answers."""
    widths: dict[str, set[int]] = {}
    learner = Learner if name == "sft" else RolloutLearner
    own = learner.batch
    whole = {"epochs": 1, "batch_size": 2, "micro_batch": 2, "max_length": LONGEST, "eval_share": 0.0}
    drawn = {"iterations": 3, "prompts_per_iteration": 2, "samples_per_prompt": 2, "max_new_tokens": 9}
    rows = None
    if name == "sft":
        rows = [
            {"prompt": "say", "completion": " ".join([row["text"]] * (1 + number % 5))[: 20 + 3 * number]}
            for number, row in enumerate(document_rows(40))
        ]
    found = {}
    for way in ("static", "free"):
        seen = widths.setdefault(way, set())

        def counted(self, chosen, seen=seen):
            batch = own(self, chosen)
            seen.add(batch.tokens.input_ids.shape[1])
            return batch

        monkeypatch.setattr(learner, "batch", counted)
        more = whole if name == "sft" else {**drawn, "scorers": {"reward": str(reward)}}
        spec = make_spec(tmp_path / way, name, model=policy, rows=rows, learning_rate=1e-3, **more)
        job = replace(open_job(spec), static_lengths=way == "static")
        KINDS["fit"](job).write(spec.output)
        found[way] = (lines_of(spec), load_file(Path(spec.output) / "model" / "model.safetensors"))
    rungs = set(ladder(LONGEST))
    assert widths["static"] <= rungs
    assert widths["static"] and not widths["free"] <= rungs
    if name == "sft":
        assert len(widths["static"]) <= len(rungs) and len(widths["static"]) < len(widths["free"])
    for one, other in zip(found["static"][0], found["free"][0], strict=True):
        for figure in ("loss", "reward", "length", "kl"):
            assert one.get(figure, 0) == pytest.approx(other.get(figure, 0), abs=1e-4)
    for key, value in found["free"][1].items():
        torch.testing.assert_close(found["static"][1][key], value, atol=2e-5, rtol=1e-3)


def test_padding_leaves_room_for_the_tokens_of_users(tmp_path):
    """They come in front of rows that are padded already, and a table of positions has no place behind its last."""
    tokenizer, windows = tiny_tokenizer(), [[["global", "local"], 1]]
    config = GPTNeoConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_layers=2,
        num_heads=2,
        attention_types=windows,
        window_size=16,
        max_position_embeddings=96,
        bos_token_id=1,
        eos_token_id=1,
    )
    for one in (GPTNeoForCausalLM(config), tokenizer):
        one.save_pretrained(tmp_path / "policy")
    rows = [{**row, "rejected": [{"role": "assistant", "content": "no " * 25}]} for row in pair_rows(8)]
    knobs = {"max_steps": 1, "batch_size": 4, "micro_batch": 2, "user_tokens": 3, "max_length": 96}
    losses = []
    for static in (False, True):
        spec = make_spec(tmp_path / str(static), "dpo-personal", model=tmp_path / "policy", rows=rows, **knobs)
        losses.append(KINDS["fit"](replace(open_job(spec), static_lengths=static)).metrics["loss"])
    assert losses[1] == pytest.approx(losses[0], abs=1e-5)
