"""The reward and what people want, over the rounds of a loop: each gate is a step, and steps add up to a way.

A step is from the policy that was in use to the candidate. Its gain is a win rate as log-odds, people's and the reward
model's, and gains add up as strengths of Bradley and Terry do; how far it leads is √KL of both, and √KL adds up along a
way, as it is a length where steps are small. So policies of different rounds, and reward models that were trained anew
between them, stand on one axis, as far as that holds. Within a round nothing is taken for granted: ρ is between what
the reward model and what people prefer of two answers to the same prompt, so no prompt's difficulty is in it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from annotation.models import Campaign
from annotation.told import Told, told
from training.errors import TrainingError
from training.models import GateReport, Round, Run
from training.services import overoptimisation
from training.services.comparisons import people_shares
from training.services.gates import batch
from training.services.overoptimisation import BEST_OF_N, RL, SLOPES, Checkpoint, Curve, Rho, Sign
from training.services.sampling import output_rows

MOST = 50  # rounds that are read: the newest

Figure = dict[str, Any]


@dataclass(frozen=True)
class Step:
    """What the gate of one round said, and where its candidate stands on the way; None where it lacks a figure."""

    round: int
    candidate: str
    parent: str
    verdict: str
    human: Figure | None  # win rate over the parent
    reward: Figure | None
    kl: Figure | None
    rho: Rho  # of the compared prompts: what the reward model prefers, and what people do
    position: Checkpoint | None
    error: float | None  # standard error of the step's gain for people


@dataclass(frozen=True)
class Trend:
    """All steps, the newest last; the way to the newest candidate, with the link along it, its curves and its alarm."""

    steps: list[Step]
    way: list[Checkpoint] = field(default_factory=list)
    link: Rho = field(default_factory=lambda: Rho(None, None, None, 0))
    curves: list[Curve] = field(default_factory=list)
    sign: Sign | None = None

    @property
    def alarms(self) -> list[Told]:
        """Return what is wrong at the newest checkpoint, in sentences that say what to do."""
        if self.sign is None:
            return []
        now, best = self.way[self.sign.at].label, self.way[self.sign.best].label
        if self.sign.rule == SLOPES:
            said = told(
                "Over the last three policies, up to {now}, the reward rose and people's preference fell, by more than "
                "three standard errors.",
                now=now,
            )
        else:
            said = told(
                "People prefer {best} to {now}, by more than three standard errors, though later policies were trained "
                "for more reward.",
                now=now,
                best=best,
            )
        return [
            said
            + told(
                "Put {best} back into use, train the reward model on what people said since, and hold the next policy "
                "closer to its reference.",
                best=best,
            )
        ]


def of_campaign(campaign: Campaign) -> Trend:
    """Return the trend of a campaign's loop. Two statements, and two and a file for each round whose gate has ended."""
    rounds = Round.objects.filter(loop__campaign=campaign, candidate__gate_report__isnull=False)
    found = rounds.select_related("loop", "candidate__gate_report__parent").order_by("-index")[:MOST]
    stands: dict[int, tuple[Checkpoint, list[float]]] = {}  # by version: where it stands, and the errors up to there
    steps: list[Step] = []
    newest: tuple[list[int], int] | None = None
    parents: dict[int, int] = {}
    for round in reversed(found):
        candidate = round.candidate
        assert candidate is not None
        report: GateReport = candidate.gate_report
        figures = {one["name"]: one for one in report.figures if one["estimate"] is not None}
        human, reward, kl = (figures.get(name) for name in ("human_win_rate", "reward_win_rate", "kl"))
        place = error = None
        if human is not None and reward is not None and kl is not None:
            before, errors = stands.get(report.parent_id) or (Checkpoint(report.parent.label, 0.0, 0.0, 0.0), [])
            stands.setdefault(report.parent_id, (before, errors))
            gain, error = _gain(human)
            place = Checkpoint(
                candidate.label,
                before.distance + math.sqrt(max(0.0, kl["estimate"])),
                before.proxy + _gain(reward)[0],
                before.human + gain,
            )
            stands[candidate.pk] = (place, [*errors, error])
            parents[candidate.pk] = report.parent_id
            newest = (_line(candidate.pk, parents), candidate.pk)
        rho = _within(round)
        steps.append(
            Step(
                round.index, candidate.label, report.parent.label, report.verdict, human, reward, kl, rho, place, error
            )
        )
    if newest is None:
        return Trend(steps)
    line, last = newest
    return _along(steps, [stands[one][0] for one in line], stands[last][1])


def _along(steps: list[Step], way: list[Checkpoint], errors: list[float]) -> Trend:
    def error(first: int, second: int) -> float:
        return math.sqrt(sum(one**2 for one in errors[first:second]))

    curves = [
        curve
        for name in (RL, BEST_OF_N)
        if (curve := overoptimisation.fitted([p.distance for p in way], [p.human for p in way], way=name)) is not None
    ]
    link = overoptimisation.spearman([p.proxy for p in way], [p.human for p in way])
    return Trend(steps, way, link, curves, overoptimisation.sign(way, error))


def _line(version: int, parents: dict[int, int]) -> list[int]:
    """Return the versions from the first policy to this one."""
    found = [version]
    while (above := parents.get(found[-1])) is not None:
        found.append(above)
    return found[::-1]


def _gain(rate: Figure) -> tuple[float, float]:
    """Return a win rate as log-odds with its standard error; half a win more on both sides, so that none is endless."""
    won, lost = rate["estimate"] * rate["n"] + 0.5, (1 - rate["estimate"]) * rate["n"] + 0.5
    return math.log(won / lost), math.sqrt(1 / won + 1 / lost)


def _within(round: Round) -> Rho:
    """Return ρ over the prompts of a gate that people judged and the reward model scored."""
    run = Run.objects.filter(round=round, purpose="gate", state=Run.State.SUCCEEDED).first()
    if run is None:
        return Rho(None, None, None, 0)
    shares = people_shares(round)
    first, second = [], []
    try:
        for row in output_rows(run, "comparisons"):
            said = shares.get(f"{batch(round)}-{row['id']}")
            if said is not None and row.get("reward_preference") is not None:
                first.append(float(row["reward_preference"]))
                second.append(said)
    except TrainingError:  # its file was deleted
        return Rho(None, None, None, 0)
    return overoptimisation.spearman(first, second)
