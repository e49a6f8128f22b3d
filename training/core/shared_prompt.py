"""Both answers of a pair in one forward pass that reads their prompt once.

The pairs of a batch are laid out as one row without padding, ``prompt chosen rejected prompt chosen rejected …``.
Positions of a rejected answer start anew after its prompt, and an attention function of our own, registered with the
library, lets it see its prompt and itself but not the chosen answer before it. So each answer is computed as if it
stood alone behind its prompt: the numbers are those of the plain path, from (P + C + R) tokens instead of 2·(P + max).
(Prefix sharing: arXiv:2410.20305. Ours: no padding, and in the last layer only the states that are read.)

Models whose attention does not go through the library's table, or sees more than "everything before" (windows, soft
caps, sinks), are found out by their config and by a probe, and take the plain path; see `can_share`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from peft import PeftModel
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel

from training.core.batch import Tokens

NAME = "attune_shared_prompt"

# How far the two paths' states may be apart, relative to their length, in the probe: rounding is far below, and a
# token that sees one word too many is far above.
PROBE_TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 5e-2, torch.float16: 1e-2}
PROBE_LENGTHS = ((7, 5, 3), (4, 2, 6))


class CannotShare(Exception):
    """The model's attention asks for something that this layout does not give."""


@dataclass
class Layout:
    """P pairs as one row of N tokens, and what of the last layer is read."""

    input_ids: Tensor  # (1, N)
    position_ids: Tensor  # (1, N)
    spans: list[tuple[int, int, int, int]]  # of each pair: its start, and the tokens of prompt, chosen, rejected
    last_only: bool  # whether only the last state of each answer is read, or all that predict a token of an answer
    last_layer: int = -1
    masks: dict[tuple[int, int], Tensor] = field(default_factory=dict)

    def reads(self, prompt: int, chosen: int, rejected: int) -> tuple[int, int]:
        """Return from where on the states of ``prompt chosen`` and of ``rejected`` are read."""
        return (prompt + chosen - 1, rejected - 1) if self.last_only else (prompt - 1, 0)

    def ends(self) -> Tensor:
        """Return (2·P,): where the last token of each answer stands, the chosen ones first."""
        chosen = [start + p + c - 1 for start, p, c, _ in self.spans]
        rejected = [start + p + c + r - 1 for start, p, c, r in self.spans]
        return torch.tensor(chosen + rejected, device=self.input_ids.device)

    def predictions(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return (M,) each: where a state predicts a token of an answer, where that token stands, and in which of the
        2·P answers. The last state of a prompt is there twice: it predicts the first token of both."""
        states, targets, sides = [], [], []
        for pair, (start, p, c, r) in enumerate(self.spans):
            chosen, rejected = start + p, start + p + c
            states += [*range(chosen - 1, chosen + c - 1), chosen - 1, *range(rejected, rejected + r - 1)]
            targets += [*range(chosen, chosen + c), *range(rejected, rejected + r)]
            sides += [pair] * c + [pair + len(self.spans)] * r
        device = self.input_ids.device
        return tuple(torch.tensor(each, device=device) for each in (states, targets, sides))  # type: ignore[return-value]

    def mask(self, rows: int, columns: int) -> Tensor:
        """Return (rows, columns): the last `rows` of `columns` tokens, each seeing itself and what is before it."""
        key = (rows, columns)
        if key not in self.masks:
            whole = torch.ones(rows, columns, dtype=torch.bool, device=self.input_ids.device)
            self.masks[key] = whole.tril(columns - rows)
        return self.masks[key]


def lay_out(tokens: Tokens, *, last_only: bool) -> Layout:
    """Return 2·P padded sequences, the chosen ones first, as one row. The padding may be on either side."""
    pairs = len(tokens) // 2
    real = tokens.attention_mask.bool()
    completions = tokens.completion_mask.sum(-1).tolist()
    wholes = real.sum(-1).tolist()
    spans, ids, positions, start = [], [], [], 0
    for pair in range(pairs):
        chosen, rejected = completions[pair], completions[pairs + pair]
        prompt = wholes[pair] - chosen
        assert wholes[pairs + pair] - rejected == prompt, "The two answers of a pair have different prompts."
        spans.append((start, prompt, chosen, rejected))
        ids += [
            tokens.input_ids[pair][real[pair]],
            tokens.input_ids[pairs + pair][tokens.completion_mask[pairs + pair]],
        ]
        positions += [torch.arange(prompt + chosen), torch.arange(prompt, prompt + rejected)]
        start += prompt + chosen + rejected
    return Layout(
        input_ids=torch.cat(ids).unsqueeze(0),
        position_ids=torch.cat(positions).unsqueeze(0).to(tokens.input_ids.device),
        spans=spans,
        last_only=last_only,
    )


def attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    shared: Layout | None = None,
    **more: Any,
) -> tuple[Tensor, None]:
    """Return (1, N, H, D) and no weights: the attention function of this layout, (1, H, N, D) each coming in."""
    asked = [name for name in ("softcap", "s_aux", "sliding_window", "position_bias") if more.get(name) is not None]
    if shared is None or asked:
        raise CannotShare(", ".join(asked) or "the layout does not reach the attention function")
    groups = query.shape[1] != key.shape[1]
    last = getattr(module, "layer_idx", None) == shared.last_layer
    out = []

    def some(rows: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        whole = rows.shape[2] == keys.shape[2]
        return scaled_dot_product_attention(
            rows,
            keys,
            values,
            attn_mask=None if whole or rows.shape[2] == 1 else shared.mask(rows.shape[2], keys.shape[2]),
            is_causal=whole and rows.shape[2] > 1,
            dropout_p=dropout,
            scale=scaling,
            enable_gqa=groups,
        )

    # Split once instead of cut out again and again: the gradient of each cut is as long as the whole row.
    lengths = [length for _, p, c, r in shared.spans for length in (p + c, r)]
    queries, keys, values = (each.split(lengths, dim=2) for each in (query, key, value))
    for pair, (_, p, c, r) in enumerate(shared.spans):
        first, second = shared.reads(p, c, r) if last else (0, 0)
        one, other = 2 * pair, 2 * pair + 1
        chosen = some(queries[one][:, :, first:], keys[one], values[one])
        own_keys = torch.cat([keys[one][:, :, :p], keys[other]], dim=2)
        own_values = torch.cat([values[one][:, :, :p], values[other]], dim=2)
        rejected = some(queries[other][:, :, second:], own_keys, own_values)
        out += [chosen.new_zeros(*chosen.shape[:2], first, chosen.shape[3]), chosen] if first else [chosen]
        out += [chosen.new_zeros(*chosen.shape[:2], second, chosen.shape[3]), rejected] if second else [rejected]
    return torch.cat(out, dim=2).transpose(1, 2).contiguous(), None


def _no_mask(*arguments: Any, **named: Any) -> None:
    """The layout says who sees whom, so the library need build no mask."""


AttentionInterface.register(NAME, attend)
AttentionMaskInterface.register(NAME, _no_mask)


def shared_ends(backbone: nn.Module, tokens: Tokens) -> Tensor:
    """Return (2·P, D): the state at the last token of each answer, the chosen ones first."""
    layout = lay_out(tokens, last_only=True)
    ends = layout.ends()
    with _laid_out(backbone, layout, ends):
        hidden = backbone(
            input_ids=layout.input_ids, position_ids=layout.position_ids, use_cache=False, shared=layout
        ).last_hidden_state
    return hidden[0, ends]


def shared_logps(model: nn.Module, tokens: Tokens) -> Tensor:
    """Return (2·P,): the log-probability of each answer with its end token, the chosen ones first."""
    layout = lay_out(tokens, last_only=False)
    states, targets, sides = layout.predictions()

    def select(layer: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        return (args[0][:, states], *args[1:])

    handle = model.get_output_embeddings().register_forward_pre_hook(select)  # type: ignore[operator]
    try:
        with _laid_out(model, layout, torch.unique(states)):
            logits = model(
                input_ids=layout.input_ids, position_ids=layout.position_ids, use_cache=False, shared=layout
            ).logits
    finally:
        handle.remove()
    logps = -cross_entropy(logits.squeeze(0).float(), layout.input_ids[0, targets], reduction="none")
    return torch.zeros(len(tokens), device=logps.device).index_add(0, sides, logps)


def can_share(model: nn.Module) -> bool:
    """Return whether the two paths give `model` the same states; found out once, with a few tokens, and kept."""
    known = getattr(model, "_attune_shares", None)
    if known is None:
        known = _allows(_inner(model)) and _probe(model)
        model._attune_shares = known  # type: ignore[assignment]
    return bool(known)


def _inner(model: nn.Module) -> nn.Module:
    """Return the library's model below an adapter."""
    return model.get_base_model() if isinstance(model, PeftModel) else model


def _allows(inner: nn.Module) -> bool:
    """Return whether the config speaks of nothing but full causal attention through the library's table.

    A window longer than the probe would escape it, so that is asked here.
    """
    if not isinstance(inner, PreTrainedModel) or not inner._supports_attention_backend:
        return False
    config = inner.config.get_text_config()
    types = getattr(config, "layer_types", None)
    windowed = getattr(config, "sliding_window", None) and getattr(config, "use_sliding_window", True)
    full = set(types) == {"full_attention"} if types else not windowed
    return bool(full and getattr(config, "is_causal", True) and config is inner.config)


@torch.no_grad()
def _probe(model: nn.Module) -> bool:
    """Return whether a few made-up pairs of unequal lengths come out alike on both paths."""
    vocabulary = model.get_input_embeddings().num_embeddings  # type: ignore[operator, union-attr]
    tokens = _made_up(int(vocabulary)).to(next(model.parameters()).device)
    backbone = _body(model)
    try:
        theirs = backbone(input_ids=tokens.input_ids, attention_mask=tokens.attention_mask).last_hidden_state
        layout = lay_out(tokens, last_only=False)
        states, _, sides = layout.predictions()
        with _laid_out(backbone, layout, torch.unique(states)):
            ours = backbone(
                input_ids=layout.input_ids, position_ids=layout.position_ids, use_cache=False, shared=layout
            ).last_hidden_state[0, states]
    except (CannotShare, TypeError, ValueError, AttributeError, RuntimeError, KeyError):
        return False
    predicts = tokens.completion_mask.roll(-1, dims=1)
    expected = torch.zeros_like(ours)
    for side in range(len(tokens)):
        expected[sides == side] = theirs[side][predicts[side]]
    apart = (ours.float() - expected.float()).norm() / expected.float().norm()
    return bool(apart < PROBE_TOLERANCE.get(ours.dtype, 1e-3))


def _made_up(vocabulary: int) -> Tokens:
    generator = torch.Generator().manual_seed(0)
    longest = max(p + max(c, r) for p, c, r in PROBE_LENGTHS) + 1
    shape = (2 * len(PROBE_LENGTHS), longest)
    drawn = torch.randint(0, vocabulary, shape, generator=generator)
    attention, completion = torch.zeros(shape, dtype=torch.long), torch.zeros(shape, dtype=torch.bool)
    for pair, (p, c, r) in enumerate(PROBE_LENGTHS):
        drawn[pair + len(PROBE_LENGTHS), :p] = drawn[pair, :p]
        for row, answer in ((pair, c), (pair + len(PROBE_LENGTHS), r)):
            attention[row, : p + answer] = 1
            completion[row, p : p + answer] = True
    return Tokens(drawn, attention, completion)


def _body(model: nn.Module) -> nn.Module:
    """Return what gives hidden states: the model below its output layer."""
    inner = _inner(model)
    return inner.base_model if inner.get_output_embeddings() is not None else model  # type: ignore[operator, return-value]


@contextmanager
def _laid_out(model: nn.Module, layout: Layout, read: Tensor) -> Iterator[None]:
    """Within it, the model attends as the layout says, and the last layer computes only the states at `read` (R,)."""
    inner: Any = _inner(model)
    config = inner.config
    before = config._attn_implementation
    layers = getattr(inner.base_model, "layers", None)
    handles = []
    if layers is not None:
        layout.last_layer = len(layers) - 1
        for module in (
            getattr(layers[-1], "mlp", None),
            getattr(getattr(layers[-1], "self_attn", None), "o_proj", None),
        ):
            handles += _only_at(module, read) if isinstance(module, nn.Module) else []
    config._attn_implementation = NAME
    try:
        yield
    finally:
        config._attn_implementation = before
        for handle in handles:
            handle.remove()


def _only_at(module: nn.Module, read: Tensor) -> list[Any]:
    """Have a module that works token by token work at `read` alone; elsewhere its output is 0, which nobody reads."""

    def select(module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        return (args[0][:, read], *args[1:])

    def spread(module: nn.Module, args: tuple[Any, ...], out: Any) -> Any:
        if not isinstance(out, Tensor):  # an expert layer tells more than its states
            raise CannotShare("the last layer's output is not one tensor")
        return out.new_zeros(1, length[0], out.shape[-1]).index_copy(1, read, out)

    length: list[int] = []

    def measure(module: nn.Module, args: tuple[Any, ...]) -> None:
        length[:] = [args[0].shape[1]]

    return [
        module.register_forward_pre_hook(measure),
        module.register_forward_pre_hook(select),
        module.register_forward_hook(spread),
    ]
