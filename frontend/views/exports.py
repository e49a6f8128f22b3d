"""How judgements leave: the dialogue around the streamed export, whose bytes come from the API."""

from __future__ import annotations

import json
from itertools import islice

from django.http import HttpResponse
from django.urls import reverse
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_GET

from annotation import dataset_views, datasets
from annotation.access import Action
from annotation.feedback import kind
from annotation.models import Campaign
from frontend.decorators import campaign_page
from frontend.http import SignedInRequest
from frontend.lead_pages import campaign_page_of

SAMPLE_CHARACTERS = 2000
DOWNLOADS = (
    ("", _("Everything"), _("all there is now, in the order it was judged")),
    ("train", _("Training part"), _("nine tenths of the prompts")),
    ("test", _("Test part"), _("the other tenth; no prompt is in both parts")),
)


@campaign_page(Action.EXPORT)
@require_GET
def campaign_export(request: SignedInRequest, campaign: Campaign) -> HttpResponse:
    """Return the export page for the view of the query; for the first that the kind feeds when it names none."""
    asked = request.GET.get("view", "")
    offered = [dataset_views.VIEWS[name] for name in (*kind(campaign.kind).views, "judgements", "prompts")]
    view = next((one for one in offered if one.name == asked), offered[0])
    address = reverse("api-export", args=[campaign.pk])
    first = next(islice(datasets.rows(campaign, view.name), 1), None)
    sample = json.dumps(first, ensure_ascii=False, indent=2) if first is not None else ""
    context = {
        "views": offered,
        "view": view,
        "address": request.build_absolute_uri(f"{address}?view={view.name}"),
        "downloads": [
            (f"{address}?view={view.name}" + (f"&split={split}" if split else ""), title, words)
            for split, title, words in DOWNLOADS
        ],
        "sample": sample if len(sample) <= SAMPLE_CHARACTERS else sample[:SAMPLE_CHARACTERS] + "\n…",
    }
    return campaign_page_of(request, campaign, "campaigns/export.html", context, tab="campaign-export")
