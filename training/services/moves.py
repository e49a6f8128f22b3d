"""How a round moves: from one state to the next, with its event, and what leaves the queue with it."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

from django.db.models import Count, Exists, OuterRef, Q, QuerySet
from django.utils import timezone

from annotation.models import Task, User
from annotation.services import events, withdrawal
from annotation.told import Told
from training.models import Loop, ModelVersion, Round, Run
from training.recipes.loop import LoopSettings, loop_settings
from training.services import (
    assigned,
    gates,
)

State = Round.State


def settings_of(loop: Loop) -> LoopSettings:
    return loop_settings(loop.settings)


def settings_of_gate(round: Round, run: Run) -> LoopSettings:
    """Return the loop's settings with the limits that stood when `run`, the gate's comparison, was ordered.

    Once answers are there to be seen nobody moves a limit to them.
    """
    settings = settings_of(round.loop)
    # Each was checked when it was set; what was changed since need not fit what stood then.
    there = {one.name for one in fields(settings)}
    return replace(settings, **{name: value for name, value in run.inputs.get("limits", {}).items() if name in there})


def move(round: Round, to: State, note: Told, *, actor: User | None = None, **values: Any) -> bool:
    """Move the round from the state it was read in; False when it is no longer there. Call inside a transaction.

    The UPDATE locks the row, so that what follows it in the transaction happens once.
    """
    if to in Round.FINAL:
        values["finished_at"] = timezone.now()
    # EXISTS and no join: a join would put the conditions into a subquery, which PostgreSQL does not look at again after
    # it has waited for another transaction's lock on the row; so each of two movers would change it.
    active = Exists(Loop.objects.filter(pk=OuterRef("loop"), state=Loop.State.ACTIVE))
    changed = Round.objects.filter(active, pk=round.pk, state=round.state).update(state=to, note=note, **values)
    if changed:
        events.record(
            campaign=round.loop.campaign,
            actor=actor,
            action=f"round.{to}",
            target=f"round {round.index}",
            detail={"note": note.as_json()},
        )
    return bool(changed)


def unfinished(campaign_id: int) -> QuerySet[Round]:
    """Return the round of a campaign's loop that has not ended, of which there is one at most."""
    return Round.objects.filter(loop__campaign=campaign_id).exclude(state__in=Round.FINAL)


def open_round(*, loop: Loop, policy: ModelVersion, actor: User | None) -> Round:
    """Return the loop's next round, in DRAFTING. Call inside a transaction that locks the loop."""
    last = loop.rounds.order_by("-index").values_list("index", flat=True).first()
    round = Round.objects.create(loop=loop, index=(last or 0) + 1, policy=policy)
    events.record(
        campaign=loop.campaign,
        actor=actor,
        action="round.drafting",
        target=f"round {round.index}",
        detail={"policy": policy.label},
    )
    return round


def task_counts(round: Round, batch: str) -> tuple[int, int, int]:
    """Return how many tasks of a batch are judged, how many there are, and how many wait for judgements."""
    counts = Task.objects.filter(campaign_id=round.loop.campaign_id, batch=batch).aggregate(
        done=Count("pk", filter=Q(state=Task.State.COMPLETE)),
        total=Count("pk"),
        open=Count("pk", filter=Q(state=Task.State.OPEN)),
    )
    return counts["done"], counts["total"], counts["open"]


def withdraw(round: Round, *batches: str) -> None:
    """Take what is still open of these batches out of the queue; judgements that are there are kept."""
    withdrawal.withdraw(campaign=round.loop.campaign, batches=batches)
    for batch in batches:
        assigned.forget_gone(round, batch)


def withdraw_if_cancelled(round: Round) -> None:
    """Withdraw tasks that a step made while somebody cancelled the round."""
    if Round.objects.filter(pk=round.pk, state=State.CANCELLED).exists():
        withdraw(round, round.batch, gates.batch(round))
