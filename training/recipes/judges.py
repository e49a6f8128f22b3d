"""Judges that think before they name the better of two answers, and the recipes whose reward one can be.

Standard library only. They are language models, and so versions of kind policy: what makes one a judge is its recipe.
"""

from __future__ import annotations

from training.recipes.base import Recipe

REASONING = ("reasoning-judge", "reasoning-judge-rl")  # the recipes that make them
REWARD = "reward"  # the score that one can give


def takes_judge(recipe: Recipe) -> bool:
    """Return whether the recipe holds a policy's own answers against others, so that a judge can be its reward."""
    return REWARD in recipe.scorers and any(knob.name == "judge_against" for knob in recipe.knobs())
