"""Frozen data sets: freezing one, its card, what changed since another one, overlaps with suites, and the hub."""

from __future__ import annotations

import json
from itertools import islice
from typing import Any

from django.http import HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from annotation.access import Action
from annotation.errors import AnnotationError
from annotation.models import Campaign
from frontend.decorators import campaign_page, signed_in
from frontend.forms.snapshots import FreezeForm, OverlapsForm, PushForm, suites_in
from frontend.http import SignedInRequest, complain, say
from frontend.lead_pages import campaign_page_of
from training.errors import TrainingError
from training.models import ModelVersion, Snapshot
from training.permissions import snapshot_for, suites_for
from training.services import contamination, publishing, snapshot_diff, snapshots

LISTED = 200
MOST_OVERLAPS = 100
MOST_CHARACTERS = 1200


@campaign_page(Action.EXPORT)
@require_http_methods(["GET", "POST"])
def snapshot_list(request: SignedInRequest, campaign: Campaign) -> HttpResponse:
    """Return the frozen data sets of a campaign, newest first; POST freezes one."""
    form = FreezeForm(request.POST if request.method == "POST" else None, campaign=campaign)
    if request.method == "POST" and form.is_valid():
        try:
            filters = form.filters()
            suites_for(request.user, filters.get("decontaminate", {}).get("suites", ()))
            frozen = snapshots.freeze(
                campaign=campaign,
                view=form.cleaned_data["view"],
                filters=filters,
                licence=form.cleaned_data["licence"],
                actor=request.user,
            )
        except (AnnotationError, TrainingError) as error:
            form.add_error(None, str(error))
        else:
            return redirect("snapshot", frozen.pk)
    found = list(Snapshot.objects.filter(campaign=campaign).select_related("created_by").order_by("-id")[:LISTED])
    context = {"snapshots": found, "form": form}
    return campaign_page_of(
        request, campaign, "snapshots/list.html", context, tab="snapshots", status=422 if form.errors else 200
    )


@signed_in
@require_GET
def snapshot_detail(request: SignedInRequest, snapshot_id: int) -> HttpResponse:
    """Return a snapshot's card; with ``older`` what changed, with ``suites`` the rows that overlap with these."""
    snapshot = snapshot_for(request.user, snapshot_id, Action.EXPORT)
    others = Snapshot.objects.filter(campaign=snapshot.campaign, view=snapshot.view).exclude(pk=snapshot.pk)
    form = OverlapsForm(request.GET if "suites" in request.GET else None)
    card = snapshot.card
    context: dict[str, Any] = {
        "snapshot": snapshot,
        "card": card,
        "filters": json.dumps(snapshot.filters, ensure_ascii=False, sort_keys=True) if snapshot.filters else "",
        "people": len(card.get("annotators", {})),
        "counts": [
            (gettext("Guideline"), card.get("guidelines_used", {})),
            (gettext("Round"), card.get("rounds", {})),
            (gettext("Policy"), card.get("policies", {})),
        ],
        "others": list(others.order_by("-id")[:LISTED]),
        "versions": list(ModelVersion.objects.filter(snapshot=snapshot).order_by("id")),
        "overlaps_form": form,
        "push_form": PushForm(),
        "hub": publishing.target(),
        "older": request.GET.get("older", ""),
    }
    status = 200
    try:
        if (older := request.GET.get("older", "")).isdecimal() and len(older) < 19:
            other = snapshot_for(request.user, int(older), Action.EXPORT)
            snapshots.require_file(snapshot)
            snapshots.require_file(other)
            difference = snapshot_diff.difference(other, snapshot)
            context |= {"difference": difference, "changed_rows": [_shown(row) for row in difference.rows]}
        if form.is_bound and form.is_valid() and (names := suites_in(form.cleaned_data["suites"])):
            suites_for(request.user, names)
            snapshots.require_file(snapshot)
            suites = contamination.Suites(names, n=form.cleaned_data["n"] or 13)
            found = list(islice(contamination.overlaps(snapshots.lines(snapshot), suites), MOST_OVERLAPS + 1))
            context |= {"overlaps": found[:MOST_OVERLAPS], "more_overlaps": len(found) > MOST_OVERLAPS}
    except (AnnotationError, TrainingError) as error:
        context["error"], status = str(error), 422
    return campaign_page_of(
        request, snapshot.campaign, "snapshots/detail.html", context, tab="snapshots", status=status
    )


@signed_in
@require_POST
def snapshot_push(request: SignedInRequest, snapshot_id: int) -> HttpResponse:
    """Push a snapshot to the hub, and go back to its page."""
    snapshot = snapshot_for(request.user, snapshot_id, Action.EXPORT)
    try:
        told = publishing.push(
            snapshot=snapshot, repository=request.POST.get("repository", "").strip(), actor=request.user
        )
    except (AnnotationError, TrainingError) as error:
        complain(request, error)
    else:
        say(request, gettext("The data set was pushed to {to}.").format(to=told["to"]))
    return redirect("snapshot", snapshot.pk)


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    text = json.dumps(row["row"], ensure_ascii=False, indent=1)
    return {**row, "text": text if len(text) <= MOST_CHARACTERS else text[:MOST_CHARACTERS] + "\n…"}
