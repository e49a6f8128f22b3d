"""The quality of a campaign's judgements: agreement, people, policies, what else decides; as chart, table, CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from math import exp
from typing import Any

from django.http import Http404, HttpResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET

from annotation.access import Action
from annotation.feedback import kind
from annotation.models import Campaign, QualityReport
from annotation.permissions import may
from annotation.quality.strengths import logistic
from annotation.services import quality
from frontend import charts, numerals
from frontend.decorators import campaign_page
from frontend.http import SignedInRequest
from frontend.lead_pages import Tab, campaign_page_of, is_lead, tabs

PARTS = ("agreement", "pairs", "people", "gold", "policies", "bias")
# Which columns come first, as PostgreSQL keeps the parts of a report in an order of its own.
FIRST = (
    *("annotator", "by", "name", "dimension", "one", "other", "judgements", "items"),
    *("percent", "low", "high", "kappa"),
)


@campaign_page(Action.MEASURE)
@require_GET
def campaign_quality(request: SignedInRequest, campaign: Campaign) -> HttpResponse:
    """Return the quality page; what is not there yet says why."""
    stored, behind = quality.with_lag(campaign)
    # The page asks by itself whether there is a newer report, and keeps what is open on it while there is none.
    made = stored.made_at.isoformat() if stored else ""
    if request.GET.get("shown") == made:
        return HttpResponse(status=204)
    reader = may(request.user, campaign, Action.READ)
    figures = _figures(stored, reader=reader)
    titles = {one.name: one.title for one in kind(campaign.kind).dimensions(campaign.options)}
    context = {
        "stored": stored,
        "made": made,
        "behind": behind,
        "figures": figures,
        "agreement": [_agreement_row(one, titles) for one in figures.get("agreement", ())],
        "agreement_chart": _agreement_chart(figures, titles),
        "pairs": figures.get("pairs", ()),
        "people": figures.get("people", ()),
        **_positions(figures),
        "gold": figures.get("gold", ()),
        "gold_chart": _gold_chart(figures),
        "signs": _signs(),
        "several": len(titles) > 1,
        "headline_asked": bool(figures.get("dimension")),
        "headline": titles.get(figures.get("dimension", ""), ""),
        "policies": figures.get("policies", ()),
        "policy_chart": _policy_chart(figures),
        "biases": _bias_rows(figures),
        "bias_chart": _bias_chart(figures),
        "effects": _effect_rows(figures),
        "tabs": page_tabs(request, campaign, reader=reader),
        "reader": reader,
    }
    return campaign_page_of(request, campaign, "campaigns/quality.html", context, tab="campaign-quality")


@campaign_page(Action.MEASURE)
@require_GET
def quality_csv(request: SignedInRequest, campaign: Campaign, part: str) -> HttpResponse:
    """Return one part of the report as CSV, with the names of the REST answer as columns."""
    if part not in PARTS:
        raise Http404(_("There is no such part."))
    stored = quality.current(campaign)
    found: Any = _figures(stored, reader=may(request.user, campaign, Action.READ)).get(part) or []
    if part == "bias" and found:
        shares = [{"name": name, **one} for name, one in found.items() if name != "effects"]
        found = [*shares, *({"name": f"effect of {name}", **one} for name, one in found["effects"].items())]
    rows = [_flat(one) for one in found]
    known = dict.fromkeys(name for row in rows for name in row)
    columns = [*(name for name in FIRST if name in known), *(name for name in known if name not in FIRST)]
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\r\n")
    writer.writeheader()
    writer.writerows(rows)
    response = HttpResponse(text.getvalue(), content_type="text/csv; charset=utf-8")
    response.headers["Content-Disposition"] = f'attachment; filename="campaign-{campaign.pk}-{part}.csv"'
    return response


def _positions(figures: Mapping[str, Any]) -> dict[str, Any]:
    """Return whether people's sides are known, and how often the row's first answer was drawn to stand first."""
    found = [one["position"]["drawn"] for one in figures.get("people", ()) if one.get("position")]
    n = sum(one["n"] for one in found)
    return {"positions": n > 0, "drawn": sum(one["estimate"] * one["n"] for one in found) / n if n else None}


def _figures(stored: QualityReport | None, *, reader: bool) -> dict[str, Any]:
    """Return the report as this person may read it; empty before there is one."""
    if stored is None:
        return {}
    return stored.figures if reader else quality.without_policies(stored.figures)


def page_tabs(request: SignedInRequest, campaign: Campaign, *, reader: bool) -> list[Tab]:
    """Return the tabs of who may read everything, or those of a reviewer."""
    if reader:
        return tabs(campaign, lead=is_lead(request.user, campaign))
    mine = [("campaign-quality", _("Quality")), ("reviews", _("Review"))]
    return [Tab(name, label, reverse(name, args=[campaign.pk])) for name, label in mine]


def _flat(row: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """Return a row without objects in it: what is inside gets the names of both; lists are left to REST."""
    flat: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{before}{name}_")
        elif isinstance(value, list):
            if all(isinstance(one, str) for one in value):
                flat[before + name] = " ".join(value)
        else:
            flat[before + name] = _safe(value)
    return flat


def _safe(value: Any) -> Any:
    """Return a cell that no spreadsheet takes for a formula."""
    return f"'{value}" if isinstance(value, str) and value[:1] in "=+-@\t\r" and value else value


def _where(one: Mapping[str, Any]) -> str:
    words = {
        "all": _("All items"),
        "batch": _("Batch {name}"),
        "round": _("Round {name}"),
        "policy": _("Policy {name}"),
    }
    return words[one["by"]].format(name=one["name"])


def _agreement_row(one: Mapping[str, Any], titles: Mapping[str, str]) -> dict[str, Any]:
    undefined = ""
    if one["alpha"] is None:
        undefined = _("No item has been judged by two people yet.")
        if one["items"]:
            undefined = _("Everybody gave the same answer, so there is no chance agreement to compare with.")
    return {
        **one,
        "where": _where(one),
        "title": titles.get(one["dimension"], one["dimension"]),
        "undefined": undefined,
    }


def _agreement_chart(figures: Mapping[str, Any], titles: Mapping[str, str]) -> charts.Chart | None:
    """Return α of each slice on the first dimension; of each dimension where there is one slice."""
    known = [one for one in figures.get("agreement", ()) if one["alpha"] is not None and one["low"] is not None]
    parts = [one for one in known if one["dimension"] == figures["dimension"]] if known else []
    by_dimension = len(parts) < 2
    shown = [one for one in known if one["by"] == "all"] if by_dimension else parts
    return charts.interval_chart(
        [
            (
                titles.get(one["dimension"], one["dimension"]) if by_dimension else one["name"] or _("all"),
                {"estimate": one["alpha"], "low": one["low"], "high": one["high"], "n": one["judgements"]},
            )
            for one in shown
        ],
        title=_("How far people agree"),
        caption=_(
            "Krippendorff's α with its interval: at the top is perfect agreement, at the line what chance gives."
        ),
        x_label=_("Question") if by_dimension else _("Part"),
        y_label="α",
        said=charts.short,
        reference=(0.0, _("chance")),
        low=min([-0.2, *(one["low"] for one in shown)]),
    )


def _gold_chart(figures: Mapping[str, Any]) -> charts.Chart | None:
    return charts.interval_chart(
        [(one["annotator"], one) for one in figures.get("gold", ())],
        title=_("Right where the answer is known"),
        caption=_("Share of things that agree with gold within its tolerance, with its interval."),
        x_label=_("Person"),
        y_label=_("Right"),
    )


def _policy_chart(figures: Mapping[str, Any]) -> charts.Chart | None:
    """Return the chance that each policy's answer is preferred to one of mean strength."""
    return charts.interval_chart(
        [
            (
                one["name"],
                {
                    "estimate": logistic(one["value"]),
                    "low": logistic(one["low"]),
                    "high": logistic(one["high"]),
                    "n": one["n"],
                },
            )
            for one in figures.get("policies", ())
        ],
        title=_("Policies by how often they are preferred"),
        caption=_("Chance to be preferred to a policy of mean strength, from all comparisons (Bradley and Terry)."),
        x_label=_("Policy"),
        y_label=_("Preferred"),
        reference=(0.5, _("mean")),
    )


def _bias_rows(figures: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    found = figures.get("bias") or {}
    words = {
        "first": _("stood first"),
        "longer": _("is the longer one"),
        "more_marks": _("has more Markdown"),
        "first_in_haste": _("stood first, fastest quarter"),
        "first_at_leisure": _("stood first, all others"),
        "longer_in_haste": _("is the longer one, fastest quarter"),
        "longer_at_leisure": _("is the longer one, all others"),
    }
    return [(label, found[name]) for name, label in words.items() if found.get(name, {}).get("n")]


def _bias_chart(figures: Mapping[str, Any]) -> charts.Chart | None:
    labels = {"first": _("first"), "longer": _("longer"), "more_marks": _("Markdown")}
    found = figures.get("bias") or {}
    return charts.interval_chart(
        [(label, found[name]) for name, label in labels.items() if found.get(name, {}).get("n")],
        title=_("What else decides"),
        caption=_(
            "How often the preferred answer stood first, was longer, had more Markdown; the line is an even chance."
        ),
        x_label=_("The preferred answer"),
        y_label=_("Share"),
        reference=(0.5, _("even")),
    )


def _effect_rows(figures: Mapping[str, Any]) -> list[tuple[str, str, str, bool]]:
    """Return odds ratios with the others held fast: label, factor, interval, and whether it is told apart from 1."""
    words = {
        "first": _("standing first"),
        "doubling": _("being twice as long"),
        "marks": _("having more Markdown"),
    }
    rows = []
    for name, one in ((figures.get("bias") or {}).get("effects") or {}).items():
        value, low, high = (numerals.decimal(f"{exp(one[key]):.2f}") for key in ("value", "low", "high"))
        rows.append((words[name], value, numerals.span(low, high), not one["low"] <= 0 <= one["high"]))
    return rows


def _signs() -> dict[str, str]:
    return {
        "fast": _("faster than skimming"),
        "unread": _("answers not scrolled through"),
        "same": _("nearly always the same verdict"),
    }
