"""The tasks of a run or a loop that learns several at once, as rows to fill in; REST and commands take JSON."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from frontend import registered
from frontend.forms.knobs import KnobField, field_of, shown
from frontend.forms.sent_rows import sent_rows
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


def judges(asks: Collection[str] | None = None) -> dict[str, type]:
    """Return the parts that say which answers pass, by name; those that ask for no other scores than `asks`."""
    found = {name: part for name, part in choices("constrain").items() if "passes" in getattr(part, "gives", ())}
    if asks is None:
        return found
    return {name: part for name, part in found.items() if set(recipe_with(OF_RULES[0], name).scorers) <= set(asks)}


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

    def __init__(self, *args: Any, asks: Collection[str] | None = None, **kwargs: Any) -> None:
        """Make a row whose task may ask the scores `asks`; None: any, as the form has a field for each."""
        super().__init__(*args, **kwargs)
        for name in ("recipe", "reward", "judges"):
            self.fields[name].required = False  # a row that nobody filled in is none
        offered = judges(asks)
        if asks is not None:
            del self.fields["reward"]  # a loop has one reward model
        told = gettext("{name}: {what}")
        optimisers = [
            (name, told.format(name=name.removeprefix("cgpo-").upper(), what=registered.choice(name)))
            for name in OF_RULES
        ]
        self.fields["recipe"].choices = optimisers  # type: ignore[attr-defined]
        self.fields["judges"].choices = [(n, JUDGES.get(n) or registered.part_choice(p)) for n, p in offered.items()]  # type: ignore
        self.fields["weight"] = UsualField(WEIGHT, label=_("Weight"), help_text=WEIGHS, required=False, initial=1)
        self.setting_names: list[str] = []
        for optimiser in OF_RULES:
            for judged in offered:
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
        return [self[name] for name in own if name in self.fields]

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
        if cleaned.get("reward", "") not in ("", "reward"):
            made["reward"] = cleaned["reward"]
        return made | {"parts": {"constrain": judged}, "knobs": knobs}

    @property
    def task(self) -> Task:
        """Return what the core makes of the row; RecipeError where it cannot."""
        return tasks_of(json.dumps({self.cleaned_data["name"]: self.as_json}))[0]


def as_rows(text: str, *, asks: Collection[str] | None = None) -> list[dict[str, Any]] | None:
    """Return the setting `tasks` as the values of as many rows; None where rows cannot say the same."""
    try:
        tasks = tasks_of(text)
    except RecipeError:
        return None
    if len(tasks) > MOST:
        return None
    found = [_as_row(task, given, asks) for task, given in zip(tasks, json.loads(text).values(), strict=True)]
    return None if None in found else [row for row in found if row is not None]


def _as_row(task: Task, given: Mapping[str, Any], asks: Collection[str] | None) -> dict[str, Any] | None:
    parts, knobs = given.get("parts", {}), given.get("knobs", {})
    judged = getattr(task.recipe.part("constrain"), "name", "")
    if task.recipe.name not in OF_RULES or judged not in judges(asks) or set(parts) - {"constrain"}:
        return None
    if task.reward != "reward" and asks is not None:
        return None
    inputs = {knob.name: name for name, knob in settings_of(recipe_with(task.recipe.name, judged)).items()}
    if set(knobs) - set(inputs) or any("," in domain for domain in task.domains):
        return None
    row = {"name": task.name, "domains": ", ".join(task.domains), "weight": shown(task.weight), "reward": task.reward}
    row |= {"recipe": task.recipe.name, "judges": judged}
    return row | {inputs[name]: shown(value) for name, value in knobs.items()}


class TaskRows:
    """The rows of a form: those that were sent or are stored, and where another one was asked for, that.

    `usual` are the values of the rows of a form that nobody sent. Without a script, too, a row is added by a button
    and taken away by its own; either keeps what was typed, and puts the cursor where one goes on.
    """

    def __init__(
        self,
        data: Mapping[str, Any] | None = None,
        *,
        usual: list[dict[str, Any]] | None = None,
        asks: Collection[str] | None = None,
    ) -> None:
        sent = sent_rows(data, name="tasks", row="task", most=MOST)
        self.is_bound, self.changes_rows = sent.is_bound, sent.changes_rows
        self.rows = [TaskRow(sent.data, prefix=f"task-{number}", asks=asks) for number in range(sent.count)]
        if not self.is_bound:
            usual = [{"name": gettext("all"), "domains": OTHERS}] if usual is None else usual
            self.rows = [TaskRow(prefix=f"task-{n}", initial=values, asks=asks) for n, values in enumerate(usual)]
        if (sent.asks_another or not self.rows) and len(self.rows) < MOST:
            self.rows.append(TaskRow(prefix=f"task-{len(self.rows)}", asks=asks))
        if self.changes_rows:
            last = self.rows[-1 if sent.removed is None else min(sent.removed, len(self.rows) - 1)]
            last.fields["name"].widget.attrs["autofocus"] = True

    def __iter__(self) -> Any:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def may_grow(self) -> bool:
        return len(self.rows) < MOST

    @property
    def filled(self) -> list[TaskRow]:
        return [row for row in self.rows if not row.is_blank]

    def are_named(self) -> bool:
        """Return whether a row was filled in; where none was, the first one says so."""
        if not self.filled:
            self.rows[0].is_valid()
            self.rows[0].add_error("name", gettext("Name at least one task."))
        return bool(self.filled)

    def is_valid(self, scorers: Mapping[str, Any], titles: Mapping[str, Any]) -> bool:
        """Return whether every row that was filled in fits; what does not is said beside it.

        `scorers` are the models that were chosen to score, by name, and `titles` what the form calls them.
        """
        return self.are_named() and self.fit({name: titles[name] for name in titles if not scorers.get(name)})

    def fit(self, lacking: Mapping[str, Any] | None = None) -> bool:
        """Return whether the rows that were filled in fit; `lacking` are the scores that no model was chosen for."""
        filled, lacks = self.filled, lacking or {}
        fitting = [row.is_valid() for row in filled]  # of every row, so that each says what is wrong with it
        if not all(fitting):
            return False
        seen: list[Task] = []
        for row in filled:
            task = row.task
            for name in task.scorers:
                if name in lacks:
                    told = gettext("Choose the {model} above, under the models that score.").format(model=lacks[name])
                    row.add_error("reward" if name == task.reward else "judges", told)
            if any(task.name == one.name for one in seen):
                row.add_error("name", gettext("Another task has this name."))
            elif (shared := shared_domain([*seen, task])) is not None:
                row.add_error("domains", in_words(shared))
            seen.append(task)
        return not any(row.errors for row in filled)

    @property
    def text(self) -> str:
        """Return the rows as the setting `tasks`, empty without any; only after they fit."""
        told = {row.cleaned_data["name"]: row.as_json for row in self.filled}
        return json.dumps(told, ensure_ascii=False) if told else ""
