"""What the models that score have to be, or be told, before they can score a loop's answers; what a lead is told."""

from __future__ import annotations

import re

from annotation.models import Campaign
from annotation.told import Told, of, told
from training.errors import WrongState
from training.models import ModelVersion
from training.recipes import opinions
from training.recipes.loop import LoopSettings
from training.recipes.loop_candidate import asked, branches, candidate, mixed, reward_recipe, wants_judge
from training.recipes.principles import listed
from training.recipes.ways import JUDGE
from training.services import versions

BY_PRINCIPLES = "principle-reward"  # the recipe whose models score by principles that are named to them
PRINCIPLE = "principle"  # the score of the model that judges which answers are paid for


def lacking(campaign: Campaign, settings: LoopSettings) -> Told | None:
    """Return why the models that score cannot score as the settings say; None where they can.

    Of a model that was made elsewhere nobody here knows how it judges: its first run tells.
    """
    return _of_reward(campaign, settings) or _of_principles(campaign, settings)


def keeper(campaign: Campaign, settings: LoopSettings) -> ModelVersion | None:
    """Return the principle model that says which answers of a candidate are paid for; None where none is asked."""
    if PRINCIPLE not in asked(settings):
        return None
    named = settings.principle_model.strip()
    if not named:
        return versions.current(campaign, ModelVersion.Kind.REWARD)
    number = named.removeprefix(f"{ModelVersion.Kind.REWARD.value}-")
    if not re.fullmatch(r"\d{1,6}", number):
        return None
    return ModelVersion.objects.filter(campaign=campaign, kind=ModelVersion.Kind.REWARD, number=int(number)).first()


def _of_principles(campaign: Campaign, settings: LoopSettings) -> Told | None:
    if PRINCIPLE not in asked(settings):
        return None
    found = keeper(campaign, settings)
    if found is None and settings.principle_model.strip():
        return told(
            "This campaign has no reward model called {name}. Name a principle model as the page of models does, such "
            "as reward-2.",
            name=settings.principle_model.strip(),
        )
    if found is None or found.recipe.get("name") not in (None, BY_PRINCIPLES):
        return told(
            "Answers are to keep principles, and no principle model is there to judge that. Train the recipe {recipe}, "
            "and name its model in principle_model.",
            recipe=BY_PRINCIPLES,
        )
    return None


def _of_reward(campaign: Campaign, settings: LoopSettings) -> Told | None:
    named = listed(settings.principles)
    reward = versions.current(campaign, ModelVersion.Kind.REWARD)
    made_by = None if reward is None else reward.recipe.get("name")
    if reward is not None and wants_judge(settings) and not settings.refresh_reward and made_by not in (None, JUDGE):
        return told(
            "{reward} scores each answer by itself, and this loop takes a judge that reads two answers. Train the "
            "recipe {judge} and put its model into use.",
            reward=reward.label,
            judge=JUDGE,
        )
    scores_by = reward_recipe(settings) if settings.refresh_reward else made_by
    for found in [task.recipe for task in mixed(settings)] or [candidate(settings)]:
        if (why := opinions.against({part.slot: part for part in found.parts}, scores_by)) is not None:
            return of(why.told)
    if reward is not None and branches(settings) and not settings.refresh_reward and made_by == JUDGE:
        return told(
            "{reward} reads two answers and gives no dialogue a score. Put a reward model into use that scores each "
            "answer by itself, or set dialogue_turns to 0.",
            reward=reward.label,
        )
    if reward is None:
        if not named:
            return None
        return told(
            "Principles are named, and no reward model is in use that could judge by them. Train a principle model and "
            "put it into use, or name no principles."
        )
    if made_by == BY_PRINCIPLES and not named:
        return told(
            "{reward} judges by principles. Name those that this loop goes by in its setting principles, and turn "
            "refresh_reward off.",
            reward=reward.label,
        )
    if named and made_by not in (None, BY_PRINCIPLES):
        return told(
            "{reward} reads no principles. Put a principle model into use, or name no principles.", reward=reward.label
        )
    return None


def check(campaign: Campaign, settings: LoopSettings) -> None:
    """Raise `WrongState` where the models that score cannot score as the settings say."""
    if why := lacking(campaign, settings):
        raise WrongState(why)


def note(principles: str) -> Told:
    """Return for the lead by what the reward model judges; nothing where no principles are named."""
    named = listed(principles)
    return told("The reward model judges by: {principles}.", principles="; ".join(named)) if named else Told()


def learned(campaign: Campaign, settings: LoopSettings) -> Told:
    """Return for the lead what a candidate learns besides: its tasks, and the model that judges what is paid for."""
    said = Told()
    if tasks := mixed(settings):
        said += told("Its tasks: {tasks}.", tasks=", ".join(f"{one.name} ({one.recipe.name})" for one in tasks))
    found = keeper(campaign, settings)
    if found is not None:
        said += told("What does not keep its principles, by {judge}, earns nothing.", judge=found.label)
    return said
