"""Model versions: what there is, where each came from, what its gate said, and which one is in use."""

from __future__ import annotations

from collections import Counter
from typing import Any

from django.http import HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_GET, require_POST

from annotation.access import Action
from annotation.errors import AnnotationError
from annotation.models import Campaign
from annotation.permissions import may
from frontend import measured
from frontend.decorators import campaign_page, signed_in
from frontend.figures import Figure, figures
from frontend.gate_words import gate_figure, verdict
from frontend.http import SignedInRequest, complain, say
from frontend.lead_pages import campaign_page_of
from training.errors import GateClosed, TrainingError
from training.models import GateOrder, GateReport, ModelVersion, Round, Run
from training.permissions import version_for
from training.recipes import RECIPES
from training.recipes.audits import PRINCIPLE_AUDIT
from training.recipes.base import Recipe
from training.recipes.chat import MODES, POSITIVE
from training.recipes.evaluate import MODE_REPORT
from training.recipes.reward import PRINCIPLE
from training.services import (
    ending,
    feeding,
    gate_orders,
    guards,
    model_folders,
    moves,
    personal,
    promotion,
    sending,
    snapshots,
    versions,
)

# What is told of each version in the list: the first of its figures, in this order of importance.
HEADLINES = 2
# What a policy does in each mode that it may have learned.
MODE_WORDS = dict(
    zip(
        MODES, (gettext_lazy("answers safely"), gettext_lazy("refuses"), gettext_lazy("answers harmfully")), strict=True
    )
)


@campaign_page(Action.READ)
@require_GET
def model_list(request: SignedInRequest, campaign: Campaign) -> HttpResponse:
    """Return the versions of a campaign, by kind, newest first, with their state and headline figures."""
    found = list(
        ModelVersion.objects.filter(campaign=campaign)
        .select_related("parent", "gate_report")
        .order_by("kind", "-number")
    )
    groups = []
    for kind in ModelVersion.Kind:
        rows = [(version, _headline(version)) for version in found if version.kind == kind]
        if rows:
            current = next((v for v, _figures in rows if v.state == ModelVersion.State.PROMOTED), None)
            groups.append({"kind": kind, "title": _plural(kind), "rows": rows, "current": current})
    scores = any(version.kind in ModelVersion.SCORING for version in found)
    talks = may(request.user, campaign, Action.TRAIN) and any(one.kind == ModelVersion.Kind.POLICY for one in found)
    context = {"groups": groups, "scores": scores, "talks": talks, "guarded": bool(guards.named(campaign))}
    return campaign_page_of(request, campaign, "models/list.html", context, tab="models")


def _plural(kind: ModelVersion.Kind) -> str:
    plural = {"policy": _("Policies"), "reward": _("Reward models"), "cost": _("Cost models"), "guard": _("Guards")}
    return plural.get(kind.value, str(kind.label))


def _headline(version: ModelVersion) -> list[Figure]:
    """Return the figures to show in the list: those people decided by come before what training measured."""
    metrics = dict(version.metrics)
    report: GateReport | None = getattr(version, "gate_report", None)
    for figure in report.figures if report else []:
        if figure["estimate"] is not None:
            metrics.setdefault(figure["name"], figure)
    return [figure for figure in figures(metrics) if figure.interval or figure.n is not None][:HEADLINES]


@signed_in
@require_GET
def model_detail(request: SignedInRequest, version_id: int) -> HttpResponse:
    """Return a version's page: state, gate report, figures and lineage down to the judgements."""
    return _detail_page(request, version_for(request.user, version_id))


def _detail_page(
    request: SignedInRequest, version: ModelVersion, *, error: str = "", reason: str = "", status: int = 200
) -> HttpResponse:
    report = GateReport.objects.select_related("parent").filter(candidate=version).first()
    serving = versions.current(version.campaign, version.kind)
    recipe = RECIPES.get(version.recipe.get("name", ""))
    modes = versions.modes(version)
    waits = version.kind == ModelVersion.Kind.POLICY and version.state == ModelVersion.State.CANDIDATE
    sent_by = waits and report is None and may(request.user, version.campaign, Action.STEER)
    context: dict[str, Any] = {
        "version": version,
        "report": report,
        "gate": [gate_figure(figure) for figure in report.figures] if report else [],
        "verdict": verdict(report) if report else "",
        "serving": serving,
        "run": version.made_by,
        "recipe": recipe,
        "knobs": version.recipe.get("knobs", {}),
        "figures": figures(version.metrics),
        "measured": measured.of_version(version, request.user),
        "measures": _measures(version, modes),
        "modes": [(mode, MODE_WORDS[mode], mode == POSITIVE) for mode in modes if mode in MODE_WORDS],
        "users": personal.answered(version),
        "takes_away": may(request.user, version.campaign, Action.EXPORT) and model_folders.is_here(version),
        "is_unattacked": model_folders.is_unattacked(version),
        "can_be_merged": model_folders.can_be_merged(version),
        "merging": model_folders.merging(version),
        "children": version.children.order_by("number"),
        "needs_reason": _needs_reason(version, report, serving),
        "unsent": gate_orders.objection(version) if sent_by else "",
        "gate_at_stake": _gate_at_stake(version),
        "open_round": moves.unfinished(version.campaign_id).first() if sent_by else None,
        "can_be_sent": sent_by,
        "broken_off": sending.broken_off(version) if sent_by else [],
        "error": error,
        "reason": reason,
        **_behind(version),
    }
    return campaign_page_of(request, version.campaign, "models/detail.html", context, tab="models", status=status)


def _gate_at_stake(version: ModelVersion) -> Round | None:
    """Return the round whose gate closes undecided when this version is put into use."""
    may_be = version.kind == ModelVersion.Kind.POLICY and version.state != ModelVersion.State.PROMOTED
    return ending.at_gate(version.campaign) if may_be else None


def _measures(version: ModelVersion, modes: list[str]) -> list[Recipe]:
    """Return the recipes by which people may have this version measured here; its modes only where it has some."""
    return [
        offer.recipe
        for offer in feeding.feedings(version.campaign)
        if not offer.recipe.guarded
        and offer.recipe.kind == Run.Kind.EVALUATE
        and offer.recipe.starts == version.kind
        and offer.can_start
        and (modes or offer.recipe.name != MODE_REPORT.name)
        and (version.recipe.get("name") == PRINCIPLE.name or offer.recipe.name != PRINCIPLE_AUDIT.name)
    ]


def _needs_reason(version: ModelVersion, report: GateReport | None, serving: ModelVersion | None) -> str:
    """Return why the gate does not let a policy through by itself, in a sentence; empty when it does."""
    if version.kind != ModelVersion.Kind.POLICY:
        return ""
    if unsafe := promotion.roll_back_objection(version, serving):
        return unsafe
    if version.state == ModelVersion.State.RETIRED:
        return ""
    if report is None:
        return _("Nobody has compared it with the policy in use.")
    if report.verdict != GateReport.Verdict.PASS:
        return _("Its gate showed no improvement.")
    if serving is not None and report.parent_id != serving.pk:
        text = _("It was compared with {policy}, but {serving} is in use now.")
        return text.format(policy=report.parent.label, serving=serving.label)
    return ""


def _behind(version: ModelVersion) -> dict[str, Any]:
    """Return the lineage, and who judged how much of what the version was trained on."""
    try:
        lineage = versions.lineage(version)
        people = Counter(
            row["annotator"]
            for one in {one.snapshot for one in (version, *versions.scored_by(version)) if one.snapshot is not None}
            for row in snapshots.lines(one)
            if row.get("annotator")
        )
    except OSError:
        # The row outlives its file when somebody clears a disk: the page must still tell the rest.
        return {"lineage": None, "people": []}
    return {"lineage": lineage, "people": people.most_common()}


@signed_in
@require_POST
def model_promote(request: SignedInRequest, version_id: int) -> HttpResponse:
    """Put a version into use and go back to its page; without a passing gate only with a reason."""
    version = version_for(request.user, version_id, Action.STEER)
    reason = _reason(request)
    before = versions.current(version.campaign, version.kind)
    try:
        promotion.promote(version=version, actor=request.user, reason=reason)
    except TrainingError as error:
        version.refresh_from_db()
        return _detail_page(request, version, error=str(error), reason=reason, status=422)
    if before is None or before.pk == version.pk:
        text = _("{version} is in use now.")
    else:
        text = _("{version} is in use now. The one before it is retired; you can roll back to it at any time.")
    say(request, text.format(version=version.label))
    return redirect("model", version.pk)


@signed_in
@require_POST
def model_roll_back(request: SignedInRequest, version_id: int) -> HttpResponse:
    """Put a version that was in use before back into use, and go back to its page; an unsafe one only with a reason."""
    version = version_for(request.user, version_id, Action.STEER)
    reason = _reason(request)
    try:
        promotion.roll_back(version=version, actor=request.user, reason=reason)
    except GateClosed as error:
        version.refresh_from_db()
        return _detail_page(request, version, error=str(error), reason=reason, status=422)
    except TrainingError as error:
        complain(request, error)
    else:
        say(request, _("{version} is in use again.").format(version=version.label))
    return redirect("model", version.pk)


@signed_in
@require_POST
def model_send(request: SignedInRequest, version_id: int) -> HttpResponse:
    """Send a policy that no round made to the gate, and go to the loop; a second time only with a reason."""
    version = version_for(request.user, version_id, Action.STEER)
    reason = _reason(request)
    try:
        sent = gate_orders.send(version=version, actor=request.user, reason=reason)
    except (TrainingError, AnnotationError) as error:
        return _detail_page(request, version, error=str(error), reason=reason, status=422)
    text = _("{version} is compared with the policy in use. People get the blind pairs in a moment.")
    if isinstance(sent, GateOrder):
        text = _("{version} waits for its gate, which begins when the round that is open has ended.")
    say(request, text.format(version=version.label))
    return redirect("loop", version.campaign_id)


def _reason(request: SignedInRequest) -> str:
    return request.POST.get("reason", "").replace("\x00", "").strip()[:2000]
