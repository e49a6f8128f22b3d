"""Runs that start from what other runs make: they wait for these, and are queued once all of them are done.

So the stages of a pipeline are ordered at once: continued pre-training, imitation, a reward model, the policy that
climbs it. ``inputs["awaits"]`` of a waiting run says which run makes its model ("model") and its scorers (their names);
what a run has made is filled in and taken out of it in the transaction in which that run ends.
"""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.utils import timezone, translation
from django.utils.translation import gettext as _

from annotation.models import Campaign
from annotation.told import Told, told
from training import store
from training.errors import Invalid
from training.models import ModelVersion, Run
from training.recipes.assembled import from_json
from training.recipes.base import RECIPES, Recipe
from training.services import messages, snapshots

MODEL = "model"
# Of the scorers that are not called as the kind of model they are.
KIND_OF_SCORER = {"gold": "reward", "audit": "cost", "principle": "reward"}


def offered(campaign: Campaign) -> list[Run]:
    """Return the campaign's runs that will make a model once they are done, newest first."""
    going = Run.objects.filter(campaign=campaign, round=None).exclude(state__in=Run.FINAL).order_by("-id")
    return [run for run in going if makes(run)]


def makes(run: Run) -> str:
    """Return the kind of version that a run makes; empty where it makes none, or its recipe is gone."""
    recipe = RECIPES.get(run.recipe.get("name", ""))
    return "" if recipe is None else recipe.makes


def starts_from(recipe: Recipe) -> tuple[str, ...]:
    """Return the kinds of version that a run of `recipe` may start from: what it makes, and policies as backbones."""
    if recipe.of_models:
        return recipe.of_models
    return (recipe.makes, ModelVersion.Kind.POLICY.value) if recipe.makes else (recipe.starts,)


def needed_below(recipe: Recipe) -> str:
    """Return the recipe on whose model the head of `recipe` stands; empty where any backbone will do."""
    return getattr(recipe.part("head"), "stands_on", "")


def may_start(recipe: Recipe, version: ModelVersion) -> bool:
    """Return whether a run of `recipe` may start from `version`; of one made elsewhere only its folder can tell."""
    if version.kind not in starts_from(recipe):
        return False
    needed = needed_below(recipe)
    made_by = version.recipe.get("name", "")
    return not needed or (version.kind == recipe.makes and made_by in ("", needed, recipe.name))


def may_follow(recipe: Recipe, run: Run) -> bool:
    """Return whether a run of `recipe` may start from what `run` will make."""
    needed = needed_below(recipe)
    return makes(run) in starts_from(recipe) and (not needed or run.recipe["name"] in (needed, recipe.name))


def objection_below(recipe: Recipe) -> str:
    """Return what to say of a model that the head of `recipe` cannot stand on."""
    told_ = _("{recipe} stands on a model of the recipe {needed}. Choose one, or train it first.")
    return told_.format(recipe=translation.gettext(recipe.title), needed=needed_below(recipe))


def checked(recipe: Recipe, campaign: Campaign, awaits: dict[str, int]) -> dict[str, Run]:
    """Return the runs that are to be waited for, by what they make; locked, so that none ends meanwhile.

    Invalid, at its name, where a run is not of the campaign, has ended without a model, or makes another kind of model.
    """
    found: dict[str, Run] = {}
    for name, number in sorted(awaits.items(), key=lambda one: one[1]):  # in one order, whoever asks
        run = Run.objects.select_for_update(of=("self",)).filter(pk=number, campaign=campaign).first()
        why = ""
        if recipe.kind != Run.Kind.FIT:
            why = _("Only a run that trains can wait for another one.")
        elif run is None:
            why = _("This campaign has no run {number}.").format(number=number)
        elif makes(run) not in (starts_from(recipe) if name == MODEL else (KIND_OF_SCORER.get(name, name),)):
            why = _("Run {number} makes no model that can stand here.").format(number=number)
        elif name == MODEL and not may_follow(recipe, run):
            why = objection_below(recipe)
        elif run.state in (Run.State.FAILED, Run.State.CANCELLED):
            why = _("Run {number} has ended without a model. Try it again first.").format(number=number)
        elif run.state == Run.State.SUCCEEDED and run.output_id is None:
            why = _("The model that run {number} made is gone.").format(number=number)
        if why or run is None:
            raise Invalid(why, {name: [why]})
        found[name] = run
    return found


def take(run: Run, made: Run) -> None:
    """Give `run` what `made` has made, on the instance; nothing is saved."""
    output = made.output
    awaits: dict[str, int] = run.inputs["awaits"]
    if output is None:
        run.state, run.finished_at = Run.State.FAILED, timezone.now()
        run.error = told("The model that run {number} made is gone.", number=made.pk)
        return
    for name in [name for name, number in awaits.items() if number == made.pk]:
        del awaits[name]
        if name == MODEL:
            run.parent = output
            run.inputs[MODEL] = output.path
            if from_json(run.recipe)[0].of_models:
                run.inputs["known"], gone = learned_from(output)
                if gone is not None:
                    run.state, run.finished_at, run.error = Run.State.FAILED, timezone.now(), gone
        else:
            run.inputs.setdefault("scorers", {})[name] = output.path
    if not awaits:
        del run.inputs["awaits"]


def learned_from(model: ModelVersion, *, given: list[str] | None = None) -> tuple[list[str], Told | None]:
    """Return the files that tell what is new to a model of a guard, and what to say where one of them is gone.

    They are those that are `given`, else what it and its ancestors learned from.
    """
    files = [one.path for one in snapshots.learned_from(model)] if given is None else given
    if not (gone := [path for path in files if not store.exists(path)]):
        return files, None
    return files, told(
        "What {label} learned from is gone ({files}), so it cannot be shown which answers are new to it. Put "
        "the files back, or take another model.",
        label=model.label,
        files=", ".join(gone),
    )


def settle(run: Run) -> None:
    """Save that a run waits, or, when all it waited for is done, that it is queued, and wake a worker.

    Runs it waits for that have ended meanwhile are taken into account: it may have been cancelled and is tried again.
    """
    numbers = set(run.inputs.get("awaits", {}).values())
    done = Run.objects.select_for_update(of=("self",)).filter(pk__in=numbers, state=Run.State.SUCCEEDED)
    for made in done.select_related("output"):
        take(run, made)
    if run.state != Run.State.FAILED:
        run.state = Run.State.WAITING if run.inputs.get("awaits") else Run.State.QUEUED
        run.heartbeat_at = timezone.now()
    run.save(update_fields=["state", "parent", "inputs", "error", "heartbeat_at", "finished_at"])
    if run.state == Run.State.QUEUED:
        messages.wake_run(run.pk)


def release(made: Run) -> None:
    """Give what `made` has made to the runs that wait for it, and queue those that wait for nothing else.

    To be called in the transaction in which it ends, after its model has its version.
    """
    waiting = Run.objects.select_for_update(of=("self",)).filter(campaign=made.campaign_id, state=Run.State.WAITING)
    for run in waiting.order_by("pk"):
        if made.pk in run.inputs.get("awaits", {}).values():
            settle(run)


def look_again(run_id: int) -> None:
    """Take into account what a waiting run waits for and nobody told it of: it was tried again while that one ended."""
    with transaction.atomic():
        run = Run.objects.select_for_update(of=("self",)).filter(pk=run_id, state=Run.State.WAITING).first()
        if run is not None:
            settle(run)


def awaited(run: Run) -> list[dict[str, Any]]:
    """Return the runs that a run waits for, as its page shows them: name of what they make for it, and the run."""
    numbers: dict[str, int] = run.inputs.get("awaits", {})
    found = {one.pk: one for one in Run.objects.filter(pk__in=numbers.values())}
    return [{"name": name, "run": found[number]} for name, number in numbers.items() if number in found]


def title_of(run: Run) -> str:
    """Return what a run's recipe is called, in the language of whoever asks."""
    return translation.gettext(from_json(run.recipe)[0].title)
