"""What a person would rather not read. It is theirs: no event, no list and no lead tells of it."""

from __future__ import annotations

from collections.abc import Sequence

from django.db import transaction
from django.utils.translation import gettext as _

from annotation import routing
from annotation.errors import Invalid
from annotation.models import Assignment, Campaign, Membership, User
from annotation.permissions import enter
from annotation.services.queue import release


def categories(campaign: Campaign) -> list[str]:
    """Return what items of the campaign are or will be about, as far as it was said."""
    return sorted({*routing.names(campaign.tags, -1, routing.ABOUT), *campaign.about})


@transaction.atomic
def decline(*, campaign: Campaign, user: User, declined: Sequence[str]) -> list[str]:
    """Return the categories this person is handed no items of from now on, in place of those before; raises `Invalid`.

    What they hold of them goes back at once, unjudged and uncounted, with the draft kept.
    """
    known = categories(campaign)
    chosen = routing.read_tags(list(declined))
    if unknown := [one for one in chosen if one not in known]:
        message = _("Items here are not about {name}; there are no categories.")
        if known:
            message = _("Items here are not about {name}; there are: {known}.")
        message = message.format(name=repr(unknown[0]), known=", ".join(known))
        raise Invalid(message, {"declined": [message]})
    if not Membership.objects.filter(campaign=campaign, user=user).update(declined=chosen):
        raise Invalid(_("You have no role in this campaign, so nothing is handed to you."))
    enter(user, [campaign])
    held = Assignment.objects.filter(campaign=campaign, user=user, state=Assignment.State.OPEN).select_related("task")
    unwanted = routing.bits(campaign.tags, about=chosen)
    for assignment in held.order_by("-task__priority", "task_id"):  # the order of `queue.QUEUE_ORDER`
        if assignment.task.tags & unwanted:
            release(assignment=assignment)
    return chosen
