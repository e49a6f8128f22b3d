"""Starting a loop: the policy it begins with, the prompts it asks about, and the loop's own settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from django import forms
from django.utils.functional import Promise
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from frontend.forms.knobs import KnobForm
from frontend.forms.parts import PartsForm
from frontend.forms.setting_rows import SettingRows
from frontend.forms.task_rows import TaskRows, as_rows
from frontend.forms.told_recipes import PARTS, ToldRecipes, showing
from training.recipes.base import knobs_of
from training.recipes.loop import LoopSettings
from training.recipes.tasks import EXAMPLE
from training.recipes.ways import ASKS, OF_TASKS, TOLD

# How the settings are grouped on the page; one that is in no group comes last.
GROUPS = (
    (
        _("Each round"),
        (
            *("prompts_per_round", "samples_per_prompt", "selection", "asked_share", "labeller", "doubtful_share"),
            *("doubtful_below", "overlap", "personal", "profiles", "audit_share"),
        ),
    ),
    (_("The policy's answers"), ("temperature", "max_new_tokens", "guard")),
    (_("Live chat"), ("chat",)),
    (_("When a round goes on"), ("minimum_share", "deadline_hours", "auto_continue", "rejections_in_a_row")),
    (
        _("Training"),
        (
            *("policy_recipe", "reference", "replay", "learning_rate", "epochs", "iterations", "batch_size"),
            *("beta", "dialogue_turns", "dialogue_user", "engine", "engine_settings"),
        ),
    ),
    (
        _("Reward and cost model"),
        (
            *("refresh_reward", "reward_recipe", "judge_against", "principles", "principle_model"),
            *("refresh_cost", "reward_learning_rate", "reward_epochs"),
        ),
    ),
    (_("The gate"), ("gate_prompts", "gate_human_pairs", "gate_minimum_win_rate", "gate_maximum_kl", "gate_by")),
    (
        _("The safety test at the gate"),
        (
            *("gate_bound", "gate_delta", "gate_cost_limit", "gate_unsafe_limit", "gate_cost_reach"),
            "gate_guard_costs",
            *("gate_safety_lost", "gate_needs_safety"),
        ),
    ),
    (
        _("The suite at the gate"),
        ("gate_suite", "gate_maximum_refusals", "gate_category_minimum", "gate_maximum_loss"),
    ),
)

# The settings by which recipes are chosen, and what is shown anew by a script where one of them changes.
CHOOSE = {
    "policy_recipe": (PARTS, "policy_settings"),
    "selection": ("reward_settings",),
    "reward_recipe": ("reward_settings",),
}
POLICY, SCORING = ("policy_settings", "dialogue_settings"), ("reward_settings", "cost_settings")


@dataclass(frozen=True)
class Group:
    title: str | Promise
    fields: list[forms.BoundField]
    tasks: TaskRows | None = None  # rows below the fields
    parts: PartsForm | None = None
    settings: Sequence[SettingRows] = ()


class LoopForm(KnobForm):
    policy = forms.CharField(
        label=_("Base policy"),
        max_length=400,
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false", "list": "policies"}),
        help_text=_("The language model to improve: a folder on the server, or a hub name such as org/model."),
    )
    prompts_path = forms.CharField(
        label=_("Prompts file"),
        max_length=400,
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false", "list": "prompt-files"}),
        help_text=_(
            "A JSON Lines file on the server, each line with “id” and “prompt”. A tenth of the prompts is held out and "
            "used only to test a new policy."
        ),
    )
    reason = forms.CharField(
        label=_("Reason"),
        max_length=2000,
        required=False,
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
        help_text=_(
            "Needed where the base policy is not the one in use, as no gate has compared the two. It stays in the "
            "campaign's events."
        ),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, knobs=knobs_of(LoopSettings()), **kwargs)
        told = gettext("Counts instead of the rows where there is something in it. Such as {example}")
        self.fields["tasks"].label = _("Tasks as JSON")
        self.fields["tasks"].help_text = told.format(example=EXAMPLE)
        stored = as_rows(self.initial.get("tasks") or "", asks=ASKS)
        if stored:  # as rows, which are then what counts
            self.initial = {**self.initial, "tasks": ""}
        self.task_rows = TaskRows(self.data if self.is_bound else None, usual=stored or [], asks=ASKS)
        chosen = {name: str(self[name].value()) for name in CHOOSE}
        self.told = ToldRecipes(self.data if self.is_bound else None, chosen=chosen, stored=self.initial)
        for name in ToldRecipes.SETTINGS:  # picked instead of written
            del self.fields[name]
        for name, shows in CHOOSE.items():
            self.fields[name].widget.attrs |= showing(*shows)
        self.fields["gate_suite"].widget.attrs |= {"list": "gate-suites", "autocomplete": "off", "dir": "ltr"}
        for name in ("tasks", *(name for name in TOLD if name in self.fields)):
            self.fields[name].widget = forms.Textarea(
                attrs={"rows": 2, "autocomplete": "off", "spellcheck": "false", "class": "mono", "dir": "ltr"}
            )

    @property
    def groups(self) -> list[Group]:
        grouped = {name for _, names in GROUPS for name in names}
        names = [name for name in (*self.knob_names, *self.advanced_names) if name in self.fields]
        rows, told = self.told.rows, {"policy_recipe": POLICY, "refresh_reward": SCORING}
        found = []
        for title, wanted in GROUPS:
            of_policy = wanted[0] == "policy_recipe"
            group = Group(title, [self[name] for name in wanted if name in names])
            found.append(
                replace(
                    group,
                    tasks=self.task_rows if of_policy else None,
                    parts=self.told.parts if of_policy else None,
                    settings=[rows[name] for name in told.get(wanted[0], ())],
                )
            )
        rest = [self[name] for name in names if name not in grouped and name != "tasks"]
        return [*found, Group(_("More"), rest)] if rest else found

    @property
    def is_looked_at(self) -> bool:
        """Say whether whoever sent the form is not done: a row was added or taken away, or another recipe shown."""
        return self.task_rows.changes_rows or self.told.is_looked_at

    @property
    def tasks_text(self) -> forms.BoundField:
        """Return the input in which the tasks may be written as text."""
        return self["tasks"]

    @property
    def tasks_are_open(self) -> bool:
        """Say whether the rows are to be seen: where tasks are learned, or somebody is at them."""
        learned = self["policy_recipe"].value() in OF_TASKS
        return learned or bool(self.task_rows.filled) or self.task_rows.changes_rows or bool(self["tasks"].value())

    def clean(self) -> dict[str, Any]:
        """Take the rows as the setting `tasks` where nothing was written as text, as they are wanted or not."""
        cleaned = super().clean() or {}
        if not str(cleaned.get("tasks") or "").strip() and self.task_rows.is_bound:
            wanted = cleaned.get("policy_recipe") in OF_TASKS
            if self.task_rows.fit() and (not wanted or self.task_rows.are_named()):
                cleaned["tasks"] = self.task_rows.text
            else:
                self.add_error(None, gettext("A task does not fit yet; what is wrong stands beside it."))
        if self.told.fit():
            cleaned |= self.told.texts
        else:
            self._say_beside()
        return cleaned

    def _say_beside(self) -> None:
        self.add_error(None, gettext("A setting of a recipe does not fit yet; what is wrong stands beside it."))

    def take_errors(self, errors: dict[str, list[str]]) -> None:
        """Put what a service says beside the inputs it is about; at the top when there is no such input."""
        names = {"path": "policy", "prompts": "prompts_path", "settings": None}
        for name, texts in errors.items():
            field = names.get(name, name)
            if name in ToldRecipes.SETTINGS:
                self.told.add_errors(name, texts)
                self._say_beside()
                continue
            for text in texts:
                self.add_error(field if field in self.fields else None, text)
