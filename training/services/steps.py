"""The steps of a round, one function a state. Each does what its state does when its condition holds.

A step has its effects first, all of them repeatable (external ids, get-or-create on constraints, the same bytes give
the same file), and moves the round last, by an UPDATE that names the state it moves from. So a step may be killed
half way and done again, and of two that run at the same time one moves the round and the other changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from datetime import timedelta
from itertools import takewhile
from typing import Any

from django.db import transaction
from django.db.models import Count, Exists, OuterRef, Q
from django.utils import timezone

from annotation.models import Task, User
from annotation.services import events, withdrawal
from annotation.told import Told, share, told, told_many
from training.models import Loop, ModelVersion, Round, Run, Snapshot
from training.recipes.anchors import ANCHORS
from training.recipes.base import recipe
from training.recipes.loop import LABELLED, OF_PAIRS, LoopSettings, asked, candidate, loop_settings, trains_cost
from training.services import (
    assigned,
    gates,
    labelling,
    orders,
    promotion,
    prompts,
    rewarding,
    safety_tests,
    sampling,
    snapshots,
    suites,
)
from training.services.orders import Stuck, run_of, succeeded

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


# --- Steps -------------------------------------------------------------------------------------------------------


def draft(round: Round) -> bool:
    """Choose prompts and order their answers."""
    settings = settings_of(round.loop)
    why = labelling.lacking(round.loop.campaign, settings, policy=round.policy)
    if why := why or rewarding.lacking(round.loop.campaign, settings):
        raise Stuck(why)
    chosen = prompts.choose(round.loop, index=round.index, count=settings.prompts_per_round)
    users = assigned.shares(round, settings, chosen, policies=[round.policy])
    data = prompts.write(round, "prompts", chosen, users=users)
    note = told_many(
        "{policy} answers {n} prompt, {times} times.",
        "{policy} answers {n} prompts, {times} times each.",
        len(chosen),
        policy=round.policy.label,
        times=settings.samples_per_prompt,
    )
    if said := labelling.note(round, settings):
        note += said
    elif not orders.scorers(round, ModelVersion.Kind.REWARD):
        note += told("There is no reward model yet, so the pairs are drawn at random.")
    if users:
        note += told_many(
            "Each answer is made for one of {n} person, and shown to them alone.",
            "Each answer is made for one of {n} people, and shown to them alone.",
            len(set(users.values())),
        )
    note += rewarding.note(settings.principles)
    with transaction.atomic():
        if not move(round, State.SAMPLING, note, prompts=list(chosen)):
            return False
        orders.sample(round, settings, data=data)
    return True


def sample(round: Round) -> bool:
    """Put the answers into the queue."""
    run = run_of(round, "sample")
    if run is None or not succeeded(run):
        return False
    accepted = sampling.accept(round=round, run=run, overlap=settings_of(round.loop).overlap)
    if not accepted.tasks and not accepted.labelled:
        if accepted.absent:
            raise Stuck(
                told(
                    "Every pair that people could compare was made for people who have left the campaign since. Cancel "
                    "the round and start another one."
                )
            )
        raise Stuck(
            told(
                "{policy} gave no two different answers to any of {n} prompts that people could compare. Cancel the "
                "round and raise the temperature or samples per prompt.",
                policy=round.policy.label,
                n=accepted.identical + accepted.refused,
            )
        )
    with transaction.atomic():
        if move(round, State.LABELLING, accepted.note, labelling_started_at=timezone.now()):
            return True
    withdraw_if_cancelled(round)
    return False


def label(round: Round) -> bool:
    """Let the round go on when every pair is judged, or at the deadline when enough are.

    Where a model has labelled all pairs nothing waits for people, who may judge the audit slice meanwhile.
    """
    settings = settings_of(round.loop)
    drawn = run_of(round, "sample")
    if labelling.by_model(drawn) and not labelling.asks_people(drawn):
        with transaction.atomic():
            return move(round, State.FREEZING, told("A model has labelled the pairs."))
    begun = round.labelling_started_at or round.created_at
    is_late = timezone.now() >= begun + timedelta(hours=settings.deadline_hours)
    assigned.withdraw_absent(round, round.batch, is_late=is_late)
    done, total, open_ = task_counts(round, round.batch)
    if open_ and not is_late:
        return False
    if done < total:
        total -= assigned.gone(round, round.batch)
    if done < settings.minimum_share * total:
        figures: dict[str, Any] = {"done": done, "total": total, "needed": share(settings.minimum_share)}
        if open_:
            note = told(
                "The deadline has passed with {done} of {total} pairs judged; {needed} are needed. The round waits "
                "for them, or for a lead to train with what is there.",
                **figures,
            )
        else:
            note = told(
                "{done} of {total} pairs are judged; {needed} are needed, and the others were made for people who "
                "skipped them or are given nothing now. The round waits for a lead to train with what is there.",
                **figures,
            )
        return bool(Round.objects.filter(pk=round.pk, state=State.LABELLING).exclude(note=note).update(note=note))
    return close_labelling(round, actor=None)


def close_labelling(round: Round, *, actor: User | None) -> bool:
    """Withdraw what nobody has judged and go on to freezing; False when the round was no longer there."""
    done, total, _ = task_counts(round, round.batch)
    with transaction.atomic():
        if not move(
            round, State.FREEZING, told("{done} of {total} pairs are judged.", done=done, total=total), actor=actor
        ):
            return False
        withdraw(round, round.batch)
    return True


def freeze(round: Round) -> bool:
    """Freeze this round's pairs with some of earlier ones, train what scores anew, then order the policy."""
    settings = settings_of(round.loop)
    drawn = run_of(round, "sample")
    if drawn is not None and labelling.by_model(drawn):
        return _learn_from_labels(round, settings, drawn)
    snapshot = round.snapshot or _frozen(round, settings)
    if snapshot is None:
        raise Stuck(
            told(
                "In none of the pairs one answer was preferred, so there is nothing to learn from. Ask people to look "
                "at their judgements again and resume the round, or cancel it."
            )
        )
    if not _judges_are_new(round, settings):
        return False
    if why := rewarding.lacking(round.loop.campaign, settings):
        raise Stuck(why)
    scoring = orders.judges(round)
    asks = asked(settings)
    if "reward" in asks and "reward" not in scoring:
        raise Stuck(
            told(
                "{recipe} learns from scores, and there is no reward model. Let the loop train one anew each round, or "
                "put one into use, and resume the round.",
                recipe=settings.policy_recipe,
            )
        )
    if "cost" in asks and "cost" not in scoring:
        raise Stuck(
            told(
                "{recipe} learns from costs, and there is no cost model. Let the loop train one anew each "
                "round, or put one into use, and resume the round.",
                recipe=settings.policy_recipe,
            )
        )
    data = ""
    note = told_many(
        "{policy} learns from {n} pair.", "{policy} learns from {n} pairs.", snapshot.rows, policy=round.policy.label
    )
    learned: Snapshot | None = snapshot
    if settings.policy_recipe not in OF_PAIRS:
        if settings.judge_against in ANCHORS:
            learned, data = _anchored(round, settings), ""
            count = sum(row[settings.judge_against] is not None for row in snapshots.lines(learned))
        else:
            chosen = prompts.all_to_learn_on(round.loop)
            learned, data, count = None, prompts.write(round, "learning", chosen), len(chosen)
        note = told_many(
            "{policy} learns by {recipe} from its own answers to {n} prompt, as {reward} scores them.",
            "{policy} learns by {recipe} from its own answers to {n} prompts, as {reward} scores them.",
            count,
            policy=round.policy.label,
            recipe=settings.policy_recipe,
            reward=scoring["reward"].label,
        )
        note += rewarding.note(settings.principles)
        note += rewarding.learned(round.loop.campaign, settings)
        decided = {knob.name for knob in candidate(settings, scoring).knobs()}
        if "cost_limit" in decided:
            note += told(
                "Their mean cost, by {cost}, is to stay at {limit} or less.",
                cost=scoring["cost"].label,
                limit=settings.gate_cost_limit,
            )
        elif "judged_cost" in decided:
            note += told(
                "What costs more than {limit} by {cost} earns nothing.",
                cost=scoring["cost"].label,
                limit=settings.gate_cost_limit,
            )
    with transaction.atomic():
        if not move(round, State.TRAINING, note):
            return False
        orders.policy(round, settings, snapshot=learned, data=data)
    return True


def _anchored(round: Round, settings: LoopSettings) -> Snapshot:
    """Return the campaign's prompts, none of them held out, with the answers that people know to be good."""
    filters = {"anchors": settings.judge_against, "split": "train", "include_audit": False}
    return snapshots.freeze(campaign=round.loop.campaign, view="prompts", filters=filters, actor=None)


def _learn_from_labels(round: Round, settings: LoopSettings, drawn: Run) -> bool:
    """Order the policy on the pairs that a model labelled, beside those that it left to people.

    What scores is trained anew from people alone, so it stays as it is where they said nothing new.
    """
    if settings.policy_recipe not in LABELLED:
        raise Stuck(
            told(
                "{recipe} does not learn from pairs that a model labels. Choose one of {names}, and resume the round.",
                recipe=settings.policy_recipe,
                names=", ".join(LABELLED),
            )
        )
    if "reward" in recipe(settings.policy_recipe).scorers and "reward" not in orders.judges(round):
        raise Stuck(
            told(
                "{recipe} learns from scores, and there is no reward model. Put one into use, and resume the round.",
                recipe=settings.policy_recipe,
            )
        )
    snapshot = (round.snapshot or _frozen(round, settings)) if labelling.asks_people(drawn) else None
    if snapshot is not None and not _judges_are_new(round, settings):
        return False
    pairs = labelling.write(round, drawn, settings, snapshot)
    note = told_many(
        "{policy} learns from {n} pair that a model labelled.",
        "{policy} learns from {n} pairs that a model labelled.",
        pairs.models,
        policy=round.policy.label,
    )
    if snapshot is not None:
        note += told_many("{n} more is people's.", "{n} more are people's.", pairs.people)
    with transaction.atomic():
        if not move(round, State.TRAINING, note):
            return False
        orders.policy(round, settings, snapshot=snapshot, data=pairs.data, labelled_by=pairs.by)
    return True


def _judges_are_new(round: Round, settings: LoopSettings) -> bool:
    """Order the models that score, as the settings want them anew; return whether they are there and in use."""
    wanted = [("reward", orders.reward)] if settings.refresh_reward else []
    wanted += [("cost", orders.cost)] if trains_cost(settings) else []
    ordered = [run_of(round, purpose) or order(round, settings) for purpose, order in wanted]
    there = [run is not None and succeeded(run) for run in ordered]  # of each, as one that failed is tried again here
    if not all(there):
        return False
    for run in ordered:
        if run is not None and run.output is not None and run.output.state == ModelVersion.State.CANDIDATE:
            promotion.promote(version=run.output, actor=None)
    return True


def _frozen(round: Round, settings: LoopSettings) -> Snapshot | None:
    """Return the snapshot of the round's pairs, with some of earlier ones; None where people preferred no answer."""
    # What people judged while they talked to the policy is about its answers as much as the round's own pairs.
    own = [round.batch, round.policy.chat_batch]
    filters: dict[str, Any] = {"batches": own, "split": "train", "include_audit": False}
    campaign = round.loop.campaign
    snapshot = snapshots.freeze(campaign=campaign, view="pairs", filters=filters, actor=None)
    if not snapshot.rows:
        return None
    before = Round.objects.filter(loop=round.loop_id, index__lt=round.index).select_related("policy").order_by("index")
    earlier = [batch for one in before for batch in (one.batch, one.policy.chat_batch)]
    earlier = [batch for batch in dict.fromkeys(earlier) if batch not in own]
    wanted = int(settings.replay * snapshot.rows + 0.5)
    # Earlier pairs were written by earlier policies, and the reference "data" is the one that wrote them all.
    if earlier and wanted and settings.reference != "data":
        filters["replay"] = {"batches": earlier, "rows": wanted, "seed": round.index}
        snapshot = snapshots.freeze(campaign=campaign, view="pairs", filters=filters, actor=None)
    # Who is second takes the first one's: the runs of a round must all have read the same file.
    Round.objects.filter(pk=round.pk, snapshot=None).update(snapshot=snapshot)
    round.refresh_from_db(fields=["snapshot"])
    assert round.snapshot is not None
    return round.snapshot


def train(round: Round) -> bool:
    """Take the candidate and order its comparison with the current policy."""
    run = run_of(round, "policy")
    if run is None or not succeeded(run):
        return False
    candidate = run.output
    if candidate is None:
        raise Stuck(told("{run} made no model. Look at its log, then cancel the round.", run=run.told))
    settings = settings_of(round.loop)
    keeper = rewarding.keeper(round.loop.campaign, settings)
    judges = [candidate, *orders.judges(round).values(), *([] if keeper is None else [keeper])]
    held_out = prompts.choose_held_out(round.loop, index=round.index, count=settings.gate_prompts, models=judges)
    if len(held_out.chosen) < prompts.LEAST_HELD_OUT:
        raise Stuck(
            told(
                "{n} held-out prompts stand in data that a model of this round learned from, and of the others there "
                "are too few for a gate. Add prompts to the file, then resume the round.",
                n=held_out.touched,
            )
        )
    users = assigned.shares(round, settings, held_out.chosen, policies=[candidate, round.policy])
    data = prompts.write(round, "held-out", held_out.chosen, fresh=held_out.fresh, users=users)
    suite = suites.write(round, settings.gate_suite, models=judges) if settings.gate_suite else ""
    with transaction.atomic():
        note = told_many(
            "{candidate} is compared with {policy} on {n} held-out prompt.",
            "{candidate} is compared with {policy} on {n} held-out prompts.",
            len(held_out.chosen),
            candidate=candidate.label,
            policy=round.policy.label,
        )
        if not move(round, State.GATING, note, candidate=candidate, held_out=list(held_out.chosen)):
            return False
        proof: dict[str, Any] = {"held_out": {"there": held_out.there, "left_out": held_out.touched}}
        if suite:
            proof["suite"] = suites.facts(settings.gate_suite, kept=suite)
        orders.comparison(round, settings, candidate=candidate, data=data, suite=suite, proof=proof)
    return True


def gate(round: Round) -> bool:
    """Ask people, and when they have answered promote the candidate or turn it down."""
    run = run_of(round, "gate")
    if run is None or not succeeded(run):
        return False
    settings = settings_of_gate(round, run)
    assigned.withdraw_absent(round, gates.batch(round), is_late=gates.is_late(run, settings))
    asked = gates.ask(round=round, run=run, settings=settings)
    if gates.waits_for_people(round=round, run=run, settings=settings):
        note = told_many(
            "People compare {n} blind pair of the candidate and the current policy.",
            "People compare {n} blind pairs of the candidate and the current policy.",
            asked,
        )
        done, _made, open_ = task_counts(round, gates.batch(round))
        if not open_:
            total = gates.pairs_for_people(round=round, run=run, settings=settings)
            note = told(
                "{done} of {total} blind pairs are judged, and {needed} are needed. A lead may decide now by "
                "giving a reason, which stays in the report.",
                done=done,
                total=total,
                needed=gates.needed(total, settings),
            )
        waiting = Round.objects.filter(pk=round.pk, state=State.GATING).exclude(note=note)
        if waiting.update(note=note):
            return True
        withdraw_if_cancelled(round)
        return False
    assert round.candidate is not None
    if untested := safety_tests.waits(round.candidate, round.policy, settings):
        waiting = Round.objects.filter(pk=round.pk, state=State.GATING).exclude(note=untested)
        return bool(waiting.update(note=untested))
    return close_gate(round, actor=None)


def close_gate(round: Round, *, actor: User | None) -> bool:
    """Decide on the candidate by what is measured and judged now; False when the round was no longer there."""
    run, candidate = run_of(round, "gate"), round.candidate
    assert run is not None and candidate is not None
    settings = settings_of_gate(round, run)
    with transaction.atomic():
        loop = Loop.objects.select_for_update().get(pk=round.loop_id)
        report = gates.decide(round=round, run=run, settings=settings)
        withdraw(round, gates.batch(round))
        if report.verdict == report.Verdict.PASS:
            if not move(round, State.PROMOTED, gates.reason(report), actor=actor):
                return False
            promotion.promote(version=candidate, actor=None)
            if settings.auto_continue:
                open_round(loop=loop, policy=candidate, actor=None)
        else:
            goes_on = settings.auto_continue and _rejections(loop) + 1 < settings.rejections_in_a_row
            then = told("The next round asks for more pairs.") if goes_on else told("The loop is paused.")
            note = told("{candidate} was turned down.", candidate=candidate.label) + gates.reason(report) + then
            if not move(round, State.REJECTED, note, actor=actor):
                return False
            ModelVersion.objects.filter(pk=candidate.pk).update(state=ModelVersion.State.REJECTED)
            if goes_on:
                open_round(loop=loop, policy=round.policy, actor=None)
            else:
                Loop.objects.filter(pk=loop.pk).update(state=Loop.State.PAUSED)
    return True


def _rejections(loop: Loop) -> int:
    """Return how many of the loop's ended rounds, the last ones, turned their candidate down."""
    ended = loop.rounds.filter(state__in=(State.PROMOTED, State.REJECTED)).order_by("-index")
    return len(list(takewhile(lambda state: state == State.REJECTED, ended.values_list("state", flat=True))))


STEPS: dict[str, Callable[[Round], bool]] = {
    State.DRAFTING: draft,
    State.SAMPLING: sample,
    State.LABELLING: label,
    State.FREEZING: freeze,
    State.TRAINING: train,
    State.GATING: gate,
}


# --- Tasks of a round --------------------------------------------------------------------------------------------


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
