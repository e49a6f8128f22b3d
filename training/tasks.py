"""What Celery calls: an id in, the work in a service, safe to run twice. The row is the job, a message only wakes."""

from __future__ import annotations

from typing import Any

from celery import shared_task
from celery.signals import celeryd_after_setup, heartbeat_sent, worker_shutdown, worker_shutting_down

from training.services import (
    answering,
    execution,
    fresh_pairs,
    guard_retraining,
    leftovers,
    model_folders,
    presence,
    recovery,
    rounds,
)


@shared_task(ignore_result=True)
def execute_run(run_id: int) -> None:
    """Bring a queued run to its end (queue `gpu`)."""
    execution.execute(run_id)


@shared_task(ignore_result=True)
def answer_turn(turn_id: int) -> None:
    """Have a waiting turn of a chat answered (queue `chat`)."""
    answering.answer(turn_id)


@shared_task(ignore_result=True)
def get_ready(version_id: int) -> None:
    """Have a policy loaded for somebody who is about to talk to it (queue `chat`)."""
    answering.get_ready(version_id)


@shared_task(ignore_result=True)
def recover_lost_turns() -> None:
    """Take turns of chats from workers that are gone, and wake workers for those that nobody took up (beat)."""
    answering.recover_lost()


@shared_task(ignore_result=True)
def merge_adapter(version_id: int) -> None:
    """Put a version's adapter into the weights of its base, to be downloaded (queue `gpu`)."""
    model_folders.merge(version_id)


@shared_task(ignore_result=True)
def advance_round(round_id: int) -> None:
    """Take a round as far as it can go now."""
    rounds.advance_far(round_id)


@shared_task(ignore_result=True)
def advance_rounds() -> None:
    """Take every unfinished round as far as it can go now (beat)."""
    rounds.advance_all()


@shared_task(ignore_result=True)
def recover_lost() -> None:
    """Take runs from workers that are gone, and wake workers for runs that nobody picked up (beat)."""
    recovery.recover_lost()


@shared_task(ignore_result=True)
def measure_rewards() -> None:
    """Measure reward models on pairs that were judged after them, where there are enough (beat)."""
    fresh_pairs.measure_all()


@shared_task(ignore_result=True)
def look_after_guards() -> None:
    """Retrain guards where that is due, and take over what a retraining found (beat)."""
    guard_retraining.look_after_all()


@shared_task(ignore_result=True)
def delete_leftovers() -> None:
    """Delete what processes that were killed had begun, after a day (beat)."""
    leftovers.delete_leftovers()


_here: dict[str, Any] = {}  # the worker of this process: its name and its queues


@celeryd_after_setup.connect
def remember_queues(sender: str, instance: Any, **_: Any) -> None:
    """Learn which queues this worker serves."""
    _here.update(node=sender, queues=sorted(instance.app.amqp.queues.consume_from))


@heartbeat_sent.connect
def note_presence(**_: Any) -> None:
    """Leave word that this worker is there, for the pages of leads; also while its child is busy with a run."""
    if _here:
        presence.note_now_and_then(**_here)


@worker_shutting_down.connect
def stop_children(**_: Any) -> None:
    """Let a worker that is told to stop do so in seconds: its run writes a checkpoint and is queued again."""
    execution.STOPPING.value = True


@worker_shutdown.connect
def stop_speaking(**_: Any) -> None:
    """End the model that answers chats with the process that asks it."""
    answering.fall_silent()
