"""Open, pause and close a campaign; delete it, and bring it back."""

from __future__ import annotations

from django.http import HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_POST

from annotation.access import Action
from annotation.errors import AnnotationError, Invalid
from annotation.models import Campaign
from annotation.permissions import KEPT, deleted_campaign_for
from annotation.services import campaigns
from frontend.decorators import campaign_page, signed_in
from frontend.http import SignedInRequest, complain, say

CHANGES = {
    "open": (campaigns.open_campaign, _("The campaign is open: people get items from now on.")),
    "pause": (
        campaigns.pause_campaign,
        _("The campaign is paused: nobody is given a new item; open ones may be sent."),
    ),
    "close": (campaigns.close_campaign, _("The campaign is closed. Everything is kept and can be exported.")),
}


@campaign_page(Action.CONFIGURE)
@require_POST
def campaign_state(request: SignedInRequest, campaign: Campaign) -> HttpResponse:
    """Open, pause or close the campaign, and go back to its dashboard."""
    change = CHANGES.get(request.POST.get("action", ""))
    if change is None:
        complain(request, Invalid(gettext("A campaign can be opened, paused or closed.")))
        return redirect("campaign", campaign.pk)
    service, sentence = change
    try:
        service(campaign=campaign, actor=request.user)
    except AnnotationError as error:
        complain(request, error)
    else:
        say(request, sentence)
    return redirect("campaign", campaign.pk)


@campaign_page(Action.CONFIGURE)
@require_POST
def campaign_delete(request: SignedInRequest, campaign: Campaign) -> HttpResponse:
    """Take the campaign out of everybody's sight, and go to the list, where it can be brought back."""
    try:
        campaigns.delete_campaign(campaign=campaign, actor=request.user)
    except AnnotationError as error:
        complain(request, error)
        return redirect("campaign", campaign.pk)
    text = gettext("{campaign} was deleted. You can bring it back for {days} days, from the end of this page.")
    say(request, text.format(campaign=campaign.name, days=KEPT.days))
    return redirect("campaigns")


@signed_in
@require_POST
def campaign_restore(request: SignedInRequest, campaign_id: int) -> HttpResponse:
    """Bring a deleted campaign back, and go to it."""
    campaign = campaigns.restore_campaign(campaign=deleted_campaign_for(request.user, campaign_id), actor=request.user)
    say(request, gettext("{campaign} is there again, as it was.").format(campaign=campaign.name))
    return redirect("campaign", campaign.pk)
