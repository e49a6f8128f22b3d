"""What can be run. Importing this package fills the table `RECIPES`; standard library only."""

from __future__ import annotations

from training.recipes import (
    audits,
    combine,
    drift,
    evaluate,
    guards,
    loop,
    merging,
    onpolicy,
    policy,
    reward,
    rollouts,
    sampling,
    tamper,
)
from training.recipes.assembled import assembled, from_json
from training.recipes.base import PARTS, RECIPES, Recipe, RecipeError, recipe

__all__ = [
    "PARTS",
    "RECIPES",
    "Recipe",
    "RecipeError",
    "assembled",
    "audits",
    "combine",
    "drift",
    "evaluate",
    "from_json",
    "guards",
    "loop",
    "merging",
    "onpolicy",
    "policy",
    "recipe",
    "reward",
    "rollouts",
    "sampling",
    "tamper",
]
