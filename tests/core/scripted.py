"""A causal model that says what it is told to: it goes through prompts, decoding and log-probabilities as any other."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedTokenizerFast

from training.core.tiny import tiny_llama, tiny_tokenizer

SURE = 20.0  # nats by which the next token of the script leads all others


class Scripted(nn.Module):
    """Answers the last message with `script(message)`, over bytes; answers are filled with blanks to one length."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast, script: Callable[[str], str], *, max_length: int) -> None:
        super().__init__()
        self.tokenizer, self.script = tokenizer, script
        self.config = tiny_llama(max_length=max_length, hidden_size=8, layers=1).config
        self.generation_config = SimpleNamespace(eos_token_id=tokenizer.eos_token_id)
        self.weight = nn.Parameter(torch.zeros(1))  # tells its device
        self.heard: list[str] = []  # conversations as they came
        self.told: list[list[int]] = []
        self.step = 0

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None, **more: Any) -> SimpleNamespace:
        if input_ids.shape[1] > 1:  # prompts, perhaps with an answer to be weighed; one token goes on with the last
            kept = attention_mask if attention_mask is not None else torch.ones_like(input_ids)
            said = [self._said(ids[mask.bool()].tolist()) for ids, mask in zip(input_ids, kept, strict=True)]
            longest = max(map(len, said))
            blank = self.tokenizer(" ", add_special_tokens=False)["input_ids"]
            end = self.tokenizer.eos_token_id
            self.told = [[*ids, *blank * (longest - len(ids)), end] for ids in said]
            self.step = 0
        else:
            self.step += 1
        logits = torch.zeros(len(self.told), more.get("logits_to_keep") or 1, len(self.tokenizer))
        for row, ids in enumerate(self.told):
            logits[row, :, ids[self.step]] = SURE
        return SimpleNamespace(logits=logits)

    def _said(self, ids: list[int]) -> list[int]:
        self.heard.append(str(self.tokenizer.decode(ids)))
        prompt = self.heard[-1].rpartition("<|user|>")[2].partition("<|end|>")[0]
        return list(self.tokenizer(self.script(prompt), add_special_tokens=False)["input_ids"])


def scripted(script: Callable[[str], str], *, max_length: int = 4096) -> tuple[Scripted, PreTrainedTokenizerFast]:
    """Return such a model with its tokenizer, as a sampler takes a loaded policy."""
    tokenizer = tiny_tokenizer()
    return Scripted(tokenizer, script, max_length=max_length).eval(), tokenizer
