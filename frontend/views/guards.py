"""A guard version: what each tier leads to, what its lines catch and refuse wrongly, and a new version with others."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from django.http import Http404, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_http_methods

from annotation.access import Action
from annotation.permissions import may
from annotation.told import share
from frontend import charts
from frontend.decorators import signed_in
from frontend.http import SignedInRequest, say
from frontend.lead_pages import campaign_page_of
from training.errors import Invalid
from training.models import ModelVersion
from training.permissions import version_for
from training.recipes.tiers import DOCUMENTS, MOST_REFUSED, REFUSE
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
        "sides": [_side(request, side) for side in found.sides] if found else [],
        "most_refused": str(share(MOST_REFUSED)),
        "latency": [{**one, "title": SIDES[one["side"]]} for one in guard_latency.of_campaign(version.campaign_id)],
        "errors": errors,
        "may_edit": may(request.user, version.campaign, Action.STEER),
    }
    return campaign_page_of(
        request, version.campaign, "guards/version.html", context, tab="models", status=422 if errors else 200
    )


def _side(request: SignedInRequest, side: Side) -> dict[str, Any]:
    """Return one side as the page shows it: some of its lines in a table, all of them in a chart and for the script.

    A recall that is asked for in the address fills the field with its line.
    """
    wanted = request.GET.get(f"{side.name}_recall", "").strip()
    asked = _recall(wanted)
    drawn = asked and side.asked(asked)
    given = request.POST.get(f"{side.name}_line", "")
    if drawn and drawn.point and drawn.point["value"] != side.line["value"]:
        given = repr(drawn.point["value"])
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
        "wanted": wanted,
        "asked": drawn,
        "asked_line": _line(drawn.point) if drawn else None,
        "asked_recall": guard_versions.floored(drawn.recall) if drawn else "",
        "largest": guard_versions.floored(side.largest),
        "refuses": _in_words(side.refuses),
        "gentle": _line(side.gentle),
        "data": {"name": side.name, "points": side.curve},
    }


def _line(point: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return what a known line shows and refuses, in words, and its recall as the address has it; None for none."""
    if point is None:
        return None
    recall = point["recall_bound"]
    return {
        "value": point["value"],
        "recall": guard_versions.floored(recall),
        "percent": f"{math.floor(10_000 * 100 * recall) / 10_000:.4f}",
        "refuses": _in_words(point["false_refusals"]),
    }


def _in_words(told: Mapping[str, Any]) -> str:
    """Return a share with a place, as 4.6 and 5.4 per cent are on two sides of what is said to be many."""
    low, high, estimate = (str(share(told[name], places=1)) for name in ("low", "high", "estimate"))
    return gettext("{share} ({low} to {high}, of {n})").format(share=estimate, low=low, high=high, n=told["n"])


def _recall(wanted: str) -> float | None:
    """Return a share out of a percentage as somebody wrote it; None for what is none between 0 and 100."""
    try:
        found = float(wanted.rstrip("% ").replace(",", ".")) / 100
    except ValueError:
        return None
    return found if 0 < found < 1 else None


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
