"""What Prometheus asks; how the campaign runs; and the hours of its people, for their pay."""

from __future__ import annotations

import csv
import secrets
from collections.abc import Iterable
from io import StringIO
from typing import Any

from django import forms
from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.translation import gettext, pgettext_lazy
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_safe

from annotation import hours, operations, sums
from annotation.access import Action
from annotation.exposure import exposure
from annotation.models import Campaign
from frontend import charts, metrics
from frontend.decorators import campaign_page
from frontend.http import SignedInRequest
from frontend.lead_pages import campaign_page_of
from frontend.views.audit import cell


@require_safe
@never_cache
def prometheus(request: HttpRequest) -> HttpResponse:
    """Return the server's figures to whoever has METRICS_TOKEN; without it, or when none is set, there is nothing."""
    given = request.headers.get("Authorization", "").removeprefix("Bearer ").encode(errors="replace")
    known = settings.ATTUNE_METRICS_TOKEN.encode()
    if not known or not secrets.compare_digest(given, known):
        raise Http404
    return HttpResponse(metrics.text(), content_type="text/plain; version=0.0.4; charset=utf-8")


@campaign_page(Action.READ)
@never_cache
@require_GET
def campaign_operations(request: SignedInRequest, campaign: Campaign) -> HttpResponse:
    """Return what waits and how long, and what was judged by round and policy; as CSV when asked for."""
    known = sums.of(campaign)
    volumes = operations.volumes(campaign, known)
    if request.GET.get("format") == "csv" and request.GET.get("part") == "exposure":
        read = ([one.category, one.week, one.total] for one in exposure(campaign, known=known))
        return as_csv([["category", "this_week", "in_all"], *read], f"campaign-{campaign.pk}-exposure.csv")
    if request.GET.get("format") == "csv":
        header = ["round", "policy", "items", "open_items", "judgements", "wanted", "oldest_seconds"]
        rows = ([getattr(one, name) for name in header] for one in volumes)
        return as_csv([header, *rows], f"campaign-{campaign.pk}-volumes.csv")
    shown = [(str(one.round or "–"), _name(one), one.judgements) for one in volumes[:12]]
    chart = charts.bar_chart(
        list(reversed(shown)),
        title=gettext("Judgements by round and policy"),
        caption=gettext("How many judgements the items of each round have so far. The table below has every policy."),
        x_label=gettext("round"),
        y_label=gettext("judgements"),
    )
    context = {
        "queue": operations.queue(campaign, known),
        "volumes": [(one, _name(one)) for one in volumes],
        "chart": chart if volumes else None,
        "late": known.late,
        "exposures": exposure(campaign, known=known),
    }
    template, fragment = "campaigns/operations.html", "campaigns/_operations.html"
    return campaign_page_of(request, campaign, template, context, tab="operations", fragment=fragment)


def _name(volume: operations.Volume) -> str:
    return volume.policy or gettext("imported")


class PeriodForm(forms.Form):
    since = forms.DateField(label=pgettext_lazy("date", "From"), widget=forms.DateInput({"type": "date"}, "%Y-%m-%d"))
    until = forms.DateField(label=_("To"), widget=forms.DateInput({"type": "date"}, "%Y-%m-%d"))


@campaign_page(Action.PEOPLE)
@never_cache
@require_GET
def campaign_hours(request: SignedInRequest, campaign: Campaign) -> HttpResponse:
    """Return how much each person worked in a period, by name; each person's days as CSV when asked for."""
    first, today = hours.this_month(timezone.localdate())
    form = PeriodForm(request.GET if "since" in request.GET else {"since": first, "until": today})
    since, until = (form.cleaned_data["since"], form.cleaned_data["until"]) if form.is_valid() else (first, today)
    try:
        days = hours.by_day(campaign, since, until)
    except OverflowError:
        days = []
    if request.GET.get("format") == "csv":
        return as_csv(hours.as_rows(days), f"campaign-{campaign.pk}-hours-{since}-{until}.csv")
    context = {"form": form, "people": hours.by_person(days), "since": since, "until": until, "lead": True}
    status = 200 if form.is_valid() else 422
    return campaign_page_of(request, campaign, "campaigns/hours.html", context, tab="campaign-people", status=status)


def as_csv(rows: Iterable[Iterable[Any]], name: str) -> HttpResponse:
    """Return rows, the first the header, as a file that no spreadsheet takes for formulas."""
    buffer = StringIO()
    writer = csv.writer(buffer)
    writer.writerows([cell(value) if isinstance(value, str) else value for value in row] for row in rows)
    response = HttpResponse(buffer.getvalue(), content_type="text/csv; charset=utf-8")
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return response
