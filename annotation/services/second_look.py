"""What one person wrote is judged by others: a rewritten answer becomes an item of another campaign."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from django.db import transaction
from django.utils import timezone, translation
from django.utils.translation import gettext as _

from annotation.errors import Invalid
from annotation.feedback import kind
from annotation.messages import Content, answer_of, text_of
from annotation.models import Assignment, Campaign, Event, Feedback, Membership, Role, Task, User
from annotation.services import events, intake
from annotation.services.queue import shown_order, withdraw
from annotation.told import Told, of, told

log = logging.getLogger(__name__)


def check(options: Mapping[str, Any], *, own_name: str, actor: User) -> None:
    """Raise `Invalid` unless the campaign that `options` send what is written to is one that `actor` leads."""
    name = options.get("rated_in")
    if not name:
        return
    led = Membership.objects.filter(campaign__name=name, user=actor, role=Role.LEAD).select_related("campaign").first()
    if name == own_name or led is None:
        message = _("You lead no other campaign called {name}. Give the name of one, or leave this empty.")
    elif led.campaign.kind == "rewrite":
        message = _("In {name} people write; give a campaign in which they judge.")
    else:
        return
    message = message.format(name=repr(name))
    raise Invalid(message, {"rated_in": [message]})


def pass_on(feedback: Feedback) -> Task | None:
    """Make an item of what `feedback` says was written, in the campaign that is to judge it, and return it.

    Two answers beside each other where two are compared, the earlier one first in canonical order. Whoever wrote it is
    never given it. A newer version of a judgement takes the place of the older one's item. None, and nothing made,
    where the campaign judges nothing that was written, has gone, or cannot take it; an event then says why.
    """
    campaign = feedback.campaign
    name = campaign.options.get("rated_in")
    if not name:
        return None
    target = Campaign.objects.kept().filter(name=name).exclude(state=Campaign.State.CLOSED).first()
    if target is None:
        _record(campaign, feedback, told("There is no open campaign called “{name}”.", name=name))
        return None
    if feedback.supersedes_id:
        old = target.tasks.filter(external_id=_external_id(feedback.supersedes_id)).values_list("pk", flat=True)
        withdraw(tasks=list(old))
    content = feedback.task.content
    before = answer_of(content["completions"][0])
    completions: list[tuple[Content, str]] = [(feedback.payload["text"], "rewrite")]
    if kind(target.kind).completions[0] > 1:
        completions.insert(0, (before, ""))
        if text_of(before).strip() == feedback.payload["text"]:
            return None  # left as it was: there is nothing to compare
    try:
        # A reason is stored, so it is the same whoever wrote.
        with translation.override(None), transaction.atomic():
            task, _is_new = intake.make_task(
                campaign=target,
                messages=content["messages"],
                completions=completions,
                external_id=_external_id(feedback.pk),
                meta={"source": campaign.name, "rewrite": feedback.pk},
            )
            Assignment.objects.get_or_create(
                task=task,
                user=feedback.user,
                defaults={
                    "campaign": target,
                    "shown_order": shown_order(task=task, user=feedback.user),
                    "state": Assignment.State.SKIPPED,
                    "skip_reason": "other",
                    "skip_note": "They wrote it themselves.",
                    "closed_at": timezone.now(),
                    "expires_at": timezone.now(),
                },
            )
    except Invalid as error:  # what was written is kept whatever the other campaign says of it
        log.warning("Feedback %s cannot be judged in campaign %s: %s", feedback.pk, target.pk, error)
        _record(campaign, feedback, of(error))
        return None
    return task


def _external_id(feedback_id: int) -> str:
    return f"rewrite-{feedback_id}"


def _record(campaign: Campaign, feedback: Feedback, reason: Told) -> Event:
    detail = {"feedback": feedback.pk, "reason": reason.as_json()}
    return events.record(campaign=campaign, actor=None, action="rewrite.not_passed_on", detail=detail)
