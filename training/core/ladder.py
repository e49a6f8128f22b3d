"""Static lengths: batches are padded to one of a few lengths, so that a GPU sees the same shapes again and again.

Its allocator then finds a block of the size it needs among those it has, and what is compiled or captured for a shape
serves the next batch of it. Lengths are multiples of 8 up to 64, then eight to each doubling: a batch is at most an
eighth wider than its longest row, and of 4096 tokens there are 56 lengths. A CPU gains nothing by it and is spared the
padding. What `shared_prompt` lays out as one row has no padding, and so as many lengths as batches.
"""

from __future__ import annotations

from torch.nn.functional import pad

from training.core.batch import Tokens

LEAST = 8
TO_A_DOUBLING = 8


def rung(length: int) -> int:
    """Return the lowest length of the ladder that holds `length` tokens."""
    step = max(LEAST, (1 << (max(length - 1, 1).bit_length() - 1)) // TO_A_DOUBLING)
    return -(-length // step) * step


def ladder(longest: int) -> list[int]:
    """Return all lengths that batches of at most `longest` tokens can have; the last one is `longest` itself."""
    found = []
    length = LEAST
    while length < longest:
        found.append(length)
        length = rung(length + 1)
    return [*found, longest]


def on_a_rung(tokens: Tokens, pad_id: int, *, longest: int) -> Tokens:
    """Return the sequences padded on the right to a length of the ladder, or to the `longest` that the model reads."""
    width = tokens.input_ids.shape[1]
    more = min(rung(width), max(longest, width)) - width
    if not more:
        return tokens
    return Tokens(
        pad(tokens.input_ids, (0, more), value=pad_id),
        pad(tokens.attention_mask, (0, more)),
        pad(tokens.completion_mask, (0, more)),
        tokens.pictures,
    )
