"""The playground: somebody who trains here talks to any version of the policy, or to two side by side.

Nothing is judged. Which of two answers goes on is said with the next message; a turn worth asking people about becomes
an item of the campaign. The workers that answer annotators answer here too (`training.services.answering`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from annotation.access import Action
from annotation.models import Campaign, Task, User
from annotation.permissions import may
from annotation.services import events, intake, profile_text
from annotation.storable import unstorable
from training.errors import Invalid, WrongState
from training.models import Chat, ChatTurn, ModelVersion
from training.recipes.chat import MAX_CHARACTERS, NEGATIVE
from training.services import chats, messages, versions

State = ChatTurn.State

MAX_TEMPERATURE = 2.0
MAX_NEW_TOKENS = 1024  # of one answer; nobody else waits for it
TEMPERATURE, NEW_TOKENS = 0.7, 256


def models(campaign: Campaign) -> list[ModelVersion]:
    """Return the policies one can talk to: the one in use first, then the newest."""
    found = ModelVersion.objects.filter(campaign=campaign, kind=ModelVersion.Kind.POLICY)
    return sorted(found, key=lambda one: (one.state != ModelVersion.State.PROMOTED, -one.number))


def current(*, campaign: Campaign, user: User) -> Chat | None:
    """Return this person's open playground in a campaign, or None."""
    chat = chats.open_of(campaign, user, Chat.Purpose.PLAYGROUND).select_related("policy", "beside").first()
    if chat is not None:
        chat.campaign, chat.user = campaign, user
    return chat


def start(
    *,
    campaign: Campaign,
    user: User,
    policy: ModelVersion,
    beside: ModelVersion | None = None,
    temperature: float = TEMPERATURE,
    max_new_tokens: int = NEW_TOKENS,
    system: str = "",
    mode: str = "",
    beside_mode: str = "",
    as_user: str = "",
    beside_user: str = "",
    says: str = "",
    beside_says: str = "",
) -> Chat:
    """Return a fresh playground in place of the person's open one; Invalid names what is wrong.

    `temperature` 0 takes the likeliest word each time. `system` is said to the models before everything else. Each
    answers locked in its mode, without one in that which it has by itself; harm is shown to the red team alone. A model
    that knows its users answers one of them, by pseudonym, or anybody. One that has learned to read it is told what
    somebody `says` of the answers they like, in place of what its user says: also of somebody it never met.
    """
    says, beside_says = (text.replace("\r\n", "\n").strip() for text in (says, beside_says))
    system = system.replace("\r\n", "\n").strip()
    errors: dict[str, list[str]] = {}
    for name, version in (("policy", policy), ("beside", beside)):
        if version is not None and (version.campaign_id != campaign.pk or version.kind != ModelVersion.Kind.POLICY):
            errors[name] = [_("Only policies of this campaign can be talked to.")]
    if not 0 <= temperature <= MAX_TEMPERATURE:
        errors["temperature"] = [_("Give a number from 0 to {most}.").format(most=f"{MAX_TEMPERATURE:g}")]
    if not 1 <= max_new_tokens <= MAX_NEW_TOKENS:
        errors["max_new_tokens"] = [_("Give a number from 1 to {most}.").format(most=MAX_NEW_TOKENS)]
    if reason := unstorable(system):
        errors["system"] = [reason]
    elif len(system) > MAX_CHARACTERS:
        errors["system"] = [_("A text here has up to {n} characters.").format(n=MAX_CHARACTERS)]
    errors |= _modes_that_are_not(campaign, user, mode=(policy, mode), beside_mode=(beside, beside_mode))
    errors |= _users_that_are_not(as_user=(policy, as_user), beside_user=(beside, beside_user))
    errors |= _texts_that_are_not(says=(policy, says), beside_says=(beside, beside_says))
    if errors:
        raise Invalid(_("This playground cannot be opened."), errors)
    settings: dict[str, Any] = {"temperature": temperature, "max_new_tokens": max_new_tokens, "system": system}
    chosen = {"mode": mode, "beside_mode": beside_mode, "as_user": as_user, "beside_user": beside_user}
    chosen |= {"says": says, "beside_says": beside_says}
    settings |= {name: one for name, one in chosen.items() if one}
    try:
        with transaction.atomic():
            end(campaign=campaign, user=user)
            chat = Chat.objects.create(
                campaign=campaign,
                user=user,
                policy=policy,
                beside=beside,
                purpose=Chat.Purpose.PLAYGROUND,
                settings=settings,
            )
    except IntegrityError:
        # A double click: the other request opened the same one.
        chat = chats.open_of(campaign, user, Chat.Purpose.PLAYGROUND).select_related("policy", "beside").get()
    chat.campaign, chat.user = campaign, user
    return chat


def modes(campaign: Campaign, user: User, policies: Sequence[ModelVersion]) -> list[str]:
    """Return the modes in which this person may hear any of these: harmful answers are for the red team."""
    there = dict.fromkeys(mode for policy in policies for mode in versions.modes(policy))
    hears_harm = NEGATIVE in there and may(user, campaign, Action.TAMPER)
    return [mode for mode in there if mode != NEGATIVE or hears_harm]


def _modes_that_are_not(
    campaign: Campaign, user: User, **asked: tuple[ModelVersion | None, str]
) -> dict[str, list[str]]:
    errors: dict[str, list[str]] = {}
    for name, (version, mode) in asked.items():
        if not mode:
            continue
        there = [] if version is None else modes(campaign, user, [version])
        if mode not in there:
            label = "–" if version is None else version.label
            has = ", ".join(there) or _("none")
            told = _("{model} cannot be heard in the mode {mode} here. It has: {modes}.")
            errors[name] = [told.format(model=label, mode=mode, modes=has)]
    return errors


def users(policies: Sequence[ModelVersion]) -> list[str]:
    """Return the pseudonyms of the people whom any of these knows."""
    return sorted({user for policy in policies for user in versions.users(policy)})


def _users_that_are_not(**asked: tuple[ModelVersion | None, str]) -> dict[str, list[str]]:
    told = _("{model} does not know {user}, and would answer as it answers anybody.")
    return {
        name: [told.format(model="–" if version is None else version.label, user=user)]
        for name, (version, user) in asked.items()
        if user and (version is None or user not in versions.users(version))
    }


def reads_texts(policies: Sequence[ModelVersion]) -> bool:
    """Return whether any of these learned to read what people say of the answers they like."""
    return any(versions.reads_texts(policy) for policy in policies)


def _texts_that_are_not(**asked: tuple[ModelVersion | None, str]) -> dict[str, list[str]]:
    errors: dict[str, list[str]] = {}
    for name, (version, text) in asked.items():
        if not text:
            continue
        if reason := unstorable(text):
            errors[name] = [reason]
        elif len(text) > profile_text.MOST:
            errors[name] = [_("A text here has up to {n} characters.").format(n=profile_text.MOST)]
        elif version is None or not versions.reads_texts(version):
            told = _("{model} has not learned to read what people say of the answers they like. Leave it empty.")
            errors[name] = [told.format(model="–" if version is None else version.label)]
    return errors


@transaction.atomic
def end(*, campaign: Campaign, user: User) -> None:
    """End the person's open playground, if there is one."""
    for chat in chats.open_of(campaign, user, Chat.Purpose.PLAYGROUND).select_for_update():
        chat.turns.exclude(state__in=[State.CHOSEN, State.ANSWERED]).update(state=State.LEFT, claim="")
        chat.state, chat.ended_at = Chat.State.ENDED, timezone.now()
        chat.save(update_fields=["state", "ended_at"])


@transaction.atomic
def say(*, chat: Chat, message: str, client_key: str, goes_on: int = 0) -> ChatTurn:
    """Return the turn that begins with `message`, to which every model of the playground answers.

    `goes_on` is the place of the answer to the turn before that all of them are told was given. The same key again is
    the same turn; after a turn failed, what is said takes the place of its message.
    """
    locked, text, known = chats.heard(chat, message, client_key)
    if known is not None:
        return known
    if locked.state != Chat.State.OPEN:
        raise WrongState(_("This playground was left. What you wrote is still in the box."))
    last = locked.turns.order_by("-number").first()
    if last is not None and last.is_under_way:
        raise WrongState(_("The model is still answering. Wait until it has, then send your message."))
    if last is not None and last.state == State.ANSWERED:
        if goes_on not in last.shown_order:
            reason = _("Choose one of the answers there are.")
            raise Invalid(reason, {"goes_on": [reason]})
        last.state, last.chosen, last.chosen_at = State.CHOSEN, goes_on, timezone.now()
        last.save(update_fields=["state", "chosen", "chosen_at"])
    turn = chats.next_turn(locked, text, client_key, order=list(range(len(chat.speakers))))
    messages.wake_turn(turn.pk)
    return turn


@transaction.atomic
def make_item(*, turn: ChatTurn, actor: User) -> Task:
    """Return the item that an answered turn becomes for people to judge; the same one whenever it is asked again.

    Raises what `annotation.services.intake.make_task` raises for what the campaign's kind cannot ask about.
    """
    if turn.state not in (State.ANSWERED, State.CHOSEN):
        raise WrongState(_("Only a turn that was answered can become an item."))
    if _guard_answered(turn):
        raise WrongState(_by_guard())
    chat = turn.chat
    said = chats.conversation(turn)
    labels = [version.label for version in chat.speakers]
    task, is_new = intake.make_task(
        campaign=chat.campaign,
        messages=said,
        completions=_completions(chat, turn),
        external_id=external_id(turn),
        meta={
            "source": "playground",
            "policies": labels,
            "chat": chat.pk,
            "turn": turn.number,
            **({"modes": chat.modes} if any(chat.modes) else {}),
            **({"users": chat.users} if any(chat.users) else {}),
        },
        # All turns of one conversation lie on one side of the split.
        opening=opening(said),
    )
    if is_new:
        chats.record_samples(turn, task, chat.speakers)
        detail = {"policies": labels}
        events.record(campaign=chat.campaign, actor=actor, action="playground.saved", target=str(task), detail=detail)
    return task


def objections(chat: Chat, turns: Sequence[ChatTurn]) -> dict[int, str]:
    """Return of each answered turn, by number, why people cannot be asked to judge it; empty where they can. No SQL.

    `turns` are all of the playground in their order.
    """
    found: dict[int, str] = {}
    for place, turn in enumerate(turns):
        if turn.state not in (State.ANSWERED, State.CHOSEN):
            continue
        found[turn.number] = (
            _by_guard()
            if _guard_answered(turn)
            else intake.objection(
                campaign=chat.campaign,
                messages=[*chats.instructed(chat), *chats.transcript(turns[:place]), chats.question(turn)],
                completions=_completions(chat, turn),
                external_id=external_id(turn),
            )
        )
    return found


def _completions(chat: Chat, turn: ChatTurn) -> list[tuple[str, str]]:
    return [(answer["text"], version.label) for answer, version in zip(turn.answers, chat.speakers, strict=True)]


def _guard_answered(turn: ChatTurn) -> bool:
    return any(chats.is_guards(answer) for answer in turn.answers)


def _by_guard() -> str:
    return _("The guard answered here in a model's place, so there is nothing of that model to judge.")


def external_id(turn: ChatTurn) -> str:
    """Return the name of the item that a turn becomes."""
    return f"playground-{turn.chat_id}-turn-{turn.number}"


def opening(said: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return how a conversation begins: all up to the first thing that the person says."""
    first = next(place for place, message in enumerate(said) if message["role"] == "user")
    return list(said[: first + 1])


def saved(chat: Chat, turns: Sequence[ChatTurn]) -> set[str]:
    """Return the external ids of the items that these turns of a playground became."""
    named = [external_id(turn) for turn in turns]
    return set(Task.objects.filter(campaign=chat.campaign, external_id__in=named).values_list("external_id", flat=True))
