"""The annotator's screen: the next item, submit, skip, draft, undo, history.

Every address works as plain POST and redirect. A script that sends ``HX-Request: true`` gets the next item as a
fragment instead, and the same checks.
"""

from __future__ import annotations

import json
import math
import secrets
from string import ascii_uppercase
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpResponse, HttpResponseRedirect
from django.middleware.csrf import get_token
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.functional import SimpleLazyObject
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from annotation import progress, skips, suggestions
from annotation.access import Action
from annotation.errors import AnnotationError, Invalid
from annotation.feedback import kind
from annotation.feedback.fields import shortened
from annotation.messages import Message, in_words
from annotation.models import Assignment, Campaign, Feedback
from annotation.permissions import assignment_for
from annotation.services import attention, queue, returning, setting_aside, submission, wellbeing
from frontend.decorators import campaign_page
from frontend.http import SignedInRequest, complain, page, say, wants_fragment
from frontend.views.items import shown_item
from frontend.wording import COVERED, WORDS
from training.services import chats

MOST_MEASURES = 20_000  # characters; the page sends some hundred, more where there are many inputs

annotator_page = campaign_page(Action.JUDGE)

# Fetched beside the page instead of one after the other as the imports are found.
MODULES = [
    f"js/{name}.js"
    for name in (
        "activity",
        "behaviour",
        "changes",
        "copying",
        "database",
        "diff",
        "draft",
        "form",
        "images",
        "keys",
        "net",
        "outbox",
        "reading",
        "review",
        "rows",
        "screen",
        "status",
        "steps",
        "store",
        "timer",
        "turns",
        "view",
    )
]


@never_cache
@require_http_methods(["GET", "POST"])
@annotator_page
def work(request: SignedInRequest, campaign: Campaign) -> HttpResponse:
    """Return the item to judge now, or the one named by ``?item=``; POST stores a judgement and moves on.

    With ``?ahead=1`` a script gets the item after that (204 when there is none); with ``?look=1`` only whether there
    is work, without taking any.
    """
    if request.method == "POST":
        return _submit(request, campaign)
    if not campaign.agreed:
        return warning(request, campaign)
    if "ahead" in request.GET and halted(campaign):
        return HttpResponse(status=204)
    if key := request.GET.get("item"):
        assignment = own(request, campaign, key)
        if assignment.state in (Assignment.State.SUBMITTED, Assignment.State.OPEN):
            return screen(request, campaign, assignment)
        say(request, _("That item was handed back; this is your next one."), level=messages.INFO)
    if "look" in request.GET and not halted(campaign):
        get_token(request)  # a script whose token is out of date comes here for a new one
        return screen(request, campaign, None)
    if "ahead" in request.GET:
        ahead = queue.next_task(user=request.user, campaign=campaign, ahead=True)
        return screen(request, campaign, ahead) if ahead else HttpResponse(status=204)
    return _next(request, campaign)


@require_POST
@annotator_page
def skip(request: SignedInRequest, campaign: Campaign) -> HttpResponse:
    """Hand an item back with a reason and return the next one; safe to repeat."""
    assignment = own(request, campaign, request.POST.get("assignment", ""))
    try:
        submission.skip(assignment=assignment, reason=request.POST.get("reason", ""), note=request.POST.get("note", ""))
    except AnnotationError as error:
        return refused(request, campaign, error)
    return move_on(request, campaign)


@require_POST
@annotator_page
def draft(request: SignedInRequest, campaign: Campaign) -> HttpResponse:
    """Keep what was typed so far and renew the lease of somebody who is at work; 204, or 409 when the lease is lost."""
    assignment = own(request, campaign, request.POST.get("assignment", ""))
    try:
        typed = json.loads(request.POST.get("draft", ""))
        submission.save_draft(assignment=assignment, draft=typed)
        if assignment.state == Assignment.State.OPEN:
            queue.extend(assignment=assignment)
    except ValueError:
        return HttpResponse(_("Send the draft as a JSON object."), status=400)
    except AnnotationError as error:
        return HttpResponse(str(error), status=error.status)
    return HttpResponse(status=204)


@require_POST
@annotator_page
def beat(request: SignedInRequest, campaign: Campaign) -> HttpResponse:
    """Renew the lease of somebody who reads, and of the item fetched for them; 204, or 409 when it has gone back."""
    try:
        queue.hold(user=request.user, campaign=campaign, key=request.POST.get("assignment", ""))
    except AnnotationError as error:
        return HttpResponse(str(error), status=error.status)
    return HttpResponse(status=204)


@never_cache
@require_GET
@annotator_page
def undo(request: SignedInRequest, campaign: Campaign) -> HttpResponse:
    """Return the last judged item with its answer filled in; with ``?before=`` the one judged before that item.

    Nothing changes until it is submitted again, which writes a new version.
    """
    judged = submission.last_submitted(user=request.user, campaign=campaign)
    keys = [feedback.assignment.key for feedback in judged]
    start = keys.index(request.GET["before"]) + 1 if request.GET.get("before") in keys else 0
    if start < len(judged):
        assignment = judged[start].assignment
        assignment.task, assignment.campaign, assignment.user = judged[start].task, campaign, request.user
        return screen(request, campaign, assignment, judged=judged[start])
    if wants_fragment(request):
        return HttpResponse(status=204)
    say(request, _("There is nothing further back to undo."), level=messages.INFO)
    return redirect("work", campaign.pk)


@never_cache
@require_GET
@annotator_page
def history(request: SignedInRequest, campaign: Campaign) -> HttpResponse:
    """Return this person's last 50 judgements as the database has them."""
    feedback_kind = kind(campaign.kind)
    rows = []
    for judged in submission.last_submitted(user=request.user, campaign=campaign, limit=50):
        shown_order = judged.shown_order
        rows.append(
            {
                "key": judged.assignment.key,
                "when": judged.created_at,
                "excerpt": excerpt(judged.task.content["messages"]),
                "said": feedback_kind.describe(judged.payload, options=campaign.options, shown_order=shown_order),
                "suggested": suggestions.in_words(
                    feedback_kind, judged.task.meta, options=campaign.options, shown_order=shown_order
                ),
                "comment": comments(feedback_kind.initial(judged.payload, shown_order=shown_order)),
                "version": judged.version,
                "active_seconds": judged.active_seconds,
                "behaviour": _shown_behaviour(judged),
            }
        )
    aside = len(setting_aside.pile(user=request.user, campaign=campaign))
    back = [
        (one.feedback.assignment.key, excerpt(one.feedback.task.content["messages"]), one.note)
        for one in (returning.pile(user=request.user, campaign=campaign) if campaign.returned else ())
    ]
    day = progress.day_of(request.user, campaign)
    context = {"campaign": campaign, "rows": rows, "returned": back, "set_aside": aside, "day": day}
    return render(request, "work/history.html", context)


@require_GET
@annotator_page
def guideline(request: SignedInRequest, campaign: Campaign) -> HttpResponse:
    """Return the guidelines' drawer alone, for a page that was open when they changed."""
    return render(request, "work/_guidelines.html", campaign_context(campaign))


def _submit(request: SignedInRequest, campaign: Campaign) -> HttpResponse:
    assignment = own(request, campaign, request.POST.get("assignment", ""))
    try:
        if assignment.state != Assignment.State.SUBMITTED:
            opened(request, campaign)
        submission.submit(
            assignment=assignment,
            data=sent(request),
            client_key=request.POST.get("client_key", "") or secrets.token_urlsafe(16),
            active_seconds=seconds_in(request.POST.get("active_seconds", "")),
            behaviour=measures_in(request.POST.get("behaviour", "")),
            flagged=bool(request.POST.get("flagged")),
            guideline_version=_version_in(request.POST.get("guideline", "")),
        )
    except Invalid as error:
        return screen(request, campaign, assignment, values=sent(request), invalid=error)
    except AnnotationError as error:
        return refused(request, campaign, error)
    return move_on(request, campaign)


def opened(request: SignedInRequest, campaign: Campaign) -> None:
    """Raise `Invalid` where the page covered what is judged and nobody asked to see it. REST covers nothing."""
    if campaign.wellbeing == Campaign.Wellbeing.LIKELY and not request.POST.get("opened"):
        raise Invalid(str(COVERED))


def move_on(request: SignedInRequest, campaign: Campaign) -> HttpResponse:
    """Answer an accepted submit or skip: the next item for a script, a redirect to it for a browser."""
    if wants_fragment(request):
        return _next(request, campaign)
    return redirect("work", campaign.pk)


def refused(request: SignedInRequest, campaign: Campaign, error: AnnotationError) -> HttpResponse:
    """Answer what could not be accepted: its sentence, and the next item as usual."""
    if wants_fragment(request):
        return HttpResponse(str(error), status=error.status, content_type="text/plain; charset=utf-8")
    complain(request, error)
    return HttpResponseRedirect(reverse("work", args=[campaign.pk]))


def warning(request: SignedInRequest, campaign: Campaign) -> HttpResponse:
    """Return what stands before the first item of a campaign with unpleasant texts."""
    context = {**campaign_context(campaign), "categories": wellbeing.categories(campaign)}
    return _before(request, "work/_warning.html", context)


def halted(campaign: Campaign) -> bool:
    """Return whether something stands before this person's next item: a test, a word on their attention, a pause."""
    return campaign.paused_at is not None or campaign.warned_at is not None or not campaign.qualified


def halt(request: SignedInRequest, campaign: Campaign) -> HttpResponse:
    """Return what stands in the place of an item: that they are paused, what they missed, or the way to the test."""
    checks = attention.last_checks(request.user, campaign) if campaign.paused_at or campaign.warned_at else []
    context = {
        **campaign_context(campaign),
        "checks": len(checks),
        "missed": sum(one.is_missed for one in checks),
    }
    return _before(request, "work/_halt.html", context)


def _before(request: SignedInRequest, part: str, context: dict[str, Any]) -> HttpResponse:
    """Return `part`, which stands in the place of an item, with the guideline below it when it is a page of its own."""
    return page(request, "work/before.html", {**context, "part": part}, fragment=part)


def _next(request: SignedInRequest, campaign: Campaign) -> HttpResponse:
    if not campaign.agreed:  # the lead said what may come only after this person had begun
        return warning(request, campaign)
    if halted(campaign):
        return halt(request, campaign)
    return screen(request, campaign, queue.next_task(user=request.user, campaign=campaign))


def screen(
    request: SignedInRequest,
    campaign: Campaign,
    assignment: Assignment | None,
    *,
    values: dict[str, Any] | None = None,
    invalid: Invalid | None = None,
    judged: Feedback | None = None,
    more: dict[str, Any] | None = None,
) -> HttpResponse:
    """Return the work screen with this item on it, or the done screen when there is none.

    `more` is what the kind's own template needs besides.
    """
    if assignment is not None and assignment.state == Assignment.State.SUBMITTED and judged is None:
        judged = Feedback.objects.current().filter(assignment=assignment).first()
    item = shown_item(campaign, assignment, judged=judged, values=values) if assignment else None
    context = {
        **campaign_context(campaign),
        "progress": progress.my_progress(request.user, campaign),
        # Lazy: only the screen that has no item says how the day went.
        "day": SimpleLazyObject(lambda: progress.day_of(request.user, campaign)),
        "item": item,
        "values": item["values"] if item else {},
        "returned": returning.note_on(judged) if judged and campaign.returned else "",
        "errors": invalid.errors if invalid else {},
        "form_error": str(invalid) if invalid else "",
        "skip_reasons": skips.offered(campaign),
        "modules": MODULES,
        # Lazy as well: a page that stays open is told by its script.
        "guidelines_are_new": SimpleLazyObject(lambda: progress.judged_by_older_guidelines(request.user, campaign)),
        "words": WORDS,
        # Lazy: a fragment has no bar with links.
        "may_chat": SimpleLazyObject(lambda: chats.settings_of(campaign) is not None),
        **(more or {}),
    }
    fragment = "work/_task.html" if item else "work/_done.html"
    return page(request, "work/task.html", context, fragment=fragment, status=invalid.status if invalid else 200)


def campaign_context(campaign: Campaign) -> dict[str, Any]:
    """Return what every screen on which people judge has around it: the guidelines and the keys."""
    # Lazy: a fragment does not show the guidelines and need not ask for them.
    guidelines = campaign.guidelines.filter(version=campaign.guideline_version)
    return {
        "campaign": campaign,
        "guideline": SimpleLazyObject(guidelines.first),
        "help_template": f"feedback/keys/{campaign.kind}.html",
    }


def own(request: SignedInRequest, campaign: Campaign, key: str) -> Assignment:
    """Return this person's assignment `key`, if it belongs to the campaign the address names."""
    assignment = assignment_for(request.user, key)
    if assignment.campaign_id != campaign.pk:
        raise Http404(_("There is no such item."))
    return assignment


def sent(request: SignedInRequest) -> dict[str, Any]:
    """Return the inputs of the form; they may be kept as a draft, so without the session's token."""
    return {name: value for name, value in request.POST.items() if name != "csrfmiddlewaretoken"}


def seconds_in(text: str) -> float | None:
    """Return the seconds the page measured; None for what no clock can have measured."""
    try:
        seconds = float(text)
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) and 0 <= seconds < 86_400 else None


def _version_in(text: str) -> int | None:
    """Return the version of the guidelines that the page had; None for what is none."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else None


def measures_in(text: str) -> Any:
    """Return the measures the page sent as JSON; None for what is none, because they must not cost a judgement."""
    try:
        return json.loads(text) if len(text) <= MOST_MEASURES else None
    except (ValueError, RecursionError):
        return None


def comments(values: dict[str, Any]) -> str:
    """Return the comment, or those on each turn, of what a form was filled with."""
    said = [str(text) for name, text in values.items() if name == "comment" or name.endswith("_comment")]
    return " · ".join(filter(None, said))


def _shown_behaviour(judged: Feedback) -> dict[str, Any] | None:
    """Return the measures for the history, with `read` as pairs of letter and share, as the answers stood there."""
    if judged.behaviour is None:
        return None
    read = judged.behaviour.get("read") or []
    shares = [(ascii_uppercase[place], read[position]) for place, position in enumerate(judged.shown_order) if read]
    return {
        **judged.behaviour,
        "answered": sorted((judged.behaviour.get("answered") or {}).values()),
        "read": [(letter, share) for letter, share in shares if share is not None],
    }


def excerpt(turns: list[Message]) -> str:
    """Return the beginning of the last turn, on one line."""
    return shortened(" ".join(in_words(turns[-1]["content"]).split()), most=140) if turns else ""
