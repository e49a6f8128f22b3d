"""People's answers to the questions of a suite, blind: the line that a policy's accuracy is held against.

The questions are items of a campaign that asks for their letter. Neither an item nor a page has the key: it stays in
the file, and is put beside the answers when they are counted.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.contrib.auth.models import AnonymousUser
from django.db import transaction
from django.utils.translation import gettext as _

from annotation.access import Action
from annotation.feedback.fields import key_of
from annotation.feedback.scales import words_of
from annotation.models import Campaign, Feedback, Task, User
from annotation.permissions import may
from annotation.quality.shares import wilson
from annotation.services import events, intake
from training import store
from training.errors import Invalid
from training.models import Run
from training.recipes import multiple_choice
from training.recipes.base import RECIPES
from training.recipes.multiple_choice import LETTERS, VIEW
from training.services import safety_suites

TEMPLATE = "suite-questions"


@dataclass(frozen=True)
class Asked:
    """What came of putting a suite into a queue."""

    created: int
    existing: int
    unsupported: int  # questions with an image, which are not asked


def batch(stored: str) -> str:
    """Return the name that a suite's items carry in `Task.batch`; `stored` is where its rows are kept."""
    return f"suite-{Path(stored).stem}"


@transaction.atomic
def ask(*, campaign: Campaign, path: str, actor: User | None) -> Asked:
    """Put the questions of a suite into a campaign's queue, each once; Invalid for one that does not ask for a letter.

    They are of the audit slice, so that nothing is trained on them.
    """
    if _attribute(campaign) is None:
        message = _(
            "{campaign} does not ask for the letter of an answer. Make a campaign by the template “Questions of a "
            "safety suite”."
        )
        raise Invalid(message.format(campaign=campaign), {"campaign": [message.format(campaign=campaign)]})
    stored, questions = safety_suites.read(path, actor=actor)
    created = existing = unsupported = 0
    for one in questions:
        if one.image:
            unsupported += 1
            continue
        _task, is_new = intake.make_task(
            campaign=campaign,
            messages=[{"role": "user", "content": one.stem}],
            completions=[(one.choices, "")],
            external_id=f"{batch(stored)}-{one.id}",
            is_audit=True,
            batch=batch(stored),
        )
        created, existing = created + is_new, existing + (not is_new)
    if created:
        detail = {"suite": stored, "items": created}
        events.record(campaign=campaign, actor=actor, action="suite.asked", target=str(campaign), detail=detail)
    return Asked(created, existing, unsupported)


def people(run: Run, viewer: User | AnonymousUser) -> dict[str, Any] | None:
    """Return how many of a run's questions people answered right, with Wilson's interval; None where nobody was asked.

    The unit is the question: one that several people answered counts once, with the share of them that are right. Of
    campaigns whose figures the viewer may read. Two statements, or three for each campaign that asked.
    """
    recipe = RECIPES.get(run.recipe.get("name", ""))
    if recipe is None or recipe.view != VIEW or not run.inputs.get("data"):
        return None
    stored = run.inputs["data"]
    asked = Task.objects.filter(batch=batch(stored)).values_list("campaign", flat=True).distinct()
    campaigns = [one for one in Campaign.objects.kept().filter(pk__in=asked) if may(viewer, one, Action.READ)]
    file = Path(store.fetch(stored))
    if not campaigns or not file.is_file():
        return None
    keys = {f"{batch(stored)}-{one.id}": one.answer for one in multiple_choice.read(file)}
    return accuracy(campaigns, batch(stored), keys)


def accuracy(campaigns: Sequence[Campaign], name: str, keys: Mapping[str, str]) -> dict[str, Any] | None:
    """Return the share of right answers to the items of a batch, `keys` being the right letter by the item's name."""
    right: dict[str, list[bool]] = defaultdict(list)
    for campaign in campaigns:
        attribute = _attribute(campaign)
        if attribute is None:
            continue
        judged = Feedback.objects.current().filter(task__campaign=campaign, task__batch=name).select_related("task")
        for feedback in judged:
            value = feedback.payload["ratings"][0].get(attribute)
            if value is not None and feedback.task.external_id in keys:
                said = LETTERS[value] if value < len(LETTERS) else None
                right[feedback.task.external_id].append(said == keys[feedback.task.external_id])
    if not right:
        return None
    wins = sum(sum(each) / len(each) for each in right.values())
    low, high = wilson(wins, len(right))
    return {"estimate": wins / len(right), "low": low, "high": high, "n": len(right)}


def _attribute(campaign: Campaign) -> str | None:
    """Return the name of the attribute that asks for a letter; None where a campaign has none."""
    if campaign.kind != "ratings":
        return None
    for line in campaign.options.get("attributes", ()):
        if words_of(line)[: len(LETTERS)] == list(LETTERS):
            return key_of(line)
    return None
