"""Which filter of a policy's answers a report on a reward model speaks for: the choice of PF-PPO, arXiv:2409.06957.

A report tells by R² of reward and worth how far the rewards of what a filter keeps can be trusted: worth by people
(`reward-accuracy`, where they compared three answers or more of a prompt) or by a gold scorer (`best-of-n`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db.models import Q

from annotation.told import Told, stored, told, told_many
from training.models import ModelVersion, Run
from training.recipes import loop_knobs
from training.recipes.assembled import assembled
from training.recipes.base import RecipeError
from training.recipes.evaluate import BEST_OF
from training.recipes.filters import NO_FILTER, chosen, figure_of, filter_of
from training.recipes.loop import LoopSettings
from training.recipes.reward import REWARD_ACCURACY

CHOOSES = ("pf-ppo",)  # the recipes whose filter is chosen by it
SLOT = "filter"
INPUT = "filter_choice"  # by which name a run keeps it among its inputs


@dataclass(frozen=True)
class Choice:
    """A filter by its part's name, empty where all answers are to be kept, and why."""

    part: str
    run: Run
    why: Told

    def as_input(self) -> dict[str, Any]:
        """Return what a run is told of it, as nobody named its filter."""
        return {INPUT: {"part": self.part, "run": self.run.pk, "why": stored(self.why)}}


def of(
    recipe: str, reward: ModelVersion | None, *, parts: Mapping[str, str] | None = None, alike: bool = False
) -> Choice | None:
    """Return the filter with the highest R² by the newest report on `reward`; None without one, or for other recipes.

    Only filters that go together with the other `parts` that were asked for are held against each other. With `alike`,
    where there is none, by the newest on a reward model of the campaign that the same recipe made: each round of a loop
    trains a new one, which nobody has measured yet.
    """
    if recipe not in CHOOSES or reward is None:
        return None
    found = _newest([reward])
    if found is None and alike:
        made = ModelVersion.objects.filter(campaign=reward.campaign_id, kind=reward.kind)
        name = reward.recipe.get("name")
        found = _newest([one for one in made if name and one.recipe.get("name") == name])
    others = {slot: part for slot, part in (parts or {}).items() if slot != SLOT}
    return None if found is None else _choice(recipe, others, *found)


def of_round(settings: LoopSettings, reward: ModelVersion | None) -> Choice | None:
    """Return the filter of a round's candidate; None where the settings name one, or no report speaks for one."""
    named = loop_knobs.read(settings.policy_parts)
    return None if SLOT in named else of(settings.policy_recipe, reward, parts=named, alike=True)


def _newest(rewards: list[ModelVersion]) -> tuple[Run, ModelVersion, dict[str, float]] | None:
    """Return the newest run that tells R² by filter of one of these, which it is of, and what it tells."""
    by_path = {one.path: one for one in rewards}
    of_them = Q(parent__in=rewards, recipe__name=REWARD_ACCURACY.name)
    of_them |= Q(recipe__name=BEST_OF.name, inputs__scorers__reward__in=list(by_path))
    done = Run.objects.filter(of_them, campaign__in={one.campaign_id for one in rewards}, state=Run.State.SUCCEEDED)
    for run in done.select_related("parent").order_by("-pk"):
        if told_by := _squares((run.result or {}).get("metrics", {})):
            by_people = run.recipe["name"] == REWARD_ACCURACY.name
            reward = run.parent if by_people else by_path[run.inputs["scorers"]["reward"]]
            assert reward is not None
            return run, reward, told_by
    return None


def _squares(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Return R² by filter, of all answers among them; nothing where there is nothing to compare."""
    found = {name: metrics[one]["estimate"] for one in metrics if (name := filter_of(one)) is not None}
    return found if NO_FILTER in found and len(found) > 1 else {}


def _choice(
    recipe: str, others: Mapping[str, str], run: Run, reward: ModelVersion, squares: Mapping[str, float]
) -> Choice | None:
    fits = {name: square for name, square in squares.items() if name == NO_FILTER or _fits(recipe, others, name)}
    if len(fits) < 2:
        return None
    best = chosen(fits)
    answers, n = run.result.get("counts", {}).get("weighed"), run.result["metrics"][figure_of(best)]["n"]
    cases = told_many("{n} answer", "{n} answers", answers) if answers else told_many("{n} prompt", "{n} prompts", n)
    shown: dict[str, Any] = {
        "square": f"{fits[best]:.2f}",
        "every": f"{fits[NO_FILTER]:.2f}",
        "run": run.pk,
        "reward": reward.label,
        "cases": cases,
    }
    if best == NO_FILTER:
        shown["square"] = f"{max(square for name, square in fits.items() if name != NO_FILTER):.2f}"
        return Choice(
            "",
            run,
            told(
                "No filter, by R² of {reward}: {every} of all answers, {square} at most by a filter (run {run}, "
                "{cases}).",
                **shown,
            ),
        )
    return Choice(
        best,
        run,
        told(
            "{part} is chosen by R² of {reward}: {square} against {every} of all answers (run {run}, {cases}).",
            part=best,
            **shown,
        ),
    )


def _fits(recipe: str, others: Mapping[str, str], part: str) -> bool:
    try:
        assembled(recipe, {**others, SLOT: part})
    except RecipeError:
        return False
    return True
