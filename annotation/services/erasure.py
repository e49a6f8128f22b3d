"""Erasing a person: what they said, who they were, and every way in."""

from __future__ import annotations

import secrets

from django.db import transaction
from django.db.models import F, Q
from django.utils.translation import gettext as _
from knox.models import AuthToken

from annotation.errors import Invalid
from annotation.models import Assignment, Campaign, Event, Feedback, Membership, Role, Task, Trial, User
from annotation.models.people import new_pseudonym
from annotation.services import blocks, events, gold, queue
from annotation.services.queue import QUEUE_ORDER
from annotation.signals import person_erased


@transaction.atomic
def erase(*, person: User, actor: User, confirmation: str) -> None:
    """Delete what a person judged, with their chats and their places in campaigns, and empty their account.

    `confirmation` is their username, typed by whoever asks. Their items go back into the queue. The account stays as a
    row without a name, because campaigns and guidelines that they wrote are other people's too; its pseudonym is a new
    one, so nothing here tells any more whose rows a frozen data set holds. The audit trail is only ever added to and
    keeps all it says but their name, in place of which the new pseudonym stands: the one change that the triggers of
    the table let through (migration 0013). Raises `Invalid` for the only lead of a campaign, and for the last admin.
    """
    person = User.objects.select_for_update().get(pk=person.pk)
    if confirmation.strip() != person.username:
        message = _("Type the username {username} to confirm.").format(username=person.username)
        raise Invalid(message, {"confirmation": [message]})
    _refuse_to_orphan(person)
    # Before anything is gone: who listens looks for what this person is in.
    person_erased.send(sender=User, person=person, pseudonym=person.pseudonym)
    with_gold = list(Campaign.objects.filter(tasks__feedback__user=person, tasks__gold__isnull=False).distinct())
    items = _empty_seats(person)
    # What was made for them is nobody else's, and would tell what they like.
    made_for = Task.objects.filter(assignee=person)
    queue.withdraw(tasks=list(made_for.values_list("pk", flat=True)))
    made_for.update(assignee=None)
    said = Feedback.objects.filter(user=person)
    said.update(supersedes=None)
    said.delete()
    Assignment.objects.filter(user=person).delete()
    for campaign in with_gold:
        gold.arrange(campaign=campaign)
    Trial.objects.filter(user=person).delete()
    Membership.objects.filter(user=person).delete()
    blocks.mark_all(items)
    AuthToken.objects.filter(user=person).delete()
    name, person.username = person.username, f"erased-{secrets.token_hex(6)}"
    person.first_name = person.last_name = person.email = person.profile_text = ""
    person.is_active = person.is_staff = person.is_superuser = False
    person.last_login = None
    person.pseudonym = new_pseudonym()
    person.set_unusable_password()  # which ends their sessions
    person.save()
    _forget_name(name, person.pseudonym)
    events.record(
        campaign=None, actor=None if actor.pk == person.pk else actor, action="person.erased", target=person.username
    )


def _forget_name(name: str, pseudonym: str) -> None:
    """Put the pseudonym in place of the name in events about the person; by the one way around the model's refusal."""
    about = Q(action__startswith="account.") | Q(action__startswith="member.") | Q(action__startswith="person.")
    Event._base_manager.filter(about, target=name[:80]).update(target=pseudonym)


def _refuse_to_orphan(person: User) -> None:
    led = Campaign.objects.filter(memberships__user=person, memberships__role=Role.LEAD).exclude(
        state=Campaign.State.CLOSED
    )
    others = Membership.objects.filter(role=Role.LEAD).exclude(user=person).values("campaign")
    alone = list(led.exclude(pk__in=others).order_by("name").values_list("name", flat=True)[:5])
    if alone:
        told = _("{campaigns} would be without a lead. Add another one, or close it, first.")
        message = told.format(campaigns=", ".join(alone))
        raise Invalid(message, {"confirmation": [message]})
    if person.is_superuser and not User.objects.filter(is_superuser=True, is_active=True).exclude(pk=person.pk):
        message = _("This server would be without an admin. Make somebody else one first.")
        raise Invalid(message, {"confirmation": [message]})


def _empty_seats(person: User) -> list[int]:
    """Give back every seat that this person holds or has used, so that somebody else is asked; return their items.

    All they ever judged and all that was made for them is locked, as whoever counts the items must not do so in
    between; at once, as two rounds of locks could wait for those of somebody else, who waits for theirs.
    """
    said = Feedback.objects.filter(user=person).order_by().values("task")
    theirs = said.union(
        Task.objects.filter(assignee=person).order_by().values("pk"),
        Assignment.objects.filter(user=person, state=Assignment.State.OPEN).order_by().values("task"),
    )
    touched = Task.objects.filter(pk__in=theirs).order_by(*QUEUE_ORDER).select_for_update(no_key=True)
    items = list(touched.values_list("pk", flat=True))
    # A reviewer's own judgement took no seat, and one of an item whose answer is known is missed by nobody.
    seated = Feedback.objects.current().filter(user=person, is_review=False)
    extra = seated.filter(assignment__is_gold=True).values("task")
    Task.objects.filter(pk__in=extra, done__gt=0).update(done=F("done") - 1, wanted=F("wanted") - 1)
    judged = seated.filter(assignment__is_gold=False).values("task")
    held = Assignment.objects.filter(user=person, state=Assignment.State.OPEN).values("task")
    Task.objects.filter(pk__in=held).update(seats=F("seats") + 1)
    Task.objects.filter(pk__in=judged, done__gt=0).update(done=F("done") - 1, seats=F("seats") + 1)
    Task.objects.filter(pk__in=judged, state=Task.State.COMPLETE).update(state=Task.State.OPEN)
    return items
