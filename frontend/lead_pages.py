"""What every page of a campaign shares: who may do what on it, its tabs, and the gates of runs, models and rounds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.urls import reverse

from annotation.models import Campaign, Membership, Role, User
from annotation.permissions import campaign_for
from frontend.http import SignedInRequest, page
from training.models import ModelVersion, Round, Run

# May look at figures, export and start runs; what changes the campaign or its policy is for the lead.
READERS = (Role.LEAD, Role.ENGINEER)
LARGEST_ID = 2**63 - 1


@dataclass(frozen=True)
class Tab:
    name: str
    label: str
    url: str


def is_lead(user: User, campaign: Campaign) -> bool:
    """Return whether this person may change the campaign (1 query unless superuser)."""
    return user.is_superuser or Membership.objects.filter(user=user, campaign=campaign, role__in=[Role.LEAD]).exists()


def may_create(user: User) -> bool:
    """Return whether this person may start a campaign: staff, and whoever leads one already."""
    return user.is_superuser or user.is_staff or user.memberships.filter(role=Role.LEAD).exists()


def tabs(campaign: Campaign, *, lead: bool) -> list[Tab]:
    """Return the pages of a campaign that this person may open."""
    found = [
        ("campaign", "Overview", True),
        ("campaign-import", "Import", lead),
        ("campaign-people", "People", lead),
        ("campaign-export", "Export", True),
        ("runs", "Runs", True),
        ("models", "Models", True),
        ("loop", "Loop", True),
        ("campaign-edit", "Settings", lead),
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


def run_for(user: User, run_id: int, *roles: Role) -> Run:
    """Return a run of a campaign in which the person has one of `roles`; 404 for strangers."""
    found = Run.objects.select_related("campaign", "parent", "snapshot", "output", "round", "created_by")
    run = found.filter(pk=min(run_id, LARGEST_ID)).first()
    if run is None:
        raise Http404("There is no such run.")
    campaign_for(user, run.campaign_id, *(roles or READERS))
    return run


def version_for(user: User, version_id: int, *roles: Role) -> ModelVersion:
    """Return a model version of a campaign in which the person has one of `roles`; 404 for strangers."""
    found = ModelVersion.objects.select_related("campaign", "parent", "snapshot", "gate_report__parent")
    version = found.filter(pk=min(version_id, LARGEST_ID)).first()
    if version is None:
        raise Http404("There is no such model.")
    campaign_for(user, version.campaign_id, *(roles or READERS))
    return version


def round_for(user: User, round_id: int, *roles: Role) -> Round:
    """Return a round of a loop whose campaign the person has one of `roles` in; 404 for strangers."""
    found = Round.objects.select_related("loop__campaign", "policy", "candidate__gate_report", "snapshot")
    round = found.filter(pk=min(round_id, LARGEST_ID)).first()
    if round is None:
        raise Http404("There is no such round.")
    campaign_for(user, round.loop.campaign_id, *(roles or READERS))
    return round
