"""Settings each of which would do, and that do not go together."""

from __future__ import annotations

from typing import Any

import pytest

from training.recipes.base import RecipeError, recipe


@pytest.mark.parametrize(
    ("name", "given", "field"),
    [
        ("dpo", {"patience": 2}, "patience"),
        ("dpo", {"patience": 2, "eval_every": 5, "eval_share": 0.0}, "patience"),
        ("gated-objectives", {"lora_rank": 8}, "lora_rank"),
        ("a-lol", {"eval_share": 0.0}, "eval_share"),
        ("rloo", {"samples_per_prompt": 1}, "samples_per_prompt"),
        ("cgpo-crraft", {"min_words": 9, "max_words": 2}, "max_words"),
    ],
)
def test_settings_that_do_not_go_together_are_refused_at_their_field(
    name: str, given: dict[str, Any], field: str
) -> None:
    """And so by form, REST and command before there is a run that would fail."""
    with pytest.raises(RecipeError) as refused:
        recipe(name).fill(given)
    assert list(refused.value.errors) == [field]
