"""Whether a candidate may replace the policy in use: blind comparisons by people, and how far it moved."""

from __future__ import annotations

import math
import random
from collections import defaultdict
from datetime import timedelta
from functools import partial
from typing import Any

from django.utils import timezone

from annotation.feedback import kind
from annotation.messages import from_columns
from annotation.models import Feedback, Task
from annotation.quality.shares import wilson
from annotation.services import intake
from annotation.told import Told, of, share, told, told_many
from training.models import GateReport, Round, Run
from training.recipes import gate_bounds
from training.recipes.loop import LoopSettings
from training.services import assigned, rewarding, safety_tests, suites, unmeasured
from training.services.gate_words import decided
from training.services.sampling import output_rows

# Of the intervals.
LEVEL = share(0.95)
# Before the answers of a round: a candidate waits for these.
GATE_PRIORITY = 10

Figure = dict[str, Any]


def batch(round: Round) -> str:
    """Return the name that the gate's tasks carry in `Task.batch`."""
    return f"{round.batch}-gate"


def ask(*, round: Round, run: Run, settings: LoopSettings) -> int:
    """Put the pairs that people compare into the queue and return how many there are.

    Repeatable, and cheap to repeat: the beat comes by every few seconds while people judge. The order of the two
    answers is drawn per pair. What needs no person is not asked, see `settled`.
    """
    assert round.candidate is not None
    tasks = Task.objects.filter(campaign_id=round.loop.campaign_id, batch=batch(round))
    there = set(tasks.values_list("external_id", flat=True))
    asked = 0
    people = assigned.members(round.loop.campaign)
    for row in drawn(round=round, run=run, settings=settings):
        if settled(row) is not None or (row.get("user") and row["user"] not in people):
            continue
        asked += 1
        assignee = people.get(row.get("user", ""))
        external_id = f"{batch(round)}-{row['id']}"
        if external_id in there:
            continue
        place = random.Random(f"{round.pk}/{row['id']}").randrange(2)
        completions = [
            (row["current"]["text"], round.policy.label),
            (row["candidate"]["text"], round.candidate.label),
        ]
        intake.make_task(
            campaign=round.loop.campaign,
            messages=from_columns(row),
            completions=completions if place == 1 else completions[::-1],
            external_id=external_id,
            wanted=settings.overlap if assignee is None else 1,
            assignee=assignee,
            priority=GATE_PRIORITY,
            is_audit=True,
            batch=batch(round),
            # Where the candidate stands is kept here: a text may have been written by several versions.
            meta={"round": round.index, "policy": round.policy.label, "purpose": "gate", "candidate": place},
        )
    return asked


def settled(row: dict[str, Any]) -> float | None:
    """Return the candidate's share of a pair that needs no person; None for one that does.

    Nobody is needed where both answers are the same, one is empty, or a guard holds one back.
    """
    blocked = [bool(row[side].get("blocked")) for side in ("candidate", "current")]
    if any(blocked):
        return 0.5 if all(blocked) else float(blocked[1])
    candidate, current = row["candidate"]["text"].strip(), row["current"]["text"].strip()
    if candidate == current:
        return 0.5
    if not candidate or not current:
        return 1.0 if candidate else 0.0
    return None


def drawn(*, round: Round, run: Run, settings: LoopSettings) -> list[dict[str, Any]]:
    """Return the comparisons drawn for people; the same ones whenever asked."""
    rows = list(output_rows(run, "comparisons"))
    count = min(settings.gate_human_pairs, len(rows))
    return random.Random(f"gate of round {round.pk}").sample(rows, count)


def waits_for_people(*, round: Round, run: Run, settings: LoopSettings) -> bool:
    """Return whether the decision is held back: by open pairs, and by too few that are judged.

    A pair of which its person was taken counts as one that is not judged: else who is left would decide alone.
    """
    tasks = Task.objects.filter(campaign_id=round.loop.campaign_id, batch=batch(round))
    if tasks.filter(state=Task.State.OPEN).exists() and not is_late(run, settings):
        return True
    judged = tasks.filter(state=Task.State.COMPLETE).count()
    return judged < needed(pairs_for_people(round=round, run=run, settings=settings), settings)


def pairs_for_people(*, round: Round, run: Run, settings: LoopSettings) -> int:
    """Return how many pairs people are to judge, those included whose person left before they were asked."""
    made = Task.objects.filter(campaign_id=round.loop.campaign_id, batch=batch(round)).count()
    return max(made, sum(settled(row) is None for row in drawn(round=round, run=run, settings=settings)))


def is_late(run: Run, settings: LoopSettings) -> bool:
    """Return whether the time is over that people have for the pairs of the comparison `run`."""
    now = timezone.now()
    return now >= (run.finished_at or now) + timedelta(hours=settings.deadline_hours)


def needed(pairs: int, settings: LoopSettings) -> int:
    """Return how many of the gate's pairs have to be judged before anybody may decide without a reason."""
    return math.ceil(settings.minimum_share * pairs - 1e-9)


def is_judged(round: Round) -> bool:
    """Return whether any pair of the gate has all its judgements: half a pair decides nothing."""
    return Task.objects.filter(
        campaign_id=round.loop.campaign_id, batch=batch(round), state=Task.State.COMPLETE
    ).exists()


def undecided(pairs: int) -> Told:
    """Return what is told of a gate whose pairs have all left the queue, none with all its judgements."""
    return told_many(
        "The {n} blind pair left the queue before it had all its judgements. A lead may turn the candidate down as not "
        "decided, giving a reason that stays in the report.",
        "All {n} blind pairs left the queue before one had all its judgements. A lead may turn the candidate down as "
        "not decided, giving a reason that stays in the report.",
        pairs,
    )


def decide(*, round: Round, run: Run, settings: LoopSettings) -> GateReport:
    """Return the report on the round's candidate, made once from what was measured and judged by now."""
    assert round.candidate is not None
    figures = [*_safety(run), *suites.figures(run, settings), _kl(run, settings)]
    figures += safety_tests.figures(round.candidate, round.policy, settings)
    reward = _reward(run, settings)
    if settings.gate_human_pairs:
        figures.insert(0, _people(round, run, settings))
        if reward is not None:
            # Shown beside it, but the judge that trains is not the judge that decides.
            figures.append({**reward, "limit": None, "passed": True, "by": ""})
    else:
        figures.insert(0, reward or _nobody(settings))
    figures += unmeasured.figures(figures, settings)
    passed = all(figure["passed"] for figure in figures)
    report, _ = GateReport.objects.get_or_create(
        candidate=round.candidate,
        defaults={
            "parent": round.policy,
            "verdict": GateReport.Verdict.PASS if passed else GateReport.Verdict.FAIL,
            "figures": figures,
        },
    )
    return report


def reason(report: GateReport) -> Told:
    """Return what decided, in sentences: what failed, or when all passed everything that counted."""
    failed = [of(figure["explanation"]) for figure in report.figures if not figure["passed"]]
    counted = [of(figure["explanation"]) for figure in report.figures if figure["limit"] is not None]
    said = sum(failed or counted, Told())
    if report.verdict == GateReport.Verdict.PASS and not unmeasured.is_safety_tested(report.figures):
        said += told("Its safety was not tested.")
    return said


def shares_of_candidate(round: Round) -> dict[int, list[float]]:
    """Return for each pair of the gate, by task, what people said: 1 for the candidate, 0 against it, a tie 0.5."""
    shares: dict[int, list[float]] = defaultdict(list)
    judged = Feedback.objects.current().filter(task__campaign=round.loop.campaign_id, task__batch=batch(round))
    for feedback in judged.select_related("task"):
        value = kind(feedback.kind).scale_value(feedback.payload) or 0
        # A positive value favours canonical completion 0.
        for_candidate = value if feedback.task.meta["candidate"] == 0 else -value
        shares[feedback.task_id].append(0.5 if for_candidate == 0 else float(for_candidate > 0))
    return shares


def _people(round: Round, run: Run, settings: LoopSettings) -> Figure:
    """Return the share of pairs in which people prefer the candidate; the unit is the pair, a tie counts one half.

    A pair judged by several people counts once, with the mean of what they said.
    """
    shares = shares_of_candidate(round)
    unasked = [settled(row) for row in drawn(round=round, run=run, settings=settings)]
    clear = [share for share in unasked if share is not None]
    wins = sum(sum(values) / len(values) for values in shares.values()) + sum(clear)
    n = len(shares) + len(clear)
    limit = settings.gate_minimum_win_rate
    if not n:
        explanation = told("Nobody compared the candidate with the current policy.")
        return _figure("human_win_rate", None, (None, None), 0, limit, False, explanation)
    estimate = wins / n
    low, high = wilson(wins, n)
    assert low is not None and high is not None  # there are pairs
    explanation = told_many(
        "People preferred the candidate in {rate} of {n} blind pair ({level} interval {low} to {high}); a tie "
        "counts one half.",
        "People preferred the candidate in {rate} of {n} blind pairs ({level} interval {low} to {high}); a tie "
        "counts one half.",
        n,
        rate=share(estimate),
        level=LEVEL,
        low=share(low),
        high=share(high),
    )
    if clear:
        explanation += told(
            "In {n} of them both answers were the same, or one was empty or held back by the guard, so nobody was "
            "asked.",
            n=len(clear),
        )
    explanation += told("At least {share} is wanted.", share=share(limit))
    by_bound = gate_bounds.by_bound(settings.gate_by, "human_win_rate")
    explanation += decided(by_bound, bound="Wilson")
    passed = (low if by_bound else estimate) >= limit
    if not shares:
        passed = False
        explanation += told("As nobody judged any pair, no improvement can be shown.")
    elif not is_judged(round):
        passed = False
        explanation += told("As no pair had all its judgements, no improvement can be shown.")
    return _figure("human_win_rate", estimate, (low, high), n, limit, passed, explanation, by=_by(by_bound))


def _kl(run: Run, settings: LoopSettings) -> Figure:
    kl = run.result["metrics"]["kl"]
    limit = settings.gate_maximum_kl
    by_bound = gate_bounds.by_bound(settings.gate_by, "kl")
    passed = kl["high" if by_bound else "estimate"] <= limit
    explanation = told(
        "The candidate moved {kl} nats per completion from the current policy ({level} interval {low} to {high}). At "
        "most {most} is allowed.",
        kl=float(f"{kl['estimate']:.1f}"),
        level=LEVEL,
        low=float(f"{kl['low']:.1f}"),
        high=float(f"{kl['high']:.1f}"),
        most=int(limit) if limit == int(limit) else float(limit),
    )
    explanation += decided(by_bound, bound="Student's t")
    ends = (kl["low"], kl["high"])
    return _figure("kl", kl["estimate"], ends, kl["n"], limit, passed, explanation, by=_by(by_bound))


# The bounds of `training.core.evaluate.certificate`, as a sentence names them.
BOUND_NAMES = {
    "student": "Student's t",
    "clopper_pearson": "Clopper–Pearson",
    "hoeffding": "Hoeffding",
    "empirical_bernstein": "empirical Bernstein",
}


def _safety(run: Run) -> list[Figure]:
    """Return the safety test, where a cost model was in use. HC-RLHF, arXiv:2506.08266: it passes or says nothing."""
    found = run.result["metrics"].get("safety")
    if found is None:
        return []
    counted = found["bound"] == "clopper_pearson"
    # To a tenth of a per cent: a bound just above its limit must not read as the limit.
    in_words = partial(share, places=1) if counted else _two_places
    shown: dict[str, Any] = {
        "bound": BOUND_NAMES[found["bound"]],
        "confidence": share(1 - found["delta"], places=2),
        "limit": in_words(found["limit"]),
    }
    if found["upper"] is None:
        explanation = told("NO SOLUTION FOUND: the bound by {bound} says nothing here.", bound=shown["bound"])
        explanation += of(found if "told" in found else found["reason"])
    else:
        shown |= {"estimate": in_words(found["estimate"]), "upper": in_words(found["upper"])}
        if counted:
            explanation = told_many(
                "Of {n} answer to a fresh prompt {estimate} were unsafe by the cost model; with {confidence} "
                "confidence at most {upper} are (by {bound}).",
                "Of {n} answers to fresh prompts {estimate} were unsafe by the cost model; with {confidence} "
                "confidence at most {upper} are (by {bound}).",
                found["n"],
                **shown,
            )
        else:
            explanation = told_many(
                "The mean cost on {n} fresh prompt is {estimate}; with {confidence} confidence it is at most {upper} "
                "(by {bound}). 0 is the border of safe.",
                "The mean cost on {n} fresh prompts is {estimate}; with {confidence} confidence it is at most {upper} "
                "(by {bound}). 0 is the border of safe.",
                found["n"],
                **shown,
            )
        explanation += told("PASS.") if found["passed"] else told("NO SOLUTION FOUND: that is above the limit.")
        explanation += told("At most {limit} is allowed.", limit=shown["limit"])
    if (guard := run.inputs.get("guard")) and run.inputs.get("scorers", {}).get("cost") == guard:
        explanation += told(
            "The loop's guard told the costs, as no cost model was in use: what it misses is missed here too."
        )
    if found["reused"]:
        explanation += told_many(
            "{n} prompt was left out of this test because an earlier gate was decided on it.",
            "{n} prompts were left out of this test because an earlier gate was decided on them.",
            found["reused"],
        )
    name = "unsafe_share" if counted else "cost"
    ends = (None, found["upper"])
    return [_figure(name, found["estimate"], ends, found["n"], found["limit"], found["passed"], explanation)]


def _two_places(value: float) -> float:
    return float(f"{value:.2f}")


def _reward(run: Run, settings: LoopSettings) -> Figure | None:
    rate = run.result["metrics"].get("reward_win_rate")
    if rate is None:
        return None
    limit = settings.gate_minimum_win_rate
    by_bound = gate_bounds.by_bound(settings.gate_by, "reward_win_rate")
    explanation = told_many(
        "The reward model preferred the candidate in {rate} of {n} comparison ({level} interval {low} to {high}).",
        "The reward model preferred the candidate in {rate} of {n} comparisons ({level} interval {low} to {high}).",
        rate["n"],
        rate=share(rate["estimate"]),
        level=LEVEL,
        low=share(rate["low"]),
        high=share(rate["high"]),
    )
    explanation += rewarding.note(run.recipe["knobs"].get("principles", ""))
    if not settings.gate_human_pairs:
        explanation += told("No people were asked, as this loop is set.")
        explanation += told("At least {share} is wanted.", share=share(limit))
        explanation += decided(by_bound, bound="bootstrap")
    return _figure(
        "reward_win_rate",
        rate["estimate"],
        (rate["low"], rate["high"]),
        rate["n"],
        limit,
        rate["low" if by_bound else "estimate"] >= limit,
        explanation,
        by=_by(by_bound),
    )


def _nobody(settings: LoopSettings) -> Figure:
    explanation = told("Neither people nor a reward model compared the two: no improvement can be shown.")
    return _figure("human_win_rate", None, (None, None), 0, settings.gate_minimum_win_rate, False, explanation)


def _figure(
    name: str,
    estimate: float | None,
    interval: tuple[float | None, float | None],
    n: int,
    limit: float | None,
    passed: bool,
    explanation: Told,
    *,
    by: str = gate_bounds.BOUND,
) -> Figure:
    return {
        "name": name,
        "estimate": estimate,
        "low": interval[0],
        "high": interval[1],
        "n": n,
        "limit": limit,
        "passed": passed,
        "by": by,
        "explanation": explanation.as_json(),
    }


def _by(by_bound: bool) -> str:
    return gate_bounds.BOUND if by_bound else gate_bounds.ESTIMATE
