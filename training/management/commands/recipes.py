"""Print what can be run: every recipe with its knobs."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from training.recipes.base import RECIPES, Knob, Recipe, RecipeError
from training.recipes.base import recipe as find_recipe


class Command(BaseCommand):
    help = "Prints the catalogue of recipes, or one recipe with all its settings."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", nargs="?", help="one recipe; all of them when left out")
        parser.add_argument("--json", action="store_true", help="as JSON, for a program to read")

    def handle(self, *, name: str | None, json: bool, **options: Any) -> None:
        if name is None:
            found = sorted(RECIPES.values(), key=lambda recipe: (recipe.kind, recipe.name))
        else:
            try:
                found = [find_recipe(name)]
            except RecipeError as error:
                raise CommandError(str(error)) from None
        if json:
            self.stdout.write(_as_json(found))
            return
        for recipe in found:
            self._print(recipe, whole=name is not None)

    def _print(self, recipe: Recipe, *, whole: bool) -> None:
        makes = f", makes a {recipe.makes} model" if recipe.makes else ""
        self.stdout.write(f"{recipe.name}  {recipe.title} (version {recipe.version}; {recipe.source})")
        self.stdout.write(f"    {recipe.summary}")
        self.stdout.write(f"    {recipe.kind}: reads {recipe.view}{makes}")
        knobs = [knob for knob in recipe.knobs() if whole or not knob.advanced]
        width = max((len(_value(knob)) for knob in knobs), default=0)
        for knob in knobs:
            self.stdout.write(f"      {_value(knob):{width}}  {knob.help}{_range(knob)}")
        self.stdout.write("")


def _value(knob: Knob) -> str:
    return f"{knob.name}={knob.default}"


def _range(knob: Knob) -> str:
    if knob.choices:
        return f" ({', '.join(map(str, knob.choices))})"
    bounds = [f"from {knob.low:g}"] if knob.low is not None else []
    bounds += [f"to {knob.high:g}"] if knob.high is not None else []
    return f" ({' '.join(bounds)})" if bounds else ""


def _as_json(recipes: list[Recipe]) -> str:
    from training.api.serializers import recipe_json

    return json.dumps([recipe_json(recipe) for recipe in recipes], indent=1, ensure_ascii=False)
