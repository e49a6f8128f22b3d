"""The playground: talk to a version of the policy, or to two side by side, and make a turn an item to judge.

Every address works as plain POST and redirect; answers that grow are a fragment that asks for itself.
"""

from __future__ import annotations

import secrets
from typing import Any

from django.http import Http404, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from annotation.access import Action
from annotation.errors import AnnotationError
from annotation.models import Campaign
from annotation.permissions import may
from frontend.decorators import campaign_page
from frontend.forms.playground import PlaygroundForm
from frontend.http import SignedInRequest, complain
from frontend.http import say as tell
from frontend.lead_pages import campaign_page_of
from frontend.stop_polling import fragment_or_stop
from frontend.views.models import MODE_WORDS
from training.errors import Invalid, TrainingError
from training.models import Chat, ChatTurn
from training.recipes.chat import MAX_CHARACTERS, MAX_TURNS
from training.services import chats, knowledge, playground

State = ChatTurn.State
engineer_page = campaign_page(Action.TRAIN)


@never_cache
@require_GET
@engineer_page
def page(request: SignedInRequest, campaign: Campaign) -> HttpResponse:
    """Return what was said so far, or the form that opens a playground; ``?policy=`` and ``?beside=`` fill it in."""
    talk = playground.current(campaign=campaign, user=request.user)
    if talk is not None and not talk.modes[0]:
        chats.expect(campaign=campaign, chat=talk)
    given = {name: request.GET[name] for name in ("policy", "beside") if name in request.GET}
    return _screen(request, campaign, talk, form=_form(request, campaign, talk, given), asks=bool(given))


@require_POST
@engineer_page
def start(request: SignedInRequest, campaign: Campaign) -> HttpResponse:
    """Open a playground with these models in place of the one there was."""
    form = PlaygroundForm(request.POST, **_offers(request, campaign))
    if form.is_valid():
        try:
            playground.start(campaign=campaign, user=request.user, **form.asked)
        except Invalid as error:
            for name, reasons in (error.errors or {"": [str(error)]}).items():
                form.add_error(name or None, reasons)
        else:
            return redirect("playground", campaign.pk)
    talk = playground.current(campaign=campaign, user=request.user)
    return _screen(request, campaign, talk, form=form, status=422)


@require_POST
@engineer_page
def say(request: SignedInRequest, campaign: Campaign) -> HttpResponse:
    """Send a message to every model of the playground; safe to repeat with the same key."""
    talk = _talk(request, campaign)
    message, key = request.POST.get("message", ""), request.POST.get("client_key", "")
    place = request.POST.get("goes_on", "0")
    try:
        playground.say(chat=talk, message=message, client_key=key, goes_on=int(place) if place in ("0", "1") else -1)
    except (AnnotationError, TrainingError) as error:
        return _screen(request, campaign, talk, error=error, typed=message, key=key, status=error.status)
    return redirect(f"{reverse('playground', args=[campaign.pk])}#message")


@require_POST
@campaign_page(Action.IMPORT)
def save(request: SignedInRequest, campaign: Campaign) -> HttpResponse:
    """Make an answered turn an item of the campaign; safe to repeat."""
    talk = _talk(request, campaign)
    number = request.POST.get("turn", "")
    turn = talk.turns.filter(number=int(number)).first() if number.isascii() and number.isdigit() else None
    if turn is None:
        raise Http404(_("There is no such turn in your playground."))
    turn.chat = talk
    try:
        task = playground.make_item(turn=turn, actor=request.user)
    except (AnnotationError, TrainingError) as error:
        complain(request, error)
    else:
        tell(request, _("Turn {number} is an item to judge now: {id}.").format(number=number, id=task.external_id))
    return redirect("playground", campaign.pk)


@require_POST
@engineer_page
def leave(request: SignedInRequest, campaign: Campaign) -> HttpResponse:
    """End the playground. Items made of it stay."""
    playground.end(campaign=campaign, user=request.user)
    return redirect("playground", campaign.pk)


@never_cache
@require_GET
@engineer_page
def answers(request: SignedInRequest, campaign: Campaign) -> HttpResponse:
    """Return the answers as far as they are written; once they are finished, the page's whole conversation."""
    talk = _talk(request, campaign)
    turn = talk.turns.order_by("-number").first()
    if turn is None:
        raise Http404(_("There is no such turn in your playground."))
    if turn.is_under_way:
        context = {"campaign": campaign, "row": _row(talk, turn), "waits_long": chats.waits_long(turn)}
        return fragment_or_stop(request, "playground/_answers.html", context, more=True)
    response = fragment_or_stop(request, "playground/_talk.html", _talk_context(request, campaign, talk), more=False)
    response.headers["HX-Retarget"], response.headers["HX-Reswap"] = "#talk", "outerHTML"
    return response


def _talk(request: SignedInRequest, campaign: Campaign) -> Chat:
    talk = playground.current(campaign=campaign, user=request.user)
    if talk is None:
        raise Http404(_("You have no playground open here."))
    return talk


def _form(request: SignedInRequest, campaign: Campaign, talk: Chat | None, given: dict[str, str]) -> PlaygroundForm:
    initial: dict[str, Any] = {}
    if talk is not None:
        initial = {"policy": talk.policy_id, "beside": talk.beside_id, **talk.settings}
    return PlaygroundForm(initial={**initial, **given}, **_offers(request, campaign))


def _offers(request: SignedInRequest, campaign: Campaign) -> dict[str, Any]:
    """Return the policies to talk to, the modes that any has and this person may hear, the users that any knows, and
    whether any reads what people say they like.
    """
    policies = playground.models(campaign)
    heard = playground.modes(campaign, request.user, policies)
    return {
        "versions": policies,
        "modes": {mode: words for mode, words in MODE_WORDS.items() if mode in heard},
        "users": playground.users(policies),
        "reads_texts": playground.reads_texts(policies),
    }


def _screen(
    request: SignedInRequest,
    campaign: Campaign,
    talk: Chat | None,
    *,
    form: PlaygroundForm | None = None,
    error: AnnotationError | TrainingError | None = None,
    typed: str = "",
    key: str = "",
    asks: bool = False,
    status: int = 200,
) -> HttpResponse:
    context: dict[str, Any] = {"form": form or _form(request, campaign, talk, {}), "talk": talk, "asks": asks}
    if talk is not None:
        context |= _talk_context(request, campaign, talk, error=error, typed=typed, key=key)
    return campaign_page_of(request, campaign, "playground/page.html", context, tab="models", status=status)


def _talk_context(
    request: SignedInRequest,
    campaign: Campaign,
    talk: Chat,
    *,
    error: AnnotationError | TrainingError | None = None,
    typed: str = "",
    key: str = "",
) -> dict[str, Any]:
    turns = list(talk.turns.order_by("number"))
    last = turns[-1] if turns else None
    saved = playground.saved(talk, turns)
    objections = playground.objections(talk, turns)
    return {
        "campaign": campaign,
        "talk": talk,
        "speakers": [
            (one, MODE_WORDS.get(mode, "") or user)
            for one, mode, user in zip(talk.speakers, talk.modes, talk.users, strict=True)
        ],
        "rows": [
            {
                **_row(talk, turn),
                "saved": playground.external_id(turn) in saved,
                "objection": objections.get(turn.number, ""),
            }
            for turn in turns
        ],
        "last": last,
        "waits_long": last is not None and chats.waits_long(last),
        "is_full": len(turns) >= MAX_TURNS and last is not None and last.state != State.FAILED,
        "may_save": may(request.user, campaign, Action.IMPORT),
        "typed": typed or (last.message if last is not None and last.state == State.FAILED else ""),
        "client_key": key or secrets.token_urlsafe(16),
        "said_error": str(error) if error else "",
        "max_characters": MAX_CHARACTERS,
    }


def _row(talk: Chat, turn: ChatTurn) -> dict[str, Any]:
    """Return a turn with who answered what, also where nobody did yet."""
    texts = [answer["text"] for answer in turn.answers]
    texts += [""] * (len(talk.speakers) - len(texts))
    guards = [chats.is_guards(answer) for answer in turn.answers]
    guards += [False] * (len(texts) - len(guards))
    return {
        "turn": turn,
        "answers": [
            {
                "place": place,
                "version": version,
                "mode": MODE_WORDS.get(talk.modes[place], ""),
                "user": talk.users[place],
                "text": text,
                "tokens": turn.answers[place].get("tokens") if place < len(turn.answers) else None,
                "is_cut_off": turn.state in (State.ANSWERED, State.CHOSEN)
                and not turn.answers[place].get("ended", True),
                "is_guards": guards[place],
                "quotations": knowledge.quotations(talk.campaign, text) if guards[place] else [],
                "went_on": turn.chosen == place and talk.beside is not None,
            }
            for place, (version, text) in enumerate(zip(talk.speakers, texts, strict=True))
        ],
    }
