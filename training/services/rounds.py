"""Loops and their rounds: what a lead starts, pauses, resumes and ends, and how rounds advance in between."""

from __future__ import annotations

import logging
from dataclasses import asdict
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import translation
from django.utils.translation import gettext as _

from annotation.errors import AnnotationError
from annotation.feedback import kind
from annotation.models import Campaign, Event, User
from annotation.services import events
from annotation.told import Told, of, told
from training import objections, paths
from training.errors import GateClosed, Invalid, TrainingError, WrongState
from training.models import Loop, ModelVersion, Round, Run
from training.recipes.base import RecipeError
from training.recipes.loop import LoopSettings, loop_settings
from training.recipes.loop_candidate import candidate, mixed, trains_cost
from training.services import (
    deciding,
    ending,
    gates,
    guards,
    labelling,
    messages,
    misnamed,
    moves,
    orders,
    prompts,
    reachable,
    rewarding,
    rollouts,
    runs,
    safety_tests,
    seeing,
    steps,
    suites,
    versions,
)

log = logging.getLogger(__name__)

State = Round.State
CONFIGURED = "loop.configured"  # the event
# In which state a round orders a run, by its purpose. A gate's keeps what it was ordered with.
ORDERED_IN = {
    "sample": State.DRAFTING,
    "reward": State.FREEZING,
    "cost": State.FREEZING,
    "rollouts": State.FREEZING,
    "policy": State.FREEZING,
}


@transaction.atomic
def create_loop(
    *,
    campaign: Campaign,
    policy: str,
    prompts_path: str,
    settings: dict[str, Any],
    actor: User | None,
    reason: str = "",
) -> Loop:
    """Return a new, paused loop. `policy` (a folder or a hub name) becomes the campaign's policy in use.

    Where another one is in use already, no gate has compared the two: it takes a `reason`, which is written to the
    audit trail, else GateClosed. The one before is retired and can be rolled back to.
    """
    if not kind(campaign.kind).compares:
        raise WrongState(
            _(
                "A loop learns from people who compare two answers; this campaign asks for something else. Create one "
                "that compares."
            )
        )
    prompts_path = prompts_path.strip()
    if actor is not None and (message := paths.objection(prompts_path, _("prompts"))):
        raise Invalid(message, {"prompts_path": [message]})
    asked = prompts.check(prompts_path, campaign)
    values = _checked(campaign, settings)
    if actor is not None:
        guards.refuse_foreign(values["guard"], campaign)
        suites.refuse_foreign(values["gate_suite"])
    reachable.check(loop_settings(values))
    if Loop.objects.filter(campaign=campaign).exists():
        raise WrongState(_("This campaign has a loop already. Change its settings instead."))
    _put_into_use(campaign=campaign, policy=policy.strip(), actor=actor, reason=reason.strip())
    first = versions.current(campaign, ModelVersion.Kind.POLICY)
    if first is not None and (why := seeing.objection(first, asked)):
        raise Invalid(why, {"policy": [str(why)]})
    loop = Loop.objects.create(campaign=campaign, settings=values, prompts_path=prompts_path, created_by=actor)
    events.record(campaign=campaign, actor=actor, action="loop.created", target="loop", detail={"settings": values})
    return loop


def _put_into_use(*, campaign: Campaign, policy: str, actor: User | None, reason: str) -> None:
    """Register the policy of a new loop, in use from now on; nothing to do where it is in use already."""
    serving = versions.current(campaign, ModelVersion.Kind.POLICY)
    if serving is not None and serving.path == paths.stored(policy):
        return
    first = versions.register(campaign=campaign, kind=ModelVersion.Kind.POLICY, path=policy, actor=actor)
    if serving is not None:
        objection = told(
            "{serving} is in use, and nobody has compared {policy} with it.", serving=serving.label, policy=policy
        )
        if not reason:
            raise GateClosed(
                objection + told("Begin the loop with the policy in use, or give a reason, which stays in the events.")
            )
        ModelVersion.objects.filter(pk=serving.pk).update(state=ModelVersion.State.RETIRED)
        with translation.override(None):  # an event says the same in every language
            events.record(
                campaign=campaign,
                actor=actor,
                action="policy.promoted_over_the_gate",
                target=first.label,
                detail={"reason": reason, "objection": str(objection)},
                changes={"in use": (serving.label, first.label)},
            )
    ModelVersion.objects.filter(pk=first.pk).update(state=ModelVersion.State.PROMOTED)


@transaction.atomic
def configure(*, loop: Loop, settings: dict[str, Any], actor: User | None, policy: str = "") -> Loop:
    """Return the loop with `settings` changed; a round that is under way goes by them from its next step on.

    Not so a gate that is open: it keeps the limits it was opened with. `policy` corrects the name of the policy in use,
    as long as nothing came of it.
    """
    corrected = misnamed.correct(loop=loop, policy=policy, actor=actor) if policy.strip() else None
    values = _checked(loop.campaign, {**loop.settings, **settings})
    if actor is not None and values["guard"] != loop.settings.get("guard", ""):
        guards.refuse_foreign(values["guard"], loop.campaign)
    if actor is not None and values["gate_suite"] != loop.settings.get("gate_suite", ""):
        suites.refuse_foreign(values["gate_suite"])
    # A loop from before one of them was a setting has it by default, and is not asked anew by another change.
    reachable.check(loop_settings(values), {**asdict(LoopSettings()), **loop.settings})
    Loop.objects.filter(pk=loop.pk).update(settings=values)
    changes = events.changed(loop.settings, values) | ({"policy": corrected} if corrected else {})
    events.record(campaign=loop.campaign, actor=actor, action=CONFIGURED, target="loop", changes=changes)
    loop.refresh_from_db()
    return loop


def _checked(campaign: Campaign, settings: dict[str, Any]) -> dict[str, Any]:
    try:
        found = loop_settings(settings)
    except RecipeError as error:
        raise objections.invalid(error) from None
    if trains_cost(found) and "safer_pairs" not in kind(campaign.kind).views:
        message = _(
            "Nobody is asked in this campaign which answer is safer, so no cost model can be trained from it. Turn "
            "refresh_cost off and put a cost model into use, or begin a campaign that compares twice."
        )
        raise Invalid(message, {"refresh_cost": [message]})
    if found.engine:
        recipe = candidate(found)
        runs.refuse_for_engine(recipe, recipe.fill(orders.told_to_candidate(found, recipe)), orders.engine_of(found))
    if why := labelling.refusal(campaign, found):
        raise Invalid(why, {"labeller": [str(why)]})
    return asdict(found)


@transaction.atomic
def start_round(*, loop: Loop, actor: User | None) -> Round:
    """Return the loop's next round, under way; WrongState while another one is."""
    loop = Loop.objects.select_for_update().select_related("campaign").get(pk=loop.pk)
    unfinished = moves.unfinished(loop.campaign_id).first()
    if unfinished is not None:
        told = _("Round {number} is not finished; resume or cancel it before you start another.")
        raise WrongState(told.format(number=unfinished.index))
    if loop.state == Loop.State.STOPPED:
        raise WrongState(_("This loop was stopped for good."))
    policy = versions.current(loop.campaign, ModelVersion.Kind.POLICY)
    if policy is None:
        raise WrongState(_("This campaign has no policy in use. Promote one, then start the round."))
    settings, found = moves.settings_of(loop), prompts.check(loop.prompts_path, loop.campaign)
    if why := seeing.objection(policy, found):
        raise WrongState(why)
    prompts.check_tasks(found, mixed(settings))
    labelling.check(loop.campaign, settings, policy=policy)
    rewarding.check(loop.campaign, settings)
    if why := rollouts.lacking(loop.campaign, settings):
        raise WrongState(why)
    Loop.objects.filter(pk=loop.pk).update(state=Loop.State.ACTIVE)
    try:
        with transaction.atomic():
            round = moves.open_round(loop=loop, policy=policy, actor=actor)
    except IntegrityError:
        raise WrongState(_("Another round was started at the same moment; look at that one.")) from None
    messages.wake_round(round.pk)
    return round


@transaction.atomic
def finish_labelling(*, round: Round, actor: User | None, reason: str = "") -> Round:
    """Return the round, going on with what is judged now: to training, or in the gate to the decision.

    A gate of which fewer pairs are judged than the loop wants takes a `reason`, which is written to the audit trail
    and stands in its report: whoever has seen how it goes could else end it where it goes well.
    """
    round = _read(round)
    if round.state == State.LABELLING:
        done, *_others = moves.task_counts(round, round.batch)
        moved = bool(done) and steps.close_labelling(round, actor=actor)
    elif round.state == State.GATING:
        run = orders.run_of(round, "gate")
        if run is None or run.state != Run.State.SUCCEEDED:
            raise WrongState(_("The comparison of the two policies is not done yet."))
        assert round.candidate is not None
        settings = moves.settings_of_gate(round, run)
        done, made, open_ = moves.task_counts(round, gates.batch(round))
        # Nobody can judge any more and nobody has: nothing is left but to turn the candidate down.
        is_undecided = bool(made) and not done and not open_
        untested = safety_tests.waits(round.candidate, round.policy, settings)
        if untested and not is_undecided:
            raise WrongState(untested)
        total = gates.pairs_for_people(round=round, run=run, settings=settings)
        needed = gates.needed(total, settings)
        if is_undecided and not reason.strip():
            raise WrongState(gates.undecided(total))
        if 0 < done < needed and not reason.strip():
            raise WrongState(
                told(
                    "{done} of {total} blind pairs are judged, and {needed} are needed. A lead may decide now by "
                    "giving a reason, which stays in the report.",
                    done=done,
                    total=total,
                    needed=needed,
                )
            )
        moved = (bool(done) or is_undecided) and deciding.close_gate(round, actor=actor)
        if moved and done < needed:
            events.record(
                campaign=round.loop.campaign,
                actor=actor,
                action="gate.closed_early",
                target=round.candidate.label,
                detail={"reason": reason.strip(), "judged": done, "pairs": total, "needed": needed},
            )
    else:
        message = _("The round is at “{state}”; nobody judges now.")
        raise WrongState(message.format(state=round.get_state_display()))
    if not done and not moved:
        raise WrongState(_("Nobody has judged a pair yet; there is nothing to go on with."))
    if not moved:
        raise WrongState(_("The loop is paused, or the round went on at the same moment. Look at the round again."))
    messages.wake_round(round.pk)
    return _read(round)


@transaction.atomic
def resume(*, round: Round, actor: User | None) -> Round:
    """Return the round, going on where it stalled or where its loop was paused; what failed is tried again.

    A run that failed by the loop's settings would fail by them again. Where they were changed since it was ordered, it
    is left behind in the round's history, and the round orders another one by what they are now.
    """
    round = _read(round)
    if round.is_final:
        raise WrongState(_("The round has ended. Start the next one instead."))
    if round.state != State.STALLED and round.loop.state == Loop.State.ACTIVE:
        raise WrongState(_("The round is under way; there is nothing to resume."))
    Loop.objects.filter(pk=round.loop_id).update(state=Loop.State.ACTIVE)
    if round.state == State.STALLED:
        Round.objects.filter(pk=round.pk, state=State.STALLED).update(
            state=round.stalled_in or State.DRAFTING, stalled_in="", note=""
        )
    for run in Run.objects.filter(round=round, state__in=[Run.State.FAILED, Run.State.CANCELLED]).exclude(purpose=""):
        if run.purpose in ORDERED_IN and _changed_since(run):
            Run.objects.filter(pk=run.pk).update(purpose="")
            Round.objects.filter(pk=round.pk).update(state=ORDERED_IN[run.purpose])
            continue
        Run.objects.filter(pk=run.pk).update(failures=0)
        runs.retry(run=run, actor=actor)
    events.record(campaign=round.loop.campaign, actor=actor, action="round.resumed", target=f"round {round.index}")
    messages.wake_round(round.pk)
    return _read(round)


def _changed_since(run: Run) -> bool:
    """Return whether somebody changed a setting of the loop after `run` was ordered, other than the gate's limits."""
    told_ = Event.objects.filter(campaign=run.campaign_id, action=CONFIGURED, created_at__gt=run.created_at)
    return any(not name.startswith("gate_") for changes in told_.values_list("detail", flat=True) for name in changes)


@transaction.atomic
def cancel(*, round: Round, actor: User | None) -> Round:
    """Return the round, ended: its runs are stopped, its open tasks withdrawn, the loop paused.

    The policy in use stays in use, judgements are kept, and a candidate stays a candidate. The loop is not paused where
    another policy waits for its gate, which begins.
    """
    loop = Loop.objects.select_for_update().select_related("campaign").get(pk=round.loop_id)
    round = _read(round)
    serving = versions.current(loop.campaign, ModelVersion.Kind.POLICY)
    why = told("Cancelled.")
    if serving is not None:
        why += told("{policy} stays in use.", policy=serving.label)
    if not ending.break_off(round=round, loop=loop, actor=actor, why=why):
        raise WrongState(_("The round has ended already; there is nothing to cancel."))
    return _read(round)


@transaction.atomic
def pause(*, loop: Loop, actor: User | None) -> Loop:
    """Return the loop, paused: runs that are under way finish, people go on judging, and no round advances."""
    if not Loop.objects.filter(pk=loop.pk, state=Loop.State.ACTIVE).update(state=Loop.State.PAUSED):
        raise WrongState(_("The loop is not active."))
    events.record(
        campaign=loop.campaign,
        actor=actor,
        action="loop.paused",
        target="loop",
        changes={"state": ("active", "paused")},
    )
    loop.refresh_from_db()
    return loop


# --- Advancing ---------------------------------------------------------------------------------------------------


def advance(round_id: int) -> bool:
    """Do one step of a round if its condition holds; return whether anything changed.

    Safe to call at any time, from anywhere, twice at once, and again after it was killed half way.
    """
    round = Round.objects.select_related("loop__campaign", "policy", "candidate", "snapshot").get(pk=round_id)
    step = steps.STEPS.get(round.state)
    if step is None or round.loop.state != Loop.State.ACTIVE:
        return False
    try:
        return step(round)
    except (TrainingError, AnnotationError) as stuck:
        return _stall(round, of(stuck))


def advance_far(round_id: int) -> None:
    """Do steps of a round until none does anything; a round that begins where this one ends is woken on its own."""
    while advance(round_id):
        log.info("Round %s advanced.", round_id)
    following = Round.objects.filter(loop__rounds=round_id, state=State.DRAFTING).exclude(pk=round_id).first()
    if following is not None:
        messages.wake_round(following.pk)


def advance_all() -> int:
    """Take every unfinished round of an active loop as far as it can go; return how many were looked at.

    A fault in one round is logged and noted at the round, and keeps none of the others waiting.
    """
    ids = Round.objects.exclude(state__in=[*Round.FINAL, State.STALLED]).filter(loop__state=Loop.State.ACTIVE)
    looked_at = 0
    for round_id in list(ids.values_list("pk", flat=True)):
        looked_at += 1
        try:
            advance_far(round_id)
        except Exception as error:
            log.exception("Round %s could not advance.", round_id)
            note = told("The last step did not work: {error} It is tried again with the next beat.", error=str(error))
            Round.objects.filter(pk=round_id).update(note=note)
    return looked_at


def _stall(round: Round, why: Told) -> bool:
    with transaction.atomic():
        return moves.move(round, State.STALLED, why, stalled_in=round.state)


def _read(round: Round) -> Round:
    return Round.objects.select_related("loop__campaign", "policy", "candidate", "snapshot").get(pk=round.pk)
