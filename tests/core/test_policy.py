"""Log-probabilities: those of the whole model, at the right places, whatever the padding."""

from __future__ import annotations

import pytest
import torch
from transformers import Gemma2Config, Gemma2ForCausalLM, GPT2Config, GPT2LMHeadModel

from training.core.backbone import add_lora
from training.core.collate import pad
from training.core.policy import logps, token_logps
from training.core.tiny import tiny_llama

ROWS = [([5, 6, 7], [8, 9, 1]), ([5], [9, 1]), ([5, 6, 7, 8, 9, 10], [11, 12, 13, 14, 1])]


def capped():
    """A model that caps its logits after the output layer: applying that layer alone would give other numbers."""
    torch.manual_seed(0)
    return Gemma2ForCausalLM(
        Gemma2Config(
            vocab_size=261,
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=2,
            head_dim=16,
            final_logit_softcapping=0.5,
            bos_token_id=None,
        )
    )


def gpt2():
    torch.manual_seed(0)
    return GPT2LMHeadModel(GPT2Config(vocab_size=261, n_embd=32, n_layer=2, n_head=2, n_positions=64))


def with_adapter():
    torch.manual_seed(0)
    return add_lora(tiny_llama(), rank=2)


@pytest.fixture(params=[tiny_llama, gpt2, capped, with_adapter], ids=["llama", "gpt2", "capped", "lora"])
def model(request):
    return request.param().eval()


def one_by_one(model, prompt, completion):
    """The plain road: all logits of one sequence without padding."""
    ids = torch.tensor([prompt + completion])
    logits = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits.float().log_softmax(-1)
    return [logits[0, len(prompt) + i - 1, token].item() for i, token in enumerate(completion)]


@torch.no_grad()
def test_equal_to_one_by_one_with_all_logits(model):
    tokens = pad(ROWS, pad_id=1)
    found = token_logps(model, tokens)
    for row, (prompt, completion) in enumerate(ROWS):
        expected = one_by_one(model, prompt, completion)
        torch.testing.assert_close(found[row][tokens.completion_mask[row]], torch.tensor(expected), atol=2e-6, rtol=0)
        assert logps(model, tokens)[row].item() == pytest.approx(sum(expected), abs=1e-5)
    assert not found[~tokens.completion_mask].any()


@torch.no_grad()
def test_padding_and_its_value_change_nothing(model):
    alone = token_logps(model, pad(ROWS[:1], pad_id=0))
    for pad_id in (0, 1, 200):
        beside = token_logps(model, pad(ROWS, pad_id=pad_id))
        torch.testing.assert_close(beside[0, : alone.shape[1]], alone[0], atol=2e-6, rtol=0)


@torch.no_grad()
def test_the_end_token_counts_and_the_prompt_does_not(model):
    """Another end token changes the sum; the prompt's tokens have no term of their own."""
    tokens = pad([([5, 6], [7, 1])], pad_id=0)
    other = pad([([5, 6], [7, 2])], pad_id=0)
    assert logps(model, tokens) != logps(model, other)
    assert token_logps(model, tokens)[0, :2].tolist() == [0.0, 0.0]


def test_the_hook_is_gone_afterwards_and_after_an_error(model):
    token_logps(model, pad(ROWS, pad_id=0))
    with pytest.raises((IndexError, RuntimeError)):
        token_logps(model, pad([([5], [10_000])], pad_id=0))
    assert model(input_ids=torch.tensor([[5, 6, 7]])).logits.shape == (1, 3, 261)
