"""Waking workers. The rows hold the work; a message that gets lost is sent again by the beat."""

from __future__ import annotations

import logging

from celery import current_app
from django.db import transaction
from kombu.exceptions import OperationalError

log = logging.getLogger(__name__)

# A message older than this is dropped unread: the beat has sent another by then.
EXPIRES_SECONDS = 300


def wake_run(run_id: int) -> None:
    """Ask a worker, once the transaction is committed, to look at a run."""
    _send_on_commit("training.tasks.execute_run", run_id, queue="gpu")


def wake_turn(turn_id: int) -> None:
    """Ask a worker, once the transaction is committed, to answer a turn of a chat."""
    _send_on_commit("training.tasks.answer_turn", turn_id, queue="chat")


def wake_speaker(version_id: int) -> None:
    """Ask a worker, once the transaction is committed, to have a policy ready for a chat."""
    _send_on_commit("training.tasks.get_ready", version_id, queue="chat")


def wake_merging(version_id: int) -> None:
    """Ask a worker, once the transaction is committed, to merge an adapter; it may wait behind a long run."""
    _send_on_commit("training.tasks.merge_adapter", version_id, queue="gpu", expires=None)


def wake_round(round_id: int) -> None:
    """Ask a worker, once the transaction is committed, to look at a round."""
    _send_on_commit("training.tasks.advance_round", round_id, queue="default")


def _send_on_commit(task: str, row_id: int, *, queue: str, expires: int | None = EXPIRES_SECONDS) -> None:
    def send() -> None:
        try:
            current_app.send_task(task, [row_id], queue=queue, expires=expires, retry=False)
        except OperationalError as error:
            # Nothing is lost: the row is committed, and the beat finds it when the broker is back.
            log.warning("The broker cannot be reached (%s); %s(%s) waits for the next beat.", error, task, row_id)

    transaction.on_commit(send)
