"""What waits for this person: the campaigns to judge in, with the work that is really left in each."""

from __future__ import annotations

from django.http import HttpResponse
from django.shortcuts import render

from annotation import progress
from annotation.models import Campaign, Role
from frontend.decorators import signed_in
from frontend.http import SignedInRequest


@signed_in
def home(request: SignedInRequest) -> HttpResponse:
    """Return the list of campaigns this person judges in; the ones with work come first."""
    user = request.user
    campaigns = Campaign.objects.with_role(user, Role.ANNOTATOR, Role.LEAD).exclude(state=Campaign.State.DRAFT)
    waiting = [(campaign, progress.my_progress(user, campaign)) for campaign in campaigns.order_by("name")]
    waiting.sort(key=lambda pair: (not pair[0].is_open, pair[1].available == 0))
    return render(request, "home.html", {"waiting": waiting})
