"""Before and after unpleasant reading: told first, asked first, and out at any time."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_POST

from annotation.errors import Invalid
from annotation.models import Campaign, Role
from annotation.services import campaigns
from frontend.decorators import campaign_page
from frontend.http import SignedInRequest, complain, say

annotator_page = campaign_page(Role.ANNOTATOR)


@require_POST
@annotator_page
def agree(request: SignedInRequest, campaign: Campaign) -> HttpResponse:
    """Keep that this person was told and wants to judge, and give them their first item."""
    campaigns.agree(campaign=campaign, user=request.user)
    return redirect("work", campaign.pk)


@require_POST
@annotator_page
def leave(request: SignedInRequest, campaign: Campaign) -> HttpResponse:
    """Take this person out of the campaign at their own wish."""
    try:
        campaigns.leave(campaign=campaign, user=request.user)
    except Invalid as error:
        complain(request, error)
    else:
        say(request, f"You have left {campaign.name}. Nobody is asked why; what you judged is kept.")
    return redirect("home")


@require_POST
@annotator_page
def stop(request: SignedInRequest, campaign: Campaign) -> HttpResponse:
    """Hand back what this person holds, and take them away from it at once."""
    campaigns.hand_back(campaign=campaign, user=request.user)
    text = "Stopped. The item went back to the queue, and what you had typed is kept. Come back when you like, or not."
    say(request, text, level=messages.INFO)
    return redirect("home")
