"""Runs of branched rollouts, whose pairs another run learns from: one that a person orders, or that of a round."""

from __future__ import annotations

import json
import random
import re
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from annotation.access import Action
from annotation.dialogues import DIALOGUE, opening, scope_of, transcript
from annotation.feedback.pairwise import Pairwise
from annotation.models import Campaign, User
from annotation.permissions import may
from annotation.services import events, intake
from annotation.told import Told, told
from training import paths, store
from training.errors import Invalid
from training.models import ModelVersion, Round, Run, Snapshot
from training.recipes.loop import LoopSettings
from training.recipes.loop_candidate import branches
from training.recipes.policy import REFUEL
from training.recipes.rollouts import NAME, PAIRS
from training.recipes.spec import write_text
from training.services import sampling, snapshots

SIMULATOR = "simulator"  # under which name a run has the policy that plays the user
ROLLED = "rollouts"  # under which name a run's inputs tell the run whose pairs it learns from


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
        ROLLED: run.pk,
    }


@dataclass(frozen=True)
class Asked:
    """What came of putting branched dialogues into a queue."""

    created: int
    existing: int


def campaigns_that_compare(user: User) -> list[Campaign]:
    """Return the campaigns in which two whole dialogues are compared and this person may import, by name."""
    found = Campaign.objects.kept().filter(kind=Pairwise.name).order_by("name", "pk")
    return [one for one in found if compares_dialogues(one) and may(user, one, Action.IMPORT)]


def compares_dialogues(campaign: Campaign) -> bool:
    """Return whether people judge here which of two whole dialogues is better."""
    return campaign.kind == Pairwise.name and scope_of(campaign.options) == DIALOGUE


@transaction.atomic
def ask(*, run: Run, campaign: Campaign, actor: User | None) -> Asked:
    """Put the pairs that `run` branched into a campaign's queue, each once, as two dialogues beside each other.

    What they share is shown once. Which of them the reward model found better is no part of what people see, and their
    order says nothing of it. Invalid where the run left no pairs or the campaign asks something else.
    """
    why = ""
    if run.recipe.get("name") != NAME or run.state != Run.State.SUCCEEDED or not pairs_in(run):
        why = _("Run {number} left no branched dialogues that people could compare.").format(number=run.pk)
    elif not compares_dialogues(campaign):
        why = _(
            "{campaign} does not compare whole dialogues. Make a campaign of the kind “Compare two answers” in which "
            "“A dialogue as a whole” is judged."
        ).format(campaign=campaign)
    if why:
        raise Invalid(why, {"campaign": [why]})
    policy = ModelVersion.objects.filter(campaign=run.campaign_id, path=run.inputs["model"]).order_by("pk").first()
    origin = policy.label if policy is not None else ""
    created = existing = 0
    for row in sampling.output_rows(run, PAIRS):
        name = f"rollouts-{run.pk}-{row['id']}"
        sides = ["chosen", "rejected"]
        random.Random(name).shuffle(sides)
        dialogues = [[*row[side], *row.get(f"{side}_rest", [])] for side in sides]
        _task, is_new = intake.make_task(
            campaign=campaign,
            messages=row["prompt"],
            completions=[(transcript(one), origin) for one in dialogues],
            dialogues=dialogues,
            external_id=name,
            batch=f"rollouts-{run.pk}",
            meta={"source": "rollouts", "run": run.pk, "policy": origin, "branched_at": row["turn"]},
            # All that begin alike lie on one side of the split, wherever they part.
            opening=opening(row["prompt"]),
        )
        created, existing = created + is_new, existing + (not is_new)
    if created:
        detail = {"run": run.pk, "items": created}
        events.record(campaign=campaign, actor=actor, action="rollouts.asked", target=str(campaign), detail=detail)
    return Asked(created, existing)


def user_of(campaign: Campaign, settings: LoopSettings) -> ModelVersion | None:
    """Return the policy that plays the user in a loop's dialogues; None where none is named, or none is there."""
    kind = ModelVersion.Kind.POLICY
    number = settings.dialogue_user.strip().removeprefix(f"{kind.value}-")
    if not re.fullmatch(r"\d{1,6}", number):
        return None
    return ModelVersion.objects.filter(campaign=campaign, kind=kind, number=int(number)).first()


def lacking(campaign: Campaign, settings: LoopSettings) -> Told | None:
    """Return why nobody can play the user as the settings say; None where somebody can, or nobody is named."""
    named = settings.dialogue_user.strip()
    if not branches(settings) or not named or user_of(campaign, settings) is not None:
        return None
    return told(
        "This campaign has no policy called {name} that could play the user. Name one as the page of models does, such "
        "as policy-0, or leave dialogue_user empty.",
        name=named,
    )


@dataclass(frozen=True)
class Branched:
    """The pairs that a round's candidate learns from: those of the policy's own dialogues beside people's."""

    data: str  # the stored path
    own: int  # pairs of dialogues
    people: int  # pairs that people judged
    scored_by: str  # what the model that scored the dialogues is called
    path: str  # and where it lies


def write(round: Round, run: Run, snapshot: Snapshot) -> Branched:
    """Write the pairs that `run` branched in this round beside those of the snapshot, as one file for `refuel`.

    Both were written by the round's policy, which is the reference. A pair of dialogues tells by ``labelled_by`` which
    model scored it, and has no annotator: data sets, agreement and reliability know people alone.
    """
    by = run.inputs["scorers"]["reward"]
    model = ModelVersion.objects.filter(campaign=run.campaign_id, path=by).order_by("pk").first()
    scored = by if model is None else model.label
    judged = list(snapshots.lines(snapshot))
    own = [{**row, "labelled_by": scored} for row in sampling.output_rows(run, PAIRS)]
    path = paths.files() / "rounds" / str(round.pk) / "dialogues.jsonl"
    write_text(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in (*judged, *own)))
    return Branched(store.keep(path), len(own), len(judged), scored, by)
