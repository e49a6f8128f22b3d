"""Recipes, runs, versions and snapshots over REST: each view asks a gate, calls a service, and shows."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.decorators import api_view
from rest_framework.request import Request
from rest_framework.response import Response

from annotation.access import Action
from annotation.api.pagination import PagedView
from annotation.api.parsing import checked, checked_query
from annotation.models import Campaign, User
from training import objections, permissions
from training.api import serializers as shapes
from training.api import typed
from training.errors import Invalid, WrongState
from training.models import GateReport, Loop, ModelVersion, Run, Snapshot
from training.recipes.assembled import assembled
from training.recipes.base import RECIPES, RecipeError
from training.recipes.documents import VIEW as DOCUMENTS
from training.recipes.scenarios import SUITES
from training.services import (
    anchors,
    filter_choice,
    placements,
    profiles,
    promotion,
    prompts,
    rollouts,
    runs,
    snapshots,
    traces,
    versions,
    waiting,
    what_if,
)


@extend_schema(operation_id="recipes_list", responses=shapes.RecipeOut(many=True), tags=["training"])
@api_view(["GET"])
def recipes(request: Request) -> Response:
    """Return everything that can be run, with every knob."""
    found = sorted(RECIPES.values(), key=lambda recipe: recipe.name)
    return Response(shapes.RecipeOut([shapes.recipe_json(recipe) for recipe in found], many=True).data)


def person(request: Request) -> User:
    """Return who asks; every view here is for signed-in people only."""
    assert isinstance(request.user, User)
    return request.user


# --- Runs --------------------------------------------------------------------------------------------------------


class RunList(PagedView):
    @extend_schema(operation_id="runs_list", responses=shapes.RunOut(many=True), tags=["training"])
    def get(self, request: Request, campaign_id: int) -> Response:
        """Return the runs of a campaign, newest first."""
        campaign = permissions.training_of(request.user, campaign_id)
        return self.paged(Run.objects.filter(campaign=campaign).defer("result", "inputs"), shapes.RunOut)

    @extend_schema(
        operation_id="runs_create", request=shapes.RunIn, responses={201: shapes.RunDetailOut}, tags=["training"]
    )
    def post(self, request: Request, campaign_id: int) -> Response:
        """Queue a run of a recipe, with the knobs given and the others by default."""
        campaign = permissions.training_of(request.user, campaign_id, Action.TRAIN, Action.TAMPER)
        run = _create_run(campaign, checked(shapes.RunIn, request.data), request)
        return Response(shapes.RunDetailOut(run).data, status=status.HTTP_201_CREATED)


def _create_run(campaign: Campaign, given: dict[str, Any], request: Request) -> Run:
    try:
        recipe = assembled(given["recipe"], given["parts"])
        typed.refuse_mistyped_knobs(recipe, given["knobs"])
        recipe.fill(given["knobs"])
    except RecipeError as error:
        raise objections.invalid(error, field="recipe") from None
    if not recipe.guarded:
        permissions.training_of(request.user, campaign.pk, Action.TRAIN)
    inputs: dict[str, Any] = {}
    if "model" in given:
        inputs["model"] = given["model"].strip()
    if "reference" in given:
        inputs["reference"] = version_of(campaign, given, "reference").path
    parts = given["parts"]
    if "reward" in given and filter_choice.SLOT not in parts:  # as the form has it chosen
        choice = filter_choice.of(recipe.name, version_of(campaign, given, "reward"), parts=parts)
        if choice is not None:
            parts, inputs = {**parts, filter_choice.SLOT: choice.part}, {**inputs, **choice.as_input()}
            recipe = assembled(recipe.name, parts)
    names = ("reward", "cost", "gold", "audit", "principle")
    scorers = {name: _scorer_of(campaign, given, name).path for name in names if name in given}
    if scorers:
        inputs["scorers"] = scorers
    others = [name for name in ("other", "base", "imitation", "simulator") if name in given]
    beside = {name: version_of(campaign, given, name).path for name in others}
    if beside:
        inputs["beside"] = beside
    if "engine" in given:
        typed.refuse_mistyped_engine(given["engine"], given.get("engine_settings", {}))
        inputs["engine"] = {"name": given["engine"], "settings": given.get("engine_settings", {})}
    elif "engine_settings" in given:
        raise Invalid("These are settings of an engine.", {"engine_settings": ["Name the engine as well."]})
    parent = version_of(campaign, given, "parent") if "parent" in given else None
    if parent is not None and "model" in inputs:
        reason = "Give a version to start from, or a folder or hub name, not both."
        raise Invalid(reason, {"model": [reason]})
    awaits = given["awaits"]
    if unknown := [name for name in awaits if name not in (waiting.MODEL, *names)]:
        raise Invalid(f"Nothing is called {unknown[0]} here.", {"awaits": [f"Name model, {', '.join(names)}."]})
    if twice := [
        name for name in awaits if name in scorers or (name == waiting.MODEL and (parent or "model" in inputs))
    ]:
        reason = f"Either give what {twice[0]} is, or the run that makes it."
        raise Invalid(reason, {"awaits": [reason]})
    if parent is None and not inputs.get("model") and waiting.MODEL not in awaits:
        raise Invalid("Choose a model to start from.", {"parent": ["Give a version's id here, or a model."]})
    engine = inputs.get("engine")
    start = parent.path if parent is not None else inputs.get("model", "")
    if engine is not None and start:
        planned = placements.record(
            recipe=recipe,
            knobs=recipe.fill(given["knobs"]),
            engine=engine,
            model=start,
            gpu_memory_gib=given.get("gpu_memory_gib"),
            billions=given.get("billions"),
        )
        inputs |= {"placement": planned} if planned is not None else {}
    snapshot = None
    if "suite" in given and (recipe.view not in SUITES or "snapshot" in given or "held_out" in given):
        reason = "Only a recipe that puts a suite to a policy takes one, and then instead of other data."
        raise Invalid(reason, {"suite": [reason]})
    if "documents" in given and (recipe.view != DOCUMENTS or "snapshot" in given or "held_out" in given):
        reason = "Only a recipe that reads texts takes them, and then instead of other data."
        raise Invalid(reason, {"documents": [reason]})
    if recipe.view == DOCUMENTS and "held_out" not in given and "snapshot" not in given:
        inputs["documents"] = given.get("documents", "")
    elif recipe.view in SUITES and "held_out" not in given and "snapshot" not in given:
        inputs["suite"] = given.get("suite", "")
    elif "rollouts" in given:
        if "snapshot" in given or "held_out" in given:
            reason = "Pairs of rollouts are given instead of other data."
            raise Invalid(reason, {"rollouts": [reason]})
        inputs |= rollouts.inputs_of(campaign=campaign, recipe=recipe.name, run_id=given["rollouts"])
    elif "held_out" in given:
        inputs["data"] = _held_out(campaign, given, recipe.view, parent)
    elif "snapshot" in given:
        snapshot = Snapshot.objects.filter(pk=given["snapshot"], campaign=campaign).first()
        if snapshot is None:
            raise Invalid("There is no such snapshot in this campaign.", {"snapshot": ["Unknown."]})
    else:
        filters = {} if recipe.view == "prompts" else {"include_audit": False}
        filters |= anchors.filters(recipe, given["knobs"]) | profiles.filters(campaign, recipe)
        snapshot = snapshots.freeze(campaign=campaign, view=recipe.view, filters=filters, actor=person(request))
    with transaction.atomic():
        run = runs.create(
            campaign=campaign,
            recipe=given["recipe"],
            knobs=given["knobs"],
            actor=person(request),
            parent=parent,
            snapshot=snapshot,
            inputs=inputs,
            seed=given["seed"],
            parts=parts,
            awaits=awaits,
        )
        if snapshot is not None:  # said last: what is wrong with the order itself comes first
            snapshots.refuse_empty(snapshot)
    return run


@extend_schema(
    operation_id="runs_placement", request=shapes.PlacementIn, responses=shapes.PlacementOut, tags=["training"]
)
@api_view(["POST"])
def run_placement(request: Request, campaign_id: int) -> Response:
    """Return where an engine's calls are best placed on its GPUs, beside the naive placement; nothing is ordered."""
    campaign = permissions.training_of(request.user, campaign_id, Action.TRAIN)
    given = checked(shapes.PlacementIn, request.data)
    typed.refuse_mistyped_engine(given["engine"], given["engine_settings"])
    parent = version_of(campaign, given, "parent")
    try:
        recipe = assembled(given["recipe"], given["parts"])
        typed.refuse_mistyped_knobs(recipe, given["knobs"])
        knobs = recipe.fill(given["knobs"])
    except RecipeError as error:
        raise objections.invalid(error, field="recipe") from None
    found = placements.plan(
        recipe=recipe,
        knobs=knobs,
        engine={"name": given["engine"], "settings": given["engine_settings"]},
        model=parent.path,
        gpu_memory_gib=given["gpu_memory_gib"],
        billions=given.get("billions"),
    )
    return Response(shapes.PlacementOut(found).data)


def _held_out(campaign: Campaign, given: dict[str, Any], view: str, parent: ModelVersion | None) -> str:
    if view != "prompts" or "snapshot" in given:
        reason = "Only a recipe that reads prompts takes these, and then instead of a snapshot."
        raise Invalid(reason, {"held_out": [reason]})
    loop = Loop.objects.filter(campaign=campaign).first()
    if loop is None:
        reason = "This campaign has no loop that holds prompts out. Give a snapshot."
        raise Invalid(reason, {"held_out": [reason]})
    reference = version_of(campaign, given, "reference") if "reference" in given else None
    models = [one for one in (parent, reference) if one is not None]
    return prompts.data_of_held_out(loop, count=given["held_out"], models=models)


def version_of(campaign: Campaign, given: dict[str, Any], name: str) -> ModelVersion:
    """Return the campaign's version whose id was given under `name`; Invalid where there is none."""
    version = ModelVersion.objects.filter(pk=given[name], campaign=campaign).first()
    if version is None:
        raise Invalid(f"There is no such version in this campaign for {name}.", {name: ["Unknown."]})
    return version


def _scorer_of(campaign: Campaign, given: dict[str, Any], name: str) -> ModelVersion:
    """Return the campaign's version that is to give scores under `name`; Invalid where it gives none."""
    version = version_of(campaign, given, name)
    if version.kind == ModelVersion.Kind.POLICY:
        reason = f"{version.label} is a policy, which gives no scores. Choose a reward model."
        raise Invalid(reason, {name: [reason]})
    return version


@extend_schema(operation_id="runs_read", responses=shapes.RunDetailOut, tags=["training"])
@api_view(["GET"])
def run_detail(request: Request, run_id: int) -> Response:
    """Return one run, with its result once there is one."""
    return Response(shapes.RunDetailOut(permissions.run_for(request.user, run_id)).data)


@extend_schema(operation_id="runs_cancel", request=None, responses=shapes.RunDetailOut, tags=["training"])
@api_view(["POST"])
def run_cancel(request: Request, run_id: int) -> Response:
    """Cancel a run: at once while it is queued, else within seconds."""
    run = runs.cancel(run=permissions.run_for(request.user, run_id, Action.TRAIN), actor=person(request))
    return Response(shapes.RunDetailOut(run).data)


@extend_schema(operation_id="runs_retry", request=None, responses=shapes.RunDetailOut, tags=["training"])
@api_view(["POST"])
def run_retry(request: Request, run_id: int) -> Response:
    """Queue a failed or cancelled run again; it goes on from its last checkpoint when it has one."""
    run = runs.retry(run=permissions.run_for(request.user, run_id, Action.TRAIN), actor=person(request))
    return Response(shapes.RunDetailOut(run).data)


@extend_schema(operation_id="runs_log", parameters=[shapes.LogQuery], responses=shapes.LogOut, tags=["training"])
@api_view(["GET"])
def run_log(request: Request, run_id: int) -> Response:
    """Return the end of the run's log."""
    run = permissions.run_for(request.user, run_id)
    return Response({"text": traces.log_tail(run, limit=checked_query(shapes.LogQuery, request)["limit"])})


@extend_schema(operation_id="runs_metrics", responses=shapes.MetricsOut, tags=["training"])
@api_view(["GET"])
def run_metrics(request: Request, run_id: int) -> Response:
    """Return the run's metrics lines by step: all of a short run, an even selection of a long one."""
    return Response({"lines": traces.metrics(permissions.run_for(request.user, run_id))})


@extend_schema(
    operation_id="runs_answers", parameters=[shapes.AnswersQuery], responses=shapes.AnswersOut, tags=["training"]
)
@api_view(["GET"])
def run_answers(request: Request, run_id: int) -> Response:
    """Return what policies answered in a run that samples or compares, prompt by prompt, once it has finished."""
    run = permissions.run_for(request.user, run_id)
    return Response({"rows": traces.answers(run, **checked_query(shapes.AnswersQuery, request))})


@extend_schema(operation_id="runs_what_if", request=shapes.WhatIfIn, responses=shapes.WhatIfOut, tags=["training"])
@api_view(["POST"])
def run_what_if(request: Request, run_id: int) -> Response:
    """Return what other weights or another shape of the reward would choose of a run's answers; nothing is stored."""
    run = permissions.run_for(request.user, run_id)
    given = checked(shapes.WhatIfIn, request.data)
    names = what_if.names_of(run)
    if not names:
        raise WrongState("This run left no answers with scores.")
    weights = what_if.checked_weights(given["weights"] or what_if.usual_weights(names), names)
    more = {name: given[name] for name in ("shape", "scale", "each_on_its_scale")}
    return Response(shapes.WhatIfOut(what_if.of_run(run, weights=weights, **more)).data)


@extend_schema(
    operation_id="runs_pairs", parameters=[shapes.PairsQuery], responses=shapes.AuditedPairsOut, tags=["training"]
)
@api_view(["GET"])
def run_pairs(request: Request, run_id: int) -> Response:
    """Return the pairs that a policy learned from, those it goes against the most first, once it has finished."""
    run = permissions.run_for(request.user, run_id)
    return Response({"rows": traces.audited_pairs(run, **checked_query(shapes.PairsQuery, request))})


# --- Versions ----------------------------------------------------------------------------------------------------


class VersionList(PagedView):
    @extend_schema(operation_id="versions_list", responses=shapes.VersionOut(many=True), tags=["training"])
    def get(self, request: Request, campaign_id: int) -> Response:
        """Return the model versions of a campaign, newest first."""
        campaign = permissions.training_of(request.user, campaign_id)
        return self.paged(ModelVersion.objects.filter(campaign=campaign), shapes.VersionOut)

    @extend_schema(
        operation_id="versions_register",
        request=shapes.VersionIn,
        responses={201: shapes.VersionDetailOut},
        tags=["training"],
    )
    def post(self, request: Request, campaign_id: int) -> Response:
        """Register a model from outside as a candidate."""
        campaign = permissions.training_of(request.user, campaign_id, Action.TRAIN)
        version = versions.register(campaign=campaign, actor=person(request), **checked(shapes.VersionIn, request.data))
        return Response(_version_json(version), status=status.HTTP_201_CREATED)


def _version_json(version: ModelVersion) -> dict[str, Any]:
    row = shapes.VersionOut(version).data
    return {**row, "gate_report": report_json(version), "lineage": versions.lineage(version)}


def report_json(version: ModelVersion | None) -> dict[str, Any] | None:
    report = GateReport.objects.filter(candidate=version).first() if version is not None else None
    return None if report is None else shapes.GateReportOut(report).data


@extend_schema(operation_id="versions_read", responses=shapes.VersionDetailOut, tags=["training"])
@api_view(["GET"])
def version_detail(request: Request, version_id: int) -> Response:
    """Return one version, its gate report, and where it came from down to the judgements."""
    return Response(_version_json(permissions.version_for(request.user, version_id)))


@extend_schema(
    operation_id="versions_promote",
    request=shapes.PromoteIn,
    responses=shapes.VersionDetailOut,
    tags=["training"],
)
@api_view(["POST"])
def version_promote(request: Request, version_id: int) -> Response:
    """Put a version into use; without a passing gate report only for a reason."""
    version = permissions.version_for(request.user, version_id, Action.STEER)
    reason = checked(shapes.PromoteIn, request.data)["reason"]
    return Response(_version_json(promotion.promote(version=version, actor=person(request), reason=reason)))


@extend_schema(
    operation_id="versions_roll_back",
    request=shapes.RollBackIn,
    responses=shapes.VersionDetailOut,
    tags=["training"],
)
@api_view(["POST"])
def version_roll_back(request: Request, version_id: int) -> Response:
    """Put a version that was in use before into use again; where it may have lost safety only for a reason."""
    version = permissions.version_for(request.user, version_id, Action.STEER)
    reason = checked(shapes.RollBackIn, request.data)["reason"]
    return Response(_version_json(promotion.roll_back(version=version, actor=person(request), reason=reason)))
