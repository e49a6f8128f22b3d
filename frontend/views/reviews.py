"""The reviewer's pages: items on which people differ, and one of them with everybody's judgements side by side."""

from __future__ import annotations

from typing import Any

from django.http import Http404, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods

from annotation.access import Action
from annotation.errors import AnnotationError, Invalid
from annotation.feedback import kind
from annotation.models import Assignment, Campaign, Cause, Feedback, Task
from annotation.permissions import LARGEST_ID, may
from annotation.services import returning, reviews
from frontend.decorators import campaign_page
from frontend.http import SignedInRequest, complain, say
from frontend.lead_pages import campaign_page_of
from frontend.views.items import shown_item
from frontend.views.quality import page_tabs
from frontend.views.work import comments, excerpt, sent

_OF_THE_PAGE = ("decision", "judgement", "review_cause", "review_note")


@campaign_page(Action.REVIEW)
@never_cache
@require_GET
def review_queue(request: SignedInRequest, campaign: Campaign) -> HttpResponse:
    """Return the items on which people differ, the widest apart first."""
    rows = [(one, excerpt(one.task.content["messages"])) for one in reviews.conflicts(campaign)]
    reader = may(request.user, campaign, Action.READ)
    context = {"rows": rows, "tabs": page_tabs(request, campaign, reader=reader)}
    return campaign_page_of(request, campaign, "campaigns/reviews.html", context, tab="reviews")


@campaign_page(Action.REVIEW)
@never_cache
@require_http_methods(["GET", "POST"])
def review_item(request: SignedInRequest, campaign: Campaign, task_id: int) -> HttpResponse:
    """Return an item with everybody's judgements; POST accepts one, overrides all, or sends one back with a note."""
    task = Task.objects.filter(campaign=campaign, pk=min(task_id, LARGEST_ID)).first()
    if task is None:
        raise Http404(_("There is no such item."))
    task.campaign = campaign
    values: dict[str, Any] | None = None
    status = 200
    if request.method == "POST":
        try:
            told = _decide(request, task)
        except Invalid as error:
            complain(request, error)
            values, status = sent(request), 422
        except AnnotationError as error:
            complain(request, error)
        else:
            say(request, told)
            return redirect("reviews", campaign.pk)
    return _page(request, campaign, task, values=values, status=status)


def _decide(request: SignedInRequest, task: Task) -> str:
    """Do what was asked and return what to say of it; raises `Invalid`."""
    decision, given = request.POST.get("decision"), request.POST
    cause, note = given.get("review_cause", ""), given.get("review_note", "")
    if decision == "override":
        data = {name: value for name, value in sent(request).items() if name not in _OF_THE_PAGE}
        reviews.override(task=task, data=data, cause=cause, note=note, actor=request.user)
        return _("Your own answer stands for this item; all others are kept.")
    typed = given.get("judgement", "")
    # No longer than any id: a database has no room for more.
    number = int(typed) if typed.isdecimal() and len(typed) < 19 else 0
    feedback = Feedback.objects.filter(task=task, pk=number).first()
    if feedback is None:
        raise Invalid(_("Choose one of the judgements of this item."))
    if decision == "accept":
        reviews.accept(feedback=feedback, cause=cause, note=note, actor=request.user)
        return _("The judgement stands for this item; all others are kept.")
    if decision == "return":
        returning.give_back(feedback=feedback, note=note, actor=request.user)
        return _("The judgement went back to who gave it, with your note.")
    raise Invalid(_("Accept a judgement, override them, or send one back."))


def _page(
    request: SignedInRequest, campaign: Campaign, task: Task, *, values: dict[str, Any] | None, status: int
) -> HttpResponse:
    feedback_kind = kind(campaign.kind)
    order = list(range(len(task.content["completions"])))
    as_if_held = Assignment(key="", task=task, campaign=campaign, user=request.user, shown_order=order)
    rows = []
    for judged in reviews.judgements(task):
        waiting = getattr(judged, "returned", None)
        rows.append(
            {
                "feedback": judged,
                "said": feedback_kind.describe(judged.payload, options=campaign.options, shown_order=order),
                "comment": comments(feedback_kind.initial(judged.payload, shown_order=order)),
                "seconds": judged.active_seconds if judged.active_seconds is not None else judged.seconds,
                "returned": waiting if waiting and waiting.settled_at is None else None,
            }
        )
    reader = may(request.user, campaign, Action.READ)
    item = shown_item(campaign, as_if_held, values=values or {})
    context = {
        "item": item,
        "values": item["values"],
        "task": task,
        "rows": rows,
        "standing": reviews.decision(task),
        "causes": Cause.choices,
        "tabs": page_tabs(request, campaign, reader=reader),
    }
    return campaign_page_of(request, campaign, "campaigns/review.html", context, tab="reviews", status=status)
