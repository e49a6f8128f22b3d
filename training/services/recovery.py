"""Finding what was lost: runs whose worker is gone, and runs whose message never arrived."""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings
from django.utils import timezone

from annotation.told import told
from training import orphans, store
from training.models import Run
from training.recipes.spec import RunResult
from training.services import messages, runs, waiting


def recover_lost() -> int:
    """Take runs from workers that are gone, queue them again, and wake workers again; return how many were taken.

    A worker is gone when its heartbeat is older than `ATTUNE_RUN_LOST_SECONDS`, or at once when it was a process of
    this machine that no longer lives.
    """
    stale = timezone.now() - timedelta(seconds=settings.ATTUNE_RUN_LOST_SECONDS)
    taken = 0
    for run in Run.objects.filter(state=Run.State.RUNNING).select_related("campaign"):
        silent = run.heartbeat_at is None or run.heartbeat_at < stale
        if (silent or worker_is_gone(run.claim)) and _recover(run):
            taken += 1
    for run in Run.objects.filter(state=Run.State.QUEUED, heartbeat_at__lt=stale).order_by("pk")[:20]:
        if Run.objects.filter(pk=run.pk, state=Run.State.QUEUED).update(heartbeat_at=timezone.now()):
            messages.wake_run(run.pk)
    lost = Run.objects.filter(state=Run.State.WAITING, heartbeat_at__lt=stale).order_by("heartbeat_at")
    for number in lost.values_list("pk", flat=True)[:20]:
        waiting.look_again(number)
    return taken


def worker_is_gone(claim: str) -> bool:
    """Return whether `claim` names a process of this machine that has ended; False when that cannot be told."""
    parts = claim.split("-")
    if len(parts) != 4 or parts[0] != runs.machine():
        return False
    return not orphans.lives(int(parts[1]), float(parts[2]))


def _recover(run: Run) -> bool:
    """Take a run from a worker that is gone, stop its orphan, and queue it again; False when somebody was faster."""
    lost_claim, ours = run.claim, runs.claim_name()
    # Under our name first: should the old worker only have slept, its next write changes nothing and it lets go;
    # should we be killed here, our own heartbeat goes stale and the next beat begins anew.
    if (
        Run.objects.filter(pk=run.pk, state=Run.State.RUNNING, claim=lost_claim).update(
            claim=ours, heartbeat_at=timezone.now()
        )
        != 1
    ):
        return False
    run.claim = ours
    here = lost_claim.split("-")[0] == runs.machine()
    if here and run.pid is not None and run.pid_started is not None:
        # What cannot be stopped keeps the folder's lock, and the next attempt waits for that.
        orphans.stop_orphan(run.pid, run.pid_started)
    result = RunResult.read(store.run_file(run.pk, "result.json").parent)
    if result is not None:
        runs.finish(run, result)
    elif run.cancel_requested:
        runs.record_cancelled(run)
    else:
        runs.requeue(run, reason=told("Its worker was lost."))
    return True
