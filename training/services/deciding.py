"""How a round ends at its gate: with its candidate in use, or turned down, and what follows of either."""

from __future__ import annotations

from itertools import takewhile

from django.db import transaction

from annotation.models import User
from annotation.told import Told, told
from training.models import GateOrder, Loop, ModelVersion, Round
from training.services import gate_orders, gates, promotion
from training.services.moves import move, settings_of_gate, withdraw
from training.services.orders import run_of

State = Round.State


def close_gate(round: Round, *, actor: User | None) -> bool:
    """Decide on the candidate by what is measured and judged now; False when the round was no longer there."""
    run, candidate = run_of(round, "gate"), round.candidate
    assert run is not None and candidate is not None
    settings = settings_of_gate(round, run)
    with transaction.atomic():
        loop = Loop.objects.select_for_update().get(pk=round.loop_id)
        report = gates.decide(round=round, run=run, settings=settings)
        withdraw(round, gates.batch(round))
        passed = report.verdict == report.Verdict.PASS
        in_a_row = _rejections(loop)
        goes_on = settings.auto_continue and round.goes_on
        if not round.is_gate_only:  # of the loop's own candidates one that was sent here says nothing
            in_a_row = 0 if passed else in_a_row + 1
            goes_on = settings.auto_continue and in_a_row < settings.rejections_in_a_row
        if passed:
            if not move(round, State.PROMOTED, gates.reason(report), actor=actor):
                return False
            promotion.promote(version=candidate, actor=None)
            order = gate_orders.following(loop)
        else:
            order = gate_orders.following(loop)
            note = told("{candidate} was turned down.", candidate=candidate.label) + gates.reason(report)
            if not move(round, State.REJECTED, note + _then(round, order, goes_on, in_a_row), actor=actor):
                return False
            ModelVersion.objects.filter(pk=candidate.pk).update(state=ModelVersion.State.REJECTED)
        gate_orders.go_on(loop=loop, policy=candidate if passed else round.policy, order=order, own=goes_on)
        # Also after a gate that waited for the loop's last rejection, which then paused nothing.
        if order is None and not goes_on and in_a_row:
            Loop.objects.filter(pk=loop.pk).update(state=Loop.State.PAUSED)
    return True


def _then(round: Round, order: GateOrder | None, goes_on: bool, in_a_row: int) -> Told:
    """Return what follows a candidate that was turned down, the last `in_a_row` of the loop's own."""
    if not round.is_gate_only:
        return told("The next round asks for more pairs.") if goes_on else gate_orders.then(order)
    stays = told("{policy} stays in use.", policy=round.policy.label)
    return stays + gate_orders.then(None) if order is None and not goes_on and in_a_row else stays


def _rejections(loop: Loop) -> int:
    """Return how many of the loop's ended rounds, the last ones, turned down the candidate that they made."""
    ended = loop.rounds.filter(state__in=(State.PROMOTED, State.REJECTED)).exclude(prompts=[]).order_by("-index")
    return len(list(takewhile(lambda state: state == State.REJECTED, ended.values_list("state", flat=True))))
