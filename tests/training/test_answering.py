"""Turns of chats and the workers that have them answered: real children, real kills, and a real tiny model."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from datetime import timedelta
from pathlib import Path

import pytest
from django.core.cache import cache
from django.db import connection
from django.utils import timezone

from annotation.models import Campaign, User
from tests.training.chat_world import choose, make_chat_loop, say, toy
from tests.training.workers import ROOT, alive, environment, wait_for
from training import paths
from training.errors import SpeakerGone, TurnLost
from training.models import ChatTurn
from training.recipes.chat import Question, Voice
from training.services import answering, chats, execution
from training.speaking import Speaker

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("silence")]

State = ChatTurn.State


@pytest.fixture
def chatty(campaign: Campaign) -> Campaign:
    make_chat_loop(campaign)
    return campaign


@pytest.fixture
def turn(chatty: Campaign, annotator: User) -> ChatTurn:
    return say(chatty, annotator, "Hello there.")


def starts() -> int:
    file = paths.files() / "models" / "base" / "starts.txt"
    return len(file.read_text().splitlines()) if file.exists() else 0


def tiny(folder: Path) -> str:
    program = f"from training.core.tiny import save_tiny; save_tiny({str(folder)!r})"
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT)
    return str(folder)


# --- One turn ----------------------------------------------------------------------------------------------------


def test_a_turn_is_answered_once_and_by_one_child_for_all(turn: ChatTurn, chatty: Campaign, annotator: User) -> None:
    done = answering.answer(turn.pk, command=toy())
    assert done is not None
    assert (done.state, done.attempts, done.claim) == (State.ANSWERED, 1, "")
    assert [one["text"].startswith("HELLO THERE.") for one in done.answers] == [True, True]
    assert done.answers[0]["seed"] != done.answers[1]["seed"]
    assert done.answered_at is not None
    assert answering.answer(turn.pk, command=toy()) is None, "it is answered already"

    choose(done, "1")
    following = answering.answer(say(chatty, annotator, "And now?").pk, command=toy())
    assert following is not None and following.state == State.ANSWERED
    assert starts() == 1, "the model was loaded once"


def test_a_model_that_was_expected_is_there_when_it_is_asked(
    turn: ChatTurn, chatty: Campaign, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.clear()
    woken: list[int] = []
    monkeypatch.setattr("training.services.messages.wake_speaker", woken.append)
    chats.expect(campaign=chatty, chat=None)
    chats.expect(campaign=chatty, chat=turn.chat)
    assert woken == [turn.chat.policy_id], "once a minute"
    answering.get_ready(turn.chat.policy_id, command=toy())
    there = answering._Spoken.speaker
    assert there is not None and there.is_alive
    answering.get_ready(turn.chat.policy_id + 1, command=["/no/such/program"])
    assert answering._Spoken.speaker is there, "nobody's model is taken away for somebody who only looks"
    done = answering.answer(turn.pk, command=toy())
    assert done is not None and (done.state, starts()) == (State.ANSWERED, 1)
    answering.fall_silent()
    answering.get_ready(0)
    assert answering._Spoken.speaker is None


def test_a_child_that_says_nothing_is_given_up(turn: ChatTurn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answering, "SILENT_SECONDS", 0.2)
    monkeypatch.setattr(answering, "MAX_ATTEMPTS", 1)
    mute = answering.answer(turn.pk, command=[sys.executable, "-c", "import time; time.sleep(600)"])
    assert mute is not None and mute.state == State.FAILED
    assert "said nothing" in str(mute.error)
    assert answering._Spoken.speaker is None


def test_answers_grow_in_the_row(turn: ChatTurn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answering, "SHOW_SECONDS", 0.0)
    seen: list[list[str]] = []

    def watch() -> None:
        try:
            deadline = time.monotonic() + 20
            while time.monotonic() < deadline:
                now = ChatTurn.objects.get(pk=turn.pk)
                if now.state == State.ANSWERING and now.answers:
                    seen.append([one["text"] for one in now.answers])
                if now.state == State.ANSWERED:
                    return
                time.sleep(0.02)
        finally:
            connection.close()

    thread = threading.Thread(target=watch)
    thread.start()
    answering.answer(turn.pk, command=toy(pause=0.4))
    thread.join()
    assert seen[0] == ["H", "H"]
    assert seen[-1] == ["HELLO THERE.", "HELLO THERE."]


def test_what_the_model_cannot_answer_is_said_and_asked_again(
    turn: ChatTurn, chatty: Campaign, annotator: User
) -> None:
    failed = answering.answer(turn.pk, command=toy(mode="fails"))
    assert failed is not None
    assert (failed.state, str(failed.error)) == (State.FAILED, "The toy refuses.")
    again = say(chatty, annotator, "Hello, please.")
    assert (again.pk, again.state, again.message, str(again.error)) == (turn.pk, State.WAITING, "Hello, please.", "")
    answering.fall_silent()
    done = answering.answer(again.pk, command=toy())
    assert done is not None and done.answers[0]["text"].startswith("HELLO, PLEASE.")


def test_a_model_that_cannot_be_loaded_and_a_program_that_is_not_there(
    turn: ChatTurn, chatty: Campaign, annotator: User
) -> None:
    failed = answering.answer(turn.pk, command=toy(mode="no-model"))
    assert failed is not None
    assert (failed.state, str(failed.error)) == (State.FAILED, "The model could not be loaded.")
    failed = answering.answer(say(chatty, annotator).pk, command=["/no/such/program"])
    assert failed is not None and failed.state == State.FAILED
    assert str(failed.error).startswith("The model could not be started")


def test_a_child_that_is_killed_is_tried_three_times_and_then_the_person_is_told(turn: ChatTurn) -> None:
    for attempt in (1, 2):
        again = answering.answer(turn.pk, command=toy(mode="is-killed"))
        assert again is not None
        assert (again.state, again.attempts) == (State.WAITING, attempt)
    failed = answering.answer(turn.pk, command=toy(mode="is-killed"))
    assert failed is not None and failed.state == State.FAILED
    assert "ended by SIGKILL" in str(failed.error) and "tried 3 times" in str(failed.error)
    assert starts() == 3


def test_a_killed_child_is_made_up_for_with_the_same_words(turn: ChatTurn) -> None:
    first = answering.answer(turn.pk, command=toy(mode="is-killed"))
    assert first is not None and first.state == State.WAITING
    done = answering.answer(turn.pk, command=toy())
    assert done is not None
    assert [one["seed"] for one in done.answers] == answering.questions_of(turn)[0][1].seeds


def test_another_version_takes_the_place_of_the_one_that_was_loaded(
    turn: ChatTurn, campaign: Campaign, lead: User, annotator: User, tmp_path: Path
) -> None:
    from tests.factories import make_campaign

    answering.answer(turn.pk, command=toy())
    first = answering._Spoken.speaker
    assert first is not None
    other = make_campaign("Other", lead=lead, annotators=[annotator])
    make_chat_loop(other, model=str(tmp_path))
    answering.answer(say(other, annotator).pk, command=toy())
    assert not alive(first.pid)
    second = answering._Spoken.speaker
    assert second is not None and second.is_alive and second.voice.model == str(tmp_path)


def test_a_turn_whose_chat_was_ended_is_let_go_of(turn: ChatTurn) -> None:
    claimed = answering.claim(turn.pk, "mine")
    assert claimed is not None
    chats.end(chat=turn.chat)
    with pytest.raises(TurnLost):
        answering.show(claimed, ["H", "H"])
    with pytest.raises(TurnLost):
        answering.accept(claimed, [])
    answering.fail(claimed, "nobody reads this")
    answering.requeue(claimed, reason="nor this")
    claimed.refresh_from_db()
    assert (claimed.state, str(claimed.error)) == (State.LEFT, "")


def test_a_worker_that_is_told_to_stop_leaves_the_turn_to_another(turn: ChatTurn) -> None:
    execution.STOPPING.value = True
    left = answering.answer(turn.pk, command=toy(pause=5))
    assert left is not None
    assert (left.state, left.attempts) == (State.WAITING, 0)
    assert answering._Spoken.speaker is None


def test_two_workers_at_once_make_one_answer(turn: ChatTurn) -> None:
    assert answering.claim(turn.pk, "one") is not None
    assert answering.claim(turn.pk, "two") is None


# --- Lost workers ------------------------------------------------------------------------------------------------


def test_a_turn_without_signs_of_life_is_asked_again(turn: ChatTurn) -> None:
    claimed = answering.claim(turn.pk, "elsewhere-1-2-3x")
    assert claimed is not None
    assert answering.recover_lost() == 0
    ChatTurn.objects.update(heartbeat_at=timezone.now() - timedelta(seconds=answering.LOST_SECONDS + 1))
    assert answering.recover_lost() == 1
    turn.refresh_from_db()
    assert (turn.state, turn.attempts) == (State.WAITING, 1)
    with pytest.raises(TurnLost):
        answering.accept(claimed, [])


def test_a_turn_whose_message_got_lost_is_called_again(turn: ChatTurn, monkeypatch: pytest.MonkeyPatch) -> None:
    woken: list[int] = []
    monkeypatch.setattr("training.services.messages.wake_turn", woken.append)
    answering.recover_lost()
    assert woken == []
    ChatTurn.objects.update(heartbeat_at=timezone.now() - timedelta(seconds=answering.LOST_SECONDS + 1))
    answering.recover_lost()
    answering.recover_lost()
    assert woken == [turn.pk]


def test_a_worker_killed_with_9_leaves_no_child_and_the_turn_is_answered_by_the_next(turn: ChatTurn) -> None:
    program = (
        "import django; django.setup()\n"
        "from training.services import answering\n"
        f"answering.answer({turn.pk}, command={toy(pause=60)!r})\n"
    )
    worker = subprocess.Popen(
        [sys.executable, "-c", program], env=environment(DJANGO_SETTINGS_MODULE="frontend.settings"), cwd=ROOT
    )
    wait_for(lambda: bool(ChatTurn.objects.get(pk=turn.pk).answers), what="the first letters")
    child = int((paths.files() / "models" / "base" / "starts.txt").read_text())
    assert alive(child)
    worker.kill()
    worker.wait()
    assert answering.recover_lost() == 1, "a worker of this machine that is gone is known at once"
    # The toy sleeps between two words; the real child notices when it next writes or reads.
    os.kill(child, signal.SIGKILL)
    done = answering.answer(turn.pk, command=toy())
    assert done is not None and (done.state, done.attempts) == (State.ANSWERED, 2)
    assert ChatTurn.objects.count() == 1


# --- The real child ----------------------------------------------------------------------------------------------


@pytest.mark.one_database
def test_the_real_model_answers_grows_and_ends_with_its_pipes(tmp_path: Path) -> None:
    voice = Voice(model=tiny(tmp_path / "tiny"))
    speaker = Speaker(voice)
    question = Question(
        id="1", messages=[{"role": "user", "content": "Hello."}], seeds=[1, 2], temperature=1.0, max_new_tokens=48
    )
    events = [event for event in speaker.ask(question) if event]
    assert events[0] == {"ready": True}
    assert len(events[-1]["answers"]) == 2
    assert events[-1]["answers"] == [event for event in speaker.ask(question) if event][-1]["answers"]
    too_long = Question(**{**vars(question), "messages": [{"role": "user", "content": "x" * 900}]})
    assert "longer than the model can read" in [event for event in speaker.ask(too_long) if event][-1]["error"]

    os.kill(speaker.pid, signal.SIGKILL)
    with pytest.raises(SpeakerGone, match=r"SIGKILL.*memory"):
        list(speaker.ask(question))
    assert not speaker.is_alive


@pytest.mark.one_database
def test_the_real_child_ends_when_nobody_asks_or_nobody_is_left(tmp_path: Path) -> None:
    model = tiny(tmp_path / "tiny")
    idle = Speaker(Voice(model=model, idle_seconds=0.2))
    wait_for(lambda: not idle.is_alive, seconds=60, what="the idle child to end")
    question = Question(id="1", messages=[], seeds=[1], temperature=1.0, max_new_tokens=4)
    with pytest.raises(SpeakerGone, match="code 0"):
        list(idle.ask(question))
    left = Speaker(Voice(model=model))
    assert left._process.stdin is not None and left._process.stdout is not None
    left._process.stdin.close()
    wait_for(lambda: not left.is_alive, seconds=60, what="the child whose asker is gone")
    left._process.stdout.close()
    idle.stop()


@pytest.mark.one_database
def test_two_turns_with_a_tiny_model_and_a_kill_in_between(campaign: Campaign, annotator: User, tmp_path: Path) -> None:
    make_chat_loop(campaign, model=tiny(tmp_path / "tiny"), temperature=1.0)
    first = say(campaign, annotator, "Hello.")
    done = answering.answer(first.pk)
    assert done is not None and done.state == State.ANSWERED, done
    assert done.answers[0]["text"] != done.answers[1]["text"]
    choose(done, "1")
    speaker = answering._Spoken.speaker
    assert speaker is not None
    os.kill(speaker.pid, signal.SIGKILL)
    wait_for(lambda: not speaker.is_alive, what="the child to be gone")
    second = answering.answer(say(campaign, annotator, "And more?").pk)
    assert second is not None and second.state == State.ANSWERED, str(second.error)
    assert second.attempts == 1, "a child that died between two turns costs no attempt"
    # The same question again, in a process of its own, has the same answers.
    ChatTurn.objects.filter(pk=second.pk).update(state=State.WAITING)
    before = [one["text"] for one in second.answers]
    again = answering.answer(second.pk)
    assert again is not None and [one["text"] for one in again.answers] == before
