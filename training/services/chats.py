"""What a person does in a chat: say something, choose one of two answers, go on with it, end it.

A choice is an ordinary judgement: the conversation so far is its prompt, the two answers are its completions, and it is
stored by the same service, under the same rules, as one about an imported pair. So exports, history, undo, agreement
and lineage know nothing of chats.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from django.core.cache import cache
from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from annotation import limits, routing
from annotation.errors import CampaignClosed, NotAgreed, TooMany
from annotation.feedback import kind
from annotation.feedback.pairwise import DEFAULTS, RED_TEAM, Pairwise
from annotation.models import Assignment, Campaign, Feedback, Task, User
from annotation.services import events, intake, submission
from annotation.storable import unstorable
from training.errors import Invalid, WrongState
from training.models import Chat, ChatTurn, Loop, ModelVersion, Sample
from training.recipes.chat import ANSWERS, MAX_CHARACTERS, MAX_NEW_TOKENS, MAX_TURNS
from training.recipes.loop import LoopSettings, loop_settings
from training.services import messages, versions

# Somebody waits in front of a screen: sooner than a run, a turn is taken from a worker that gives no sign of life.
LOST_SECONDS = 15
SUSPICIOUS = timedelta(seconds=10)  # a worker that is there takes a turn up before

State = ChatTurn.State


# --- Whether, and with whom --------------------------------------------------------------------------------------


def settings_of(campaign: Campaign) -> LoopSettings | None:
    """Return the loop's settings where people may talk to the campaign's policy, else None. One SQL statement."""
    if campaign.kind != Pairwise.name:
        return None
    loop = Loop.objects.filter(campaign=campaign).first()
    settings = None if loop is None else loop_settings(loop.settings)
    return settings if settings is not None and settings.chat else None


def offered_in(campaigns: Sequence[Campaign]) -> set[int]:
    """Return the ids of those campaigns in which people may talk to the policy. One SQL statement."""
    candidates = [campaign.pk for campaign in campaigns if campaign.kind == Pairwise.name]
    found = Loop.objects.filter(campaign__in=candidates).values_list("campaign_id", "settings")
    return {campaign_id for campaign_id, settings in found if settings.get("chat")}


def refuse_unless_allowed(*, campaign: Campaign, user: User) -> LoopSettings:
    """Return the loop's settings when this person may say something now; else raise with what stands against it.

    `campaign` is one that a gate of `annotation.permissions` let this person into. At most four SQL statements.
    """
    settings = settings_of(campaign)
    if settings is None:
        raise WrongState(_("People do not talk to the model here. A lead can allow it in the settings of the loop."))
    if not campaign.is_open:
        told = _("This campaign is not open yet, so the model does not answer. What you judged is stored.")
        if campaign.state == Campaign.State.CLOSED:
            told = _("This campaign is closed, so the model does not answer. What you judged is stored.")
        if campaign.state == Campaign.State.PAUSED:
            told = _("This campaign is paused, so the model does not answer. What you judged is stored.")
        raise CampaignClosed(told)
    if not campaign.agreed:
        expected = str(campaign.get_wellbeing_display())
        told = _("In this campaign {expected}. Read what it is about and agree to it before you talk to the model.")
        raise NotAgreed(told.format(expected=expected[:1].lower() + expected[1:]))
    if declined := set(campaign.about) & set(campaign.declined):
        told = _("What is said here may be about {categories}, which you declined to read.")
        raise WrongState(told.format(categories=", ".join(sorted(declined))))
    # Skills that no item asked for yet are not numbered, and then nobody lacks them in the queue either.
    if campaign.barred & routing.bits(campaign.tags, needs=campaign.requires):
        told = _("This needs skills that you were not given here: {skills}.")
        raise WrongState(told.format(skills=", ".join(campaign.requires)))
    if campaign.held_back:
        raise TooMany(_("The lead lets you judge nothing more here for now. What you judged is stored."))
    if limits.is_enough(user, campaign, held=0):
        raise TooMany(_("You have judged as many items as one person does here for now. Come back another day."))
    if campaign.rest_after and set(campaign.about) and (until := limits.rest_until(user, campaign)):
        told = _("You have read several unpleasant texts in a row. Look at something else; you may go on at {time}.")
        raise TooMany(told.format(time=f"{timezone.localtime(until):%H:%M}"))
    return settings


def current(*, campaign: Campaign, user: User) -> Chat | None:
    """Return this person's open chat here, or None."""
    return open_of(campaign, user, Chat.Purpose.WORK).select_related("campaign").first()


def open_of(campaign: Campaign, user: User, purpose: Chat.Purpose) -> QuerySet[Chat]:
    """Return the one open chat of a person in a campaign, or none."""
    return Chat.objects.filter(campaign=campaign, user=user, purpose=purpose, state=Chat.State.OPEN)


def is_somebody_answered() -> bool:
    """Return whether any worker has a model answer somebody right now. One SQL statement."""
    fresh = timezone.now() - timedelta(seconds=LOST_SECONDS)
    return ChatTurn.objects.filter(state=State.ANSWERING, heartbeat_at__gte=fresh).exists()


def expect(*, campaign: Campaign, chat: Chat | None) -> None:
    """Have the policy ready for somebody who is about to write to it; at most one message a minute."""
    policy = versions.current(campaign, ModelVersion.Kind.POLICY) if chat is None else chat.policy
    if policy is not None and cache.add(f"speaker-{policy.pk}", True, timeout=60):
        messages.wake_speaker(policy.pk)


def start(*, campaign: Campaign, user: User) -> Chat:
    """Return this person's open chat with the policy in use; a new one when there is none. Safe to repeat."""
    settings = refuse_unless_allowed(campaign=campaign, user=user)
    policy = versions.current(campaign, ModelVersion.Kind.POLICY)
    if policy is None:
        raise WrongState(_("There is no model to talk to yet: the campaign has no policy in use. Tell its lead."))
    fresh = {
        "policy": policy,
        "mode": _mode(campaign),
        "settings": {
            "temperature": settings.temperature,
            "max_new_tokens": min(settings.max_new_tokens, MAX_NEW_TOKENS),
        },
    }
    try:
        with transaction.atomic():
            chat, created = Chat.objects.get_or_create(
                campaign=campaign, user=user, purpose=Chat.Purpose.WORK, state=Chat.State.OPEN, defaults=fresh
            )
            if created:
                detail = {"policy": policy.label}
                events.record(campaign=campaign, actor=user, action="chat.started", target=str(chat), detail=detail)
    except IntegrityError:
        # A double click: the other request was faster.
        chat = open_of(campaign, user, Chat.Purpose.WORK).get()
    chat.campaign, chat.user = campaign, user
    return chat


def _mode(campaign: Campaign) -> str:
    return str(campaign.options.get("mode", DEFAULTS["mode"]))


# --- Saying ------------------------------------------------------------------------------------------------------


@transaction.atomic
def say(*, chat: Chat, message: str, client_key: str) -> ChatTurn:
    """Return the turn that begins with `message`; a worker is woken once the transaction is committed.

    The same key again is the same turn. After a turn failed, what is said takes the place of its message.
    """
    locked, text, known = heard(chat, message, client_key)
    if known is not None:
        return known
    refuse_unless_allowed(campaign=chat.campaign, user=chat.user)
    if locked.state != Chat.State.OPEN:
        raise WrongState(_("This chat has ended. Start a new one; what you wrote is still in the box."))
    if locked.mode != _mode(chat.campaign):
        raise _mode_changed()
    turn = next_turn(locked, text, client_key)
    messages.wake_turn(turn.pk)
    return turn


def heard(chat: Chat, message: str, client_key: str) -> tuple[Chat, str, ChatTurn | None]:
    """Return the chat locked for this transaction, the message as it is stored, and the turn that has its key already.

    Invalid for what cannot be said.
    """
    text = checked_message(message)
    check_key(client_key)
    locked = Chat.objects.select_for_update().get(pk=chat.pk)
    return locked, text, locked.turns.filter(client_key=client_key).first()


def next_turn(chat: Chat, text: str, client_key: str, *, order: list[int] | None = None) -> ChatTurn:
    """Return the turn after the last of a locked chat, or that one anew where it failed.

    Without an `order` there are two answers, of which a coin says which stands first.
    """
    last = chat.turns.order_by("-number").first()
    now = timezone.now()
    asked = {"message": text, "client_key": client_key, "asked_at": now, "heartbeat_at": now}
    if last is not None and last.state == State.FAILED:
        again = {**asked, "state": State.WAITING, "attempts": 0, "error": "", "answers": [], "claim": ""}
        for name, value in again.items():
            setattr(last, name, value)
        last.save(update_fields=list(again))
        return last
    if last is not None and last.state != State.CHOSEN:
        raise WrongState(_("Choose between the two answers to your last message first; then the chat goes on."))
    number = 1 if last is None else last.number + 1
    if number > MAX_TURNS:
        told = _("A chat has at most {most} turns, and this one has them. End it and start a new one.")
        raise WrongState(told.format(most=MAX_TURNS))
    if order is None:
        order = list(range(ANSWERS))
        random.Random(f"{chat.key}/{number}").shuffle(order)
    return ChatTurn.objects.create(chat=chat, number=number, shown_order=order, **asked)


def checked_message(message: str) -> str:
    """Return what somebody says as it is stored; Invalid for what cannot be said."""
    text = message.replace("\r\n", "\n").strip()
    reason = unstorable(text)
    if not text:
        reason = _("Write something first.")
    elif len(text) > MAX_CHARACTERS:
        told = _("Your message has {n} characters; at most {most} are sent at once. Shorten it.")
        reason = told.format(n=len(text), most=MAX_CHARACTERS)
    if reason:
        raise Invalid(reason, {"message": [reason]})
    return text


def check_key(client_key: str) -> None:
    if not client_key or len(client_key) > 64 or unstorable(client_key):
        message = _("Send a client_key of 1 to 64 characters, a fresh one each time.")
        raise Invalid(message, {"client_key": [message]})


def conversation(turn: ChatTurn) -> list[dict[str, Any]]:
    """Return what was said up to this turn's message: the branches that were chosen, and nothing of the others."""
    turns = ChatTurn.objects.filter(chat=turn.chat_id, number__lt=turn.number).order_by("number")
    return [*instructed(turn.chat), *transcript(turns), question(turn)]


def instructed(chat: Chat) -> list[dict[str, Any]]:
    """Return what is said to the models before everything else, as messages."""
    system = chat.settings.get("system")
    return [{"role": "system", "content": system}] if system else []


def question(turn: ChatTurn) -> dict[str, Any]:
    """Return what the person said in this turn, as a message."""
    return {"role": "user", "content": turn.message}


def is_guards(answer: Mapping[str, Any]) -> bool:
    """Return whether a guard gave this answer, after it had held back what was asked or all that the model said."""
    return bool(answer.get("source", "model") != "model")


def waits_long(turn: ChatTurn) -> bool:
    """Return whether a turn has waited for a worker longer than one that is there needs to take it up."""
    return bool(turn.state == State.WAITING and timezone.now() - turn.asked_at > SUSPICIOUS)


def transcript(turns: Iterable[ChatTurn]) -> list[dict[str, Any]]:
    """Return these turns as messages: what the person said and, where a branch was chosen, what was answered."""
    said: list[dict[str, Any]] = []
    for turn in turns:
        said.append(question(turn))
        if turn.chosen is not None:
            said.append({"role": "assistant", "content": turn.answers[turn.chosen]["text"]})
    return said


# --- Choosing ----------------------------------------------------------------------------------------------------


def choose(
    *,
    turn: ChatTurn,
    data: Mapping[str, Any],
    client_key: str,
    active_seconds: float | None = None,
    behaviour: Any = None,
) -> ChatTurn:
    """Return the turn, its judgement stored and one branch chosen; the same key again changes nothing.

    `data` is what the kind's form sends. The preferred answer goes on, in a red team the one called worse; where
    neither is preferred, ``goes_on`` (0 or 1, the place on the screen) says which, and the first shown does without it.
    Raises what `annotation.services.submission.submit` raises, and WrongState.
    """
    check_key(client_key)
    with transaction.atomic():
        turn = ChatTurn.objects.select_for_update().get(pk=turn.pk)
        turn.chat = Chat.objects.select_related("campaign", "policy", "user").get(pk=turn.chat_id)
        if turn.state == State.CHOSEN and _is_said(turn, client_key):
            return turn
        _refuse_choice(turn)
        if turn.says_the_same:
            return _go_on(turn, chosen=turn.shown_order[0])
        place = _place(data)
        turn.assignment = _seat(turn)
        feedback = submission.submit(
            assignment=turn.assignment,
            data={name: value for name, value in data.items() if name != "goes_on"},
            client_key=client_key,
            active_seconds=active_seconds,
            behaviour=behaviour,
        )
        preferred = kind(feedback.kind).scale_value(feedback.payload) or 0
        if turn.chat.mode == RED_TEAM:
            preferred = -preferred  # stored as the better one; asked for was the worse one
        chosen = turn.shown_order[place] if preferred == 0 else 0 if preferred > 0 else 1
        return _go_on(turn, chosen=chosen)


def _is_said(turn: ChatTurn, client_key: str) -> bool:
    if turn.assignment_id is None:
        return turn.says_the_same
    return Feedback.objects.filter(assignment=turn.assignment_id, client_key=client_key).exists()


def _refuse_choice(turn: ChatTurn) -> None:
    if turn.state == State.CHOSEN:
        raise WrongState(_("You have chosen here already. Your history lets you change what you said."))
    if turn.state != State.ANSWERED:
        raise nothing_to_choose()
    if turn.chat.mode != _mode(turn.chat.campaign):
        raise _mode_changed()
    submission.refuse_closed(turn.chat.campaign)


def _mode_changed() -> WrongState:
    return WrongState(_("The lead changed what people choose here since this chat began. End it and start a new one."))


def nothing_to_choose() -> WrongState:
    """Return the error for who chooses before there are two answers."""
    return WrongState(_("There are no two finished answers in this chat to choose from."))


def _place(data: Mapping[str, Any]) -> int:
    given = str(data.get("goes_on") or "0")
    if given not in ("0", "1"):
        message = _("Give 0 for the first answer shown, or 1 for the second.")
        raise Invalid(message, {"goes_on": [message]})
    return int(given)


def _seat(turn: ChatTurn) -> Assignment:
    """Return this person's seat at the item that the turn becomes, made now: nobody else is ever handed it.

    It is not open, so that it is not taken for an item on their work screen; `submit` finds its seat free.
    """
    chat = turn.chat
    said = conversation(turn)
    task, _ = intake.make_task(
        campaign=chat.campaign,
        messages=said,
        completions=[(answer["text"], chat.policy.label) for answer in turn.answers],
        external_id=f"chat-{chat.pk}-turn-{turn.number}",
        wanted=1,
        batch=chat.policy.chat_batch,
        meta={"policy": chat.policy.label, "source": "chat", "chat": chat.pk, "turn": turn.number, "mode": chat.mode},
        # All turns of a chat lie on one side of the split.
        opening=said[:1],
    )
    record_samples(turn, task, [chat.policy] * len(turn.answers))
    now = timezone.now()
    assignment, _ = Assignment.objects.get_or_create(
        task=task,
        user=chat.user,
        defaults={
            "campaign": chat.campaign,
            "shown_order": turn.shown_order,
            "state": Assignment.State.RELEASED,
            "expires_at": now,
        },
    )
    # It counts from when both answers stood there.
    Assignment.objects.filter(pk=assignment.pk).update(created_at=turn.answered_at or now)
    assignment.campaign, assignment.user = chat.campaign, chat.user
    return assignment


def record_samples(turn: ChatTurn, task: Task, versions: Sequence[ModelVersion]) -> None:
    """Write down which version each completion of the item that a turn became was drawn from, and how."""
    completions = task.task_completions.order_by("position").values_list("completion_id", flat=True)
    Sample.objects.bulk_create(
        Sample(
            completion_id=completion,
            version=version,
            logp=answer.get("logp"),
            settings={**turn.chat.settings, "seed": answer.get("seed"), "chat": turn.chat_id, "turn": turn.number},
        )
        for completion, version, answer in zip(completions, versions, turn.answers, strict=True)
    )


def _go_on(turn: ChatTurn, *, chosen: int) -> ChatTurn:
    turn.state, turn.chosen, turn.chosen_at = State.CHOSEN, chosen, timezone.now()
    turn.save(update_fields=["state", "chosen", "chosen_at", "assignment"])
    return turn


@transaction.atomic
def end(*, chat: Chat) -> Chat:
    """Return the chat, ended; what was judged stays, and a turn without a choice is left. Safe to repeat."""
    locked = Chat.objects.select_for_update().get(pk=chat.pk)
    if locked.state == Chat.State.ENDED:
        return locked
    locked.turns.exclude(state=State.CHOSEN).update(state=State.LEFT, claim="")
    locked.state, locked.ended_at = Chat.State.ENDED, timezone.now()
    locked.save(update_fields=["state", "ended_at"])
    events.record(campaign=locked.campaign, actor=chat.user, action="chat.ended", target=str(locked))
    return locked
