"""A model's rewrite of an answer, accepted by a person, as a whole or edited, as how the answer should have been.

Accepted, it is an ordinary judgement of the kind "rewrite", stored by the same service and under the same rules as one
from the work screen: a demonstration, and a pair with the answer before. That a model suggested it stands in the
judgement and in every row made of it: who trains on them must be able to leave a model's own words out.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import F
from django.utils import timezone
from django.utils.translation import gettext as _

from annotation import datasets, limits, routing
from annotation.access import Action, roles_for
from annotation.errors import CampaignClosed, NotAgreed, NotQualified, TooMany
from annotation.feedback.rewrite import SUGGESTED, Rewrite
from annotation.messages import answer_of, text_of
from annotation.models import Assignment, Campaign, Completion, Feedback, Gold, Task, User
from annotation.services import intake, queue, submission
from training.errors import Invalid, WrongState
from training.models import Run
from training.services import explorer

BATCH = "corrections"


def campaigns_for(user: User, campaign: Campaign) -> list[Campaign]:
    """Return the open campaigns in which this person may write better answers, `campaign` first. One SQL statement."""
    found = Campaign.objects.with_role(user, *roles_for(Action.JUDGE))
    found = found.filter(kind=Rewrite.name, state=Campaign.State.OPEN)
    return sorted(found, key=lambda one: (one.pk != campaign.pk, one.name))


def rewrite_of(run: Run, model: str, place: int) -> str:
    """Return how a model that was asked rewrote the answer at `place`; `WrongState` where it did not."""
    told = next((one for one in explorer.told(run) if one["model"] == model), {})
    rewrites = told.get("rewrites") or []
    text = rewrites[place] if 0 <= place < len(rewrites) else None
    if not text:
        raise WrongState(_("This model has no finished rewrite of this answer; look at the page once more."))
    return str(text)


@transaction.atomic
def accept(
    *,
    run: Run,
    model: str,
    place: int,
    data: dict[str, Any],
    campaign: Campaign,
    user: User,
    client_key: str,
    since: datetime | None = None,
) -> Feedback:
    """Return the judgement that an accepted rewrite becomes, in `campaign`, whose gate let this person in to judge.

    `data` is what the kind's form sends; without a text of its own the rewrite is accepted as it is. The same key again
    is the same judgement, and accepting once more writes its next version: one person corrects an answer once. `since`
    is from when they had it on their screen. Raises WrongState, and what `annotation.services.submission.submit` does.
    """
    suggested = rewrite_of(run, model, place)
    asked = run.inputs["asked"]
    _refuse_unless_open(campaign)
    task = _item(campaign, asked["prompt"], asked["completions"][place], run)
    assignment = _seat(task, campaign, user, run, since)
    data = {**data, "text": suggested if data.get("text") is None else data["text"]}
    return submission.submit(
        assignment=assignment,
        data=data,
        client_key=client_key,
        options={SUGGESTED: {"by": model, "text": suggested}},
    )


def accepted(run: Run, user: User) -> dict[int, list[Feedback]]:
    """Return this person's own corrections of the answers looked at, by the answer's place. One SQL statement."""
    asked = run.inputs["asked"]
    texts = [one.strip() if isinstance(one, str) else "" for one in explorer.answers_of(run)]  # no images are rewritten
    said = Feedback.objects.current().filter(user=user, kind=Rewrite.name, is_review=False)
    said = said.filter(task__prompt__content_hash=datasets.prompt_hash(asked["prompt"]), campaign__deleted_at=None)
    found: dict[int, list[Feedback]] = {}
    for one in said.select_related("campaign", "task").order_by("pk"):
        shown = text_of(answer_of(one.task.content["completions"][0])).strip()
        if SUGGESTED in one.payload and shown in texts:
            found.setdefault(texts.index(shown), []).append(one)
    return found


def _refuse_unless_open(campaign: Campaign) -> None:
    """Raise what the work screen would say to this person, were the campaign's next item this one."""
    if campaign.kind != Rewrite.name:
        reason = _("Corrections are judgements of the kind “Write a better answer”; choose a campaign of that kind.")
        raise Invalid(reason, {"campaign": [reason]})
    if not campaign.is_open:
        raise CampaignClosed(_("“{name}” is not open, so nothing is stored there.").format(name=campaign.name))
    if not campaign.agreed:
        raise NotAgreed(_("Open “{name}” first and read what may come there.").format(name=campaign.name))
    if campaign.paused_at or not campaign.qualified:
        raise NotQualified(_("You are not let work in “{name}” yet; open it to see why.").format(name=campaign.name))
    if campaign.barred & routing.bits(campaign.tags, needs=campaign.requires, about=campaign.about):
        raise WrongState(_("What “{name}” is about is not for you to judge there.").format(name=campaign.name))


def _item(campaign: Campaign, prompt: Sequence[dict[str, Any]], answer: str, run: Run) -> Task:
    """Return the item about this answer, the campaign's own where there is one: an answer is no two items."""
    hash_ = datasets.prompt_hash(list(prompt))
    for task in Task.objects.filter(campaign=campaign, prompt__content_hash=hash_).order_by("pk"):
        if text_of(answer_of(task.content["completions"][0])).strip() != answer.strip():
            continue
        is_gold = Gold.objects.filter(task=task).exists()
        if is_gold or task.is_audit or task.state == Task.State.WITHDRAWN:
            # Known answers and the audit slice are for eyes that saw no suggestion.
            told = _("This answer is the item {id} there, which takes no corrections from here.")
            raise WrongState(told.format(id=task.external_id))
        return task
    where = Completion.objects.filter(prompt__campaign=run.campaign_id, prompt__content_hash=hash_, text=answer)
    task, _is_new = intake.make_task(
        campaign=campaign,
        messages=list(prompt),
        completions=[(answer, where.values_list("origin", flat=True).first() or "")],
        external_id=f"correction-{datasets.content_hash([list(prompt), answer])[:24]}",
        wanted=1,
        batch=BATCH,
        meta={"source": "explorer", "run": run.pk},
    )
    return task


def _seat(task: Task, campaign: Campaign, user: User, run: Run, since: datetime | None) -> Assignment:
    """Return this person's seat at the item, one more where all are taken: whoever corrects it takes nobody's."""
    task = queue.lock_task(task.pk)
    now = timezone.now()
    assignment, is_new = Assignment.objects.get_or_create(
        task=task,
        user=user,
        defaults={
            "campaign": campaign,
            "shown_order": [0],
            "state": Assignment.State.RELEASED,
            "expires_at": now,
        },
    )
    if is_new and since is not None:
        # It counts from when the rewrite stood there.
        began = min(max(since, run.created_at), now)
        Assignment.objects.filter(pk=assignment.pk).update(created_at=began)
    if assignment.state != Assignment.State.SUBMITTED:
        if campaign.held_back or limits.is_enough(user, campaign, held=0):
            raise TooMany(_("You have judged as many items as one person does there for now. Come back another day."))
        if assignment.state != Assignment.State.OPEN and task.seats < 1:
            Task.objects.filter(pk=task.pk).update(wanted=F("wanted") + 1, seats=F("seats") + 1)
    assignment.campaign, assignment.user = campaign, user
    return assignment
