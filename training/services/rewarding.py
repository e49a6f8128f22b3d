"""What the reward model in use has to be, or be told, before it can score a loop's answers, and what a lead is told."""

from __future__ import annotations

from annotation.models import Campaign
from annotation.told import Told, told
from training.errors import WrongState
from training.models import ModelVersion
from training.recipes.loop import JUDGE, LoopSettings, wants_judge
from training.recipes.principles import listed
from training.services import versions

BY_PRINCIPLES = "principle-reward"  # the recipe whose models score by principles that are named to them


def lacking(campaign: Campaign, settings: LoopSettings) -> Told | None:
    """Return why the reward model in use cannot score as the settings say; None where it can.

    Of a model that was made elsewhere nobody here knows how it judges: its first run tells.
    """
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
    """Raise `WrongState` where the reward model in use cannot score as the settings say."""
    if why := lacking(campaign, settings):
        raise WrongState(why)


def note(principles: str) -> Told:
    """Return for the lead by what the reward model judges; nothing where no principles are named."""
    named = listed(principles)
    return told("The reward model judges by: {principles}.", principles="; ".join(named)) if named else Told()
