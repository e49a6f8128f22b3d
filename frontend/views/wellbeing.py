"""Before and after unpleasant reading: told first, asked first, and out at any time."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from annotation.access import Action
from annotation.errors import Invalid
from annotation.exposure import exposure
from annotation.models import Campaign, Role
from annotation.services import members, wellbeing
from frontend.decorators import campaign_page
from frontend.http import SignedInRequest, complain, say

annotator_page = campaign_page(Action.JUDGE)


@require_POST
@annotator_page
def agree(request: SignedInRequest, campaign: Campaign) -> HttpResponse:
    """Keep that this person was told and wants to judge, and what they declined, and give them their first item."""
    if "asked" in request.POST and not _declined(request, campaign):
        return redirect("work", campaign.pk)
    members.agree(campaign=campaign, user=request.user)
    return redirect("work", campaign.pk)


@never_cache
@require_http_methods(["GET", "POST"])
@annotator_page
def choices(request: SignedInRequest, campaign: Campaign) -> HttpResponse:
    """Return what this person judged by category and what they declined; POST changes the latter."""
    if request.method == "POST":
        if _declined(request, campaign):
            say(request, _("Saved. Nobody else sees what you chose, and it counts for no figure."))
        return redirect("work-wellbeing", campaign.pk)
    known = wellbeing.categories(campaign)
    context = {
        "campaign": campaign,
        "categories": known,
        "exposure": exposure(campaign, request.user),
        "may_leave": campaign.memberships.filter(user=request.user, role=Role.ANNOTATOR).exists(),
    }
    return render(request, "work/wellbeing.html", context)


def _declined(request: SignedInRequest, campaign: Campaign) -> bool:
    """Store which categories the form names, and return whether they could be; else say why not."""
    try:
        wellbeing.decline(campaign=campaign, user=request.user, declined=request.POST.getlist("declined"))
    except Invalid as error:
        complain(request, error)
        return False
    return True


@require_POST
@annotator_page
def leave(request: SignedInRequest, campaign: Campaign) -> HttpResponse:
    """Take this person out of the campaign at their own wish."""
    try:
        members.leave(campaign=campaign, user=request.user)
    except Invalid as error:
        complain(request, error)
    else:
        text = _("You have left {campaign}. Nobody is asked why; what you judged is kept.")
        say(request, text.format(campaign=campaign.name))
    return redirect("home")


@require_POST
@annotator_page
def stop(request: SignedInRequest, campaign: Campaign) -> HttpResponse:
    """Hand back what this person holds and take them away from it at once, to where it says whom they can turn to."""
    members.hand_back(campaign=campaign, user=request.user)
    text = _(
        "Stopped. The item went back to the queue, and what you had typed is kept. Come back when you like, or not."
    )
    say(request, text, level=messages.INFO)
    return redirect("work-wellbeing", campaign.pk) if campaign.support else redirect("home")
