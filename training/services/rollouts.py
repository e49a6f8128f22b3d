"""Runs of branched rollouts, whose pairs another run learns from."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext as _

from annotation.models import Campaign
from training import paths, store
from training.errors import Invalid
from training.models import Run
from training.recipes.policy import REFUEL
from training.recipes.rollouts import NAME, PAIRS


def finished(campaign: Campaign) -> list[Run]:
    """Return the campaign's newest runs of branched rollouts that left pairs."""
    done = Run.objects.filter(campaign=campaign, recipe__name=NAME, state=Run.State.SUCCEEDED).order_by("-id")[:20]
    return [run for run in done if pairs_in(run)]


def pairs_in(run: Run) -> int:
    """Return how many pairs the run left."""
    return int(run.result.get("counts", {}).get("pairs", 0))


def inputs_of(*, campaign: Campaign, recipe: str, run_id: int, field: str = "rollouts") -> dict[str, Any]:
    """Return the inputs of a run of `recipe` that learns from the pairs that run `run_id` left.

    The reference is the policy that wrote the pairs, whatever the run starts from: the regression is on its
    log-probabilities. Invalid, at `field`, where there are no such pairs.
    """
    run = Run.objects.filter(pk=run_id, campaign=campaign, recipe__name=NAME).first()
    why = ""
    if recipe != REFUEL.name:
        why = _("Only {recipe} learns from branched rollouts.").format(recipe=REFUEL.name)
    elif run is None:
        why = _("This campaign has no run {number} of branched rollouts.").format(number=run_id)
    elif run.state != Run.State.SUCCEEDED:
        why = _("Run {number} has no pairs yet: wait for it to finish.").format(number=run_id)
    elif not pairs_in(run):
        why = _("Run {number} left no pair to learn from; its page says why.").format(number=run_id)
    if why or run is None:
        raise Invalid(why, {field: [why]})
    return {
        "data": paths.stored(store.run_file(run.pk, run.result["files"][PAIRS])),
        "reference": run.inputs["model"],
    }
