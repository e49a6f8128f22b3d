"""Whom a campaign tells what happens: adding receivers, the secret shown once, and the log of messages."""

from __future__ import annotations

from typing import Any

from django import forms
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from annotation.access import Action
from annotation.errors import AnnotationError
from annotation.models import Campaign, Delivery, Webhook
from annotation.services import webhooks
from annotation.webhooks import EVENTS
from frontend.decorators import campaign_page
from frontend.http import SignedInRequest, say
from frontend.lead_pages import campaign_page_of

LISTED = 100


class WebhookForm(forms.Form):
    url = forms.CharField(
        label=_("Address"),
        max_length=500,
        widget=forms.URLInput(attrs={"placeholder": "https://", "autocomplete": "off"}),
        help_text=_("Gets a signed POST with JSON for each event. A public address, over HTTPS."),
    )
    events = forms.MultipleChoiceField(
        label=_("What it is told"), choices=list(EVENTS.items()), widget=forms.CheckboxSelectMultiple
    )


@campaign_page(Action.CONFIGURE)
@never_cache
@require_http_methods(["GET", "POST"])
def webhook_list(request: SignedInRequest, campaign: Campaign) -> HttpResponse:
    """Return the receivers and the last messages; POST adds or removes a receiver, or sends a message (again)."""
    action = request.POST.get("action") if request.method == "POST" else None
    form = WebhookForm(request.POST if action == "add" else None)
    made: dict[str, Any] = {}
    if action == "add" and form.is_valid():
        try:
            webhook, secret = webhooks.add(
                campaign=campaign,
                url=form.cleaned_data["url"],
                wanted=form.cleaned_data["events"],
                actor=request.user,
            )
        except AnnotationError as error:
            form.add_error("url", str(error))
        else:
            # No redirect: the secret is in this one answer and nowhere else.
            made, form = {"url": webhook.url, "secret": secret}, WebhookForm()
    elif action in ("remove", "ping"):
        found = get_object_or_404(Webhook, campaign=campaign, pk=_number(request, "webhook"))
        if action == "remove":
            webhooks.remove(webhook=found, actor=request.user)
            say(request, gettext("{url} is told nothing more.").format(url=found.url))
        else:
            webhooks.ping(webhook=found, actor=request.user)
            say(request, gettext("A message is on its way to {url}.").format(url=found.url))
        return redirect("webhooks", campaign.pk)
    elif action == "again":
        webhooks.send_again(
            delivery=get_object_or_404(Delivery, webhook__campaign=campaign, pk=_number(request, "delivery"))
        )
        say(request, gettext("The message is sent again."))
        return redirect("webhooks", campaign.pk)
    context = {
        "form": form,
        "made": made,
        "webhooks": list(Webhook.objects.filter(campaign=campaign).order_by("id")),
        "deliveries": list(
            Delivery.objects.filter(webhook__campaign=campaign).select_related("webhook").order_by("-id")[:LISTED]
        ),
        "lead": True,
    }
    return campaign_page_of(
        request, campaign, "campaigns/webhooks.html", context, tab="campaign-edit", status=422 if form.errors else 200
    )


def _number(request: SignedInRequest, name: str) -> int:
    text = request.POST.get(name, "")
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 19 else 0
