"""What a worker does with a turn of a chat: claims it, has the model answer, and writes both answers as they grow.

The row is the job. It is claimed by a conditional update, and every later write of the worker is conditional on the
name under which it holds the turn, so that a worker that was thought dead, or whose person went away, does no harm.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from annotation.told import Told, of, told
from training import store
from training.errors import SpeakerGone, TurnLost
from training.models import Chat, ChatTurn, ModelVersion
from training.recipes.chat import Question, Voice
from training.services import (
    chats,
    execution,
    guard_attention,
    guard_prompts,
    guards,
    messages,
    profiles,
    recovery,
    runs,
)
from training.services.chats import LOST_SECONDS
from training.speaking import Speaker

log = logging.getLogger(__name__)

# Attempts after which a turn is not tried again by itself.
MAX_ATTEMPTS = 3
SHOW_SECONDS = 0.3
# A child that was not asked for nearly as long as it waits may be about to end.
IDLE_SECONDS = 300.0
SURE_SECONDS = IDLE_SECONDS - 30.0

# A child that neither answers nor ends, and has had time enough to load any model.
SILENT_SECONDS = 600.0

State = ChatTurn.State


class _Spoken:
    """The one child of this worker's process, and when it was last asked."""

    speaker: Speaker | None = None
    asked_at: float = 0.0


def answer(turn_id: int, *, command: Sequence[str] | None = None) -> ChatTurn | None:
    """Claim a turn and have it answered; return it, or None when it was not there to be had.

    Safe to call with any id, any number of times, in any number of processes. `command` starts another program than
    `training.core.chat`.
    """
    turn = claim(turn_id, runs.claim_name())
    if turn is None:
        return None
    try:
        _attempt(turn, command)
    except TurnLost as lost:
        log.warning("%s", lost)
        fall_silent()  # it writes on for nobody
    except SpeakerGone as gone:
        fall_silent()
        requeue(turn, reason=of(gone))
    except OSError as error:
        log.exception("%s cannot be answered.", turn)
        fall_silent()
        fail(turn, told("The model could not be started: {error}. Tell the campaign's lead.", error=str(error)))
    except BaseException:
        # A fault of the program, or of the database: the turn is found again when it gives no more signs of life.
        fall_silent()
        raise
    turn.refresh_from_db()
    return turn


def get_ready(version_id: int, *, command: Sequence[str] | None = None) -> None:
    """Have the model load while the person still writes; nothing happens while another one is there for somebody."""
    if _Spoken.speaker is not None and _Spoken.speaker.is_alive:
        return
    version = ModelVersion.objects.filter(pk=version_id).first()
    if version is not None:
        _speaker_of(version, command)


def fall_silent() -> None:
    """End this process's child, if there is one."""
    if _Spoken.speaker is not None:
        _Spoken.speaker.stop()
    _Spoken.speaker = None


def _speaker_of(version: ModelVersion, command: Sequence[str] | None, *, mode: str = "") -> Speaker:
    """Return a child with this version's weights, locked in `mode`: the one there is, or a new one in its place."""
    voice = Voice(
        model=store.fetch(version.path),
        trust_remote_code=settings.ATTUNE_TRUST_REMOTE_CODE,
        idle_seconds=IDLE_SECONDS,
        mode=mode,
        **guards.voiced(version.campaign),
    )
    now = time.monotonic()
    there = _Spoken.speaker
    if there is None or there.voice != voice or not there.is_alive or now - _Spoken.asked_at > SURE_SECONDS:
        fall_silent()
        _Spoken.speaker = there = Speaker(voice, command=command)
    _Spoken.asked_at = now
    return there


def _attempt(turn: ChatTurn, command: Sequence[str] | None) -> None:
    finished: list[dict[str, Any]] = []
    asked = questions_of(turn)
    guard_prompts.keep(campaign=turn.chat.campaign, messages=asked[0][1].messages, source="chat", person=turn.chat.user)
    for (version, question), mode in zip(asked, turn.chat.modes, strict=True):
        answers = _heard(turn, version, mode, question, finished, command)
        if answers is None:
            return
        finished += answers
    accept(turn, finished)
    _Spoken.asked_at = time.monotonic()


def _heard(
    turn: ChatTurn,
    version: ModelVersion,
    mode: str,
    question: Question,
    finished: Sequence[dict[str, Any]],
    command: Sequence[str] | None,
) -> list[dict[str, Any]] | None:
    """Return what this version answers, shown behind the `finished` answers while it grows; None where it ends here."""
    shown_at, heard_at = 0.0, time.monotonic()
    before = [answer["text"] for answer in finished]
    texts: Sequence[str] | None = None
    answers: list[dict[str, Any]] | None = None
    for event in _speaker_of(version, command, mode=mode).ask(question):
        now = time.monotonic()
        texts = event.get("texts", texts)
        if event:
            heard_at = now
        elif now - heard_at > SILENT_SECONDS:
            raise SpeakerGone(told("The model's process said nothing for {n} seconds.", n=int(SILENT_SECONDS)))
        if "attended" in event:
            _attend(turn, question, event)
        if "answers" in event:
            answers = list(event["answers"])
        elif "error" in event:
            fail(turn, of(event) if "told" in event else event["error"])
        elif execution.STOPPING.value:
            requeue(turn, reason=told("The worker was stopped; another one answers."), counts=False)
            fall_silent()
            return None
        elif now - shown_at >= SHOW_SECONDS:
            shown_at = now
            show(turn, [*before, *texts] if texts is not None else before or None)
    return answers


def _attend(turn: ChatTurn, question: Question, event: dict[str, Any]) -> None:
    """Have people look at what was asked; what was answered is the guard's sentence, or why nobody was answered."""
    told = event["answers"][0]["text"] if "answers" in event else str(of(event) if "told" in event else event["error"])
    guard_attention.attend(
        campaign=turn.chat.campaign,
        messages=question.messages,
        source="chat",
        person=turn.chat.user,
        said=event["attended"],
        answered=told,
    )


def questions_of(turn: ChatTurn) -> list[tuple[ModelVersion, Question]]:
    """Return whom to ask, and what, in the order of the answers: one for all of them, or each for one.

    The same for every attempt, so that an answer begun before ends the same.
    """
    values, speakers = turn.chat.settings, turn.chat.speakers
    seeds = [_seed(turn, place) for place in range(len(turn.shown_order))]
    shares = [seeds] if len(speakers) == 1 else [[seed] for seed in seeds]
    return [
        (
            version,
            Question(
                id=f"{turn.pk}",
                messages=chats.conversation(turn),
                seeds=share,
                temperature=values["temperature"],
                max_new_tokens=values["max_new_tokens"],
                user=user,
                profile=text or profiles.text_of(turn.chat.campaign, user),
            ),
        )
        for version, share, user, text in zip(speakers, shares, turn.chat.users, turn.chat.texts, strict=True)
    ]


def _seed(turn: ChatTurn, place: int) -> int:
    digest = hashlib.sha256(f"{turn.chat.key}/{turn.number}/{turn.client_key}/{place}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


# --- The row -----------------------------------------------------------------------------------------------------


def claim(turn_id: int, worker: str) -> ChatTurn | None:
    """Return the turn, now held under the name `worker`, or None when it is not there to be had.

    The condition stands in the UPDATE itself: of two workers that try at once, one changes a row.
    """
    changed = ChatTurn.objects.filter(pk=turn_id, state=State.WAITING).update(
        state=State.ANSWERING, claim=worker, attempts=F("attempts") + 1, heartbeat_at=timezone.now()
    )
    if changed != 1:
        return None
    return ChatTurn.objects.select_related("chat__policy", "chat__beside").get(pk=turn_id)


def show(turn: ChatTurn, texts: Sequence[str] | None) -> None:
    """Write a sign of life, and the answers as far as they are written; TurnLost when the turn is held elsewhere."""
    values: dict[str, Any] = {"heartbeat_at": timezone.now()}
    if texts is not None:
        # The second one may be drawn anew while the first one stands.
        values["answers"] = [{"text": text} for text in texts]
    _write(turn, **values)


def accept(turn: ChatTurn, answers: Sequence[dict[str, Any]]) -> None:
    """Write the finished answers; from now on the person may choose. TurnLost when the turn is held elsewhere."""
    _write(turn, state=State.ANSWERED, answers=list(answers), claim="", answered_at=timezone.now(), error="")


def fail(turn: ChatTurn, error: Told | str) -> None:
    """End the attempts with a sentence for the person; nothing happens when the turn is held elsewhere."""
    _held(turn).update(state=State.FAILED, claim="", error=error)


@transaction.atomic
def requeue(turn: ChatTurn, *, reason: Told, counts: bool = True) -> None:
    """Have a held turn answered again; after `MAX_ATTEMPTS` it fails with `reason`.

    With `counts` false the attempt is forgotten. Nothing happens when the turn is held elsewhere.
    """
    attempts = turn.attempts - (0 if counts else 1)
    if attempts >= MAX_ATTEMPTS:
        fail(turn, reason + told("It was tried {n} times. Ask again, or tell the campaign's lead.", n=attempts))
    elif _held(turn).update(state=State.WAITING, claim="", attempts=attempts, heartbeat_at=timezone.now()):
        messages.wake_turn(turn.pk)


def _held(turn: ChatTurn) -> Any:
    return ChatTurn.objects.filter(pk=turn.pk, state=State.ANSWERING, claim=turn.claim)


def _write(turn: ChatTurn, **values: Any) -> None:
    if _held(turn).update(**values) != 1:
        raise TurnLost(f"{turn} is held by another worker now, or was left by its person; this one lets go of it.")


def recover_lost() -> int:
    """Take turns from workers that are gone, wake workers for those nobody took up; return how many were taken.

    A worker is gone when it gave no sign of life for `LOST_SECONDS`, or at once when it was a process of this machine
    that no longer lives. Its child has ended with it.
    """
    now = timezone.now()
    stale = now - timedelta(seconds=LOST_SECONDS)
    taken = 0
    for turn in ChatTurn.objects.filter(state=State.ANSWERING):
        if turn.heartbeat_at < stale or recovery.worker_is_gone(turn.claim):
            requeue(turn, reason=told("The worker that had the model answer was lost."))
            taken += 1
    waiting = ChatTurn.objects.filter(state=State.WAITING, heartbeat_at__lt=stale, chat__state=Chat.State.OPEN)
    for turn_id in waiting.order_by("heartbeat_at").values_list("pk", flat=True)[:20]:
        if ChatTurn.objects.filter(pk=turn_id, state=State.WAITING).update(heartbeat_at=now):
            messages.wake_turn(turn_id)
    return taken
