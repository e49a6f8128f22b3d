"""What a loop tells the recipes of its runs: other parts and settings, to be picked from what the chosen ones have."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from frontend.forms.parts import PartsForm
from frontend.forms.setting_rows import SHOW, SettingRows
from training.objections import in_words
from training.recipes import RECIPES, loop_knobs
from training.recipes.assembled import assembled, has_slots
from training.recipes.base import Recipe, RecipeError
from training.recipes.note import Note, note_of
from training.recipes.rollouts import ROLLOUTS
from training.recipes.sampling import OF_ENSEMBLES
from training.recipes.ways import ASKS, COST, ENSEMBLE, JUDGE, SCORE, WAYS

PARTS = "policy_parts"


def showing(*names: str) -> dict[str, str]:
    """Return the attributes of an input upon whose change a script shows anew what is to be picked for `names`."""
    first, *others = names
    besides = [f"#{name}-of" for name in names] + [f"#{name}-rows" for name in others]
    return {
        "hx-post": "",
        "hx-trigger": "change",
        "hx-vals": f'{{"{SHOW}": ""}}',
        "hx-target": f"#{first}-rows",
        "hx-select": f"#{first}-rows",
        "hx-select-oob": ",".join(besides),
        "hx-swap": "outerHTML",
        "hx-sync": "this:replace",
    }


class ToldRecipes:
    """The parts and rows of a loop's form; `chosen` are the settings by which it chooses its recipes.

    What is no recipe is refused at its own input; nothing can be picked for it then, and what was typed stays.
    """

    SETTINGS: ClassVar = (PARTS, "policy_settings", "dialogue_settings", "reward_settings", "cost_settings")

    def __init__(self, data: Mapping[str, Any] | None, *, chosen: Mapping[str, str], stored: Mapping[str, Any]) -> None:
        pressed = [name for name in data or {} if name == SHOW or name.endswith(("-another", "-remove"))]
        self.is_looked_at = bool(pressed)  # rows are added or taken away, or something is only shown
        self.parts_are_looked_at = data is not None and data.get(SHOW) == PARTS
        found = RECIPES[chosen["policy_recipe"]] if chosen["policy_recipe"] in WAYS else None
        self.has_slots = found is not None and has_slots(found)
        self.parts = self._parts(data or {}, found, str(stored.get(PARTS) or ""))
        scores = ENSEMBLE if chosen["selection"] in OF_ENSEMBLES else chosen["reward_recipe"]
        told_by: dict[str, tuple[Recipe | None, Mapping[str, str]]] = {
            "policy_settings": (self._candidate(found), loop_knobs.OF_CANDIDATE),
            "dialogue_settings": (ROLLOUTS, loop_knobs.OF_ROLLOUTS),
            "reward_settings": (
                RECIPES[scores] if scores in (SCORE, JUDGE, ENSEMBLE) else None,
                loop_knobs.OF_SCORING,
            ),
            "cost_settings": (RECIPES[COST], loop_knobs.OF_SCORING),
        }
        self.rows = {
            name: SettingRows(
                data,
                name=name,
                recipe=recipe,
                decided=decided,
                stored=str(stored.get(name) or ""),
                is_done=not self.is_looked_at,
            )
            for name, (recipe, decided) in told_by.items()
        }

    def _parts(self, data: Mapping[str, Any], recipe: Recipe | None, stored: str) -> PartsForm | None:
        if recipe is None:
            return None
        made = PartsForm(data, recipe=recipe, named=loop_knobs.read(stored), asks=ASKS)
        for field in made.fields.values():
            field.widget.attrs |= showing("policy_settings")
        return made

    def _candidate(self, recipe: Recipe | None) -> Recipe | None:
        """Return the candidate's recipe with its parts; as it is where these do not go together."""
        if recipe is None or self.parts is None or not self.has_slots:
            return recipe
        try:
            return assembled(recipe.name, self.parts.named)
        except RecipeError:
            return recipe

    @property
    def parts_are_open(self) -> bool:
        return self.parts is not None and bool(self.parts.named or self.parts.errors or self.parts_are_looked_at)

    def fit(self) -> bool:
        """Return whether parts and settings fit the recipes; what does not is said beside it."""
        fit = self._parts_fit()
        names = [name for name in self.rows if fit or name != "policy_settings"]  # which hang on the parts
        fitting = [self.rows[name].fit() for name in names]  # all of them, so that each says what is wrong with it
        return fit and all(fitting)

    def _parts_fit(self) -> bool:
        if self.parts is None or not self.has_slots:
            return True
        if not self.parts.is_valid():
            return False
        try:
            assembled(self.parts.recipe.name, self.parts.named)
        except RecipeError as error:
            note = note_of(error)
            slot = next((name for name in _about(note) if name in self.parts.fields), None)
            self.parts.add_error(slot, in_words(note))
            return False
        return True

    @property
    def texts(self) -> dict[str, str]:
        """Return the settings as a loop has them; only after they fit."""
        parts = self.parts.text if self.parts is not None and self.has_slots else ""
        return {PARTS: parts, **{name: rows.text for name, rows in self.rows.items()}}

    def add_errors(self, name: str, texts: Iterable[str]) -> None:
        """Say above the parts or the rows what a service says of them."""
        if name in self.rows:
            self.rows[name].errors.extend(texts)
        elif self.parts is not None:
            for text in texts:
                self.parts.add_error(None, text)


def _about(note: Note | str) -> list[str]:
    """Return what a sentence on parts may be about, by name: its {slot}, or one such as {filter} beside {advantage}."""
    values = note.told["told"][0][1] if isinstance(note, Note) else {}
    return [str(values.get("slot")), *values]
