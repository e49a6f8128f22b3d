"""Policies that wait for their turn at a loop's gate: kept in order, withdrawn by a lead, and carried out in turn.

A loop has one round at a time. What is sent to its gate meanwhile waits until that round ends, however it ends, and
goes before the loop's next own round, which then follows the last of them. What cannot go through a gate any more when
its turn comes, as it was put into use meanwhile or its copy decided on, is dropped with an event that says why.
"""

from __future__ import annotations

from django.db import transaction
from django.utils import translation
from django.utils.translation import gettext as _

from annotation.errors import AnnotationError
from annotation.models import User
from annotation.services import events
from annotation.told import Told, told
from training.errors import TrainingError, WrongState
from training.models import GateOrder, Loop, ModelVersion, Round
from training.services import moves, sending, weights


@transaction.atomic
def send(*, version: ModelVersion, actor: User | None, reason: str = "") -> Round | GateOrder:
    """Return the round that decides on `version`, or the order by which it waits for the round that is open.

    Refuses what `sending.send_to_gate` refuses, and who waits already or is what the open round decides on.
    """
    loop = Loop.objects.select_for_update().select_related("campaign").filter(campaign=version.campaign_id).first()
    if loop is None or not moves.unfinished(version.campaign_id).exists():
        return sending.send_to_gate(version=version, actor=actor, reason=reason)
    if why := objection(version):
        raise WrongState(why)
    sending.check(loop=loop, version=version, reason=reason)
    order = GateOrder.objects.create(loop=loop, candidate=version, created_by=actor, reason=reason.strip())
    events.record(
        campaign=loop.campaign,
        actor=actor,
        action="gate.queued",
        target=version.label,
        detail={"reason": order.reason},
    )
    return order


def objection(version: ModelVersion) -> str:
    """Return why a version can neither go to the gate nor wait for it, or an empty string."""
    if why := sending.objection(version):
        return why
    of_same = GateOrder.objects.filter(weights.same(version, "candidate__"), loop__campaign=version.campaign_id)
    if (order := of_same.select_related("candidate").first()) is not None:
        return _("{version} waits for its gate already.").format(version=order.candidate.label)
    same = moves.unfinished(version.campaign_id).filter(weights.same(version, "candidate__"))
    deciding = same.select_related("candidate").first()
    if deciding is not None:
        text = _("Round {number} is not finished, and decides on {version}.")
        return text.format(number=deciding.index, version=deciding.candidate and deciding.candidate.label)
    return ""


def waiting(loop: Loop) -> list[GateOrder]:
    """Return the orders of a loop in the order in which they are carried out."""
    return list(loop.gate_orders.select_related("candidate", "created_by"))


@transaction.atomic
def withdraw(*, version: ModelVersion, actor: User | None) -> None:
    """Take a version's order back before its gate has opened; WrongState where none waits."""
    Loop.objects.select_for_update().filter(campaign=version.campaign_id).first()
    if not GateOrder.objects.filter(candidate=version).delete()[0]:
        raise WrongState(_("{version} does not wait for a gate.").format(version=version.label))
    events.record(campaign=version.campaign, actor=actor, action="gate.withdrawn", target=version.label)


def following(loop: Loop) -> GateOrder | None:
    """Return the order whose turn it is; those before it that no gate can decide on any more are dropped.

    Call inside a transaction that locks the loop.
    """
    for order in waiting(loop):
        why = _hindrance(order, loop)
        if not why:
            return order
        order.delete()
        events.record(
            campaign=loop.campaign,
            actor=None,
            action="gate.dropped",
            target=order.candidate.label,
            detail={"note": why},
        )
    return None


def _hindrance(order: GateOrder, loop: Loop) -> str:
    """Return what keeps an order from being carried out, in English, as an event says the same in every language."""
    with translation.override(None):
        if why := sending.objection(order.candidate):
            return why
        try:
            sending.check(loop=loop, version=order.candidate, reason=order.reason)
        except (TrainingError, AnnotationError) as error:
            return str(error)
    return ""


def then(order: GateOrder | None) -> Told:
    """Return what follows a round after which the loop does not go on by itself, where this order is carried out."""
    if order is None:
        return told("The loop is paused.")
    return told("Next {candidate} is compared, which was sent to the gate.", candidate=order.candidate.label)


def go_on(*, loop: Loop, policy: ModelVersion, order: GateOrder | None, own: bool) -> None:
    """Open what follows a round that has ended, if anything does.

    That is the gate of the order whose turn it is (`following`), and then, where the loop goes on by itself (`own`),
    its next round. Call inside a transaction that locks the loop.
    """
    if order is not None:
        sending.open_gate(
            loop=loop,
            policy=policy,
            candidate=order.candidate,
            actor=order.created_by,
            reason=order.reason,
            goes_on=own,
        )
        order.delete()
    elif own:
        moves.open_round(loop=loop, policy=policy, actor=None)
