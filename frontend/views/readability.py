"""How an answer reads while somebody rewrites it, beside the one it is made from.

Counted here and not in the browser, so that what people see while they write is what exports say, by one rule.
"""

from __future__ import annotations

from django.http import Http404, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from annotation.access import Action
from annotation.feedback.rewrite import MAX_TEXT, Rewrite
from annotation.messages import answer_of, text_of
from annotation.models import Campaign
from annotation.readability import figures, is_english
from frontend.decorators import campaign_page
from frontend.http import SignedInRequest
from frontend.views.work import own


@require_POST
@campaign_page(Action.JUDGE)
def readability(request: SignedInRequest, campaign: Campaign) -> HttpResponse:
    """Return the figures of the answer shown and of what was written so far, as a table."""
    assignment = own(request, campaign, request.POST.get("assignment", ""))
    if campaign.kind != Rewrite.name:
        raise Http404(_("Nothing is rewritten here."))
    shown = assignment.task.content["completions"][assignment.shown_order[0]]
    language = str(campaign.options.get("language", ""))
    context = {
        "before": figures(text_of(answer_of(shown)), language),
        "after": figures(request.POST.get("text", "")[:MAX_TEXT], language),
        "language": language,
        "is_english": is_english(language),
    }
    response = render(request, "feedback/_readability.html", context)
    response.headers["Cache-Control"] = "no-store"
    return response
