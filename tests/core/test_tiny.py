"""The tiny model and tokenizer that every test of the core stands on."""

from __future__ import annotations

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from training.core.tiny import END, save_tiny, tiny_llama, tiny_tokenizer

MESSAGES = [
    {"role": "user", "content": "Wann öffnet die Küche? 🍞"},
    {"role": "assistant", "content": "At  eight."},
    {"role": "user", "content": "Thanks\n\n- really"},
]


def ids_of(tokenizer, messages, **kwargs) -> list[int]:
    return tokenizer.apply_chat_template(messages, return_dict=False, **kwargs)


def test_survives_a_folder(tmp_path):
    save_tiny(tmp_path, texts=["the kitchen opens at eight"] * 3, vocab_size=300)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    model = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert len(tokenizer) == 300 or 261 < len(tokenizer) < 300
    assert model.config.vocab_size == len(tokenizer)
    assert tokenizer.eos_token == END and tokenizer.pad_token_id != tokenizer.eos_token_id
    assert model.generation_config.eos_token_id == tokenizer.eos_token_id
    assert model.generation_config.pad_token_id == tokenizer.pad_token_id
    original = tiny_llama(len(tokenizer), seed=0)
    for a, b in zip(original.parameters(), model.parameters(), strict=True):
        assert torch.equal(a, b)


def test_any_text_comes_back_exactly():
    tokenizer = tiny_tokenizer()
    for message in MESSAGES:
        ids = tokenizer(message["content"], add_special_tokens=False)["input_ids"]
        assert tokenizer.decode(ids) == message["content"]


def test_prefix_of_a_conversation_is_a_prefix_of_its_ids():
    tokenizer = tiny_tokenizer(["At eight. Thanks"] * 5, vocab_size=280)
    whole = ids_of(tokenizer, MESSAGES)
    for cut in range(1, len(MESSAGES)):
        part = ids_of(tokenizer, MESSAGES[:cut])
        assert whole[: len(part)] == part
    prompt = ids_of(tokenizer, MESSAGES[:1], add_generation_prompt=True)
    assert whole[: len(prompt)] == prompt
    assert whole.count(tokenizer.eos_token_id) == len(MESSAGES)
    assert whole[-1] == tokenizer.eos_token_id


def test_weights_follow_the_seed_and_leave_the_global_generator_alone():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    a, b, c = tiny_llama(seed=1), tiny_llama(seed=1), tiny_llama(seed=2)
    assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(a.model.embed_tokens.weight, b.model.embed_tokens.weight)
    assert not torch.equal(a.model.embed_tokens.weight, c.model.embed_tokens.weight)
