"""One prompt for both answers: the numbers and gradients of the plain path, and the plain path where it must be."""

from __future__ import annotations

import pytest
import torch
from transformers import (
    BertConfig,
    BertModel,
    Gemma2Config,
    Gemma2ForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    MistralConfig,
    MistralForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from training.core import policy
from training.core.backbone import RewardModel, add_lora
from training.core.batch import Tokens
from training.core.collate import pad
from training.core.heads import ScalarHead
from training.core.policy import logps
from training.core.shared_prompt import can_share, lay_out, shared_ends, shared_logps
from training.core.tiny import tiny_llama

SMALL = {
    "vocab_size": 261,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "bos_token_id": None,
}
# Prompt, chosen, rejected: a prompt of one token, answers of one token, the longer one on either side.
LENGTHS = ((7, 5, 3), (1, 1, 4), (12, 2, 2), (3, 6, 1))


def with_adapter():
    model = add_lora(tiny_llama(), rank=2)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():  # a new adapter is the identity, and half of its gradients are 0
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
    return model


SHARING = {
    "llama": tiny_llama,
    "qwen2": lambda: Qwen2ForCausalLM(Qwen2Config(**SMALL)),
    "qwen3": lambda: Qwen3ForCausalLM(Qwen3Config(**SMALL, head_dim=8)),
    "gpt2": lambda: GPT2LMHeadModel(GPT2Config(vocab_size=261, n_embd=32, n_layer=2, n_head=2, n_positions=64)),
    "lora": with_adapter,
}
PLAIN = {
    "window": lambda: MistralForCausalLM(MistralConfig(**SMALL, sliding_window=4)),
    "long window": lambda: MistralForCausalLM(MistralConfig(**SMALL, sliding_window=4096)),
    "soft cap": lambda: Gemma2ForCausalLM(Gemma2Config(**SMALL, head_dim=8)),
}


@pytest.fixture
def tokens() -> Tokens:
    draw = torch.Generator().manual_seed(1)

    def some(count: int) -> list[int]:
        return torch.randint(2, 261, (count,), generator=draw).tolist()

    rows = [(some(p), some(c), some(r)) for p, c, r in LENGTHS]
    return pad([(p, c) for p, c, _ in rows] + [(p, r) for p, _, r in rows], pad_id=1)


def made(name: str, models=SHARING):
    torch.manual_seed(0)
    return models[name]().eval()


def to_the_left(tokens: Tokens) -> Tokens:
    """The same sequences with their padding before them."""
    shifts = (tokens.input_ids.shape[1] - tokens.attention_mask.sum(-1)).tolist()
    return Tokens(
        *(
            torch.stack([row.roll(shift) for row, shift in zip(each, shifts, strict=True)])
            for each in (tokens.input_ids, tokens.attention_mask, tokens.completion_mask)
        )
    )


def gradient(model, values) -> torch.Tensor:
    model.zero_grad()
    (values * torch.arange(1.0, len(values) + 1)).sum().backward()
    return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("name", SHARING)
def test_log_probabilities_and_their_gradient(name, side, tokens):
    model = made(name)
    assert can_share(model)
    plain = logps(model, tokens)
    shared = shared_logps(model, tokens if side == "right" else to_the_left(tokens))
    torch.testing.assert_close(shared, plain, atol=1e-5, rtol=1e-6)
    expected = gradient(model, plain)
    assert expected.abs().max() > 0.1
    torch.testing.assert_close(gradient(model, shared), expected, atol=1e-5 * float(expected.abs().max()), rtol=0)


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("name", SHARING)
def test_scores_and_their_gradient(name, side, tokens):
    whole = made(name)
    backbone = whole if name == "lora" else whole.base_model
    if name == "lora":
        backbone = add_lora(tiny_llama().model, rank=2).eval()
    model = RewardModel(backbone, ScalarHead(backbone.config.hidden_size), pooling="last", base="")
    assert can_share(model.backbone)
    plain = model.scores(tokens.input_ids, tokens.attention_mask)
    ends = shared_ends(backbone, tokens if side == "right" else to_the_left(tokens))
    shared = model.head.combined(model.head(ends))
    torch.testing.assert_close(shared, plain, atol=1e-5, rtol=1e-6)
    torch.testing.assert_close(model.pair_scores(tokens), plain, atol=1e-5, rtol=1e-6)
    expected = gradient(model, plain)
    torch.testing.assert_close(gradient(model, shared), expected, atol=1e-5 * float(expected.abs().max()), rtol=0)


def test_prompts_are_there_once_and_padding_not_at_all(tokens):
    layout = lay_out(tokens, last_only=True)
    assert layout.input_ids.shape == (1, sum(map(sum, LENGTHS)))
    p, c, r = LENGTHS[0]
    assert layout.position_ids[0, : p + c + r].tolist() == [*range(p + c), *range(p, p + r)]


@pytest.mark.parametrize("name", PLAIN)
def test_other_kinds_of_attention_take_the_plain_path(name, tokens):
    model = made(name, PLAIN)
    assert not can_share(model)
    with torch.no_grad():
        assert torch.equal(policy.pair_logps(model, tokens), logps(model, tokens))
    assert model.config._attn_implementation == "sdpa" or name == "soft cap"


def test_an_encoder_takes_the_plain_path(tokens):
    torch.manual_seed(0)
    bert = BertModel(BertConfig(**{k: v for k, v in SMALL.items() if k not in ("num_key_value_heads", "bos_token_id")}))
    model = RewardModel(bert.eval(), ScalarHead(32), pooling="last", base="")
    assert not can_share(bert)
    with torch.no_grad():
        assert torch.equal(model.pair_scores(tokens), model.scores(tokens.input_ids, tokens.attention_mask))


def test_a_probe_that_fails_leaves_the_model_as_it_was(tokens):
    """Attention that this layout cannot give is found out while a forward pass is on its way."""
    model = made("llama")
    for layer in model.model.layers:
        layer.self_attn.register_forward_pre_hook(
            lambda module, args, kwargs: (args, {**kwargs, "softcap": 3.0}), with_kwargs=True
        )
    assert not can_share(model)
    assert model.config._attn_implementation == "sdpa"
    assert not model.model.layers[-1].mlp._forward_pre_hooks and not model.model.layers[-1].mlp._forward_hooks
