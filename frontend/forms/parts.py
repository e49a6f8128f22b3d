"""Other parts in the slots of a recipe on the policy's own answers: of a run, or of all candidates of a loop."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from django import forms
from django.utils.translation import gettext

from frontend import registered
from training.recipes.assembled import choices, chosen_in, may_be_empty
from training.recipes.base import Recipe
from training.recipes.slots import ORDER
from training.services.filter_choice import SLOT, Choice

PREFIX = "part"  # a slot may be called as a setting is
USUAL = "usual"  # a loop leaves the slot as it is; no part is called so


class PartsForm(forms.Form):
    """One choice for each slot of a recipe, with what each part does in a line.

    A loop says what it has `named` so far and which scores it `asks` for: it may leave a slot to its recipe, which
    goes by what there is at a round, and is offered no part that would want another score.
    """

    def __init__(
        self,
        given: Mapping[str, Any],
        *,
        recipe: Recipe,
        choice: Choice | None = None,
        named: Mapping[str, str] | None = None,
        asks: Collection[str] = (),
    ) -> None:
        of_loop, asked = named is not None, asked_in(given)
        measured = {} if choice is None else {SLOT: choice.part}
        before = {**dict.fromkeys(ORDER, USUAL), **(named or {})} if of_loop else {**chosen_in(recipe), **measured}
        self.parts = {**before, **asked}
        sent = {f"{PREFIX}-{slot}": part for slot, part in self.parts.items()} if of_loop else None
        super().__init__(sent, prefix=PREFIX, use_required_attribute=False)
        self.recipe, self.choice, self.asked = recipe, choice, bool(asked)
        for slot in ORDER:
            usual = chosen_in(recipe)[slot] or gettext("nothing")
            left = [(USUAL, gettext("left to the recipe (usually {part})").format(part=usual))] if of_loop else []
            none = [("", gettext("nothing"))] if may_be_empty(slot) else []
            there = {n: part for n, part in choices(slot).items() if not of_loop or set(_scores(part)) <= set(asks)}
            parts = [(name, registered.part_choice(part)) for name, part in there.items()]
            self.fields[slot] = forms.ChoiceField(
                label=registered.slot(slot),
                choices=[*left, *none, *parts],
                initial=self.parts[slot],
                help_text=registered.slot_help(slot),
                required=not none,
            )

    @property
    def named(self) -> dict[str, str]:
        """Return slot → part of those that are not left to the recipe."""
        return {slot: part for slot, part in self.parts.items() if part != USUAL}

    @property
    def text(self) -> str:
        """Return them as a loop's setting has them."""
        return "\n".join(f"{slot} = {part}" for slot, part in self.named.items())


def asked_in(given: Mapping[str, Any]) -> dict[str, str]:
    """Return slot → part of what a form or an address asks for."""
    return {slot: str(given[f"{PREFIX}-{slot}"]) for slot in ORDER if f"{PREFIX}-{slot}" in given}


def _scores(part: type) -> Collection[str]:
    return getattr(part, "scorers", ())
