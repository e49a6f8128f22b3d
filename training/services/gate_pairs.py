"""What the pairs of one gate, which people judged blind, say of the reward model that scored them.

They are answers of the newest policy and the one before it, so they show the model where the policy has gone, not where
its training data was. Within a gate no prompt's difficulty counts, as both sides answer the same one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from annotation.models import Campaign
from annotation.quality.shares import wilson
from training.errors import TrainingError
from training.models import ModelVersion, Round, Run
from training.services.comparisons import people_shares
from training.services.gates import batch
from training.services.rank_correlation import Rho, partial, spearman
from training.services.sampling import output_rows

Figure = dict[str, Any]
NONE = Rho(None, None, None, 0)


@dataclass(frozen=True)
class Pair:
    """Two answers to one prompt, the candidate's less the current policy's."""

    reward: float
    people: float  # the share that prefers the candidate's, a tie counting one half
    tokens: float | None  # how much longer it is; None where nobody counted
    refusal: float | None  # 1 where it alone refuses, -1 where the other one alone does


@dataclass(frozen=True)
class Judged:
    """How the reward model did on the pairs of a gate.

    `accuracy` is the share of the pairs on which people were not divided that it puts as they do, equal scores counting
    one half, by Wilson; `before` the share of the pairs held out when it was made. `fixed` is ρ with the difference in
    length held fixed, and whether an answer refuses.
    """

    model: str
    rho: Rho
    fixed: Rho
    accuracy: Figure | None
    before: Figure | None


def of_round(round: Round, models: dict[str, ModelVersion]) -> Judged:
    """Return how the model did that scored a round's gate, one of `models` by path. Two statements and a file."""
    run = Run.objects.filter(round=round, purpose="gate", state=Run.State.SUCCEEDED).first()
    if run is None:
        return Judged("", NONE, NONE, None, None)
    version = models.get((run.inputs.get("scorers") or {}).get("reward", ""))
    before = version.metrics.get("eval_accuracy") if version is not None else None
    found = pairs(run, people_shares(round), prefix=f"{batch(round)}-")
    return Judged(
        model=version.label if version is not None else "",
        rho=spearman([one.reward for one in found], [one.people for one in found]),
        fixed=_fixed(found),
        accuracy=_accuracy(found),
        before=before if isinstance(before, dict) else None,
    )


def reward_models(campaign: Campaign) -> dict[str, ModelVersion]:
    """Return a campaign's reward models by path. One statement."""
    return {one.path: one for one in ModelVersion.objects.filter(campaign=campaign, kind=ModelVersion.Kind.REWARD)}


def pairs(run: Run, shares: dict[str, float], *, prefix: str) -> list[Pair]:
    """Return the pairs of a gate that people judged and the reward model scored; none where its file was deleted."""
    found = []
    try:
        for row in output_rows(run, "comparisons"):
            said = shares.get(f"{prefix}{row['id']}")
            if said is not None and row.get("reward_preference") is not None:
                found.append(Pair(float(row["reward_preference"]), said, _longer(row), _refusal(row)))
    except TrainingError:
        return []
    return found


def _longer(row: dict[str, Any]) -> float | None:
    ours, theirs = ((row.get(side) or {}).get("tokens") for side in ("candidate", "current"))
    return None if ours is None or theirs is None else float(ours - theirs)


def _refusal(row: dict[str, Any]) -> float | None:
    sides = row.get("refused")
    return None if sides is None else float(sides[0]) - float(sides[1])


def _fixed(found: list[Pair]) -> Rho:
    """Return the partial ρ; of pairs of a gate before refusals were written down with length alone held fixed."""
    known = [one for one in found if one.tokens is not None]
    given = [[float(one.tokens or 0) for one in known]]
    if known and all(one.refusal is not None for one in known):
        given.append([float(one.refusal or 0) for one in known])
    return partial([one.reward for one in known], [one.people for one in known], *given)


def _accuracy(found: list[Pair]) -> Figure | None:
    right = [
        0.5 if one.reward == 0 else float((one.reward > 0) == (one.people > 0.5)) for one in found if one.people != 0.5
    ]
    if not right:
        return None
    low, high = wilson(sum(right), len(right))
    return {"estimate": sum(right) / len(right), "low": low, "high": high, "n": len(right)}
