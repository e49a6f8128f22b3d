"""Sampling: the same as the library's where that is defined, and honest about its log-probabilities."""

from __future__ import annotations

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel, Lfm2Config, Lfm2ForCausalLM

from training.core.decode import completion_logps, generate, prompt_seed, stop_ids
from training.core.job import RunError
from training.core.tiny import tiny_llama, tiny_tokenizer

STOP = frozenset({1})


def gpt2() -> GPT2LMHeadModel:
    torch.manual_seed(0)
    config = GPT2Config(vocab_size=261, n_embd=32, n_layer=2, n_head=2, n_positions=128, bos_token_id=1, eos_token_id=1)
    return GPT2LMHeadModel(config)


@pytest.fixture(scope="module", params=["llama", "gpt2"])
def model(request):
    """Sharpened, so that greedy decoding has no near-ties, and prone to end, so that rows leave the batch."""
    made = tiny_llama(seed=3) if request.param == "llama" else gpt2()
    with torch.no_grad():
        for parameter in made.parameters():
            if parameter.dim() == 2:
                parameter.mul_(4)
    return made.eval()


def prompts(count: int, *, longest: int = 40) -> list[list[int]]:
    generator = torch.Generator().manual_seed(count)
    lengths = torch.randint(3, longest, (count,), generator=generator).tolist()
    return [torch.randint(5, 261, (length,), generator=generator).tolist() for length in lengths]


def draw(model, batch, *, n=1, temperature=1.0, max_new_tokens=24, stop=STOP, seed=0, first=0):
    seeds = [prompt_seed(seed, str(first + i)) for i in range(len(batch))]
    return generate(model, batch, n=n, temperature=temperature, max_new_tokens=max_new_tokens, stop=stop, seeds=seeds)


def test_greedy_equals_the_library(model):
    batch = prompts(12)
    # A stop set that random text runs into, so that rows end at different steps.
    stop = frozenset({1, *range(5, 261, 16)})
    ours = draw(model, batch, n=2, temperature=0, stop=stop)
    assert len({len(pair[0].ids) for pair in ours}) > 2
    for prompt, pair in zip(batch, ours, strict=True):
        theirs = model.generate(
            torch.tensor([prompt]),
            attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
            do_sample=False,
            max_new_tokens=24,
            eos_token_id=sorted(stop),
            pad_token_id=0,
        )[0, len(prompt) :].tolist()
        assert pair[0].ids == pair[1].ids == theirs
        assert pair[0].ended == (theirs[-1] in stop)
        assert pair[0].sampled_logp == 0


@pytest.mark.parametrize("temperature", [0.7, 1.0, 1.4])
def test_log_probabilities_are_those_of_a_forward_pass(model, temperature):
    batch = prompts(6)
    groups = draw(model, batch, n=3, temperature=temperature, stop=frozenset(range(40)))
    flat = [(prompt, d) for prompt, group in zip(batch, groups, strict=True) for d in group]
    assert len({len(d.ids) for _, d in flat}) > 3
    for at, name in ((1.0, "logp"), (temperature, "sampled_logp")):
        recomputed = completion_logps(model, [p for p, _ in flat], [d.ids for _, d in flat], temperature=at)
        assert recomputed == pytest.approx([getattr(d, name) for _, d in flat], abs=2e-3)
        # One at a time, without padding.
        alone = [completion_logps(model, [p], [d.ids], temperature=at)[0] for p, d in flat[:4]]
        assert alone == pytest.approx(recomputed[:4], abs=2e-3)


def test_a_prompt_does_not_notice_its_neighbours(model):
    batch = prompts(8)
    together = draw(model, batch, n=3)
    for i in range(len(batch)):
        (alone,) = draw(model, [batch[i]], n=3, first=i)
        assert [d.ids for d in alone] == [d.ids for d in together[i]]
    assert [[d.ids for d in g] for g in draw(model, batch, n=3)] == [[d.ids for d in g] for g in together]
    assert [[d.ids for d in g] for g in draw(model, batch, n=3, seed=1)] != [[d.ids for d in g] for g in together]


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_frequencies_are_the_models(temperature):
    """4,000 first tokens against softmax(logits / temperature): total variation within sampling error.

    With V = 30 the expected total variation of a multinomial sample is at most ½·sqrt(V/N) ≈ 0.043.
    """
    model = tiny_llama(30, seed=1)
    with torch.no_grad():
        model.model.embed_tokens.weight.mul_(1.5)
        logits = model(torch.tensor([[7, 8, 9]])).logits[0, -1]
    (group,) = draw(model, [[7, 8, 9]], n=4000, temperature=temperature, max_new_tokens=1)
    counts = torch.bincount(torch.tensor([d.ids[0] for d in group]), minlength=30) / 4000
    expected = (logits / temperature).softmax(-1)
    assert 0.5 * (counts - expected).abs().sum() < 0.06
    assert expected.max() < 0.5


def test_stop_ids_come_from_config_tokenizer_and_template():
    tokenizer = tiny_tokenizer()
    model = tiny_llama()
    end, user = tokenizer.eos_token_id, tokenizer.convert_tokens_to_ids("<|user|>")
    assert stop_ids(model, tokenizer) == {end}
    model.generation_config.eos_token_id = [end, 77]
    assert stop_ids(model, tokenizer) == {end, 77}
    # A template whose turns end with another token than the tokenizer's eos, as in Phi and Llama 3.
    tokenizer.chat_template = "{% for m in messages %}{{ m['content'] }}\n<|user|>{% endfor %}"
    assert stop_ids(model, tokenizer) == {end, user, 77}


def test_a_model_with_a_state_that_answers_cannot_share_is_refused_in_words():
    config = Lfm2Config(
        vocab_size=20,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        layer_types=["conv", "full_attention"],
    )
    model = Lfm2ForCausalLM(config)
    with pytest.raises(RunError, match="linear attention"):
        generate(model, [[5, 6]], n=2, temperature=1.0, max_new_tokens=2, stop=frozenset({1}), seeds=[1])
