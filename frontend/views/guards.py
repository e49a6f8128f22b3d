"""A guard version: what each tier leads to, what its lines catch and refuse wrongly, and a new version with others."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.http import Http404, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_http_methods

from annotation.access import Action
from annotation.permissions import may
from frontend import charts
from frontend.decorators import signed_in
from frontend.http import SignedInRequest, say
from frontend.lead_pages import campaign_page_of
from training.errors import Invalid
from training.models import ModelVersion
from training.permissions import version_for
from training.recipes.tiers import DOCUMENTS, REFUSE
from training.services import guard_latency, guard_versions
from training.services.guard_versions import Shown, Side

TIERS = {
    "unsafe": _("Unsafe"),
    "conditionally_safe": _("Conditionally safe"),
    "focused_attention": _("Focused attention"),
}
ANSWERS = ((REFUSE, _("the refusal")), (DOCUMENTS, _("quotations of its documents, or else the refusal")))
SIDES = {"prompt": _("Prompts"), "answer": _("Answers")}


@signed_in
@require_http_methods(["GET", "POST"])
def guard_version(request: SignedInRequest, version_id: int) -> HttpResponse:
    """Return the page; POST makes a new version of it, which waits for a lead to put it into use."""
    version = version_for(request.user, version_id, Action.STEER if request.method == "POST" else Action.READ)
    if version.kind != ModelVersion.Kind.GUARD:
        raise Http404(gettext("There is no such guard."))
    errors: list[str] = []
    if request.method == "POST":
        try:
            made = guard_versions.edit(
                version=version,
                actor=request.user,
                tiers=_tiers(request),
                lines=_lines(request),
                documents=_documents(request),
            )
        except Invalid as error:
            errors = [text for texts in error.errors.values() for text in texts] or [str(error)]
        else:
            told = gettext("{version} is made, and {parent} stays as it is. Promote the new one to put it into use.")
            say(request, told.format(version=made.label, parent=version.label))
            return redirect("model", made.pk)
    found = guard_versions.shown(version)
    context = {
        "version": version,
        "guard": found,
        "tiers": [(name, TIERS[name], one) for name, one in _shown_tiers(request, found, refused=bool(errors))],
        "answers": ANSWERS,
        "documents": _documents(request) if errors else found.documents if found else [],
        "documents_number": len(found.documents) if found else 0,
        "sides": [_side(side, request.POST.get(f"{side.name}_line", "")) for side in found.sides] if found else [],
        "latency": [{**one, "title": SIDES[one["side"]]} for one in guard_latency.of_campaign(version.campaign_id)],
        "errors": errors,
        "may_edit": may(request.user, version.campaign, Action.STEER),
    }
    return campaign_page_of(
        request, version.campaign, "guards/version.html", context, tab="models", status=422 if errors else 200
    )


def _side(side: Side, given: str) -> dict[str, Any]:
    """Return one side as the page shows it: some of its lines in a table, all of them in a chart and for the script."""
    step = max(1, len(side.curve) // 12)
    rows = [one for place, one in enumerate(side.curve) if place % step == 0 or one is side.point]
    points = [(one["value"], one) for one in reversed(side.curve)]
    chart = charts.line_chart(
        [
            (gettext("caught"), [(value, one["catches"]["estimate"]) for value, one in points]),
            (gettext("refused wrongly"), [(value, one["false_refusals"]["estimate"]) for value, one in points]),
        ],
        title=gettext("What each line catches and refuses wrongly"),
        x_label=gettext("threshold"),
        y_label=gettext("share"),
    )
    return {
        "side": side,
        "title": SIDES[side.name],
        "rows": rows,
        "chart": chart,
        "given": given or f"{side.line['value']:.6g}",
        "data": {"name": side.name, "points": side.curve},
    }


def _shown_tiers(
    request: SignedInRequest, found: Shown | None, *, refused: bool
) -> Iterable[tuple[str, dict[str, Any]]]:
    """Return what the page chooses for each tier: what was sent where that was refused, else as the version has it."""
    if found is None:
        return ()
    return (_tiers(request) if refused else found.tiers).items()


def _tiers(request: SignedInRequest) -> dict[str, Any]:
    return {
        tier: {"answer": request.POST.get(f"{tier}_answer", ""), "person": bool(request.POST.get(f"{tier}_person"))}
        for tier in TIERS
    }


def _documents(request: SignedInRequest) -> list[dict[str, str]] | None:
    """Return the documents that are to be quoted from now on; None where the form has none, which leaves them."""
    if "documents" not in request.POST:
        return None
    sent = (request.POST.getlist(f"document_{name}") for name in ("id", "text", "version"))
    gone = set(request.POST.getlist("document_gone"))
    rows = [
        {"id": name, "text": text, "version": version}
        for place, (name, text, version) in enumerate(zip(*sent, strict=False))
        if str(place) not in gone
    ]
    return [row for row in rows if any(value.strip() for value in row.values())]


def _lines(request: SignedInRequest) -> dict[str, float]:
    """Return the thresholds that were changed; Invalid for one that is no number."""
    found = {}
    for side in SIDES:
        given, before = request.POST.get(f"{side}_line", "").strip(), request.POST.get(f"{side}_before", "").strip()
        if not given or given == before:
            continue
        try:
            found[side] = float(given.replace(",", "."))
        except ValueError:
            message = gettext("A threshold is a number from 0 to 1, not {given}.").format(given=given)
            raise Invalid(message, {side: [message]}) from None
    return found
