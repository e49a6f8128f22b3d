"""What waits for this person: the campaigns they judge in, with the work that is really left in each."""

from __future__ import annotations

from dataclasses import dataclass

from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache

from annotation.models import Campaign, Membership, Role
from annotation.permissions import may_create
from annotation.progress import MyProgress, my_progress
from frontend.decorators import signed_in
from frontend.http import SignedInRequest


@dataclass(frozen=True)
class Waiting:
    """A campaign as its annotator sees it on the first page."""

    campaign: Campaign
    progress: MyProgress
    runs_it: bool  # may open the campaign's own page

    @property
    def left(self) -> int:
        """Return how many items this person can judge now: those on their screen and those still free."""
        if not self.campaign.is_open:
            return 0
        left = self.progress.holding + self.progress.available
        return left if self.progress.left_today is None else min(left, self.progress.left_today)


@never_cache
@signed_in
def home(request: SignedInRequest) -> HttpResponse:
    """Return the campaigns this person judges in, those with work first."""
    user = request.user
    runs = _run_by(request)
    campaigns = Campaign.objects.with_role(user, Role.ANNOTATOR, Role.LEAD).exclude(state=Campaign.State.DRAFT)
    waiting = [
        Waiting(campaign, my_progress(user, campaign), runs_it=user.is_superuser or campaign.pk in runs)
        for campaign in campaigns.order_by("name")
    ]
    waiting.sort(key=lambda one: (not one.campaign.is_open, one.left == 0))
    context = {
        "waiting": waiting,
        "left": sum(one.left for one in waiting),
        "today": sum(one.progress.today for one in waiting),
        "may_create": may_create(user),
    }
    return render(request, "home.html", context)


def _run_by(request: SignedInRequest) -> set[int]:
    """Return the ids of the campaigns this person leads or engineers."""
    roles = Membership.objects.filter(user=request.user, role__in=[Role.LEAD, Role.ENGINEER])
    return set(roles.values_list("campaign_id", flat=True))
