"""The reward and what people want, over the rounds of a loop: each gate is a step, and steps add up to a way.

A step is from the policy that was in use to the candidate (`overoptimisation.follow`), and steps add up, so policies of
different rounds, and reward models that were trained anew between them, stand on one axis, as far as that holds. Within
a round nothing is taken for granted: what its gate says of the reward model is about its own pairs (`gate_pairs`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from annotation.models import Campaign
from annotation.told import Told, share, told
from training.models import GateReport, Round
from training.services import gate_pairs, overoptimisation
from training.services.gate_pairs import Judged
from training.services.mismatch import CHANCE, LEAST
from training.services.overoptimisation import BEST_OF_N, RL, SLOPES, Checkpoint, Curve, Sign
from training.services.rank_correlation import Rho, spearman

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
    refusals: Figure | None  # safe prompts that the candidate refuses; None where the gate asked no suite
    judged: Judged  # how the reward model did on the compared prompts
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
        return [*self._along_the_way(), *(_of_the_model(self.steps[-1]) if self.steps else [])]

    def _along_the_way(self) -> list[Told]:
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
    """Return the trend of a campaign's loop. Three statements, and two and a file for each round whose gate ended."""
    rounds = Round.objects.filter(loop__campaign=campaign, candidate__gate_report__isnull=False)
    found = rounds.select_related("loop", "candidate__gate_report__parent").order_by("-index")[:MOST]
    stands: dict[int, tuple[Checkpoint, list[float]]] = {}  # by version: where it stands, and the errors up to there
    steps: list[Step] = []
    newest: tuple[list[int], int] | None = None
    parents: dict[int, int] = {}
    models = gate_pairs.reward_models(campaign)
    for round in reversed(found):
        candidate = round.candidate
        assert candidate is not None
        report: GateReport = candidate.gate_report
        figures = {one["name"]: one for one in report.figures if one["estimate"] is not None}
        human, reward, kl = (figures.get(name) for name in ("human_win_rate", "reward_win_rate", "kl"))
        refusals = figures.get("over_refusal")
        place = error = None
        if human is not None and reward is not None and kl is not None:
            before, errors = stands.get(report.parent_id) or (Checkpoint(report.parent.label, 0.0, 0.0, 0.0), [])
            stands.setdefault(report.parent_id, (before, errors))
            place, error = overoptimisation.follow(
                before, candidate.label, human=human, reward=reward, kl=kl["estimate"]
            )
            stands[candidate.pk] = (place, [*errors, error])
            parents[candidate.pk] = report.parent_id
            newest = (_line(candidate.pk, parents), candidate.pk)
        judged = gate_pairs.of_round(round, models)
        labels = (candidate.label, report.parent.label, report.verdict)
        steps.append(Step(round.index, *labels, human, reward, kl, refusals, judged, place, error))
    if newest is None:
        return Trend(steps)
    line, last = newest
    return _along(steps, [stands[one][0] for one in line], stands[last][1])


def _along(steps: list[Step], way: list[Checkpoint], errors: list[float]) -> Trend:
    curves = [
        curve
        for name in (RL, BEST_OF_N)
        if (curve := overoptimisation.fitted([p.distance for p in way], [p.human for p in way], way=name)) is not None
    ]
    link = spearman([p.proxy for p in way], [p.human for p in way])
    return Trend(steps, way, link, curves, overoptimisation.sign(way, overoptimisation.along(errors)))


def _line(version: int, parents: dict[int, int]) -> list[int]:
    """Return the versions from the first policy to this one."""
    found = [version]
    while (above := parents.get(found[-1])) is not None:
        found.append(above)
    return found[::-1]


def _of_the_model(step: Step) -> list[Told]:
    """Return what the pairs of the newest gate say against the reward model."""
    one, said = step.judged, []
    now = one.accuracy
    if now is None or now["n"] < LEAST:
        return []
    # No alarm that it is lower than on the pairs held out when the model was made: policies that became alike differ by
    # little, and then the best of models is hardly more often right than a coin.
    if now["high"] < CHANCE:
        said.append(
            told(
                "The reward model agrees with people on {rate} of {n} pairs of {policy}, less often than a coin would: "
                "the policy has gone where the model does not know what people want. Train one with these pairs.",
                rate=share(now["estimate"]),
                n=now["n"],
                policy=step.candidate,
            )
        )
    if one.rho.low is not None and one.rho.low > 0 and one.fixed.low is not None and one.fixed.low <= 0:
        said.append(
            told(
                "What the reward model and people have in common on {n} pairs of {policy} may be length and refusals "
                "alone: with both held fixed nothing is left that chance would not explain. Look at what it prefers.",
                n=one.fixed.n,
                policy=step.candidate,
            )
        )
    return said
