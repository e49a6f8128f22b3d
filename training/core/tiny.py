"""A small Llama and its tokenizer, made from nothing: for tests, and as the body of the demo's model. No network."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import torch
from tokenizers import AddedToken, Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE
from tokenizers.trainers import BpeTrainer
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

PAD = "<|pad|>"
END = "<|end|>"
ROLES = ("<|system|>", "<|user|>", "<|assistant|>")
SPECIAL = (PAD, END, *ROLES)

# One turn is its role's token, the text, and the end token. Every prefix of a conversation renders to a prefix of
# the conversation's ids, which is what lets a prompt be cut off a completion.
CHAT_TEMPLATE = (
    "{%- for message in messages -%}"
    "{{- '<|' + message['role'] + '|>' + message['content'] + '<|end|>' -}}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|assistant|>' -}}{%- endif -%}"
)


def tiny_tokenizer(texts: Iterable[str] = (), *, vocab_size: int = 0) -> PreTrainedTokenizerFast:
    """Return a byte-level tokenizer with a chat template; with `texts`, merges are learned up to `vocab_size` tokens.

    Without texts there are 256 bytes and 5 special tokens, so that any text is encoded and decoded exactly.
    """
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(BPE(vocab=None, merges=None))
    # A number and a word keep the blank before them: a sentence is then about one token a word.
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = BpeTrainer(
        vocab_size=max(vocab_size, len(alphabet) + len(SPECIAL)),
        special_tokens=[AddedToken(token, special=True, normalized=False) for token in SPECIAL],
        initial_alphabet=alphabet,
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=END,
        additional_special_tokens=list(ROLES),
        padding_side="right",
        clean_up_tokenization_spaces=False,
    )
    fast.chat_template = CHAT_TEMPLATE
    return fast


def tiny_llama(
    vocab_size: int = 261,
    *,
    hidden_size: int = 64,
    layers: int = 2,
    heads: int = 4,
    kv_heads: int = 2,
    intermediate_size: int | None = None,
    max_length: int = 512,
    pad_token_id: int = 0,
    eos_token_id: int = 1,
    seed: int = 0,
) -> LlamaForCausalLM:
    """Return a freshly initialised Llama in float32 whose weights depend on `seed` alone."""
    config = LlamaConfig(
        vocab_size=vocab_size,
        hidden_size=hidden_size,
        intermediate_size=intermediate_size or hidden_size * 3,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        max_position_embeddings=max_length,
        tie_word_embeddings=True,
        pad_token_id=pad_token_id,
        bos_token_id=None,
        eos_token_id=eos_token_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return LlamaForCausalLM(config)


def save_tiny(folder: str | Path, *, texts: Iterable[str] = (), vocab_size: int = 0, seed: int = 0) -> Path:
    """Write a tiny policy (model and tokenizer) into `folder`, readable by the Auto classes, and return it."""
    folder = Path(folder)
    tokenizer = tiny_tokenizer(texts, vocab_size=vocab_size)
    model = tiny_llama(
        len(tokenizer), pad_token_id=tokenizer.pad_token_id, eos_token_id=tokenizer.eos_token_id, seed=seed
    )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
