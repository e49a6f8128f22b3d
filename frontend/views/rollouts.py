"""Dialogues that a run branched, put to people: which of two whole dialogues came out better."""

from __future__ import annotations

from django.http import Http404, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext, ngettext
from django.views.decorators.http import require_POST

from annotation.access import Action
from annotation.errors import AnnotationError
from frontend.decorators import signed_in
from frontend.http import SignedInRequest, complain, say
from training.errors import TrainingError
from training.permissions import run_for
from training.services import rollouts


@signed_in
@require_POST
def run_ask(request: SignedInRequest, run_id: int) -> HttpResponse:
    """Put the pairs that a run branched into the queue of a campaign that compares whole dialogues."""
    run = run_for(request.user, run_id, Action.TRAIN)
    offered = {str(one.pk): one for one in rollouts.campaigns_that_compare(request.user)}
    where = offered.get(request.POST.get("campaign", ""))
    if where is None:
        raise Http404(gettext("There is no such campaign to ask in."))
    try:
        asked = rollouts.ask(run=run, campaign=where, actor=request.user)
    except (AnnotationError, TrainingError) as error:
        complain(request, error)
        return redirect("run", run.pk)
    said = ngettext(
        "{n} pair of dialogues is in the queue of {campaign}.",
        "{n} pairs of dialogues are in the queue of {campaign}.",
        asked.created,
    ).format(n=asked.created, campaign=where.name)
    if asked.existing:
        there = ngettext("{n} was there already.", "{n} were there already.", asked.existing)
        said += " " + there.format(n=asked.existing)
    say(request, said)
    return redirect("run", run.pk)
