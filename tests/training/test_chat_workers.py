"""Chats through real Celery workers over a real broker: answered, killed with -9, told to stop."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from annotation.models import Campaign, User
from tests.training.chat_world import choose, make_chat_loop, say, toy
from tests.training.test_real_round import broker  # noqa: F401 - a fixture
from tests.training.workers import ROOT, alive, environment, wait_for
from training import paths
from training.models import ChatTurn
from training.services import answering

pytestmark = pytest.mark.django_db(transaction=True)

State = ChatTurn.State


@contextmanager
def worker(address: str, command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    """Yield a Celery worker of queue `chat` whose model is `command`."""
    program = (
        "import django; django.setup()\n"
        "from training import speaking\n"
        f"speaking.program = lambda: {command!r}\n"
        "from training.celery import app\n"
        "app.worker_main(['worker', '-Q', 'chat', '-c', '1', '--loglevel', 'WARNING', '--without-mingle'])\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        env=environment(DJANGO_SETTINGS_MODULE="frontend.settings", BROKER_URL=address),
        cwd=ROOT,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(timeout=60)


def now(turn: ChatTurn) -> ChatTurn:
    return ChatTurn.objects.get(pk=turn.pk)


def children() -> list[int]:
    return [int(line) for line in (paths.files() / "models" / "base" / "starts.txt").read_text().splitlines()]


def test_a_chat_over_a_broker_with_a_worker_killed_and_another_told_to_stop(
    broker: str,  # noqa: F811
    campaign: Campaign,
    annotator: User,
) -> None:
    make_chat_loop(campaign)
    with worker(broker, toy(pause=2)) as first:
        turn = say(campaign, annotator, "One?")
        wait_for(lambda: now(turn).state == State.ANSWERED, seconds=90, what="the first answers")
        (child,) = children()
        choose(now(turn), "1")
        turn = say(campaign, annotator, "Two?")
        wait_for(lambda: bool(now(turn).answers), what="the second answers to begin")
        os.killpg(first.pid, signal.SIGKILL)
        first.wait()
    wait_for(lambda: not alive(child), what="the child to end with the pipes of its worker")
    assert now(turn).state == State.ANSWERING
    wait_for(lambda: answering.recover_lost() == 1, what="the lost turn to be found")

    with worker(broker, toy(pause=30)) as second:
        wait_for(lambda: len(children()) == 2 and bool(now(turn).answers), seconds=90, what="the second worker")
        second.send_signal(signal.SIGTERM)
        second.wait(timeout=30)
    assert (now(turn).state, now(turn).attempts) == (State.WAITING, 1), "a stop costs no attempt"
    assert not alive(children()[-1])

    with worker(broker, toy()):
        wait_for(lambda: now(turn).state == State.ANSWERED, seconds=90, what="the third worker")
    wait_for(lambda: not alive(children()[-1]), what="the child to end with its worker")
    assert len(children()) == 3
    assert [one["seed"] for one in now(turn).answers] == answering.questions_of(now(turn))[0][1].seeds
