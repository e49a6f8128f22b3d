"""Whether what is trained on still means what people want: alarms for a page. Objective mismatch, arXiv:2311.00168.

Three figures must move together: how a reward model does on what it was made from, how it does on what comes after it,
and what people say of the policies it made. Each alarm rests on intervals, so that a few votes raise none; that both
figures of a comparison are noisy is counted by MOVER (R. Newcombe, "Interval estimation for the difference between
independent proportions", 1998, method 10). Thresholds are ours; the paper gives none.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from annotation.models import Campaign
from annotation.told import Told, share, told
from training.models import GateReport
from training.services import fresh_pairs

LEAST = 50  # pairs without which no alarm is raised
CHANCE = 0.5

Figure = dict[str, Any]


def alarms(campaign: Campaign) -> list[Told]:
    """Return what is wrong now, in sentences that say what to do. Two SQL statements.

    Of the model that was measured last, and of the newest gate at which both people and a reward model spoke.
    """
    said = of_model(fresh_pairs.of_campaign(campaign)[:1])
    reports = GateReport.objects.filter(candidate__campaign=campaign).select_related("candidate").order_by("-pk")
    for report in reports[:10]:
        figures = {figure["name"]: figure for figure in report.figures if figure["estimate"] is not None}
        if "human_win_rate" in figures and "reward_win_rate" in figures:
            return said + of_gate(report.candidate.label, figures["human_win_rate"], figures["reward_win_rate"])
    return said


def of_model(measured: Iterable[fresh_pairs.Fresh]) -> list[Told]:
    """Return what a measurement on fresh pairs says against a model."""
    said = []
    for one in measured:
        now, longer = one.metrics.get("accuracy"), one.metrics.get("longer_is_chosen")
        before = one.version.metrics.get("eval_accuracy")
        if not isinstance(now, dict) or now["n"] < LEAST:
            continue
        words = {"model": one.version.label, "rate": share(now["estimate"]), "n": now["n"]}
        if now["low"] <= CHANCE:
            said.append(
                told(
                    "{model} agrees with people on {rate} of {n} fresh pairs, which a coin may do too. Train one anew.",
                    **words,
                )
            )
        elif isinstance(longer, dict) and now["estimate"] <= longer["estimate"]:
            said.append(
                told(
                    "{model} agrees with people on {rate} of {n} fresh pairs, and the rule that the longer answer is "
                    "better on {longer}: it may be worth no more than that. Look at what it prefers before it trains.",
                    longer=share(longer["estimate"]),
                    **words,
                )
            )
        if isinstance(before, dict) and _fall(before, now) > 0:
            said.append(
                told(
                    "{model} agreed with people on {before} of the pairs held out when it was made, and agrees on "
                    "{rate} of {n} fresh ones: what is judged now is not what it learned. Train one with the new "
                    "pairs.",
                    before=share(before["estimate"]),
                    **words,
                )
            )
    return said


def of_gate(candidate: str, people: Figure, reward: Figure) -> list[Told]:
    """Return the alarm that a policy climbed the reward and not what people want: the intervals are on both sides."""
    if reward["low"] is None or people["high"] is None or not people["high"] < CHANCE < reward["low"]:
        return []
    return [
        told(
            "The reward model preferred {candidate} in {reward}, people in {people} of {n} pairs: it became better by "
            "the reward and worse for people. Train the reward model on these pairs, or hold the policy closer to its "
            "reference.",
            candidate=candidate,
            reward=share(reward["estimate"]),
            people=share(people["estimate"]),
            n=people["n"],
        )
    ]


def _fall(before: Figure, now: Figure) -> float:
    """Return the lower end of the 95 % interval of before - now."""
    down, up = before["estimate"] - before["low"], now["high"] - now["estimate"]
    return float(before["estimate"] - now["estimate"] - math.hypot(down, up))
