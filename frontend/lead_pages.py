"""What every page of a campaign shares: who may do what on it, and its tabs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest, HttpResponse, QueryDict
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import pgettext

from annotation.access import Action
from annotation.feedback import kind
from annotation.models import Campaign, User
from annotation.permissions import may
from frontend.http import SignedInRequest, page


@dataclass(frozen=True)
class Tab:
    name: str
    label: str
    url: str


def is_lead(user: User, campaign: Campaign) -> bool:
    """Return whether this person may change the campaign (1 query unless superuser)."""
    return may(user, campaign, Action.CONFIGURE)


def tabs(campaign: Campaign, *, lead: bool) -> list[Tab]:
    """Return the pages of a campaign that this person may open."""
    found = [
        ("campaign", _("Overview"), True),
        ("operations", _("Operations"), True),
        ("policies", _("Policies"), True),
        ("campaign-import", pgettext("tab", "Import"), True),
        ("campaign-people", _("People"), lead),
        ("campaign-quality", _("Quality"), True),
        ("reviews", _("Review"), lead),
        ("campaign-export", pgettext("tab", "Export"), True),
        ("snapshots", _("Data sets"), True),
        ("runs", _("Runs"), True),
        ("models", _("Models"), True),
        ("loop", _("Loop"), kind(campaign.kind).compares),
        ("campaign-edit", _("Settings"), lead),
        ("audit", _("Changes"), lead),
    ]
    return [Tab(name, label, reverse(name, args=[campaign.pk])) for name, label, shown in found if shown]


def campaign_page_of(
    request: SignedInRequest,
    campaign: Campaign,
    template: str,
    context: dict[str, Any],
    *,
    tab: str,
    fragment: str | None = None,
    status: int = 200,
) -> HttpResponse:
    """Return a page of `campaign` with its head and tabs, or its fragment alone to htmx."""
    lead = context["lead"] if "lead" in context else is_lead(request.user, campaign)
    shared = {"campaign": campaign, "lead": lead, "tabs": tabs(campaign, lead=lead), "tab": tab}
    return page(request, template, {**shared, **context}, fragment=fragment, status=status)


def sent(request: HttpRequest) -> QueryDict | None:
    """Return what a form was sent with; None when the page was only asked for, also when nothing was filled in."""
    return request.POST if request.method == "POST" else None
