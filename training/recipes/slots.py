"""The slots of a recipe on the policy's own answers, and the rule which parts go together.

The order of the slots is fixed: score → combine → shape → constrain → filter → kl → segment → advantage → update. A
slot may be empty. A part says what it `needs` and what it `gives`, and `check_slots` refuses a recipe in which
something is needed that nothing before gives.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from training.recipes.base import RecipeError
from training.recipes.note import Note

AFTER_COMBINING = ("shape", "constrain", "filter", "kl", "segment", "advantage")
ORDER = ("combine", *AFTER_COMBINING, "update")
# What the loop has of every rollout, and what it finds out when a part needs it.
THERE = frozenset({"scores", "logps", "entropy", "ended"})
ON_DEMAND = frozenset({"reference_logps", "reference_rewards", "reference", "values", "comparisons", "credit"})


def check_slots(parts: Mapping[str, Any]) -> frozenset[str]:
    """Return all that the parts need, by slot; RecipeError when one needs what nothing before it gives."""
    there = set(THERE | ON_DEMAND)
    needed: set[str] = set()
    for slot in ORDER:
        if slot == "kl" and slot not in parts:
            there.add("token_reward")  # the reward on the last token
        if slot not in parts:
            continue
        found = parts[slot]
        missing = sorted(set(found.needs) - there)
        if missing:
            raise RecipeError(
                Note(
                    "{slot}/{part} needs {names}, and nothing before it gives that. Choose another part for {slot}, or "
                    "one before it that does.",
                    slot=slot,
                    part=found.name,
                    names=", ".join(missing),
                )
            )
        needed |= set(found.needs)
        there |= set(found.gives)
    for slot in ("combine", "advantage", "update"):
        if slot not in parts and not (slot == "advantage" and "advantages" not in needed):
            raise RecipeError(Note("A recipe on the policy's own answers needs a part in the slot {slot}.", slot=slot))
    alone = getattr(parts.get("filter"), "leaves", 2) < 2
    if alone and getattr(parts.get("advantage"), "compares_in_groups", False):
        raise RecipeError(
            Note(
                "filter/{filter} leaves one answer of each prompt, and advantage/{advantage} compares the answers of a "
                "prompt. Choose another part for one of them.",
                filter=parts["filter"].name,
                advantage=parts["advantage"].name,
            )
        )
    return frozenset(needed)
