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
from annotation.export_formats import export_format, offered, source_of
from annotation.feedback import kind
from annotation.models import Campaign
from frontend.decorators import campaign_page
from frontend.forms.exports import ExportForm, address
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
    """Return the export page for the view or layout of the query; for the kind's first view when it names none."""
    offers, offered_layouts = offered(kind(campaign.kind), campaign.options)
    views = [dataset_views.view(name) for name in offers]
    layouts = [export_format(name) for name in offered_layouts]
    layout = next((one for one in layouts if one.name == request.GET.get("layout")), None)
    source = source_of(layout, offers) if layout else request.GET.get("view", "")
    view = next((one for one in views if one.name == source), views[0])
    shown = {"layout": layout.name} if layout else {"view": view.name}
    form = ExportForm({"file": "jsonl", **request.GET.dict()}, campaign=campaign)
    asked = form.query() if form.is_valid() else {}
    base = reverse("api-export", args=[campaign.pk])
    rows = datasets.rows(campaign, view.name)
    first = next(islice(layout.convert(rows) if layout else rows, 1), None)
    sample = json.dumps(first, ensure_ascii=False, indent=2) if first is not None else ""
    file = form.cleaned_data.get("file") or "jsonl"
    context = {
        "views": views,
        "view": view,
        "layouts": layouts,
        "layout": layout,
        "shown": layout or view,
        "form": form,
        "narrowed": any(name != "file" for name in asked),
        "file": f"{(layout or view).name}.{file}",
        "builder": "parquet" if file == "parquet" else "json",
        "address": request.build_absolute_uri(address(base, **shown, **asked)),
        "downloads": [
            (address(base, **shown, **asked, **({"split": split} if split else {})), title, words)
            for split, title, words in DOWNLOADS
        ],
        "sample": sample if len(sample) <= SAMPLE_CHARACTERS else sample[:SAMPLE_CHARACTERS] + "\n…",
    }
    return campaign_page_of(
        request,
        campaign,
        "campaigns/export.html",
        context,
        tab="campaign-export",
        status=200 if form.is_valid() else 422,
    )
