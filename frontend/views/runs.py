"""Runs of a campaign: what can be started, what is going on, and one run's progress, live."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.http import Http404, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from annotation.access import Action
from annotation.errors import AnnotationError
from annotation.models import Campaign, User
from annotation.permissions import campaign_for, may
from annotation.told import of
from frontend import charts, counted, measured, noted, pair_audit, registered
from frontend.decorators import campaign_page, signed_in
from frontend.forms.parts import PartsForm, asked_in
from frontend.forms.runs import RunForm
from frontend.http import SignedInRequest, complain, say
from frontend.lead_pages import campaign_page_of, sent
from frontend.stop_polling import fragment_or_stop
from frontend.views.metrics import as_csv
from training import objections
from training.errors import Invalid, TrainingError
from training.models import ModelVersion, Run, Snapshot
from training.permissions import run_for
from training.recipes import RECIPES
from training.recipes.alarms import alarms
from training.recipes.assembled import assembled, has_slots
from training.recipes.base import Recipe, RecipeError
from training.recipes.documents import FROM_FILES
from training.recipes.engines.steps import Placement
from training.recipes.note import note_of
from training.recipes.policy import REFUEL
from training.recipes.rollouts import NAME as ROLLOUTS
from training.recipes.scenarios import SUITES
from training.services import (
    anchors,
    baselines,
    feeding,
    filter_choice,
    placements,
    profiles,
    rollouts,
    runs,
    safety_tests,
    snapshots,
    traces,
    waiting,
)

SHOWN = 50
# The columns of metrics.jsonl that make a chart, with its title and unit; the first that a run has are drawn.
CURVES = (
    (_("Loss"), _("loss"), ("loss", "eval_loss")),
    (_("Accuracy"), _("share of pairs"), ("accuracy", "eval_accuracy")),
    (_("Margin"), _("score"), ("margin", "eval_margin")),
    (_("Reward"), _("score"), ("reward",)),
    (_("Distance from the reference"), _("nats per answer"), ("kl",)),
    (_("Entropy"), _("nats per token"), ("entropy", "thoughts_entropy", "thoughts_entropy_top")),
    (
        _("Entropy of the fifth of thoughts that is least sure"),
        _("nats per token"),
        ("thoughts_entropy_top_harmful", "thoughts_entropy_top_benign"),
    ),
    (
        _("Thoughts that turn on themselves"),
        _("in 100 of their tokens"),
        ("reflections", "reflections_harmful", "reflections_benign"),
    ),
    (_("Safe by the cost model"), _("share"), ("thoughts_safe", "answers_safe")),
    (
        _("Safe by the cost model, by prompt"),
        _("share"),
        ("thoughts_safe_harmful", "answers_safe_harmful", "thoughts_safe_benign", "answers_safe_benign"),
    ),
    (_("Likeness of answers to different prompts"), _("share of tokens in common"), ("likeness",)),
    (_("Length of answers"), _("tokens"), ("length",)),
    (_("Cost"), _("score"), ("cost", "thoughts_cost")),
    (_("Multiplier of the cost"), _("λ"), ("multiplier",)),
    (
        _("Answers that break a rule"),
        _("share"),
        (
            "violations",
            "violations_audit",
            "violations_cost",
            "violations_principle",
            "violations_length",
            "violations_match",
            "violations_pattern",
            "violations_refusal",
        ),
    ),
    (_("Brake: distance and threshold"), _("nats per token"), ("kl_short", "kl_long", "kl_threshold")),
    (_("Brake: weight, gate and phase"), _("number"), ("kl_weight", "kl_gate", "kl_phase", "step_scale")),
    (_("Ratio of the new policy to the old"), _("ratio"), ("ratio",)),
    (
        _("Shares"),
        _("share"),
        ("ended_share", "unfinished_thoughts", "clip_share", "groups_alike", "explained_variance"),
    ),
    (_("Verdicts"), _("share"), ("unread_verdicts", "uncompared", "first_named", "position_bias")),
)
NEUTRAL_WORDS = {
    "step": _("Step"),
    "loss": _("Loss"),
    "eval_loss": _("Loss on held-out rows"),
    "accuracy": _("Accuracy"),
    "eval_accuracy": _("Accuracy on held-out rows"),
    "margin": _("Margin"),
    "eval_margin": _("Margin on held-out rows"),
    "reward": _("Mean reward"),
    "kl": _("KL to the reference"),
    "entropy": _("Entropy"),
    "length": _("Tokens"),
    "cost": _("Mean cost"),
    "multiplier": _("λ"),
    "kl_short": _("Distance of late"),
    "kl_long": _("Distance for long"),
    "kl_threshold": _("Threshold"),
    "kl_weight": _("Weight of the brake"),
    "kl_gate": _("Gate of the entropy"),
    "kl_phase": _("Phase (0 warm-up, 1 climbing, 2 plateau, 3 converged)"),
    "step_scale": _("Share of the step that is taken"),
    "violations": _("Any judge"),
    "violations_audit": _("Audit, not learned from"),
    "violations_cost": _("Cost model"),
    "violations_principle": _("Principle model"),
    "violations_length": _("Length in words"),
    "violations_match": _("Expression missing"),
    "violations_pattern": _("Expression found"),
    "violations_refusal": _("Refusal"),
    "likeness": _("Likeness of answers to different prompts"),
    "ended_share": _("Answers that came to an end"),
    "unfinished_thoughts": _("Thoughts without an end"),
    "thoughts_cost": _("Mean cost of thoughts"),
    "thoughts_entropy": _("Entropy of thoughts"),
    "thoughts_entropy_top": _("Entropy of the fifth of thoughts that is least sure"),
    "thoughts_entropy_top_harmful": _("Prompts that ask for harm"),
    "thoughts_entropy_top_benign": _("Other prompts"),
    "reflections": _("“Wait”, “however” and their like"),
    "reflections_harmful": _("Prompts that ask for harm"),
    "reflections_benign": _("Other prompts"),
    "thoughts_safe": _("Thoughts"),
    "answers_safe": _("Answers"),
    "thoughts_safe_harmful": _("Thoughts about harm"),
    "answers_safe_harmful": _("Answers about harm"),
    "thoughts_safe_benign": _("Other thoughts"),
    "answers_safe_benign": _("Other answers"),
    "ratio": _("Mean ratio"),
    "clip_share": _("Tokens clipped"),
    "groups_alike": _("Groups that teach nothing"),
    "explained_variance": _("Variance the critic explains"),
    "unread_verdicts": _("Judgements that name no answer"),
    "uncompared": _("Pairs that could not be compared"),
    "first_named": _("The first answer named"),
    "position_bias": _("The same place named in both orders"),
}


@campaign_page(Action.READ)
@require_GET
def run_list(request: SignedInRequest, campaign: Campaign) -> HttpResponse:
    """Return what can be started here and the last runs."""
    found = Run.objects.filter(campaign=campaign).select_related("output", "round", "created_by").order_by("-id")
    attacks = settings.ATTUNE_TAMPER_TESTS and may(request.user, campaign, Action.TAMPER)
    offers = [one for one in feeding.feedings(campaign) if attacks or not one.recipe.guarded]
    context = {
        "offers": [one for one in offers if one.can_start],
        "refused": [one for one in offers if not one.can_start],
        "runs": found[:SHOWN],
        "shown": SHOWN,
    }
    return campaign_page_of(request, campaign, "runs/list.html", context, tab="runs")


@campaign_page(Action.TRAIN, Action.TAMPER)
@require_http_methods(["GET", "POST"])
def run_new(request: SignedInRequest, campaign: Campaign, recipe_name: str) -> HttpResponse:
    """Return the form of a recipe; POST freezes the data, queues the run and goes to its page.

    A recipe that this campaign cannot feed is not found here, and the page says why.
    """
    offer = feeding.feeding(campaign, recipe_name)
    if offer is None:
        raise Http404(gettext("There is no such recipe."))
    campaign_for(request.user, campaign.pk, Action.TAMPER if offer.recipe.guarded else Action.TRAIN)
    if not offer.can_start:
        return campaign_page_of(request, campaign, "runs/refused.html", {"offer": offer}, tab="runs", status=404)
    recipe, parts, parts_form, wrong = _with_parts(request, campaign, offer.recipe)
    form = RunForm(
        sent(request),
        recipe=recipe,
        versions=_starting_points(campaign, recipe),
        snapshots=list(Snapshot.objects.filter(campaign=campaign, view=recipe.view).order_by("-id")[:20]),
        rolled=rollouts.finished(campaign) if recipe.name == REFUEL.name else (),
        going=waiting.offered(campaign),
    )
    if request.GET.get("model", "") in form.versions:
        form.start_from(request.GET["model"])
    if "reward" in form.fields and request.GET.get("reward", "") in form.rewards:
        form.fields["reward"].initial = request.GET["reward"]
    if recipe.view in SUITES and request.GET.get("suite"):
        form.fields["rows"].initial = request.GET["suite"]
    asks_row = form.task_rows is not None and form.task_rows.changes_rows
    asks_plan, placement = "plan" in request.POST, None
    if request.method == "POST" and not wrong and not asks_row and form.is_valid():
        try:
            if asks_plan:
                placement = _planned(recipe, form)
            else:
                run = _start(request, campaign, recipe, form, parts)
        except Invalid as error:
            form.take_errors(error.errors or {"": [str(error)]})
        except (TrainingError, AnnotationError) as error:
            form.add_error(None, str(error))
        else:
            if not asks_plan:
                waits = run.state == Run.State.WAITING
                told = (
                    gettext("Run {number} waits for other runs.")
                    if waits
                    else gettext("Run {number} waits for a worker.")
                )
                say(request, told.format(number=run.pk))
                return redirect("run", run.pk)
    context = {"recipe": recipe, "form": form, "parts_form": parts_form, "parts": parts, "wrong": wrong}
    context["placement"] = placement
    if asks_row:
        form.forget_errors()
    status = 422 if form.errors or wrong else 200
    return campaign_page_of(request, campaign, "runs/new.html", context, tab="runs", status=status)


def _planned(recipe: Recipe, form: RunForm) -> Placement:
    """Return where the engine that was chosen would best place the run; Invalid where none was, or none fits."""
    engine = form.inputs.get("engine")
    if engine is None:
        message = gettext("Choose an engine; our own has all on each GPU.")
        raise Invalid(message, {"engine": [message]})
    return placements.plan(
        recipe=recipe,
        knobs=recipe.fill(form.knob_values()),
        engine=engine,
        model=form.parent.path if form.parent else form.inputs.get("model", ""),
        gpu_memory_gib=form.cleaned_data["gpu_memory"],
        billions=form.cleaned_data["billions"],
    )


def _with_parts(
    request: SignedInRequest, campaign: Campaign, usual: Recipe
) -> tuple[Recipe, dict[str, str], PartsForm | None, str]:
    """Return the recipe with the parts that were asked for, these, the form to choose them by, and what is wrong."""
    if not has_slots(usual):
        return usual, {}, None, ""
    given = request.POST if request.method == "POST" else request.GET
    choice = filter_choice.of(usual.name, _reward(request, campaign), parts=asked_in(given))
    form = PartsForm(given, recipe=usual, choice=choice)
    try:
        return assembled(usual.name, form.parts), form.parts, form, ""
    except RecipeError as error:
        return usual, form.parts, form, objections.in_words(note_of(error))


def _reward(request: SignedInRequest, campaign: Campaign) -> ModelVersion | None:
    """Return the reward model that the form offers: the one that was asked for, else that in use, else the newest."""
    there = ModelVersion.objects.filter(campaign=campaign, kind=ModelVersion.Kind.REWARD).order_by("-number")
    asked = request.GET.get("reward", "")
    found = next((one for one in there if str(one.pk) == asked), None)
    return found or next((one for one in there if one.state == ModelVersion.State.PROMOTED), there.first())


def _starting_points(campaign: Campaign, recipe: Recipe) -> list[ModelVersion]:
    """Return the versions a run may start from, of the kind it makes and policies, which are backbones for both.

    Those that may score its answers are among them.
    """
    kinds = set(waiting.starts_from(recipe))
    if recipe.scorers or recipe.may_score:
        kinds.update((*ModelVersion.SCORING, ModelVersion.Kind.GUARD))
    return list(ModelVersion.objects.filter(campaign=campaign, kind__in=kinds).order_by("kind", "-number"))


def _start(request: SignedInRequest, campaign: Campaign, recipe: Recipe, form: RunForm, parts: dict[str, str]) -> Run:
    snapshot = form.snapshot
    inputs, rolled = form.inputs, form.rollouts
    model = form.parent.path if form.parent else inputs.get("model", "")
    if (engine := inputs.get("engine")) is not None and model:
        planned = placements.record(
            recipe=recipe,
            knobs=recipe.fill(form.knob_values()),
            engine=engine,
            model=model,
            gpu_memory_gib=form.cleaned_data["gpu_memory"],
            billions=form.cleaned_data["billions"],
        )
        inputs |= {"placement": planned} if planned is not None else {}
    if rolled is not None:
        inputs |= rollouts.inputs_of(campaign=campaign, recipe=recipe.name, run_id=rolled.pk)
    elif snapshot is None and recipe.view not in FROM_FILES:
        # Audit items measure the models and must stay unseen by them.
        filters: dict[str, Any] = {"include_audit": False} if recipe.makes else {}
        filters |= anchors.filters(recipe, form.knob_values()) | profiles.filters(campaign, recipe)
        snapshot = snapshots.freeze(campaign=campaign, view=recipe.view, filters=filters, actor=request.user)
    if snapshot is not None:
        snapshots.refuse_empty(snapshot)
    return runs.create(
        campaign=campaign,
        recipe=recipe.name,
        knobs=form.knob_values(),
        actor=request.user,
        parent=form.parent,
        snapshot=snapshot,
        inputs=inputs,
        seed=form.cleaned_data["seed"],
        parts=parts,
        awaits=form.awaits,
    )


@signed_in
@require_GET
def run_detail(request: SignedInRequest, run_id: int) -> HttpResponse:
    """Return a run's page: state, curve, figures, log, and what it was given.

    With ``?format=csv`` the lines of its curves, or with ``part=measured`` the figures of its charts, or with
    ``part=pairs`` the margins of the pairs that it learned from.
    """
    run = run_for(request.user, run_id)
    if request.GET.get("format") == "csv":
        part = request.GET.get("part", "steps")
        if part == "pairs":
            rows = pair_audit.rows_of(run)
        elif part == "measured":
            rows = measured.rows_of(run)
        else:
            part, rows = "steps", _step_rows(traces.metrics(run))
        return as_csv(rows, f"run-{run.pk}-{part}.csv")
    branched = run.recipe.get("name") == ROLLOUTS and run.state == Run.State.SUCCEEDED and rollouts.pairs_in(run) > 0
    branched = branched and may(request.user, run.campaign, Action.TRAIN)
    context = {
        **_progress(run, request.user),
        "branched": branched,
        "asking": rollouts.campaigns_that_compare(request.user) if branched else [],
        "knobs": run.recipe.get("knobs", {}),
        "parts": [(registered.slot(slot), name) for slot, name in run.recipe.get("parts", {}).items()],
        "recipe": RECIPES.get(run.recipe.get("name", "")),
        "uncounted": run.recipe.get("name") == safety_tests.RECIPE and not safety_tests.counts(run),
        "weighable": run.state == Run.State.SUCCEEDED and "samples" in run.result.get("files", {}),
    }
    return campaign_page_of(request, run.campaign, "runs/detail.html", context, tab="runs")


@signed_in
@require_GET
def run_progress(request: SignedInRequest, run_id: int) -> HttpResponse:
    """Return the moving part of a run's page; the answer at a final state stops the asking."""
    run = run_for(request.user, run_id)
    return fragment_or_stop(request, "runs/_progress.html", _progress(run, request.user), more=not run.is_final)


@signed_in
@require_GET
def run_log(request: SignedInRequest, run_id: int) -> HttpResponse:
    """Return the end of the run's log; the answer at a final state stops the asking."""
    run = run_for(request.user, run_id)
    context = {"run": run, "log": traces.log_tail(run)}
    return fragment_or_stop(request, "runs/_log.html", context, more=not run.is_final)


def _progress(run: Run, viewer: User) -> dict[str, Any]:
    lines = traces.metrics(run)
    people = baselines.people(run, viewer) if run.is_final else None
    result = run.result or {}
    rate = run.progress.get("tokens_per_second")
    return {
        "run": run,
        "pair_audit": pair_audit.of_run(run, viewer) if run.is_final else None,
        "charts": _charts(lines) + measured.charts_of(run, people),
        "curve": measured.curve_of(run),
        "figures": measured.figures_of(run, people),
        "counts": [(counted.in_words(name), count) for name, count in (result.get("counts") or {}).items()],
        # While it runs the alarms are those of the lines so far; in the end they are among its notes.
        "notes": noted.notes_of(run),
        "alarms": [] if run.is_final else [of(alarm.told) for alarm in alarms(lines, run.recipe.get("knobs", {}))],
        "percent": round(100 * run.step / run.total_steps) if run.total_steps else None,
        "elapsed_seconds": _elapsed(run),
        "eta_seconds": run.progress.get("eta_seconds"),
        "tokens_per_second": round(rate) if isinstance(rate, (int, float)) else None,
        "log": traces.log_tail(run),
        "awaited": waiting.awaited(run) if run.state == Run.State.WAITING else [],
    }


def _step_rows(lines: list[dict[str, Any]]) -> Iterator[list[Any]]:
    """Yield the numbers of a run's lines under their names in ``metrics.jsonl``; the header first."""
    names = ["step", *dict.fromkeys(name for line in lines for name, one in line.items() if _is_number(one))]
    columns = list(dict.fromkeys(names))
    yield columns
    for line in lines:
        yield [line.get(name) for name in columns]


def _elapsed(run: Run) -> float | None:
    """Return the seconds since this attempt began, up to its end when it has ended."""
    if run.started_at is None:
        return None
    return ((run.finished_at or timezone.now()) - run.started_at).total_seconds()


def _charts(lines: list[dict[str, Any]]) -> list[charts.Chart]:
    found = []
    for title, unit, names in CURVES:
        series = [
            (label, [(line["step"], line[column]) for line in lines if _is_number(line.get(column))])
            for name in names
            for column, label in _columns(lines, name)
        ]
        chart = charts.line_chart(series, title=str(title), x_label=gettext("step"), y_label=str(unit))
        if chart is not None:
            found.append(chart)
    scores = dict.fromkeys(name for line in lines for name in line if name.startswith("score_"))
    if len(scores) > 1:  # a falling one hides in their sum
        series = [
            (name.removeprefix("score_"), [(line["step"], line[name]) for line in lines if _is_number(line.get(name))])
            for name in sorted(scores)
        ]
        chart = charts.line_chart(
            series, title=gettext("Each score by itself"), x_label=gettext("step"), y_label=gettext("mean over answers")
        )
        found += [] if chart is None else [chart]
    return found


def _columns(lines: list[dict[str, Any]], name: str) -> list[tuple[str, str]]:
    """Return the columns of one figure with their labels: its own, and that of each task where a run has several."""
    of_tasks = sorted(column for column in (lines[-1] if lines else {}) if column.startswith(f"{name} ("))
    label = str(NEUTRAL_WORDS[name])
    return [(name, label), *((column, f"{label} {column.removeprefix(name).strip()}") for column in of_tasks)]


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


@signed_in
@require_POST
def run_cancel(request: SignedInRequest, run_id: int) -> HttpResponse:
    """Ask for the run to stop and go back to its page."""
    run = run_for(request.user, run_id, Action.TRAIN)
    try:
        run = runs.cancel(run=run, actor=request.user)
    except TrainingError as error:
        complain(request, error)
    else:
        ended = run.state == Run.State.CANCELLED
        say(
            request,
            gettext("The run is cancelled.")
            if ended
            else gettext("The run stops after its current step and keeps a checkpoint."),
        )
    return redirect("run", run.pk)


@signed_in
@require_POST
def run_retry(request: SignedInRequest, run_id: int) -> HttpResponse:
    """Queue a failed or cancelled run again and go back to its page."""
    run = run_for(request.user, run_id, Action.TRAIN)
    try:
        runs.retry(run=run, actor=request.user)
    except TrainingError as error:
        complain(request, error)
    else:
        say(request, gettext("The run is queued again. It goes on from its last checkpoint if it has one."))
    return redirect("run", run.pk)
