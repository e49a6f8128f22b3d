"""How a round ends undecided: cancelled by a lead, or as what its gate compares with is no longer in use."""

from __future__ import annotations

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from annotation.models import Campaign, User
from annotation.services import events
from annotation.told import Told, told
from training.models import Loop, ModelVersion, Round, Run
from training.services import gate_orders, gates, moves, runs, versions

State = Round.State


def break_off(*, round: Round, loop: Loop, actor: User | None, why: Told) -> bool:
    """End an open round for a reason; False where it has ended already. Call inside a transaction that locks the loop.

    Its runs are stopped and its open tasks withdrawn; judgements are kept, and a candidate stays a candidate. The loop
    is paused, unless another policy waits for its gate, which then begins.
    """
    before = round.state
    changed = Round.objects.filter(pk=round.pk).exclude(state__in=Round.FINAL).update(state=State.CANCELLED)
    if not changed:
        return False
    order = gate_orders.following(loop)
    Round.objects.filter(pk=round.pk).update(note=why + gate_orders.then(order), finished_at=timezone.now())
    if order is None:
        Loop.objects.filter(pk=loop.pk, state=Loop.State.ACTIVE).update(state=Loop.State.PAUSED)
    for run in Run.objects.filter(round=round).exclude(state__in=Run.FINAL):
        runs.cancel(run=run, actor=actor)
    moves.withdraw(round, round.batch, gates.batch(round))
    changes = {"state": (before, str(State.CANCELLED))}
    target = f"round {round.index}"
    events.record(campaign=loop.campaign, actor=actor, action="round.cancelled", target=target, changes=changes)
    serving = versions.current(loop.campaign, ModelVersion.Kind.POLICY)
    if order is not None and serving is not None:
        gate_orders.go_on(loop=loop, policy=serving, order=order, own=False)
    return True


def at_gate(campaign: Campaign) -> Round | None:
    """Return the round whose gate is open, or stalled there: what it compares with is settled."""
    there = Q(state=State.GATING) | Q(state=State.STALLED, stalled_in=State.GATING)
    found = Round.objects.filter(there, loop__campaign=campaign).select_related("loop__campaign", "policy", "candidate")
    return found.first()


def close_stale(*, campaign: Campaign, serving: ModelVersion, actor: User | None) -> None:
    """Close a gate that compares with another policy than `serving`, which was put into use over it, as undecided.

    A verdict on it would say nothing of the policy in use. Its candidate can be sent to the gate again, beside that
    one. Call inside a transaction.
    """
    loop = Loop.objects.select_for_update().select_related("campaign").filter(campaign=campaign).first()
    round = at_gate(campaign)
    if loop is None or round is None or round.candidate is None or round.policy_id == serving.pk:
        return
    shown = {"serving": serving.label, "candidate": round.candidate.label, "policy": round.policy.label}
    why = told("Closed undecided: {serving} was put into use while {candidate} was compared with {policy}.", **shown)
    if round.candidate_id != serving.pk:
        why += told("Send {candidate} to the gate again to compare it with {serving}.", **shown)
    events.record(
        campaign=campaign,
        actor=actor,
        action="gate.stale",
        target=round.candidate.label,
        detail={"round": round.index, "compared with": round.policy.label, "in use": serving.label},
    )
    break_off(round=round, loop=loop, actor=actor, why=why)


def close_needless(round: Round, why: Told) -> bool:
    """End a round before its gate opens, as there is nothing to decide; False where it has ended already."""
    with transaction.atomic():
        loop = Loop.objects.select_for_update().select_related("campaign").get(pk=round.loop_id)
        return break_off(round=round, loop=loop, actor=None, why=why)
