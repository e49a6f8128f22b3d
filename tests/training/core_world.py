"""A round whose runs the real training core does in this process, without a worker."""

from __future__ import annotations

from training import launch, paths
from training.core.run import KINDS, open_job
from training.models import Round, Run
from training.services import rounds, runs


def work(round: Round) -> Round:
    """Advance the round and do its runs by the real core, in this process, until it waits for people or has ended."""
    while True:
        rounds.advance_far(round.pk)
        queued = Run.objects.filter(round=round, state=Run.State.QUEUED).first()
        if queued is None:
            round.refresh_from_db()
            return round
        held = runs.claim(queued.pk, "worker")
        assert held is not None
        spec = launch.spec_of(held)
        paths.run_folder(held.pk).mkdir(parents=True, exist_ok=True)
        result = KINDS[spec.kind](open_job(spec))
        result.write(spec.output)
        runs.finish(held, result)
