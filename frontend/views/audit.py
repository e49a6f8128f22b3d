"""The audit trail: who changed what, with old and new values; of a campaign for its leads, of the server for admins."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from datetime import datetime, time, timedelta
from io import StringIO
from typing import Any

from django import forms
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import Http404, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from annotation.access import Action
from annotation.models import Campaign, Event
from annotation.permissions import administers
from frontend.decorators import campaign_page, signed_in
from frontend.events_in_words import in_words
from frontend.forms.campaigns import StorableField
from frontend.http import SignedInRequest
from frontend.lead_pages import campaign_page_of

SHOWN = 50
# A spreadsheet takes what begins so for a formula.
FORMULA = ("=", "+", "-", "@", "\t", "\r")


class EventsForm(forms.Form):
    action = forms.ChoiceField(
        label=pgettext_lazy("audit", "About"),
        required=False,
        choices=[
            ("", _("everything")),
            ("campaign.", _("the campaign's settings")),
            ("guideline.", _("the guideline")),
            ("member.", _("people")),
            ("tasks.", _("imports")),
            ("gold.", _("gold answers")),
            ("loop.", _("the loop")),
            ("round.", _("rounds")),
            ("run.", _("runs")),
            ("policy.", _("the policy in use")),
            ("account.", _("accounts")),
            ("token.", _("API tokens")),
        ],
    )
    actor = StorableField(label=pgettext_lazy("audit", "By"), required=False, max_length=150)
    target = StorableField(label=_("Named"), required=False, max_length=80)
    since = forms.DateField(
        label=pgettext_lazy("date", "From"), required=False, widget=forms.DateInput({"type": "date"}, "%Y-%m-%d")
    )
    until = forms.DateField(label=_("To"), required=False, widget=forms.DateInput({"type": "date"}, "%Y-%m-%d"))

    def filters(self) -> dict[str, Any]:
        """Return what `Event.objects.narrowed` takes; days are those of the server's time zone, the last included."""
        if not self.is_valid():
            return {}
        given = dict(self.cleaned_data)
        since, until = given.pop("since"), given.pop("until")
        try:
            given["since"] = since and timezone.make_aware(datetime.combine(since, time.min))
            given["until"] = until and timezone.make_aware(datetime.combine(until + timedelta(days=1), time.min))
        except OverflowError:
            return {**given, "since": None, "until": None}
        return given


@campaign_page(Action.AUDIT)
@never_cache
@require_GET
def campaign_audit(request: SignedInRequest, campaign: Campaign) -> HttpResponseBase:
    """Return what was changed in the campaign, fifty a page, or all that is asked for as CSV."""
    form = EventsForm(request.GET)
    events = Event.objects.filter(campaign=campaign).narrowed(**form.filters())
    if request.GET.get("format") == "csv":
        return _as_csv(events, f"campaign-{campaign.pk}-audit.csv")
    return campaign_page_of(request, campaign, "campaigns/audit.html", _context(request, form, events), tab="audit")


@signed_in
@never_cache
@require_GET
def server_audit(request: SignedInRequest) -> HttpResponseBase:
    """Return what was changed on the whole server; for admins, and unknown to everybody else."""
    if not administers(request.user):
        raise Http404
    form = EventsForm(request.GET)
    events = Event.objects.narrowed(**form.filters())
    if request.GET.get("format") == "csv":
        return _as_csv(events, "audit.csv")
    return render(request, "account/audit.html", {**_context(request, form, events), "everywhere": True})


def _context(request: SignedInRequest, form: EventsForm, events: QuerySet[Event]) -> dict[str, Any]:
    pages = Paginator(events.select_related("actor", "campaign").order_by("-id"), SHOWN)
    page = pages.get_page(request.GET.get("page"))
    return {"form": form, "page": page, "rows": [(event, in_words(event), _changes(event)) for event in page]}


def _changes(event: Event) -> list[tuple[str, str, str]]:
    return [(name.replace("_", " "), _text(old), _text(new)) for name, old, new in event.changes]


def _text(value: Any) -> str:
    """Return a value as people read it: nothing as a dash, text as it is, the rest as JSON."""
    if value is None or value in ("", [], {}):
        return "–"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _as_csv(events: QuerySet[Event], name: str) -> HttpResponseBase:
    response = StreamingHttpResponse(_lines(events), content_type="text/csv; charset=utf-8")
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


def _lines(events: QuerySet[Event]) -> Iterator[str]:
    buffer = StringIO()
    writer = csv.writer(buffer)
    header = ["id", "time", "campaign", "actor", "action", "target", "detail"]
    writer.writerow(header)
    for event in events.select_related("actor").order_by("id").iterator(chunk_size=500):
        detail = json.dumps(event.detail, ensure_ascii=False)
        values = [event.created_at.isoformat(), event.campaign_id or "", event.actor or "", event.action, event.target]
        writer.writerow([event.pk, *(cell(str(value)) for value in values), detail])
        if buffer.tell() > 32_768:
            yield buffer.getvalue()
            buffer.seek(0)
            buffer.truncate()
    yield buffer.getvalue()


def cell(text: str) -> str:
    """Return text that no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(FORMULA) else text
