"""What waits for this person: the campaigns they judge in, with the work that is really left in each."""

from __future__ import annotations

from dataclasses import dataclass

from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache

from annotation.access import Action, allows, roles_for
from annotation.models import Campaign, Membership, Role
from annotation.permissions import enter, may_create
from annotation.progress import MyProgress, my_progress
from frontend.decorators import signed_in
from frontend.http import SignedInRequest
from training.services import chats


@dataclass(frozen=True)
class Waiting:
    """A campaign as its annotator sees it on the first page."""

    campaign: Campaign
    progress: MyProgress
    runs_it: bool  # may open the campaign's own page
    may_chat: bool = False  # people talk to its policy

    @property
    def left(self) -> int:
        """Return how many items this person can judge now: those on their screen and those still free."""
        if not self.campaign.is_open:
            return 0
        left = self.progress.holding + self.progress.available
        return left if self.progress.left_now is None else min(left, self.progress.left_now)


@never_cache
@signed_in
def home(request: SignedInRequest) -> HttpResponse:
    """Return the campaigns this person judges in, those with work first."""
    user = request.user
    found = Campaign.objects.with_role(user, *roles_for(Action.JUDGE)).exclude(state=Campaign.State.DRAFT)
    campaigns = list(found.order_by("name"))
    memberships = enter(user, campaigns)
    offered = chats.offered_in([campaign for campaign in campaigns if campaign.is_open])
    waiting = [
        Waiting(
            campaign,
            my_progress(user, campaign),
            runs_it=user.is_superuser or _runs(memberships.get(campaign.pk)),
            may_chat=campaign.pk in offered,
        )
        for campaign in campaigns
    ]
    waiting.sort(key=lambda one: (not one.campaign.is_open, one.left == 0))
    context = {
        "waiting": waiting,
        "left": sum(one.left for one in waiting),
        "today": sum(one.progress.today for one in waiting),
        "may_create": may_create(user),
    }
    return render(request, "home.html", context)


def _runs(memberships: list[Membership] | None) -> bool:
    """Return whether who has these memberships leads or engineers the campaign."""
    return allows({Role(one.role) for one in memberships or ()}, Action.READ)
