"""Draws completions from a causal model: each prompt is read once, its cache shared out to its n completions.

Only a temperature shapes the distribution: with top-p or top-k the log-probabilities recorded here would not be those
of the distribution sampled from. Every prompt has its own random numbers, drawn before decoding starts, so that a
completion depends on the seed and its prompt and not on which other prompts are decoded beside it (up to the rounding
of a differently shaped matrix product). Of a model that reads images, the tokens in whose place an image is read are
never drawn: an answer that has one could not be read again, as there is no image for it.

Legend: Q prompts, n completions a prompt, R rows still decoding (at most Q·n), T tokens so far, V vocabulary.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import pad
from transformers import PreTrainedTokenizerBase
from transformers.cache_utils import LinearAttentionCacheLayerMixin

from training.core.batch import batched
from training.core.collate import turn_of
from training.core.job import RunError
from training.core.roomy_cache import roomy_cache, without
from training.recipes.note import Note


@dataclass(frozen=True)
class Draw:
    """One completion as drawn. `ids` go up to and including the stop token; `ended` is False at the length limit."""

    ids: list[int]
    logp: float  # nats under temperature 1, summed over `ids`
    sampled_logp: float  # nats under the distribution sampled from; 0 for greedy decoding
    ended: bool


def prompt_seed(seed: int, prompt_id: str, stream: str = "") -> int:
    """Return the seed of one prompt's random numbers: a function of the run's seed, the prompt's id and a stream."""
    digest = hashlib.sha256(f"{seed}\n{stream}\n{prompt_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def stop_ids(model: nn.Module, tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    """Return every token that ends a turn: by generation config, by tokenizer, and by what the chat template writes.

    Looking at one of the three alone misses the end of a turn for whole families of chat models, and each miss is a
    completion that runs into the length limit.
    """
    configured = model.generation_config.eos_token_id  # type: ignore[union-attr]
    several = configured if isinstance(configured, list) else [configured]
    named = (*several, tokenizer.eos_token_id, turn_of(tokenizer).end_id)
    return frozenset(int(token) for token in named if token is not None)  # type: ignore[arg-type]


@torch.inference_mode()
def generate(
    model: nn.Module,
    prompts: Sequence[Sequence[int]],
    *,
    n: int,
    temperature: float,
    max_new_tokens: int,
    stop: frozenset[int],
    seeds: Sequence[int],
    watch: Callable[[Sequence[Sequence[int]]], None] | None = None,
    pictures: Sequence[Mapping[str, Tensor]] = (),
) -> list[list[Draw]]:
    """Return n completions for each of the Q prompts; `temperature` 0 decodes greedily.

    `pictures` has the images of each prompt, as its processor made them; nothing where no prompt shows any.

    The prompts are padded on the left and read once; each cache row is then repeated n times. Rows that have ended
    leave the batch, so that a long completion does not keep its finished neighbours computing. After each token `watch`
    is shown the Q·n rows as far as they are drawn, stop tokens included; it must not change them.
    """
    model.eval()
    device = next(model.parameters()).device
    rows = len(prompts) * n
    uniforms = _uniforms(seeds, n=n, steps=max_new_tokens)  # (Q·n, steps), float64 on the CPU
    stop_tensor = torch.tensor(sorted(stop), device=device)
    never = torch.tensor(places_of_images(model), dtype=torch.long, device=device)

    ids, mask = _pad_left(prompts, device=device)
    cache = roomy_cache(model.config)  # type: ignore[arg-type]
    if any(isinstance(layer, LinearAttentionCacheLayerMixin) for layer in cache.layers):
        raise RunError(
            Note(
                "This model has layers of linear attention, whose state several answers to a prompt cannot share here. "
                "Choose a model of which every layer attends to all that was read."
            )
        )
    output = model(
        input_ids=ids,
        attention_mask=mask,
        position_ids=(mask.cumsum(-1) - 1).clamp(min=0),
        past_key_values=cache,
        use_cache=True,
        logits_to_keep=1,
        **_shown(model, prompts, pictures, device=device),
    )
    logits = output.logits[:, -1].repeat_interleave(n, 0)  # (R, V)
    cache.batch_repeat_interleave(n)
    position = mask.sum(-1).repeat_interleave(n, 0)  # (R,) the next token's position
    padded = bool((mask == 0).any())
    mask = mask.repeat_interleave(n, 0)

    alive = torch.arange(rows, device=device)  # (R,) → row of the result
    drawn: list[list[int]] = [[] for _ in range(rows)]
    logps = torch.zeros(rows, dtype=torch.float64)
    sampled_logps = torch.zeros(rows, dtype=torch.float64)
    ended = [False] * rows
    for step in range(max_new_tokens):
        token, logp, sampled = _choose(logits, uniforms[alive.cpu(), step], temperature=temperature, never=never)
        index = alive.cpu()
        logps[index] += logp.cpu()
        sampled_logps[index] += sampled.cpu()
        done = torch.isin(token, stop_tensor)
        for row, value, finished in zip(index.tolist(), token.tolist(), done.tolist(), strict=True):
            drawn[row].append(value)
            ended[row] = finished
        if watch is not None:
            watch(drawn)
        if step == max_new_tokens - 1 or bool(done.all()):
            break
        if bool(done.any()):
            keep = without(done)
            cache.batch_select_indices(keep)
            token, position, mask, alive = token[keep], position[keep], mask[keep], alive[keep]
        mask = torch.cat([mask, mask.new_ones(len(mask), 1)], -1)
        output = model(
            input_ids=token[:, None],
            # Without padding every key is visible, and attention is faster without a mask.
            attention_mask=mask if padded else None,
            position_ids=position[:, None],
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        logits = output.logits[:, -1]
        position = position + 1
    draws = [
        Draw(ids=drawn[r], logp=float(logps[r]), sampled_logp=float(sampled_logps[r]), ended=ended[r])
        for r in range(rows)
    ]
    return [draws[q * n : (q + 1) * n] for q in range(len(prompts))]


@torch.inference_mode()
def completion_logps(
    model: nn.Module,
    prompts: Sequence[Sequence[int]],
    completions: Sequence[Sequence[int]],
    *,
    temperature: float = 1.0,
    pictures: Sequence[Mapping[str, Tensor]] = (),
) -> list[float]:
    """Return the nats of each completion after its prompt under `model`, by one forward pass over both.

    `pictures` has the images of each prompt, as in `generate`.
    """
    model.eval()
    device = next(model.parameters()).device
    whole = [[*prompt, *completion] for prompt, completion in zip(prompts, completions, strict=True)]
    ids, mask = _pad_left(whole, device=device)
    longest = max(map(len, completions))
    # What is one a token of a prompt says nothing of the completion behind it.
    shown = [
        {
            name: pad(value, (0, len(completion))) if value.shape == (1, len(prompt)) else value
            for name, value in one.items()
        }
        for prompt, completion, one in zip(prompts, completions, pictures or [{}] * len(whole), strict=True)
    ]
    output = model(
        input_ids=ids,
        attention_mask=mask,
        position_ids=(mask.cumsum(-1) - 1).clamp(min=0),
        use_cache=False,
        logits_to_keep=longest + 1,
        **_shown(model, whole, shown, device=device),
    )
    # Padded on the left, every completion ends at the last position: the logits before it are the last but one.
    logps = (output.logits[:, :-1].float() / temperature).log_softmax(-1)  # (B, longest, V)
    token_logps = logps.gather(-1, ids[:, -longest:, None]).squeeze(-1).double()
    lengths = torch.tensor([len(c) for c in completions], device=device)
    inside = torch.arange(longest, device=device)[None] >= longest - lengths[:, None]
    return (token_logps * inside).sum(-1).tolist()


@torch.inference_mode()
def next_logits(model: nn.Module, prompts: Sequence[Sequence[int]]) -> Tensor:
    """Return the logits (Q, V), in float32, of the first token after each prompt."""
    model.eval()
    ids, mask = _pad_left(prompts, device=next(model.parameters()).device)
    position_ids = (mask.cumsum(-1) - 1).clamp(min=0)
    output = model(input_ids=ids, attention_mask=mask, position_ids=position_ids, use_cache=False, logits_to_keep=1)
    logits: Tensor = output.logits[:, -1].float()
    return logits


def places_of_images(model: nn.Module) -> list[int]:
    """Return the tokens in whose place a model reads images or videos."""
    named = (getattr(model.config, name, None) for name in ("image_token_id", "video_token_id"))
    return sorted({token for token in named if isinstance(token, int)})


def _choose(logits: Tensor, uniform: Tensor, *, temperature: float, never: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the next token (R,), its nats under temperature 1 (R,) and under the distribution sampled from (R,).

    Tokens of `never` are not drawn, and what is drawn keeps its nats as if they could be.

    The token is the inverse of the cumulative distribution at `uniform` (R,), in float64: over a large vocabulary the
    running sum in float32 would shift the later tokens' shares.
    """
    logps = logits.float().log_softmax(-1)  # (R, V)
    if temperature == 0:
        token = logps.index_fill(-1, never, -torch.inf).argmax(-1)
        sampled = torch.zeros(len(token), device=logits.device)
    else:
        tempered = logps if temperature == 1 else (logps / temperature).log_softmax(-1)
        cumulative = tempered.double().exp().index_fill(-1, never, 0.0).cumsum(-1)
        point = uniform.to(logits.device)[:, None] * cumulative[:, -1:]
        token = torch.searchsorted(cumulative, point, right=True).squeeze(1).clamp(max=logits.shape[-1] - 1)
        sampled = tempered.gather(-1, token[:, None]).squeeze(1)
    return token, logps.gather(-1, token[:, None]).squeeze(1).double(), sampled.double()


def _uniforms(seeds: Sequence[int], *, n: int, steps: int) -> Tensor:
    """Return (Q·n, steps) numbers in [0, 1), those of each prompt from its own generator."""
    parts = []
    for seed in seeds:
        generator = torch.Generator().manual_seed(seed)
        parts.append(torch.rand(n, steps, generator=generator, dtype=torch.float64))
    return torch.cat(parts)


def _shown(
    model: nn.Module,
    prompts: Sequence[Sequence[int]],
    pictures: Sequence[Mapping[str, Tensor]],
    *,
    device: torch.device,
) -> dict[str, Tensor]:
    """Return the images of prompts that are padded on the left; the cache keeps what they say for what follows."""
    if not any(pictures):
        return {}
    rope = getattr(model.config.get_text_config(), "rope_parameters", None) or {}  # type: ignore[union-attr, operator]
    if "mrope_section" in rope:
        raise RunError(
            Note(
                "This model counts places in an image by height and width, and drawing answers counts them in a row. "
                "It can learn from images here, and answer prompts without them."
            )
        )
    rows = [(len(ids), shown) for ids, shown in zip(prompts, pictures, strict=True)]
    found = batched(rows, longest=max(map(len, prompts)), left=True)
    return {name: value.to(device) for name, value in found.items()}


def _pad_left(sequences: Sequence[Sequence[int]], *, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return (Q, T) ids padded on the left with 0, and the mask of the real ones."""
    longest = max(map(len, sequences))
    ids = torch.zeros(len(sequences), longest, dtype=torch.long)
    mask = torch.zeros(len(sequences), longest, dtype=torch.long)
    for row, sequence in enumerate(sequences):
        ids[row, longest - len(sequence) :] = torch.tensor(list(sequence), dtype=torch.long)
        mask[row, longest - len(sequence) :] = 1
    return ids.to(device), mask.to(device)
