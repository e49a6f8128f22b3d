"""The tasks of a run that learns several at once, as rows to fill in; REST and commands take the same as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from frontend import registered
from frontend.forms.knobs import KnobField, field_of
from training.objections import in_words
from training.recipes.assembled import assembled, choices
from training.recipes.base import Knob, Recipe, RecipeError, knobs_of
from training.recipes.tasks import OTHERS, Task, shared_domain, tasks_of
from training.recipes.ways import OF_RULES

MOST = 20
BUDGETS = {"kl_at_most": "kl_budget"}  # what the recipes call the distance at which an answer is worth nothing
WEIGHT = Knob("weight", 1.0, "")
WEIGHS = _("How much the task counts in a step, beside the weights of the others.")
# What the judges go by, in fewer words than their parts have.
JUDGES = {
    "rules": _("rules on words and refusals"),
    "judges": _("rules and a cost model"),
    "principled-judges": _("rules and a principle model"),
    "audited-judges": _("rules and a cost model, audited by another"),
}
REWARDS = (("reward", _("Reward model")), ("gold", _("Second reward model")))


def judges() -> dict[str, type]:
    """Return the parts that say which answers pass, by name."""
    return {name: part for name, part in choices("constrain").items() if "passes" in getattr(part, "gives", ())}


def recipe_with(optimiser: str, judged: str) -> Recipe:
    return assembled(optimiser, {"constrain": judged})


def settings_of(found: Recipe) -> dict[str, Knob]:
    """Return what a task may set of a recipe by itself, by the names of a row's inputs."""
    parts = [part for part in found.parts if part.slot in ("shape", "constrain", "filter", "kl")]
    own = [knob for part in parts for knob in knobs_of(part)]
    samples = [knob for knob in found.knobs() if knob.name == "samples_per_prompt"]
    return {BUDGETS.get(knob.name, knob.name): knob for knob in [*own, *samples]}


class UsualField(KnobField):
    """A setting that may be left empty, and then is what the recipe has usually."""

    def clean(self, value: Any) -> Any:
        return None if value in (None, "") else super().clean(value)


class TaskRow(forms.Form):
    name = forms.CharField(label=_("Name of the task"), required=False, max_length=40, widget=forms.TextInput())
    domains = forms.CharField(
        label=_("Domains of its prompts"),
        required=False,
        max_length=400,
        help_text=_("As the prompts name them, with commas between; * is all others. Empty: called as the task."),
    )
    recipe = forms.ChoiceField(label=_("Learns by"))
    reward = forms.ChoiceField(label=_("Climbs"), choices=REWARDS)
    judges = forms.ChoiceField(label=_("Judges"))

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in ("recipe", "reward", "judges"):
            self.fields[name].required = False  # a row that nobody filled in is none
        optimisers = [(name, f"{name.removeprefix('cgpo-').upper()}: {registered.choice(name)}") for name in OF_RULES]
        self.fields["recipe"].choices = optimisers  # type: ignore[attr-defined]
        self.fields["judges"].choices = [(n, JUDGES.get(n) or registered.part_choice(p)) for n, p in judges().items()]  # type: ignore
        self.fields["weight"] = UsualField(WEIGHT, label=_("Weight"), help_text=WEIGHS, required=False, initial=1)
        self.setting_names: list[str] = []
        for optimiser in OF_RULES:
            for judged in judges():
                for name, knob in settings_of(recipe_with(optimiser, judged)).items():
                    if name not in self.fields:
                        self.fields[name] = self._usual(name, knob)
                        self.setting_names.append(name)

    @staticmethod
    def _usual(name: str, knob: Knob) -> forms.Field:
        field = field_of(knob)
        made = UsualField(knob, widget=field.widget, help_text=field.help_text, label=registered.label(name))
        made.required = False
        made.initial = knob.default if knob.choices else None
        return made

    @property
    def everyday(self) -> list[forms.BoundField]:
        own = ("name", "domains", "weight", "recipe", "reward", "kl_budget", "reward_scale", "judges")
        return [self[name] for name in own]

    @property
    def others(self) -> list[forms.BoundField]:
        return [self[name] for name in self.setting_names if name not in ("kl_budget", "reward_scale")]

    @property
    def is_open(self) -> bool:
        return any(field.errors or (field.value() not in (None, "", "pass")) for field in self.others)

    @property
    def is_blank(self) -> bool:
        """Return whether nobody filled it in: it has no name and no domains."""
        return not any(str(self[name].value() or "").strip() for name in ("name", "domains"))

    def clean_name(self) -> str:
        name = str(self.cleaned_data["name"]).strip()
        if "(" in name or ")" in name:
            raise ValidationError(gettext("Leave brackets out of the name: figures of a task have it in brackets."))
        return name

    def clean_weight(self) -> float:
        weight = self.cleaned_data["weight"]
        if weight is None:
            return 1.0
        if weight <= 0:
            raise ValidationError(gettext("Enter a number above 0."))
        return float(weight)

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if self.is_blank or self.errors:
            return cleaned
        if not cleaned["name"]:
            self.add_error("name", gettext("Give this task a name."))
            return cleaned
        known = settings_of(recipe_with(cleaned["recipe"] or OF_RULES[0], cleaned["judges"] or next(iter(judges()))))
        for name in self.setting_names:
            knob = self.fields[name].knob  # type: ignore[attr-defined]
            if name not in known and cleaned.get(name) not in (None, knob.default if knob.choices else None):
                self.add_error(name, gettext("This task's recipe and judges have no such setting. Leave it empty."))
        if not self.errors:
            made = self.as_json
            try:
                recipe_with(made["recipe"], made["parts"]["constrain"]).fill(made["knobs"])
            except RecipeError as error:
                for name, texts in error.errors.items():
                    beside = BUDGETS.get(name, name)
                    for text in texts:
                        self.add_error(beside if beside in self.fields else None, in_words(text))
        return cleaned

    @property
    def as_json(self) -> dict[str, Any]:
        """Return the row as one value of the setting `tasks`; only after `is_valid`."""
        cleaned = self.cleaned_data
        optimiser, judged = cleaned["recipe"] or OF_RULES[0], cleaned["judges"] or next(iter(judges()))
        known = settings_of(recipe_with(optimiser, judged))
        knobs = {known[n].name: cleaned[n] for n in self.setting_names if n in known and cleaned.get(n) is not None}
        made: dict[str, Any] = {"recipe": optimiser, "weight": cleaned["weight"]}
        if named := [one.strip() for one in cleaned["domains"].split(",") if one.strip()]:
            made["domains"] = named
        if cleaned["reward"] not in ("", "reward"):
            made["reward"] = cleaned["reward"]
        return made | {"parts": {"constrain": judged}, "knobs": knobs}

    @property
    def task(self) -> Task:
        """Return what the core makes of the row; RecipeError where it cannot."""
        return tasks_of(json.dumps({self.cleaned_data["name"]: self.as_json}))[0]


class TaskRows:
    """The rows of a form: those that were sent and, where another one was asked for, that."""

    def __init__(self, data: Mapping[str, Any] | None = None) -> None:
        sent = str((data or {}).get("tasks-rows", ""))
        self.is_bound = sent.isdecimal() and len(sent) < 4
        self.asks_another = bool(data and "tasks-another" in data)
        count = min(int(sent), MOST) if self.is_bound else 0
        self.rows = [TaskRow(data, prefix=f"task-{number}") for number in range(count)]
        if not self.is_bound:
            self.rows = [TaskRow(prefix="task-0", initial={"name": gettext("all"), "domains": OTHERS})]
        if self.asks_another and len(self.rows) < MOST:
            self.rows.append(TaskRow(prefix=f"task-{len(self.rows)}"))

    def __iter__(self) -> Any:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def may_grow(self) -> bool:
        return len(self.rows) < MOST

    def is_valid(self, scorers: Mapping[str, Any], titles: Mapping[str, Any]) -> bool:
        """Return whether every row that was filled in fits; what does not is said beside it.

        `scorers` are the models that were chosen to score, by name, and `titles` what the form calls them.
        """
        filled = [row for row in self.rows if not row.is_blank]
        if not filled:
            self.rows[0].is_valid()
            self.rows[0].add_error("name", gettext("Name at least one task."))
            return False
        fitting = [row.is_valid() for row in filled]  # of every row, so that each says what is wrong with it
        if not all(fitting):
            return False
        seen: list[Task] = []
        for row in filled:
            task = row.task
            lacking = [name for name in task.scorers if not scorers.get(name)]
            for name in lacking:
                told = gettext("Choose the {model} above, under the models that score.").format(model=titles[name])
                row.add_error("reward" if name == task.reward else "judges", told)
            if any(task.name == one.name for one in seen):
                row.add_error("name", gettext("Another task has this name."))
            elif (shared := shared_domain([*seen, task])) is not None:
                row.add_error("domains", in_words(shared))
            seen.append(task)
        return not any(row.errors for row in filled)

    @property
    def text(self) -> str:
        """Return the rows as the setting `tasks`; only after `is_valid`."""
        told = {row.cleaned_data["name"]: row.as_json for row in self.rows if not row.is_blank}
        return json.dumps(told, ensure_ascii=False)
