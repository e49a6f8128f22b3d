"""Principles proposed out of the critique that somebody is writing; nothing of it is a judgement."""

from __future__ import annotations

from typing import Any

from django.http import Http404, HttpResponse, JsonResponse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from annotation.access import Action
from annotation.errors import AnnotationError, Invalid
from annotation.feedback.slots import place_proposals
from annotation.models import Assignment, Campaign, Proposal
from annotation.services import proposals, submission
from frontend.decorators import campaign_page
from frontend.http import SignedInRequest, wants_fragment
from frontend.views.work import own, refused, screen, sent


@never_cache
@require_POST
@campaign_page(Action.JUDGE)
def propose(request: SignedInRequest, campaign: Campaign) -> HttpResponse:
    """Return the same screen with the principles proposed from its critique; a script gets the fields to set, as JSON.

    Asked again with ``proposal``, it tells what became of that one; with ``only_known``, what was asked before for
    these words (204 when nothing was). What was typed comes back in every case.
    """
    assignment = own(request, campaign, request.POST.get("assignment", ""))
    fields = {name: value for name, value in sent(request).items() if name not in ("proposal", "only_known")}
    try:
        proposal = _of(request, assignment, str(fields.get("critique", "")))
    except Invalid as error:
        if wants_fragment(request):
            return refused(request, campaign, error)
        return screen(request, campaign, assignment, values=fields, invalid=error)
    except AnnotationError as error:
        if wants_fragment(request):
            return refused(request, campaign, error)
        return screen(request, campaign, assignment, values=fields, more={"proposed_said": str(error)})
    if proposal is None:
        return HttpResponse(status=204)
    said = proposals.in_words(proposal)
    placed = place_proposals(fields, (proposal.result or {}).get("proposals", []))
    if wants_fragment(request):
        told = {"proposal": proposal.pk, "is_waiting": not said, "said": said, "fields": placed}
        return JsonResponse(told)
    filled: dict[str, Any] = {**fields, **placed}
    submission.save_draft(assignment=assignment, draft=filled)
    waiting = _("Principles are being proposed. Ask again in a moment; what you wrote is kept.")
    return screen(request, campaign, assignment, values=filled, more={"proposed_said": said or waiting})


def _of(request: SignedInRequest, assignment: Assignment, critique: str) -> Proposal | None:
    """Return the proposal that was asked for before, or one asked for now."""
    named = request.POST.get("proposal", "")
    if named:
        known = proposals.numbered(assignment=assignment, number=named)
        if known is None:
            raise Http404(_("There is no such proposal."))
        return known
    if "only_known" in request.POST:
        return proposals.known(assignment=assignment, critique=critique)
    return proposals.ask(assignment=assignment, critique=critique)
