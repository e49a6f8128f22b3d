"""Safety suites of a campaign: uploaded, put to its policies, and to people blind."""

from __future__ import annotations

from django.http import Http404, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext, ngettext
from django.views.decorators.http import require_http_methods, require_POST

from annotation.access import Action
from annotation.errors import AnnotationError
from annotation.models import Campaign
from annotation.permissions import may
from frontend.decorators import campaign_page, signed_in
from frontend.forms.suites import AskForm, SuiteForm
from frontend.http import SignedInRequest, complain, say
from frontend.lead_pages import campaign_page_of
from training.errors import TrainingError
from training.models import Suite
from training.permissions import suite_for
from training.services import baselines, safety_suites


@campaign_page(Action.TRAIN)
@require_http_methods(["GET", "POST"])
def suite_list(request: SignedInRequest, campaign: Campaign) -> HttpResponse:
    """Return the suites of a campaign, newest first; POST keeps one that is uploaded."""
    form = SuiteForm(request.POST or None, request.FILES or None)
    if request.method == "POST" and form.is_valid():
        name, file = form.cleaned_data["name"], form.cleaned_data["file"]
        try:
            suite = safety_suites.add(campaign=campaign, name=name, file=file, actor=request.user)
        except TrainingError as error:
            form.add_error("file", str(error))
        else:
            told = ngettext("{name} is kept: {n} question.", "{name} is kept: {n} questions.", suite.questions)
            say(request, told.format(name=suite.name, n=suite.questions))
            return redirect("suites", campaign.pk)
    asking = [one for one in baselines.campaigns_that_ask() if may(request.user, one, Action.IMPORT)]
    suites = Suite.objects.filter(campaign=campaign).select_related("created_by").order_by("-pk")
    context = {"form": form, "suites": suites, "ask": AskForm(campaigns=asking) if asking else None}
    return campaign_page_of(
        request, campaign, "suites/list.html", context, tab="runs", status=422 if form.errors else 200
    )


@signed_in
@require_POST
def suite_ask(request: SignedInRequest, suite_id: int) -> HttpResponse:
    """Put the questions of a suite into the queue of a campaign that asks for a letter."""
    suite = suite_for(request.user, suite_id, Action.TRAIN)
    asking = [one for one in baselines.campaigns_that_ask() if may(request.user, one, Action.IMPORT)]
    form = AskForm(request.POST, campaigns=asking)
    if not form.is_valid():
        raise Http404(gettext("There is no such campaign to ask in."))
    where = form.campaigns[form.cleaned_data["campaign"]]
    try:
        asked = baselines.ask(campaign=where, path=suite.path, actor=request.user, purpose=form.cleaned_data["purpose"])
    except (AnnotationError, TrainingError) as error:
        complain(request, error)
    else:
        say(request, in_words(asked, where))
    return redirect("suites", suite.campaign_id)


def in_words(asked: baselines.Asked, where: Campaign) -> str:
    """Return what came of asking people."""
    said = ngettext(
        "{n} question is in the queue of {campaign}.", "{n} questions are in the queue of {campaign}.", asked.created
    ).format(n=asked.created, campaign=where.name)
    if asked.existing:
        there = ngettext("{n} was there already.", "{n} were there already.", asked.existing)
        said += " " + there.format(n=asked.existing)
    if asked.unsupported:
        left = ngettext(
            "The image of {n} did not come along, so it is not asked.",
            "The images of {n} did not come along, so they are not asked.",
            asked.unsupported,
        )
        said += " " + left.format(n=asked.unsupported)
    return said
