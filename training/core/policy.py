"""Log-probabilities of completions under a causal language model."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from training.core.batch import Tokens
from training.core.masked import masked_sum
from training.core.shared_prompt import can_share, shared_logps


def token_logps(model: nn.Module, tokens: Tokens, *, temperature: float = 1.0) -> Tensor:
    """Return (B, T) in float32: at t, log π(y_t | everything before), and 0 outside the completion.

    With a `temperature` it is the distribution sampled from at that temperature.
    """
    logits = completion_logits(model, tokens)
    targets = tokens.input_ids[tokens.completion_mask]
    logps = -cross_entropy(logits if temperature == 1 else logits / temperature, targets, reduction="none")
    out = torch.zeros(tokens.input_ids.shape, dtype=torch.float32, device=logps.device)
    return out.masked_scatter(tokens.completion_mask, logps)


def completion_logits(model: nn.Module, tokens: Tokens) -> Tensor:
    """Return (N, V) in float32: what the model says of each of the completions' N tokens, row by row.

    The output layer is applied only where a completion's token is predicted: with a long prompt and a large
    vocabulary it would otherwise cost more than the rest of the model.
    """
    predicts = tokens.completion_mask.roll(-1, dims=1).clone()  # the state at t - 1 predicts the token at t
    predicts[:, -1] = False
    with _output_only_at(model, predicts):
        logits = model(
            input_ids=tokens.input_ids, attention_mask=tokens.attention_mask, use_cache=False, **tokens.images
        ).logits.squeeze(0)
    return logits.float()  # type: ignore[no-any-return]


def logps(model: nn.Module, tokens: Tokens) -> Tensor:
    """Return (B,): the log-probability of each completion, its end token included."""
    return masked_sum(token_logps(model, tokens), tokens.completion_mask)


def pair_logps(model: nn.Module, tokens: Tokens) -> Tensor:
    """Return (2·P,), as `logps` does, of pairs whose answers have one prompt, which is read once where that can be."""
    return shared_logps(model, tokens) if not tokens.pictures and can_share(model) else logps(model, tokens)


@contextmanager
def _output_only_at(model: nn.Module, where: Tensor) -> Iterator[None]:
    """Within it, the output layer sees the N states under `where` (B, T) as (1, N, D).

    A hook before the layer, and not a call of body and layer one after the other, because some models scale or cap
    their logits after it; all that is done elementwise and stays right.
    """

    def select(layer: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        return (args[0][where].unsqueeze(0), *args[1:])

    layer = model.get_output_embeddings()  # type: ignore[operator]
    handle = layer.register_forward_pre_hook(select)
    try:
        yield
    finally:
        handle.remove()
