"""The steps of a round, one function a state. Each does what its state does when its condition holds.

A step has its effects first, all of them repeatable (external ids, get-or-create on constraints, the same bytes give
the same file), and moves the round last, by an UPDATE that names the state it moves from. So a step may be killed
half way and done again, and of two that run at the same time one moves the round and the other changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from annotation.models import User
from annotation.told import share, told, told_many
from training.models import Loop, ModelVersion, Round
from training.services import (
    assigned,
    ending,
    gates,
    guard_attention,
    labelling,
    orders,
    profiles,
    prompts,
    rewarding,
    rollouts,
    safety_tests,
    sampling,
    suites,
    versions,
    weights,
)
from training.services.deciding import close_gate
from training.services.descent import forebears
from training.services.freezing import freeze
from training.services.moves import move, settings_of, settings_of_gate, task_counts, withdraw, withdraw_if_cancelled
from training.services.orders import Stuck, run_of, succeeded

State = Round.State


def draft(round: Round) -> bool:
    """Choose prompts and order their answers."""
    settings = settings_of(round.loop)
    why = labelling.lacking(round.loop.campaign, settings, policy=round.policy)
    why = why or rollouts.lacking(round.loop.campaign, settings)
    if why := why or rewarding.lacking(round.loop.campaign, settings):
        raise Stuck(why)
    chosen = prompts.choose(round.loop, index=round.index, count=settings.prompts_per_round)
    users = assigned.shares(round, settings, chosen, policies=[round.policy])
    texts = profiles.texts(round.loop.campaign, users.values())
    data = prompts.write(round, "prompts", chosen, users=users, said=texts)
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
    guard_attention.attend_round(round, run)
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


def train(round: Round) -> bool:
    """Take the candidate, or the one that was sent, and order its comparison with the current policy."""
    candidate = round.candidate
    if not round.is_gate_only:
        run = run_of(round, "policy")
        if run is None or not succeeded(run):
            return False
        candidate = run.output
        if candidate is None:
            raise Stuck(told("{run} made no model. Look at its log, then cancel the round.", run=run.told))
    assert candidate is not None
    settings = settings_of(round.loop)
    keeper = rewarding.keeper(round.loop.campaign, settings)
    # Another policy may have been put into use since the round began, and the gate is held against that one.
    serving = versions.current(round.loop.campaign, ModelVersion.Kind.POLICY)
    round.policy = serving or round.policy
    named = {"candidate": candidate.label}
    if round.policy == candidate:
        return ending.close_needless(
            round, told("{candidate} was put into use before its gate opened; nothing is left to decide.", **named)
        )
    weights.of(candidate)  # by which a copy of it is known again
    if round.is_gate_only and (known := weights.known_before(candidate, round.policy)) is not None:
        return ending.close_needless(
            round,
            told(
                "{candidate} has the very weights of {known}, on which is decided already: nobody draws twice.",
                known=known.label,
                **named,
            ),
        )
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
    texts = profiles.texts(round.loop.campaign, users.values())
    data = prompts.write(round, "held-out", held_out.chosen, fresh=held_out.fresh, users=users, said=texts)
    suite, both = "", [candidate, round.policy]
    if settings.gate_suite:
        suite = suites.write(round, settings.gate_suite, models=judges, answering=both)
    with transaction.atomic():
        Loop.objects.select_for_update().get(pk=round.loop_id)
        if versions.current(round.loop.campaign, ModelVersion.Kind.POLICY) != serving:
            return True  # one was put into use just now: this step is done again, beside that one
        note = told_many(
            "{candidate} is compared with {policy} on {n} held-out prompt.",
            "{candidate} is compared with {policy} on {n} held-out prompts.",
            len(held_out.chosen),
            candidate=candidate.label,
            policy=round.policy.label,
        )
        if not move(
            round, State.GATING, note, candidate=candidate, policy=round.policy, held_out=list(held_out.chosen)
        ):
            return False
        proof: dict[str, Any] = {"held_out": {"there": held_out.there, "left_out": held_out.touched}}
        # Of what was made elsewhere nobody here knows the data, and a report does not read as if somebody did.
        proof["elsewhere"] = [one.label for one in (candidate, *forebears(candidate)) if one.made_by is None]
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
            if not done:
                note = gates.undecided(total)
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


STEPS: dict[str, Callable[[Round], bool]] = {
    State.DRAFTING: draft,
    State.SAMPLING: sample,
    State.LABELLING: label,
    State.FREEZING: freeze,
    State.TRAINING: train,
    State.GATING: gate,
}
