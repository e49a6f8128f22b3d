"""Before the first item: practice with what was right after each answer, then the test; and a word on checks."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from annotation.access import Action
from annotation.errors import AnnotationError, Invalid
from annotation.models import Assignment, Campaign, Task
from annotation.services import attention, trials
from annotation.services.queue import shown_order
from frontend.decorators import campaign_page
from frontend.http import SignedInRequest, complain
from frontend.views.items import shown_item
from frontend.views.work import campaign_context, sent

annotator_page = campaign_page(Action.JUDGE)
_OF_THE_PAGE = ("item", "decision")


@never_cache
@require_http_methods(["GET", "POST"])
@annotator_page
def trial(request: SignedInRequest, campaign: Campaign) -> HttpResponse:
    """Return the item of practice or test that comes next, or what came of it; POST begins, or answers."""
    values: dict[str, Any] | None = None
    errors: dict[str, list[str]] = {}
    if request.method == "POST":
        try:
            if request.POST.get("decision") == "begin":
                trials.begin(user=request.user, campaign=campaign)
                return redirect("work-trial", campaign.pk)
            answered = _answer(request, campaign)
        except Invalid as error:
            complain(request, error)
            values, errors = sent(request), error.errors
        except AnnotationError as error:
            complain(request, error)
            return redirect("work-trial", campaign.pk)
        else:
            if not answered.compared:
                return redirect("work-trial", campaign.pk)
            return _told(request, campaign, answered)
    now = trials.step(user=request.user, campaign=campaign)
    item = _shown(request, campaign, now.task, values or {}) if now.task else None
    context = {
        **campaign_context(campaign),
        "step": now,
        "item": item,
        "values": item["values"] if item else {},
        "errors": errors,
        "number": now.answered + 1,
        "all": len(now.trial.tasks) if now.trial else 0,
    }
    return render(request, "work/trial.html", context, status=422 if errors else 200)


@require_POST
@annotator_page
def seen(request: SignedInRequest, campaign: Campaign) -> HttpResponse:
    """Note that this person read the word on their attention, and give them their next item."""
    attention.seen(campaign=campaign, user=request.user)
    return redirect("work", campaign.pk)


def _answer(request: SignedInRequest, campaign: Campaign) -> trials.Answered:
    typed = request.POST.get("item", "")
    number = int(typed) if typed.isdecimal() and len(typed) < 19 else 0
    data = {name: value for name, value in sent(request).items() if name not in _OF_THE_PAGE}
    return trials.answer(user=request.user, campaign=campaign, task_id=number, data=data)


def _told(request: SignedInRequest, campaign: Campaign, answered: trials.Answered) -> HttpResponse:
    """Return the item again with what of the answer was right, and why not."""
    task = answered.answer.task
    task.campaign = campaign
    item = _shown(request, campaign, task, {})
    context = {
        **campaign_context(campaign),
        "item": item,
        "compared": answered.compared,
        "is_over": answered.trial.ended_at is not None,
    }
    return render(request, "work/trial_told.html", context)


def _shown(request: SignedInRequest, campaign: Campaign, task: Task, values: dict[str, Any]) -> dict[str, Any]:
    order = shown_order(task=task, user=request.user)
    as_if_held = Assignment(key="", task=task, campaign=campaign, user=request.user, shown_order=order)
    return {**shown_item(campaign, as_if_held, values=values), "pk": task.pk}
