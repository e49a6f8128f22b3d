"""In which place of the screen each answer of an item stands: balanced for each item and for each person.

A coin for each screen is fair on average only: of three judgements of one pair, one in four is three times the same
order, and who judges twenty items sees the same side first fourteen times or more in one case of nine. So each order
leans against what went before (minimisation, S. J. Pocock and R. Simon 1975, Biometrics 31):

- Everybody second to be given an item sees it the other way round than the one before. Of a list each sees it moved
  round by one place, so that after as many people as there are answers each stood once in each place.
- Where the item is balanced, the person's own screens decide: what stood first too often so far stands second now.
- Where those are balanced too, a coin that is the same whenever it is thrown.

What was drawn is stored with the assignment, and how the person's screens lean with it (`Assignment.leaning`).
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any


def first_order(content: Mapping[str, Any], *, seed: str) -> list[int]:
    """Return the order that a coin gives, the same for the same seed. Turns of a dialogue keep their order."""
    order = list(range(len(content["completions"])))
    if "between" not in content:
        random.Random(seed).shuffle(order)
    return order


def order_for(
    content: Mapping[str, Any], *, before: Sequence[int] | None, people: int, leaning: int, seed: str
) -> list[int]:
    """Return the order for the next person: `order[i]` is the canonical position of what stands in place i.

    `before` is the order of the one who was given the item last and still has it, `people` how many have it, and
    `leaning` that of the person's last screen.
    """
    order = first_order(content, seed=seed)
    if len(order) < 2 or "between" in content:
        return order
    known = before is not None and sorted(before) == sorted(order)
    if len(order) == 2:
        if known and people % 2:
            return list(reversed(before or order))
        return order if not leaning else [0, 1] if leaning < 0 else [1, 0]
    if known and before is not None:
        return [*before[-1:], *before[:-1]]
    # The first of the row moves on by one place with each item; the others stand around it as the coin has it.
    place = leaning % len(order)
    rest = [position for position in order if position != 0]
    return [*rest[:place], 0, *rest[place:]]


def leaning_after(content: Mapping[str, Any], order: Sequence[int], leaning: int) -> int:
    """Return how a person's screens lean after this one; `leaning` is that of the one before.

    Of pairs: on how many more screens the first of the row stood first than second. Of lists: where it is to stand on
    the next one.
    """
    if len(order) < 2 or "between" in content:
        return leaning
    if len(order) == 2:
        return max(-1000, min(1000, leaning + (1 if order[0] == 0 else -1)))
    return (list(order).index(0) + 1) % len(order)
