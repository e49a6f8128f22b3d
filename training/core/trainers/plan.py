"""The order in which examples are seen: a function of seed and lengths, so nothing of it has to be kept to resume."""

from __future__ import annotations

import random
from collections.abc import Sequence

WINDOW = 50


def plan(lengths: Sequence[int], *, batch_size: int, epochs: int, max_steps: int, seed: int) -> list[list[int]]:
    """Return the batches of the whole run as indices into `lengths`; each epoch has every example once.

    Batches hold examples of like length, so that little is padding: of each window of 50 batches in random order, the
    examples are sorted by length and cut up, and the batches shuffled. The last batch of an epoch may be short; it
    comes where the shuffle puts it.
    """
    batches: list[list[int]] = []
    for epoch in range(epochs):
        if max_steps and len(batches) >= max_steps:
            break
        draw = random.Random(f"{seed} {epoch}")
        order = list(range(len(lengths)))
        draw.shuffle(order)
        whole = []
        for start in range(0, len(order), WINDOW * batch_size):
            window = sorted(order[start : start + WINDOW * batch_size], key=lambda index: lengths[index])
            whole += [window[i : i + batch_size] for i in range(0, len(window), batch_size)]
        draw.shuffle(whole)
        batches += whole
    return batches[:max_steps] if max_steps else batches


def batches_done(batches: Sequence[Sequence[int]], consumed: int) -> int:
    """Return how many batches make up `consumed` examples; ValueError when that is in the middle of one."""
    total = 0
    for number, batch in enumerate(batches):
        if total == consumed:
            return number
        total += len(batch)
    if total != consumed:
        raise ValueError(f"{consumed} examples do not end with a batch.")
    return len(batches)
