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
from annotation.models import Campaign, Feedback, Gold, Task, User
from annotation.permissions import may
from annotation.quality.shares import wilson
from annotation.services import events, gold, intake
from training import store
from training.errors import Invalid
from training.models import Run
from training.recipes import multiple_choice
from training.recipes.base import RECIPES
from training.recipes.multiple_choice import LETTERS, VIEW
from training.services import safety_suites, suite_pictures

TEMPLATE = "suite-questions"
QUALIFYING = (Gold.Purpose.TEST.value, Gold.Purpose.PRACTICE.value)


@dataclass(frozen=True)
class Asked:
    """What came of putting a suite into a queue."""

    created: int
    existing: int
    unsupported: int  # questions whose image did not come along, which are not asked


def campaigns_that_ask() -> list[Campaign]:
    """Return the campaigns that ask for a letter, by name."""
    found = Campaign.objects.kept().filter(kind="ratings").order_by("name", "pk")
    return [one for one in found if _attribute(one) is not None]


def batch(stored: str) -> str:
    """Return the name that a suite's items carry in `Task.batch`; `stored` is where its rows are kept."""
    return f"suite-{Path(stored).stem}"


@transaction.atomic
def ask(*, campaign: Campaign, path: str, actor: User | None, purpose: str = "") -> Asked:
    """Put the questions of a suite into a campaign's queue, each once; Invalid for one that does not ask for a letter.

    They are of the audit slice, so that nothing is trained on them. With `purpose` ("test" or "practice") they are what
    people qualify by before their first item, and their answers are no judgements: the same questions cannot be both.
    """
    attribute = _attribute(campaign)
    if purpose and purpose not in QUALIFYING:
        raise Invalid(
            *_twice(_("Questions are asked as one of: {known}.").format(known=", ".join(QUALIFYING)), "purpose")
        )
    if attribute is None:
        message = _(
            "{campaign} does not ask for the letter of an answer. Make a campaign by the template “Questions of a "
            "safety suite”."
        )
        raise Invalid(*_twice(message.format(campaign=campaign), "campaign"))
    stored, questions = safety_suites.read(path, campaign=campaign, actor=actor)
    _refuse_both(campaign, batch(stored), purpose)
    created = existing = unsupported = 0
    for one in questions:
        shown = suite_pictures.part_of(one.image, campaign)
        if one.image and shown is None:
            unsupported += 1
            continue
        task, is_new = intake.make_task(
            campaign=campaign,
            messages=[{"role": "user", "content": [shown, {"type": "text", "text": one.stem}] if shown else one.stem}],
            completions=[(one.choices, "")],
            external_id=f"{batch(stored)}-{one.id}",
            is_audit=True,
            batch=batch(stored),
        )
        created, existing = created + is_new, existing + (not is_new)
        if purpose:
            answer = {f"{attribute}_1": str(LETTERS.index(one.answer))}
            gold.set_gold(task=task, value={"answer": answer, "purpose": purpose}, actor=actor)
    if created:
        detail = {"suite": stored, "items": created, **({"purpose": purpose} if purpose else {})}
        events.record(campaign=campaign, actor=actor, action="suite.asked", target=str(campaign), detail=detail)
    return Asked(created, existing, unsupported)


def _refuse_both(campaign: Campaign, name: str, purpose: str) -> None:
    """Raise Invalid where the questions are asked already in the other way."""
    asked = Task.objects.filter(campaign=campaign, batch=name)
    as_test = asked.filter(gold__purpose__in=QUALIFYING, gold__retired_at=None)
    if purpose and asked.exclude(pk__in=as_test.values("pk")).exists():
        message = _(
            "People are asked these questions in {campaign} already, as a reference line. Ask others as a test."
        )
    elif not purpose and as_test.exists():
        message = _(
            "People qualify for {campaign} by these questions. Ask them in another campaign as a reference line."
        )
    else:
        return
    raise Invalid(*_twice(message.format(campaign=campaign), "purpose"))


def _twice(message: str, field: str) -> tuple[str, dict[str, list[str]]]:
    return message, {field: [message]}


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
