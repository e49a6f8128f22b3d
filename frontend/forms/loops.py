"""Starting a loop: the policy it begins with, the prompts it asks about, and the loop's own settings."""

from __future__ import annotations

import dataclasses
from typing import Any

from django import forms
from django.utils.functional import Promise
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from frontend.forms.knobs import KnobForm
from training.recipes.base import knobs_of
from training.recipes.loop import LoopSettings
from training.recipes.tasks import EXAMPLE
from training.recipes.ways import TOLD

# How the settings are grouped on the page; one that is in no group comes last.
GROUPS = (
    (
        _("Each round"),
        (
            *("prompts_per_round", "samples_per_prompt", "selection", "asked_share", "labeller", "doubtful_share"),
            *("overlap", "personal", "audit_share"),
        ),
    ),
    (_("The policy's answers"), ("temperature", "max_new_tokens", "guard")),
    (_("Live chat"), ("chat",)),
    (_("When a round goes on"), ("minimum_share", "deadline_hours", "auto_continue", "rejections_in_a_row")),
    (
        _("Training"),
        (
            *("policy_recipe", "tasks", "reference", "replay", "learning_rate", "epochs", "iterations", "batch_size"),
            *("beta", "policy_settings", "policy_parts", "dialogue_turns", "dialogue_user", "dialogue_settings"),
        ),
    ),
    (
        _("Reward and cost model"),
        (
            *("refresh_reward", "reward_recipe", "judge_against", "principles", "principle_model"),
            *("refresh_cost", "reward_learning_rate", "reward_epochs", "reward_settings", "cost_settings"),
        ),
    ),
    (_("The gate"), ("gate_prompts", "gate_human_pairs", "gate_minimum_win_rate", "gate_maximum_kl")),
    (
        _("The safety test at the gate"),
        (
            *("gate_bound", "gate_delta", "gate_cost_limit", "gate_unsafe_limit", "gate_cost_reach"),
            *("gate_safety_lost", "gate_needs_safety"),
        ),
    ),
    (
        _("The suite at the gate"),
        ("gate_suite", "gate_maximum_refusals", "gate_category_minimum", "gate_maximum_loss"),
    ),
)


@dataclasses.dataclass(frozen=True)
class Group:
    title: str | Promise
    fields: list[forms.BoundField]


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
        told = gettext("Like this: {example}").format(example=EXAMPLE)
        self.fields["tasks"].help_text = f"{self.fields['tasks'].help_text} {told}"
        for name in ("tasks", *TOLD):
            self.fields[name].widget = forms.Textarea(
                attrs={"rows": 2, "autocomplete": "off", "spellcheck": "false", "class": "mono", "dir": "ltr"}
            )

    @property
    def groups(self) -> list[Group]:
        grouped = {name for _, names in GROUPS for name in names}
        names = [*self.knob_names, *self.advanced_names]
        found = [Group(title, [self[n] for n in wanted if n in names]) for title, wanted in GROUPS]
        rest = [self[name] for name in names if name not in grouped]
        return [*found, Group(_("More"), rest)] if rest else found

    def take_errors(self, errors: dict[str, list[str]]) -> None:
        """Put what a service says beside the inputs it is about; at the top when there is no such input."""
        names = {"path": "policy", "prompts": "prompts_path", "settings": None}
        for name, texts in errors.items():
            field = names.get(name, name)
            for text in texts:
                self.add_error(field if field in self.fields else None, text)
