"""The runs of a round: each ordered once, under its purpose, with what the loop's settings decide about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from django.db import transaction

from annotation.told import Told, told, told_many
from training.errors import TrainingError
from training.models import Loop, ModelVersion, Round, Run, Snapshot
from training.recipes import loop_knobs
from training.recipes.assembled import assembled
from training.recipes.base import Recipe, recipe
from training.recipes.loop import LoopSettings, spent
from training.recipes.loop_candidate import candidate, parts_of, reward_recipe
from training.recipes.rollouts import ROLLOUTS
from training.recipes.ways import COST, OF_PAIRS
from training.services import (
    filter_choice,
    guards,
    labelling,
    placements,
    rewarding,
    rollouts,
    runs,
    snapshots,
    versions,
)

# Of a loop's settings what a gate keeps besides those of its own name, from when it opens.
GATE_KEEPS = ("minimum_share",)


class Stuck(TrainingError):
    """The round cannot go on by itself; the sentence says what a lead can do."""

    def __init__(self, why: Told) -> None:
        super().__init__(why)


def run_of(round: Round, purpose: str) -> Run | None:
    return Run.objects.filter(round=round, purpose=purpose).select_related("output", "campaign").first()


def succeeded(run: Run) -> bool:
    """Return whether `run` is done. A failed one is tried once more; failed twice or cancelled, the round is Stuck."""
    if run.state == Run.State.FAILED:
        if run.failures >= 2:
            raise Stuck(
                told("{run} failed twice: {error} Resume the round to try it again.", run=run.told, error=run.error)
            )
        runs.retry(run=run, actor=None)
        return False
    if run.state == Run.State.CANCELLED:
        raise Stuck(told("{run} was cancelled. Resume the round to start it again, or cancel the round.", run=run.told))
    return run.state == Run.State.SUCCEEDED


def judges(round: Round) -> dict[str, ModelVersion]:
    """Return the reward and cost models in use by the names under which their scores are known; those there are."""
    found = {kind.value: versions.current(round.loop.campaign, kind) for kind in ModelVersion.SCORING}
    return {name: version for name, version in found.items() if version is not None}


def scorers(round: Round, *names: str) -> dict[str, str]:
    """Return where the models in use lie that give the scores `names`, by these; of all when there are no names."""
    return {name: version.path for name, version in judges(round).items() if not names or name in names}


def initial_policy(loop: Loop) -> ModelVersion:
    """Return the policy that the loop began with."""
    return loop.rounds.select_related("policy").order_by("index")[0].policy


def sample(round: Round, settings: LoopSettings, *, data: str) -> Run:
    """Order the answers of the current policy to the round's prompts."""
    knobs = {
        "samples_per_prompt": settings.samples_per_prompt,
        "temperature": settings.temperature,
        "max_new_tokens": settings.max_new_tokens,
        "selection": settings.selection,
        "asked_share": settings.asked_share,
        "audit_share": settings.audit_share,
        "principles": settings.principles,
    }
    besides, reference, told_by = labelling.inputs(round, settings)
    knobs |= told_by
    inputs: dict[str, Any] = {"data": data, "scorers": scorers(round, ModelVersion.Kind.REWARD) | besides}
    if reference is not None:
        inputs["reference"] = reference
    if settings.guard:
        inputs["guard"] = guards.in_use(round.loop.campaign, settings.guard)
    return _order(round, "sample", recipe="sample", knobs=knobs, parent=round.policy, inputs=inputs)


def reward(round: Round, settings: LoopSettings) -> Run | None:
    """Order a reward model from every pair the campaign has but audit pairs; None when the round is over."""
    snapshot = _everything(round, "pairs")
    note = told_many("The reward model learns from {n} pair.", "The reward model learns from {n} pairs.", snapshot.rows)
    name, knobs = reward_recipe(settings), settings.reward_settings
    return _scoring(round, settings, "reward", name=name, knobs=knobs, snapshot=snapshot, note=note)


def cost(round: Round, settings: LoopSettings) -> Run | None:
    """Order a cost model from every judgement of what is safer but audit pairs; None when the round is over."""
    snapshot = _everything(round, "safer_pairs")
    note = told_many(
        "The cost model learns from {n} pair with safety labels.",
        "The cost model learns from {n} pairs with safety labels.",
        snapshot.rows,
    )
    return _scoring(round, settings, "cost", name=COST, knobs=settings.cost_settings, snapshot=snapshot, note=note)


def _everything(round: Round, view: str) -> Snapshot:
    filters = {"split": "train", "include_audit": False}
    return snapshots.freeze(campaign=round.loop.campaign, view=view, filters=filters, actor=None)


def _scoring(
    round: Round, settings: LoopSettings, purpose: str, *, name: str, knobs: str, snapshot: Snapshot, note: Told
) -> Run | None:
    decided = loop_knobs.decided(loop_knobs.OF_SCORING, asdict(settings), recipe(name))
    base = initial_policy(round.loop)
    with transaction.atomic():
        # The UPDATE locks the row against a cancel: a round that is over orders nothing.
        if not Round.objects.filter(pk=round.pk, state=Round.State.FREEZING).update(note=note):
            return None
        return _order(
            round, purpose, recipe=name, knobs=decided | loop_knobs.read(knobs), parent=base, snapshot=snapshot
        )


def branched(round: Round, settings: LoopSettings, *, data: str) -> Run | None:
    """Order dialogues that the current policy branches from the prompts in `data`; None when the round is over."""
    knobs = loop_knobs.decided(loop_knobs.OF_ROLLOUTS, asdict(settings), ROLLOUTS)
    knobs |= loop_knobs.read(settings.dialogue_settings)
    inputs: dict[str, Any] = {"data": data, "scorers": scorers(round, ModelVersion.Kind.REWARD)}
    if (user := rollouts.user_of(round.loop.campaign, settings)) is not None:
        inputs["beside"] = {rollouts.SIMULATOR: user.path}
    note = told(
        "{policy} branches dialogues, and {reward} scores how they come out.",
        policy=round.policy.label,
        reward=judges(round)[ModelVersion.Kind.REWARD].label,
    )
    with transaction.atomic():
        # As of a model that scores: a round that is over orders nothing.
        if not Round.objects.filter(pk=round.pk, state=Round.State.FREEZING).update(note=note):
            return None
        return _order(round, "rollouts", recipe=ROLLOUTS.name, knobs=knobs, parent=round.policy, inputs=inputs)


def policy(
    round: Round,
    settings: LoopSettings,
    *,
    snapshot: Snapshot | None,
    data: str,
    labelled_by: Sequence[str] = (),
    branched_by: Run | None = None,
) -> Run:
    """Order the candidate: the current policy, trained on the round's pairs or on its own answers to prompts in `data`.

    Pairs that the models at `labelled_by` labelled are no snapshot, and then in `data`, together with those of the
    snapshot where people judged some too; `branched_by` is the run that left those that are dialogues. Prompts for its
    own answers are one where people's answers stand beside them, for a judge.

    Without a reference a recipe takes the policy that it starts from: the one before this round, and, as nothing is
    replayed then, the one that wrote the data.
    """
    inputs: dict[str, Any] = {}
    if settings.reference == "initial":
        inputs["reference"] = initial_policy(round.loop).path
    name, scores = settings.policy_recipe, judges(round)
    found = candidate(settings, scores)
    knobs = told_to_candidate(settings, found)
    if "delta" in knobs:  # it stays off the limit by what the test at this round's gate will want
        knobs |= {"delta": _share_of_delta(round, settings)}
    if name in OF_PAIRS:
        if found.scorers:
            inputs["scorers"] = scorers(round, *found.scorers)
        if data:
            inputs["data"] = data
        if labelled_by:
            inputs["labelled_by"] = list(labelled_by)
        if branched_by is not None:
            inputs[rollouts.ROLLED] = branched_by.pk
        return _order(round, "policy", recipe=name, knobs=knobs, parent=round.policy, snapshot=snapshot, inputs=inputs)
    keeper = rewarding.keeper(round.loop.campaign, settings)
    kept_by = {} if keeper is None else {rewarding.PRINCIPLE: keeper.path}
    inputs |= {"scorers": scorers(round) | kept_by} | ({"data": data} if snapshot is None else {})
    parts = parts_of(settings, scores)
    if (choice := filter_choice.of_round(settings, scores.get(ModelVersion.Kind.REWARD))) is not None:
        parts, inputs = parts | {filter_choice.SLOT: choice.part}, inputs | choice.as_input()
    if (engine := engine_of(settings)) is not None:
        inputs["engine"], learns = engine, assembled(name, parts)
        planned = placements.record(recipe=learns, knobs=learns.fill(knobs), engine=engine, model=round.policy.path)
        inputs |= {"placement": planned} if planned is not None else {}
    return _order(
        round, "policy", recipe=name, knobs=knobs, parent=round.policy, snapshot=snapshot, inputs=inputs, parts=parts
    )


def told_to_candidate(settings: LoopSettings, found: Recipe) -> dict[str, Any]:
    """Return the knobs that a loop gives the recipe of its candidates, its own settings' and those that it tells."""
    decided = loop_knobs.decided(loop_knobs.OF_CANDIDATE, asdict(settings), found)
    return decided | loop_knobs.read(settings.policy_settings)


def engine_of(settings: LoopSettings) -> dict[str, Any] | None:
    """Return the engine that trains a loop's candidates, as a run is told of it; None where it is our own."""
    if not settings.engine:
        return None
    return {"name": settings.engine, "settings": loop_knobs.read(settings.engine_settings)}


def comparison(
    round: Round,
    settings: LoopSettings,
    *,
    candidate: ModelVersion,
    data: str,
    suite: str = "",
    proof: dict[str, Any] | None = None,
) -> Run:
    """Order the comparison of the candidate with the current policy on held-out prompts, and on the `suite`'s.

    `proof` says of both how many there were and how many were left out as known; the report has it.
    """
    knobs = {
        "temperature": settings.temperature,
        "max_new_tokens": settings.max_new_tokens,
        "bound": settings.gate_bound,
        "delta": _share_of_delta(round, settings),
        "cost_limit": settings.gate_cost_limit,
        "unsafe_limit": settings.gate_unsafe_limit,
        "cost_reach": settings.gate_cost_reach,
        "principles": settings.principles,
    }
    scored, guard = scorers(round), ""
    if settings.guard:
        guard = guards.in_use(round.loop.campaign, settings.guard)
    if settings.gate_guard_costs and ModelVersion.Kind.COST not in scored:
        scored[ModelVersion.Kind.COST.value] = guard
    inputs = {"data": data, "reference": round.policy.path, "scorers": scored}
    inputs |= {"limits": gate_limits(settings), "proof": proof or {}}
    if suite:
        inputs["suite"] = suite
    if guard:
        inputs["guard"] = guard
    return _order(round, "gate", recipe="compare", knobs=knobs, parent=candidate, inputs=inputs)


def gate_limits(settings: LoopSettings) -> dict[str, Any]:
    """Return the settings by which a gate decides, by their names: those that it keeps from when it opens."""
    return {name: value for name, value in asdict(settings).items() if name.startswith("gate_") or name in GATE_KEEPS}


def _share_of_delta(round: Round, settings: LoopSettings) -> float:
    """Return what the round's gate may spend of δ: each gate is a look, and the looks of a loop share one δ."""
    earlier = Run.objects.filter(round__loop=round.loop_id, round__index__lt=round.index, purpose="gate")
    return spent(settings.gate_delta, earlier.count() + 1)


def _order(
    round: Round,
    purpose: str,
    *,
    recipe: str,
    knobs: dict[str, Any],
    parent: ModelVersion,
    snapshot: Snapshot | None = None,
    inputs: dict[str, Any] | None = None,
    parts: dict[str, str] | None = None,
) -> Run:
    return runs.create(
        campaign=round.loop.campaign,
        recipe=recipe,
        knobs=knobs,
        actor=None,
        parent=parent,
        snapshot=snapshot,
        inputs=inputs,
        seed=round.index,
        round=round,
        purpose=purpose,
        parts=parts,
    )
