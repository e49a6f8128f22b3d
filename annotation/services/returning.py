"""Judgements that went back to who gave them, with a reviewer's note."""

from __future__ import annotations

from django.db import transaction
from django.db.models import F
from django.utils import timezone
from django.utils.translation import gettext as _

from annotation.errors import Invalid
from annotation.models import Campaign, Feedback, Membership, Returned, User
from annotation.services import events
from annotation.storable import unstorable

MOST = 2_000


@transaction.atomic
def give_back(*, feedback: Feedback, note: str, actor: User) -> Returned:
    """Send a standing judgement back to its author, who sees the note beside it; raises `Invalid`.

    It stands until they send a new version. Nothing is taken from anybody, and no figure changes.
    """
    note = note.strip()
    wrong = unstorable(note)
    if not note:
        wrong = _("Write what is to be looked at again; the person reads it.")
    elif len(note) > MOST:
        wrong = _("At most {most} characters are kept.").format(most=MOST)
    if wrong:
        raise Invalid(wrong, {"note": [wrong]})
    locked = Feedback.objects.select_for_update().get(pk=feedback.pk)
    if not locked.is_current:
        raise Invalid(_("There is a newer version of this judgement; look at that one."))
    returned, is_new = Returned.objects.get_or_create(feedback=locked, defaults={"reviewer": actor, "note": note})
    if not is_new:
        raise Invalid(_("This judgement was sent back already and waits for its author."))
    _wait(locked)
    events.record(
        campaign=feedback.campaign, actor=actor, action="judgement.returned", target=f"judgement {feedback.pk}"
    )
    return returned


def settle(feedback: Feedback) -> None:
    """Note that a newer version took the place of `feedback`. Call it where that happens; one statement, or two."""
    waiting = Returned.objects.filter(feedback=feedback, settled_at=None)
    if waiting.update(settled_at=timezone.now()):
        held = Membership.objects.filter(user=feedback.user_id, campaign=feedback.campaign_id, returned__gt=0)
        held.update(returned=F("returned") - 1)


def pile(*, user: User, campaign: Campaign) -> list[Returned]:
    """Return what waits for this person, the oldest first, with judgement, item and assignment."""
    return list(
        Returned.objects.filter(feedback__user=user, feedback__campaign=campaign, settled_at=None)
        .select_related("feedback__task", "feedback__assignment")
        .order_by("created_at", "pk")
    )


def note_on(feedback: Feedback) -> str:
    """Return what a reviewer wants looked at again in this judgement; empty when it did not come back."""
    return Returned.objects.filter(feedback=feedback, settled_at=None).values_list("note", flat=True).first() or ""


def _wait(feedback: Feedback) -> None:
    """Count it on one membership of the author: whoever has two roles has one pile."""
    held = Membership.objects.filter(user=feedback.user_id, campaign=feedback.campaign_id).order_by("-returned", "pk")
    first = held.values_list("pk", flat=True).first()
    if first is not None:
        Membership.objects.filter(pk=first).update(returned=F("returned") + 1)
