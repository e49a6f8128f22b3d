"""Reward models for people: the groups that one sees, and the quiz by which it gets to know somebody."""

from __future__ import annotations

from statistics import fmean

from django.http import Http404, HttpResponse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET

from annotation.access import Action
from frontend.decorators import signed_in
from frontend.http import SignedInRequest, page
from frontend.lead_pages import campaign_page_of
from training.models import ModelVersion
from training.permissions import version_for
from training.services import personal


def _knows_people(version: ModelVersion) -> ModelVersion:
    if version.recipe.get("name") != "latent-user":
        raise Http404(_("There is no such reward model for people."))
    return version


@signed_in
@require_GET
def groups(request: SignedInRequest, version_id: int) -> HttpResponse:
    """Return the groups of people that the model sees, and how right it is about those it knows."""
    version = _knows_people(version_for(request.user, version_id))
    report = personal.report(version)
    rows = []
    for number, size in enumerate(report.groups if report else ()):
        members = [one for one in report.people if one["group"] == number] if report else []
        rows.append(
            {
                "number": number + 1,
                "size": size,
                "known": fmean(one["known"] for one in members) if members else None,
                "stranger": fmean(one["stranger"] for one in members) if members else None,
                "people": [one["person"] for one in members],
            }
        )
    context = {"version": version, "report": report, "rows": rows}
    return campaign_page_of(request, version.campaign, "models/people.html", context, tab="models")


@signed_in
@require_GET
def quiz(request: SignedInRequest, version_id: int) -> HttpResponse:
    """Return the next question for somebody whose answers so far are in the address, or the group they lead to."""
    version = _knows_people(version_for(request.user, version_id, Action.JUDGE, Action.READ))
    report = personal.report(version)
    if report is None:
        raise Http404(_("There is no quiz yet: have people and groups measured first."))
    answers = request.GET.get("answers", "")[: personal.MOST_ANSWERS]
    node, given = personal.walk(report.quiz, answers)
    context = {
        "version": version,
        "report": report,
        "node": node,
        "group": node["group"] + 1,
        "answers": answers[: len(given)],
        "number": len(given) + 1,
        "given": given,
    }
    return page(request, "models/quiz.html", context)
