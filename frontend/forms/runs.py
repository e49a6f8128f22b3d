"""Starting a run: the recipe's own knobs, the model it starts from and the data it reads."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from django import forms
from django.conf import settings
from django.utils.formats import date_format
from django.utils.timezone import localtime
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from frontend.forms.knobs import KnobForm
from frontend.forms.task_rows import TaskRows
from training.models import ModelVersion, Run, Snapshot
from training.objections import in_words
from training.recipes.assembled import has_slots
from training.recipes.base import Recipe
from training.recipes.documents import FROM_FILES
from training.recipes.documents import VIEW as DOCUMENTS
from training.recipes.engines import lacking
from training.recipes.judges import REWARD, takes_judge
from training.recipes.scenarios import QUESTIONS, SUITES
from training.recipes.tasks import EXAMPLE
from training.services import placements, waiting
from training.services.rollouts import pairs_in
from training.services.versions import is_reasoning

ENGINE_FIELDS = ("engine", "engine_settings", "gpu_memory", "billions")
FRESH = "fresh"
OTHER = "other"
LARGEST_SEED = 2**31 - 1
SCORERS = {
    "reward": (_("Reward model"), _("Scores every answer the policy tries; higher is better.")),
    "gold": (_("Judging model"), _("Says what the chosen answers are worth; take another one than chooses.")),
    "cost": (_("Cost model"), _("Says how unsafe an answer is; its mean is kept below the limit you set.")),
    "audit": (_("Auditing cost model"), _("Watches what the judges let pass; take another one than judges.")),
    "principle": (_("Principle model"), _("Says how likely an answer keeps the principles that judges go by.")),
}
# What they are to a run of several tasks, where it is something else.
MIXED = {"gold": (_("Second reward model"), _("Only where a task below climbs it instead of the first."))}

BESIDE = {
    "other": (_("Second policy"), _("The policy whose weights are mixed in; one family and size with the first.")),
    "base": (_("Base of both"), _("The policy that both were made from; only some ways of merging need it.")),
    "simulator": (
        _("Who plays the user"),
        _("A policy that writes the user's turns; without one the user says what is given, whatever is answered."),
    ),
    "imitation": (
        _("Policy by imitation"),
        _("A second policy that is measured beside it, such as the one it was before it learned from a reward."),
    ),
}


class RunForm(KnobForm):
    model = forms.ChoiceField(label=_("Start from"), help_text=_("The model whose weights the run begins with."))
    model_path = forms.CharField(
        label=_("Folder or hub name"),
        required=False,
        max_length=400,
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
        help_text=_("Only for “another model”: a folder on the server, or a hub name such as org/model."),
    )
    rows = forms.ChoiceField(label=_("Data"), help_text=_("A frozen copy, so that the run can be repeated exactly."))
    seed = forms.IntegerField(
        label=_("Seed"),
        min_value=0,
        max_value=LARGEST_SEED,
        initial=0,
        help_text=_("The same seed and data give the same model."),
    )

    def __init__(
        self,
        *args: Any,
        recipe: Recipe,
        versions: Sequence[ModelVersion],
        snapshots: Sequence[Snapshot],
        rolled: Sequence[Run] = (),
        going: Sequence[Run] = (),
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, knobs=recipe.knobs(), **kwargs)
        self.recipe = recipe
        self.rewards = {str(v.pk): v for v in versions if v.kind in ModelVersion.SCORING}
        # To a guard an answer passes or not, and that is a cost: whoever keeps one within a limit may go by it.
        self.guards = {str(v.pk): v for v in versions if v.kind == ModelVersion.Kind.GUARD}
        self.judges = {str(v.pk): v for v in versions if is_reasoning(v)} if takes_judge(recipe) else {}
        self.going = {f"run-{run.pk}": run for run in going} if recipe.kind == Run.Kind.FIT else {}
        for name in recipe.scorers:
            self.fields[name] = self._scorer(name)
        for name in recipe.may_score:
            self.fields[name] = self._scorer(name, optional=True)
        policies = [v for v in versions if v.kind == ModelVersion.Kind.POLICY]
        self.policies = {str(v.pk): v for v in policies}
        for name in (*recipe.beside, *recipe.may_stand_beside):
            self.fields[name] = self._policy(name, optional=name in recipe.may_stand_beside)
        versions = [v for v in versions if waiting.may_start(recipe, v)]
        self.versions = {str(version.pk): version for version in versions}
        self.snapshots = {str(snapshot.pk): snapshot for snapshot in snapshots}
        models = [(key, f"{v.label} ({v.get_state_display()})") for key, v in self.versions.items()]
        model: forms.ChoiceField = self.fields["model"]  # type: ignore[assignment]
        to_come = self._to_come(run for run in self.going.values() if waiting.may_follow(recipe, run))
        model.choices = [*models, *to_come, (OTHER, gettext("another model"))]
        if waiting.needed_below(recipe):
            model.help_text = waiting.objection_below(recipe)
        promoted = next((k for k, v in self.versions.items() if v.state == ModelVersion.State.PROMOTED), None)
        self.start_from(promoted or (models[0][0] if models else OTHER))
        frozen = [
            (
                key,
                ngettext(
                    "snapshot {number}: {n} row of {when}", "snapshot {number}: {n} rows of {when}", s.rows
                ).format(number=s.pk, n=s.rows, when=date_format(localtime(s.created_at), "DATETIME_FORMAT")),
            )
            for key, s in self.snapshots.items()
        ]
        self.rolled = {f"rollouts-{run.pk}": run for run in rolled}
        of_rollouts = [
            (
                key,
                ngettext(
                    "run {number}: {n} pair of branched rollouts",
                    "run {number}: {n} pairs of branched rollouts",
                    pairs_in(run),
                ).format(number=run.pk, n=pairs_in(run)),
            )
            for key, run in self.rolled.items()
        ]
        rows: forms.ChoiceField = self.fields["rows"]  # type: ignore[assignment]
        rows.initial = FRESH
        rows.choices = [
            (FRESH, gettext("freeze the {view} there are now").format(view=recipe.view)),
            *of_rollouts,
            *frozen,
        ]
        self.task_rows = self._offer_tasks() if recipe.part("tasks") else None
        if settings.ATTUNE_ENGINES and has_slots(recipe):
            self._offer_engines()
        if recipe.view == DOCUMENTS:
            self.fields["rows"] = forms.CharField(
                label=_("Texts"),
                max_length=400,
                widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
                help_text=_(
                    "A file on the server: JSON Lines with “text”, or plain text with blank lines between documents."
                ),
            )
        if recipe.view in SUITES:
            self.fields["rows"] = forms.CharField(
                label=_("Suite"),
                max_length=400,
                widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
                help_text=_(
                    "One of the page Safety suites, or a file on the server of questions with four options, in "
                    "LabSafety Bench's layout (JSON Lines)."
                )
                if recipe.view == QUESTIONS
                else _(
                    "One of the page Safety suites, or a file on the server of open scenarios, in LabSafety Bench's "
                    "layout (JSON Lines)."
                ),
            )

    def _offer_tasks(self) -> TaskRows:
        """Have the tasks filled in as rows, or written as text by whoever needs more than rows can say."""
        self.knob_names.remove("tasks")
        self.fields["tasks"] = forms.CharField(
            label=_("Tasks as JSON"),
            required=False,
            max_length=20_000,
            widget=forms.Textarea(attrs={"rows": 6, "autocomplete": "off", "spellcheck": "false", "class": "mono"}),
            help_text=gettext("Counts instead of the rows where there is something in it. Such as {example}").format(
                example=EXAMPLE
            ),
        )
        for name in self.recipe.may_score:
            self.fields[name].initial = ""
            if name in MIXED:
                self.fields[name].label, self.fields[name].help_text = MIXED[name]
        return TaskRows(self.data if self.is_bound else None)

    def _offer_engines(self) -> None:
        """Offer the engines that can do the recipe, and say of each other one why it cannot."""
        reasons = {name: lacking(name, self.recipe) for name in settings.ATTUNE_ENGINES}
        able = [(name, name) for name, reason in reasons.items() if not reason]
        self.fields["engine"] = forms.ChoiceField(
            label=_("Engine"),
            choices=[("", gettext("our own")), *able],
            required=False,
            help_text=" ".join(in_words(reason) for reason in reasons.values() if reason)
            or gettext("Another program on this server can do the run, on as many GPUs as one machine has."),
        )
        self.fields["engine_settings"] = forms.CharField(
            label=_("Settings of the engine"),
            required=False,
            max_length=4000,
            widget=forms.Textarea(attrs={"rows": 3, "autocomplete": "off", "spellcheck": "false"}),
            help_text=gettext("Where and in what portions it computes: a line each, such as {example}.").format(
                example="trainer.n_gpus_per_node=8"
            ),
        )
        self.fields["gpu_memory"] = forms.FloatField(
            label=_("Memory of one GPU, in GiB"),
            required=False,
            min_value=1,
            max_value=10_000,
            initial=placements.GPU_MEMORY_GIB,
            help_text=_("Only for the plan of the placement."),
        )
        self.fields["billions"] = forms.FloatField(
            label=_("Billions of parameters of the policy"),
            required=False,
            min_value=0.000001,
            max_value=100_000,
            help_text=_("Only for the plan, and only where the model’s folder does not say them."),
        )

    @property
    def tasks_text(self) -> forms.BoundField:
        """Return the input in which the tasks may be written as text."""
        return self["tasks"]

    @property
    def engines(self) -> list[forms.BoundField]:
        """Return the choice of the engine and what may be set of it; nothing where there is only our own."""
        return [self[name] for name in ENGINE_FIELDS if name in self.fields]

    def clean_engine_settings(self) -> dict[str, str]:
        lines = [line.strip() for line in self.cleaned_data["engine_settings"].splitlines() if line.strip()]
        wrong = next((line for line in lines if "=" not in line), None)
        if wrong is not None:
            raise forms.ValidationError(gettext("Write each line as name=value, not as {line}.").format(line=wrong))
        if lines and not self.cleaned_data.get("engine"):
            raise forms.ValidationError(gettext("These are for an engine; choose one, or leave them out."))
        return {name.strip(): value.strip() for name, _equals, value in (line.partition("=") for line in lines)}

    def start_from(self, key: str) -> None:
        """Offer this version as the one that the run starts from, and others where it reads another policy."""
        self.fields["model"].initial = key
        for name in self.recipe.beside:
            self.fields[name].initial = next((one for one in self.policies if one != key), None)

    def _policy(self, name: str, *, optional: bool) -> forms.ChoiceField:
        """Return the choice of a policy that the recipe reads besides the one it starts from."""
        choices = [(key, f"{v.label} ({v.get_state_display()})") for key, v in self.policies.items()]
        none = [("", gettext("none"))] if optional else []
        label, help_text = BESIDE[name]
        return forms.ChoiceField(label=label, help_text=help_text, choices=[*none, *choices], required=not optional)

    def _scorer(self, name: str, *, optional: bool = False) -> forms.ChoiceField:
        """Return the choice of the model that gives the score `name`: at first the one in use of its kind."""
        wanted = waiting.KIND_OF_SCORER.get(name, name)
        of_kind = [key for key, v in self.rewards.items() if v.kind == wanted]
        in_use = [key for key in of_kind if self.rewards[key].state == ModelVersion.State.PROMOTED]
        is_cost = wanted == ModelVersion.Kind.COST and self.recipe.kind == Run.Kind.FIT
        offered = {**self.rewards, **(self.guards if is_cost else {}), **(self.judges if name == REWARD else {})}
        field = forms.ChoiceField(
            label=SCORERS[name][0],
            help_text=SCORERS[name][1],
            choices=[
                *([("", gettext("none"))] if optional else []),
                *((key, f"{v.label} ({v.get_state_display()})") for key, v in offered.items()),
                *(to_come := self._to_come(run for run in self.going.values() if waiting.makes(run) == wanted)),
            ],
            required=not optional,
        )
        first = [*in_use, *of_kind, *(self.judges if name == REWARD else ()), *(key for key, _label in to_come)]
        field.initial = next(iter(first), None)
        return field

    def _to_come(self, going: Iterable[Run]) -> list[tuple[str, str]]:
        """Return as choices what these runs that are not done yet will make."""
        told = gettext("what run {number} makes: {recipe} ({state})")
        return [
            (f"run-{run.pk}", told.format(number=run.pk, recipe=waiting.title_of(run), state=run.get_state_display()))
            for run in going
        ]

    @property
    def scorers(self) -> list[forms.BoundField]:
        """Return the choices of the models that score, and of other policies that are read."""
        recipe = self.recipe
        return [self[name] for name in (*recipe.beside, *recipe.may_stand_beside, *recipe.scorers, *recipe.may_score)]

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if cleaned.get("model") == OTHER and not cleaned.get("model_path", "").strip():
            self.add_error("model_path", gettext("Enter a folder on the server or a hub name."))
        if self.task_rows is not None and not cleaned.get("tasks", "").strip() and self.task_rows.is_bound:
            titles = {name: self.fields[name].label for name in (*self.recipe.scorers, *self.recipe.may_score)}
            if self.task_rows.is_valid(cleaned, titles):
                cleaned["tasks"] = self.task_rows.text
            else:
                self.add_error(None, gettext("A task does not fit yet; what is wrong stands beside it."))
        return cleaned

    def knob_values(self) -> dict[str, Any]:
        told = super().knob_values()
        tasks = self.cleaned_data.get("tasks", "").strip() if self.task_rows is not None else ""
        return {**told, "tasks": tasks} if tasks else told

    @property
    def parent(self) -> ModelVersion | None:
        """Return the chosen version, None for a model from outside; only after `is_valid`."""
        return self.versions.get(self.cleaned_data["model"])

    @property
    def snapshot(self) -> Snapshot | None:
        """Return the chosen snapshot, None when one is to be frozen; only after `is_valid`."""
        return None if self.recipe.view in FROM_FILES else self.snapshots.get(self.cleaned_data["rows"])

    @property
    def rollouts(self) -> Run | None:
        """Return the run of branched rollouts whose pairs were chosen; only after `is_valid`."""
        return self.rolled.get(self.cleaned_data["rows"])

    @property
    def awaits(self) -> dict[str, int]:
        """Return the runs whose models were chosen before they are done, by what they are here; after `is_valid`."""
        names = (waiting.MODEL, *self.recipe.scorers, *self.recipe.may_score)
        chosen = {name: self.going.get(self.cleaned_data[name]) for name in names}
        return {name: run.pk for name, run in chosen.items() if run is not None}

    @property
    def inputs(self) -> dict[str, Any]:
        named = self.cleaned_data["model"] == OTHER
        given: dict[str, Any] = {"model": self.cleaned_data["model_path"].strip()} if named else {}
        if self.recipe.view in FROM_FILES:
            name = "documents" if self.recipe.view == DOCUMENTS else "suite"
            given[name] = self.cleaned_data["rows"].strip()
        recipe, cleaned = self.recipe, self.cleaned_data
        scorers = {
            name: {**self.rewards, **self.guards, **self.judges}[cleaned[name]].path
            for name in (*recipe.scorers, *recipe.may_score)
            if cleaned[name] and cleaned[name] not in self.going
        }
        beside = {
            name: self.policies[cleaned[name]].path
            for name in (*recipe.beside, *recipe.may_stand_beside)
            if cleaned[name]
        }
        if cleaned.get("engine"):
            given["engine"] = {"name": cleaned["engine"], "settings": cleaned["engine_settings"]}
        return {**given, **({"scorers": scorers} if scorers else {}), **({"beside": beside} if beside else {})}

    def take_errors(self, errors: dict[str, list[str]]) -> None:
        """Put what a service says beside the inputs it is about; at the top when there is no such input."""
        names = {
            "snapshot": "rows",
            "documents": "rows",
            "rollouts": "rows",
            "data": "rows",
            "suite": "rows",
            "anchors": "judge_against",
        }
        for name, texts in errors.items():
            field = names.get(name, name)
            if field == "model" and self.cleaned_data.get("model") == OTHER:
                field = "model_path"
            for text in texts:
                self.add_error(field if field in self.fields else None, text)
