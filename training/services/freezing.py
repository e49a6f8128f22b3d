"""The step of a round in which its judgements become data, and what scores and the candidate are ordered on them."""

from __future__ import annotations

from typing import Any

from django.db import transaction

from annotation.told import told, told_many
from training.models import ModelVersion, Round, Run, Snapshot
from training.recipes.anchors import ANCHORS
from training.recipes.base import recipe
from training.recipes.loop import LoopSettings
from training.recipes.loop_candidate import asked, branches, candidate, trains_cost
from training.recipes.ways import LABELLED, OF_PAIRS
from training.services import (
    filter_choice,
    labelling,
    orders,
    profiles,
    promotion,
    prompts,
    rewarding,
    rollouts,
    snapshots,
)
from training.services.moves import move, settings_of
from training.services.orders import Stuck, run_of, succeeded

State = Round.State


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
    if branches(settings):
        return _learn_from_dialogues(round, settings, snapshot)
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
        if (choice := filter_choice.of_round(settings, scoring["reward"])) is not None:
            note += choice.why
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


def _learn_from_dialogues(round: Round, settings: LoopSettings, snapshot: Snapshot) -> bool:
    """Order dialogues that the policy branches, then the candidate on their pairs, beside those that people judged."""
    if why := rollouts.lacking(round.loop.campaign, settings):
        raise Stuck(why)
    drawn = run_of(round, "sample")
    assert drawn is not None  # a round that freezes has drawn answers
    run = run_of(round, "rollouts") or orders.branched(round, settings, data=drawn.inputs["data"])
    if run is None or not succeeded(run):
        return False
    if not rollouts.pairs_in(run):
        raise Stuck(
            told(
                "{run} left no pair of dialogues to learn from, and its page says why. Set dialogue_turns to 0, so "
                "that people's pairs alone are learned, and resume the round, or cancel it.",
                run=run.told,
            )
        )
    pairs = rollouts.write(round, run, snapshot)
    note = told_many(
        "{policy} learns from {n} pair of its own dialogues, as {reward} scored them.",
        "{policy} learns from {n} pairs of its own dialogues, as {reward} scored them.",
        pairs.own,
        policy=round.policy.label,
        reward=pairs.scored_by,
    )
    note += told_many("{n} more is people's.", "{n} more are people's.", pairs.people)
    note += rewarding.note(settings.principles)
    with transaction.atomic():
        if not move(round, State.TRAINING, note):
            return False
        orders.policy(round, settings, snapshot=snapshot, data=pairs.data, labelled_by=[pairs.path], branched_by=run)
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
    campaign = round.loop.campaign
    filters: dict[str, Any] = {"batches": own, "split": "train", "include_audit": False}
    filters |= profiles.filters(campaign, recipe(settings.policy_recipe))
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
