"""The reviewer's pages: items on which people differ, and one of them with everybody's judgements side by side."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from django.http import Http404, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods

from annotation.access import Action
from annotation.dialogues import EACH_TURN, scope_of
from annotation.errors import AnnotationError, Invalid
from annotation.feedback import kind, merging
from annotation.feedback.fields import letters
from annotation.feedback.points import Point
from annotation.models import Assignment, Campaign, Cause, Feedback, Task
from annotation.permissions import LARGEST_ID, may
from annotation.services import returning, reviews
from frontend.decorators import campaign_page
from frontend.http import SignedInRequest, complain, say
from frontend.lead_pages import campaign_page_of
from frontend.views.items import shown_item
from frontend.views.quality import page_tabs
from frontend.views.work import comments, excerpt, sent

# Of a kind that asks more than so much, only what people answered differently is listed.
FEW_QUESTIONS = 12
_OF_THE_PAGE = ("decision", "judgement", "review_cause", "review_note")


@campaign_page(Action.REVIEW)
@never_cache
@require_GET
def review_queue(request: SignedInRequest, campaign: Campaign) -> HttpResponse:
    """Return the items on which people differ, the widest apart first."""
    rows = [(one, excerpt(one.task.content["messages"])) for one in reviews.conflicts(campaign, reviewer=request.user)]
    reader = may(request.user, campaign, Action.READ)
    flagged = [(task, flags, excerpt(task.content["messages"])) for task, flags in reviews.flagged(campaign)]
    named = [(Cause(cause).label, n) for cause, n in reviews.causes(campaign).items()]
    context = {"rows": rows, "flagged": flagged, "causes": named, "tabs": page_tabs(request, campaign, reader=reader)}
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
    try:
        reviews.look(task=task, reviewer=request.user)
    except Invalid as error:
        complain(request, error)
        return redirect("reviews", campaign.pk)
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
    everybody = reviews.judgements(task)
    for judged in everybody:
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
    taken_over = next((judged for judged in everybody if str(judged.pk) == request.GET.get("from")), None)
    forms = [feedback_kind.initial(judged.payload, shown_order=order) for judged in everybody]
    aligned = feedback_kind.aligned(forms, options=campaign.options)
    filled = {judged.pk: form for judged, form in zip(everybody, aligned, strict=True)}
    questions = _by_question(campaign, everybody, order, filled)
    if values is None and taken_over is not None:
        values = filled[taken_over.pk]
    if request.method == "GET":
        values = {**(values or {}), **_merged(request.GET.getlist("take"), questions, filled, begun=bool(values))}
    item = shown_item(campaign, as_if_held, values=values or {})
    for one in questions:
        for cell in one["said"]:
            query = request.GET.copy()
            query.appendlist("take", cell["take"])
            cell["href"] = f"?{query.urlencode()}#own"
    shown = [one for one in questions if one["differs"] or not one["compared"] or len(questions) <= FEW_QUESTIONS]
    context = {
        "item": item,
        "values": item["values"],
        "task": task,
        "rows": rows,
        "questions": shown,
        "alike": len(questions) - len(shown),
        "taken_over": bool(values),
        # For the script: what to fill in, and with what to begin.
        "merging": {
            "agreed": {} if values else merging.agreed(list(filled.values())),
            "takes": {cell["take"]: cell["fields"] for one in questions for cell in one["said"] if cell["fields"]},
        },
        "typed": request.POST,  # of what was refused
        "standing": reviews.decision(task),
        "may_give_gold": reader and may(request.user, campaign, Action.IMPORT),
        "causes": Cause.choices,
        "tabs": page_tabs(request, campaign, reader=reader),
    }
    return campaign_page_of(request, campaign, "campaigns/review.html", context, tab="reviews", status=status)


def _merged(
    asked: Sequence[str], questions: Sequence[dict[str, Any]], filled: dict[int, dict[str, Any]], *, begun: bool
) -> dict[str, Any]:
    """Return the answers that were taken over question by question, for who has no script; the last one counts.

    Where nothing was `begun` with, what all agree on stands there already.
    """
    values = {} if begun or not asked else merging.agreed(list(filled.values()))
    offered = {cell["take"]: cell["fields"] for one in questions for cell in one["said"] if cell["fields"]}
    for name in asked[-100:]:
        values |= offered.get(name, {})
    return values


def _by_question(
    campaign: Campaign, judged: Sequence[Feedback], order: Sequence[int], filled: dict[int, dict[str, Any]]
) -> list[dict[str, Any]]:
    """Return what each person said to each question, in the order of `judged`: where they differ first.

    With it what to fill into the form to answer the question as they did, and the name of that; see `merging`.
    """
    feedback_kind = kind(campaign.kind)
    forms = list(filled.values())
    titles = {one.name: one.title for one in feedback_kind.dimensions(campaign.options)}
    parts = {(one.question, one.place): one for one in feedback_kind.parts(forms, options=campaign.options)}
    said: dict[tuple[str, int], dict[int, Point]] = defaultdict(dict)
    for one in judged:
        for point in feedback_kind.points(one.payload):
            said[point.dimension, point.place][one.pk] = point
    places = {place for _name, place in [*said, *parts]}
    found = []
    for name, place in dict.fromkeys([*said, *parts]):
        by_person, part = said.get((name, place), {}), parts.get((name, place))
        title = part.title if part else titles.get(name, name)
        if len(places) > 1 and len(order) > 1:
            title = _of_place(campaign, title, place, order)
        if part:
            words = {pk: part.said(form) for pk, form in filled.items()}
            fields = {pk: {field: form.get(field, "") for field in part.names} for pk, form in filled.items()}
        else:
            words = {
                pk: feedback_kind.point_in_words(point, options=campaign.options, shown_order=order)
                for pk, point in by_person.items()
            }
            fields = {pk: merging.taken(name, place, giver=filled[pk], everybody=forms) for pk in by_person}
        found.append(
            {
                "title": title,
                "said": [
                    {
                        "words": words.get(one.pk, ""),
                        "take": f"{name}.{place}.{one.pk}",
                        "fields": fields.get(one.pk, {}),
                    }
                    for one in judged
                ],
                "differs": len({point.value for point in by_person.values()}) > 1,
                "compared": bool(by_person),  # texts differ anyway
            }
        )
    return sorted(found, key=lambda row: (not row["differs"], row["compared"]))


def _of_place(campaign: Campaign, title: str, place: int, order: Sequence[int]) -> str:
    """Return a question with what it is about: a turn of the dialogue, or the letter of an answer."""
    if scope_of(campaign.options) == EACH_TURN:
        return _("{title} (turn {n})").format(title=title, n=place + 1)
    return f"{title} ({letters(order)[place] if place < len(order) else place + 1})"
