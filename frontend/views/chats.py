"""Talking to the policy: a message, two answers that grow side by side, a choice, and on.

Every address works as plain POST and redirect. A script that sends ``HX-Request: true`` gets the chat as a fragment.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from datetime import timedelta
from string import ascii_uppercase
from typing import Any

from django.http import Http404, HttpResponse
from django.shortcuts import redirect
from django.utils.functional import SimpleLazyObject
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from annotation.access import Action
from annotation.errors import AnnotationError
from annotation.feedback import kind
from annotation.feedback.pairwise import RED_TEAM
from annotation.models import Campaign
from annotation.permissions import may
from frontend.decorators import campaign_page
from frontend.http import SignedInRequest, complain, page, wants_fragment
from frontend.stop_polling import STOP_POLLING
from frontend.views.items import shown_turns
from frontend.views.work import campaign_context, measures_in, opened, seconds_in, sent, warning
from frontend.wording import WORDS
from training.errors import TrainingError
from training.models import Chat, ChatTurn
from training.recipes.chat import MAX_CHARACTERS, MAX_TURNS
from training.services import chats, knowledge
from training.services.knowledge import Quotation

State = ChatTurn.State

# Longer than a worker needs to take a turn up: somebody has to look whether there is one.
SUSPICIOUS = timedelta(seconds=10)
CHAT_WORDS = {
    **WORDS,
    "both-ready": _("Both answers are there. Choose."),
    "your-turn": _("The chat goes on with the answer you chose. Write your next message."),
    "answering": _("Sent. The model is answering."),
}
MODULES = [
    f"js/{name}.js"
    for name in (
        "activity",
        "behaviour",
        "copying",
        "database",
        "diff",
        "draft",
        "form",
        "keys",
        "net",
        "reading",
        "screen",
        "status",
        "steps",
        "store",
        "timer",
    )
]

annotator_page = campaign_page(Action.JUDGE)
Refusal = AnnotationError | TrainingError


@never_cache
@require_GET
@annotator_page
def chat(request: SignedInRequest, campaign: Campaign) -> HttpResponse:
    """Return this person's chat with the campaign's policy as it stands, or the box in which one begins."""
    if not campaign.agreed:
        return warning(request, campaign)
    if not _objection(request, campaign):
        chats.expect(campaign=campaign, chat=_own(request, campaign))
    return _screen(request, campaign)


@never_cache
@require_GET
@annotator_page
def answers(request: SignedInRequest, campaign: Campaign) -> HttpResponse:
    """Return both answers as far as they are written; once they are finished, the chat in its place, and no more."""
    talk = _own(request, campaign)
    turn = talk.turns.order_by("-number").first() if talk is not None else None
    if turn is None or not turn.is_under_way:
        response = _screen(request, campaign)
        response.status_code = STOP_POLLING
        response.headers["HX-Retarget"], response.headers["HX-Reswap"] = "#chat", "outerHTML"
        return response
    context = {"campaign": campaign, **_shown_turn(campaign, turn)}
    return page(request, "chat/_answers.html", context, fragment="chat/_answers.html")


@require_POST
@annotator_page
def say(request: SignedInRequest, campaign: Campaign) -> HttpResponse:
    """Send a message, in a new chat when there is none; safe to repeat with the same key."""
    message, key = request.POST.get("message", ""), request.POST.get("client_key", "")
    try:
        talk = _own(request, campaign) or chats.start(campaign=campaign, user=request.user)
        chats.say(chat=talk, message=message, client_key=key)
    except (AnnotationError, TrainingError) as error:
        return _refused(request, campaign, error, typed=message, client_key=key)
    return _move_on(request, campaign)


@require_POST
@annotator_page
def choose(request: SignedInRequest, campaign: Campaign) -> HttpResponse:
    """Store which answer is better, and go on with it; safe to repeat with the same key."""
    values = sent(request)
    turn = _turn(request, campaign, values.pop("turn", ""))
    key = values.pop("client_key", "")
    try:
        if not turn.says_the_same:
            opened(request, campaign)
        chats.choose(
            turn=turn,
            data=values,
            client_key=key,
            active_seconds=seconds_in(values.pop("active_seconds", "")),
            behaviour=measures_in(values.pop("behaviour", "")),
        )
    except (AnnotationError, TrainingError) as error:
        return _refused(request, campaign, error, values={**values, "client_key": key})
    return _move_on(request, campaign)


@require_POST
@annotator_page
def end(request: SignedInRequest, campaign: Campaign) -> HttpResponse:
    """End the chat; what was judged stays. Safe to repeat."""
    talk = _own(request, campaign)
    if talk is not None:
        chats.end(chat=talk)
    return _move_on(request, campaign)


def _own(request: SignedInRequest, campaign: Campaign) -> Chat | None:
    talk = chats.current(campaign=campaign, user=request.user)
    if talk is not None:
        # As the gate knows them, with what stands between this person and its items.
        talk.campaign, talk.user = campaign, request.user
    return talk


def _turn(request: SignedInRequest, campaign: Campaign, number: str) -> ChatTurn:
    """Return the turn of this person's chat that a form names; Http404 for any other."""
    talk = _own(request, campaign)
    turn = talk.turns.filter(number=int(number)).first() if talk and number.isascii() and number.isdigit() else None
    if turn is None:
        raise Http404(_("There is no such turn in your chat; it may have ended."))
    return turn


def _move_on(request: SignedInRequest, campaign: Campaign) -> HttpResponse:
    if wants_fragment(request):
        return _screen(request, campaign)
    return redirect("chat", campaign.pk)


def _refused(
    request: SignedInRequest,
    campaign: Campaign,
    error: Refusal,
    *,
    typed: str = "",
    client_key: str = "",
    values: Mapping[str, Any] | None = None,
) -> HttpResponse:
    """Answer what could not be accepted, with what was entered still in place.

    A script that hears of a conflict keeps its form; a browser without one gets it filled in again.
    """
    if wants_fragment(request) and error.status != 422:
        return HttpResponse(str(error), status=error.status, content_type="text/plain; charset=utf-8")
    if error.status != 422:
        complain(request, error)
    return _screen(request, campaign, error=error, typed=typed, client_key=client_key, values=values)


def _screen(
    request: SignedInRequest,
    campaign: Campaign,
    *,
    error: Refusal | None = None,
    typed: str = "",
    client_key: str = "",
    values: Mapping[str, Any] | None = None,
) -> HttpResponse:
    """Return the chat's page, or what is inside it."""
    talk = _own(request, campaign)
    turns = list(talk.turns.order_by("number")) if talk is not None else []
    last = turns[-1] if turns else None
    failed = last is not None and last.state == State.FAILED
    objection = "" if last is not None and not failed and last.state != State.CHOSEN else _objection(request, campaign)
    if len(turns) >= MAX_TURNS and last is not None and last.state == State.CHOSEN:
        objection = str(_("This chat has as many turns as one may have. End it, and start a new one if you like."))
    context = {
        **campaign_context(campaign),
        "chat": talk,
        "said": _said(campaign, turns),
        # Lazy: asked only where something is quoted.
        "may_read": SimpleLazyObject(lambda: may(request.user, campaign, Action.READ)),
        "said_keys": " ".join(turn.client_key for turn in turns),
        "objection": objection,
        "is_red_team": (talk.mode if talk else campaign.options.get("mode")) == RED_TEAM,
        "number": len(turns),
        "max_turns": MAX_TURNS,
        "max_characters": MAX_CHARACTERS,
        "typed": typed or (last.message if last is not None and failed else ""),
        "client_key": client_key or secrets.token_urlsafe(16),
        "values": dict(values or {}),
        "errors": getattr(error, "errors", {}) if error else {},
        "form_error": str(error) if error and error.status == 422 else "",
        "modules": MODULES,
        "words": CHAT_WORDS,
        **(_shown_turn(campaign, last) if last is not None and last.state != State.CHOSEN else {}),
    }
    status = error.status if error else 200
    return page(request, "chat/chat.html", context, fragment="chat/_chat.html", status=status)


def _objection(request: SignedInRequest, campaign: Campaign) -> str:
    """Return why this person cannot say anything now, or nothing."""
    try:
        chats.refuse_unless_allowed(campaign=campaign, user=request.user)
    except (AnnotationError, TrainingError) as error:
        return str(error)
    return ""


def _said(campaign: Campaign, turns: list[ChatTurn]) -> list[dict[str, Any]]:
    """Return what was said so far, with what chosen answers quote of the campaign's documents."""
    said = shown_turns(campaign, chats.transcript(turns))
    answers = (turn.answers[turn.chosen] for turn in turns if turn.chosen is not None)
    for message, answer in zip((one for one in said if one["role"] == "assistant"), answers, strict=True):
        message["quotations"] = _quotations(campaign, answer)
    return said


def _quotations(campaign: Campaign, answer: dict[str, Any]) -> list[Quotation]:
    """Return what an answer quotes where a guard gave it; a model's own marks are no citations."""
    return knowledge.quotations(campaign, answer["text"]) if chats.is_guards(answer) else []


def _shown_turn(campaign: Campaign, turn: ChatTurn) -> dict[str, Any]:
    """Return what the templates need of the turn that is not chosen yet."""
    texts = turn.answers or [{"text": ""}] * len(turn.shown_order)
    # The first answer alone is there while a second one is begun anew.
    texts = [*texts, *[{"text": ""}] * (len(turn.shown_order) - len(texts))]
    is_judged = turn.state == State.ANSWERED and not turn.says_the_same
    # What may be unpleasant is covered until somebody asks to see it, and so does not grow on the screen either.
    covered = campaign.wellbeing == Campaign.Wellbeing.LIKELY and turn.is_under_way
    is_late = chats.waits_long(turn)
    feedback_kind = kind(campaign.kind)
    options = {**campaign.options, "mode": turn.chat.mode}
    return {
        "turn": turn,
        "letters": [
            {
                "letter": ascii_uppercase[place],
                "text": "" if covered else texts[position]["text"],
                "quotations": [] if turn.is_under_way else _quotations(campaign, texts[position]),
                "is_cut_off": turn.state == State.ANSWERED and not texts[position].get("ended", True),
            }
            for place, position in enumerate(turn.shown_order)
        ],
        "covered": covered,
        "is_judged": is_judged,
        "waits_long": is_late,
        "others_first": is_late and chats.is_somebody_answered(),
        "is_loading": turn.state == State.ANSWERING and not turn.answers,
        "input_template": feedback_kind.template,
        "inputs": feedback_kind.context(options=options, shown_order=turn.shown_order) if is_judged else {},
    }
