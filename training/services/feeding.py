"""Which recipes a campaign's feedback can feed, and why not the others: the answer to "what can I train here?"."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from django.conf import settings
from django.utils import translation
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from annotation import dataset_views, sums
from annotation.export_formats import offered
from annotation.feedback import KINDS, kind
from annotation.models import Campaign, Feedback, Gold
from training.models import ModelVersion, Run
from training.recipes import RECIPES
from training.recipes.base import Recipe
from training.recipes.documents import VIEW as DOCUMENTS
from training.recipes.drift import GUARD_RETRAINING
from training.recipes.judges import REASONING, REWARD, takes_judge
from training.recipes.scenarios import QUESTIONS, SUITES
from training.services import waiting

JUDGES = "judges"  # policies that are judges, beside the kinds of models that are counted


@dataclass(frozen=True)
class Feeding:
    """What a campaign has for one recipe."""

    recipe: Recipe
    can_start: bool  # whether a person may start it here by hand, as soon as somebody has judged
    reads: str  # the rows it learns from, in a reader's words
    reason: str  # a sentence: what there is for it, or why it is refused and what to do


def views_in(campaign: Campaign) -> set[str]:
    """Return the names of all views that this campaign can have rows in under its options, derived ones too."""
    return {*offered(kind(campaign.kind), campaign.options)[0]}


def kinds_that_feed(view: str) -> list[str]:
    """Return the titles of the kinds of feedback whose judgements give rows of `view`."""
    sources = set(dataset_views.MADE_OF.get(view, (view,)))
    return [str(one.title) for one in KINDS.values() if sources & set(one.views) or view in dataset_views.ALWAYS]


def feedings(campaign: Campaign) -> list[Feeding]:
    """Return every recipe with what this campaign has for it, those that can be started first."""
    judged = _usable(campaign)
    made = ModelVersion.objects.filter(campaign=campaign).values_list("kind", "recipe__name")
    there = Counter(kind for kind, _recipe in made)
    there[JUDGES] = sum(recipe in REASONING for _kind, recipe in made)
    # A run that trains may wait for what another one is still making.
    to_come = there + Counter(waiting.makes(run) for run in waiting.offered(campaign))
    found = [
        _feeding(campaign, recipe, judged, to_come if recipe.kind == Run.Kind.FIT and not recipe.beside else there)
        for recipe in RECIPES.values()
    ]
    return sorted(found, key=lambda feeding: not feeding.can_start)


def _usable(campaign: Campaign) -> int:
    """Return how many judgements a data set for training would be made of, without the audit slice and known answers.

    Out of the sums that are kept; items whose answer is known are few and counted.
    """
    known = sums.of(campaign)
    (audit,) = known.tables["audit"].get((), (0,))
    of_gold = Feedback.objects.current().filter(task__in=Gold.objects.filter(task__campaign=campaign).values("task"))
    return max(0, sums.standing(known) - audit - of_gold.filter(task__is_audit=False).count())


def feeding(campaign: Campaign, name: str) -> Feeding | None:
    """Return what this campaign has for the recipe called `name`, or None when there is no such recipe."""
    return next((one for one in feedings(campaign) if one.recipe.name == name), None)


def _feeding(campaign: Campaign, recipe: Recipe, judged: int, there: Counter[str]) -> Feeding:
    view = dataset_views.VIEWS.get(recipe.view)
    reads = translation.gettext(view.title) if view else recipe.view
    if recipe.view in SUITES:
        reads = _("A suite of questions") if recipe.view == QUESTIONS else _("A suite of open scenarios")
    if recipe.kind != Run.Kind.FIT:
        if recipe.guarded and not settings.ATTUNE_TAMPER_TESTS:
            off = _("It trains against a policy's safety. Whoever runs the server allows that by TAMPER_TESTS.")
            return Feeding(recipe, False, reads, off)
        lacking = _beside_training(campaign, recipe, there)
        if recipe.kind == Run.Kind.SAMPLE and not lacking:
            return Feeding(recipe, True, reads, _("It trains nothing but writes the pairs that refuel learns from."))
        said = _("It trains nothing but measures a model of your choice; its figures stand on the model's page.")
        return Feeding(recipe, not lacking, reads, lacking or said)
    if recipe.of_models and not any(name in there for name in recipe.of_models):
        return Feeding(recipe, False, reads, _("It needs a cost model, or a reward model of safety: train one first."))
    if recipe.view == DOCUMENTS:
        return Feeding(recipe, True, _("Texts of a file"), _("It reads a file of texts; nobody need have judged."))
    if recipe.name == GUARD_RETRAINING.name:
        return Feeding(recipe, False, reads, _("It is started on the page Drift, by hand or each week."))
    if recipe.beside:
        if there[ModelVersion.Kind.POLICY] < 2:
            return Feeding(recipe, False, reads, _("It needs two policies: train or register another one first."))
        return Feeding(
            recipe, True, reads, _("It mixes policies that are there, and asks them the campaign's prompts.")
        )
    judged_by = {REWARD} if there[JUDGES] and takes_judge(recipe) else set()
    if there[ModelVersion.Kind.GUARD]:  # its check of answers tells a cost too
        judged_by = {*judged_by, ModelVersion.Kind.COST.value}
    missing = [name for name in recipe.scorers if name not in {*there, *judged_by}]
    if missing:
        told = _("It learns from scores, and nothing here gives any: train a reward model first.")
        if missing == [ModelVersion.Kind.COST]:
            told = _(
                "It keeps a cost within a limit, and nothing here tells the cost: train a cost model, or register or "
                "make a guard, whose check of answers tells one too."
            )
        return Feeding(recipe, False, reads, told)
    if recipe.view == "prompts" and recipe.scorers:
        return Feeding(recipe, True, reads, _("It answers the campaign's prompts and learns from a reward model."))
    if recipe.view not in views_in(campaign):
        return Feeding(recipe, False, reads, _refusal(campaign, recipe))
    if not judged:
        return Feeding(recipe, True, reads, _("Nobody has judged here yet; it can start once somebody has."))
    said = ngettext("{n} judgement so far.", "{n} judgements so far.", judged)
    return Feeding(recipe, True, reads, said.format(n=judged))


def _beside_training(campaign: Campaign, recipe: Recipe, there: Counter[str]) -> str:
    """Return why a recipe that trains nothing is not started by hand here; empty where it may be."""
    if recipe.starts:
        if (recipe.starts == ModelVersion.Kind.REWARD or recipe.scorers) and ModelVersion.Kind.REWARD not in there:
            return _("It needs a reward model: train one first.")
        if recipe.starts == ModelVersion.Kind.POLICY and ModelVersion.Kind.POLICY not in there:
            return _("It needs a policy: train or register one first.")
        return "" if recipe.view in {*SUITES, *views_in(campaign)} else _refusal(campaign, recipe)
    if recipe.view == "answers":
        return _("It trains nothing: the reward explorer, under Models, starts it with what you type or pick.")
    if recipe.kind == Run.Kind.SAMPLE:
        return _("It trains nothing: a round of the loop starts it by itself, with the policy and reward model in use.")
    if recipe.view == "prompts":
        return _("It trains nothing: a round of the loop starts it by itself, to compare a candidate with the policy.")
    return _("It trains nothing but measures a model; it is started by REST or from the command line.")


def _refusal(campaign: Campaign, recipe: Recipe) -> str:
    """Return what is missing here and which kinds of feedback would give it."""
    kinds = kinds_that_feed(recipe.view)
    missing = _("People here are asked for “{kind}”, which says nothing it could learn from.")
    said = missing.format(kind=kind(campaign.kind).title)
    if recipe.view in {view.name for view in dataset_views.views_of(kind(campaign.kind).views)}:
        return _("The options here leave out what it learns from: begin a campaign of this kind that asks for it too.")
    if not kinds:
        return f"{said} " + _("No kind of feedback gives it yet; its rows have to come as a file.")
    return f"{said} " + _("A campaign of one of these kinds feeds it: {kinds}.").format(kinds=_listed(kinds))


def _listed(words: Sequence[str]) -> str:
    return ", ".join(_("“{word}”").format(word=word) for word in words)
