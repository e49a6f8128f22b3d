"""Items set aside for later: putting one there, the pile, and taking one up again."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from annotation.access import Action
from annotation.errors import AnnotationError
from annotation.models import Assignment, Campaign
from annotation.services import setting_aside
from frontend.decorators import campaign_page
from frontend.http import SignedInRequest, complain, say
from frontend.views.work import excerpt, move_on, own, refused, sent

annotator_page = campaign_page(Action.JUDGE)

# What the page keeps with a draft beside what a person typed.
_KEPT_BESIDE = {"assignment", "client_key", "active_seconds", "behaviour", "at"}


@require_POST
@annotator_page
def set_aside(request: SignedInRequest, campaign: Campaign) -> HttpResponse:
    """Put an item on the pile with what was typed so far, and return the next one."""
    assignment = own(request, campaign, request.POST.get("assignment", ""))
    try:
        setting_aside.set_aside(assignment=assignment, draft=sent(request))
    except AnnotationError as error:
        return refused(request, campaign, error)
    return move_on(request, campaign)


@never_cache
@require_http_methods(["GET", "POST"])
@annotator_page
def pile(request: SignedInRequest, campaign: Campaign) -> HttpResponse:
    """Return what this person has set aside; POST takes an item up again, or hands it back for good."""
    if request.method == "POST":
        return _act(request, campaign)
    kept = setting_aside.pile(user=request.user, campaign=campaign)
    rows = [
        {
            "key": assignment.key,
            "since": assignment.closed_at,
            "excerpt": excerpt(assignment.task.content["messages"]),
            "typed": _typed(assignment),
            "wanted": setting_aside.is_wanted(assignment),
        }
        for assignment in kept
    ]
    return render(request, "work/pile.html", {"campaign": campaign, "rows": rows, "most": setting_aside.MOST})


def _act(request: SignedInRequest, campaign: Campaign) -> HttpResponse:
    assignment = own(request, campaign, request.POST.get("assignment", ""))
    try:
        if request.POST.get("action") == "let-go":
            setting_aside.let_go(assignment=assignment)
            say(request, _("The item is off your list."))
            return redirect("work-pile", campaign.pk)
        setting_aside.take_up(assignment=assignment)
    except AnnotationError as error:
        complain(request, error)
        return redirect("work-pile", campaign.pk)
    return redirect(f"{reverse('work', args=[campaign.pk])}?item={assignment.key}")


def _typed(assignment: Assignment) -> list[str]:
    """Return the texts a person wrote into the item, without choices and without what the page keeps beside them."""
    draft: dict[str, Any] = assignment.draft or {}
    texts = [text for name, text in draft.items() if name not in _KEPT_BESIDE and isinstance(text, str)]
    return [text for text in texts if len(text.split()) > 1]
