"""Principles proposed out of a critique: asked for by who wrote it, found by a worker, looked up by the page.

The row holds the work, and a message carries its id. What rules find is found at once, because that takes
milliseconds; a language model may take a minute, and is asked by a worker.
"""

from __future__ import annotations

import hashlib
import logging
from datetime import timedelta

from celery import current_app
from django.conf import settings
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _
from kombu.exceptions import OperationalError

from annotation.errors import Invalid, TooMany
from annotation.extraction import extractor
from annotation.extraction.base import Extractor, ExtractorFailed
from annotation.extraction.checks import check
from annotation.feedback.principled_critique import PrincipledCritique
from annotation.models import Assignment, Proposal
from annotation.storable import unstorable

log = logging.getLogger(__name__)

TASK = "annotation.tasks.propose_principles"
MOST_WORDINGS = 20  # of one critique, so that nobody runs up a bill
TRIES = 3
_WAITING = (Proposal.State.QUEUED, Proposal.State.RUNNING)


def ask(*, assignment: Assignment, critique: str) -> Proposal:
    """Return the proposal for this wording, asked for now unless it is there or under way.

    Raises `Invalid` for a campaign that proposes nothing or a text that is none, `TooMany` for one wording too many.
    """
    critique = critique.replace("\r\n", "\n").strip()
    _refuse(assignment, critique)
    finds = extractor()
    with transaction.atomic():
        # Two clicks at once are one question.
        Assignment.objects.select_for_update(no_key=True).only("id").get(pk=assignment.pk)
        found = Proposal.objects.filter(assignment=assignment)
        proposal = found.filter(critique_hash=_hash(critique)).first()
        if proposal is None:
            if found.count() >= MOST_WORDINGS:
                message = _(
                    "Principles were proposed for {n} wordings of this critique, which is all. Name them by hand."
                )
                raise TooMany(message.format(n=MOST_WORDINGS))
            proposal = Proposal(assignment=assignment, critique=critique, critique_hash=_hash(critique))
        elif proposal.state == Proposal.State.DONE or (proposal.state in _WAITING and not is_late(proposal)):
            return proposal
        proposal.state, proposal.reason, proposal.asked_at = Proposal.State.QUEUED, "", timezone.now()
        proposal.save()
        if not finds.is_quick:
            transaction.on_commit(lambda: _send(proposal))
    if finds.is_quick:
        fill(proposal_id=proposal.pk, finds=finds)
        proposal.refresh_from_db()
    return proposal


def known(*, assignment: Assignment, critique: str) -> Proposal | None:
    """Return what was asked for this wording before, if it was; asks nothing."""
    wording = _hash(critique.replace("\r\n", "\n").strip())
    return Proposal.objects.filter(assignment=assignment, critique_hash=wording).first()


def numbered(*, assignment: Assignment, number: str) -> Proposal | None:
    """Return this assignment's proposal of that number; None for what is none of its own."""
    if not number.isdecimal() or not number.isascii() or len(number) > 18:
        return None
    return Proposal.objects.filter(assignment=assignment, pk=int(number)).first()


def fill(*, proposal_id: int, finds: Extractor | None = None) -> None:
    """Find the principles and store them, or why there are none. Run twice, or at once, the second changes nothing."""
    if not Proposal.objects.filter(pk=proposal_id, state=Proposal.State.QUEUED).update(state=Proposal.State.RUNNING):
        return
    proposal = Proposal.objects.select_related("assignment__campaign").get(pk=proposal_id)
    listed = PrincipledCritique.listed(proposal.assignment.campaign.options)
    finds = finds or extractor()
    proposal.extractor = finds.name[:120]
    try:
        found = finds.find(proposal.critique, listed)
    except ExtractorFailed as failed:
        proposal.state, proposal.reason = Proposal.State.FAILED, str(failed)[:300]
    else:
        checked = check(found, critique=proposal.critique, known=listed, by=proposal.extractor)
        proposal.result = {"proposals": checked.proposals, "dropped": checked.dropped}
        proposal.state = Proposal.State.DONE
    proposal.save(update_fields=["state", "extractor", "result", "reason"])


def is_late(proposal: Proposal) -> bool:
    """Return whether a proposal has waited for longer than any answer takes: nobody is at work on it."""
    longest = TRIES * settings.ATTUNE_EXTRACTOR_TIMEOUT + 30
    return proposal.state in _WAITING and timezone.now() - proposal.asked_at > timedelta(seconds=longest)


def in_words(proposal: Proposal) -> str:
    """Return what became of it, for who asked; empty while it is under way."""
    by_hand = _("Go on by hand: name the principles yourself. Nothing you wrote is lost.")
    if proposal.state == Proposal.State.FAILED:
        return f"{proposal.reason} {by_hand}"
    if is_late(proposal):
        return " ".join([_("No worker has answered, so nothing is proposed now."), by_hand])
    if proposal.state != Proposal.State.DONE:
        return ""
    number = len((proposal.result or {}).get("proposals", []))
    if not number:
        return " ".join([_("No principle was found in your words."), by_hand])
    if proposal.extractor == "rules-1":
        return _(
            "{n} proposed by rules, which only know words of praise and blame. Answer each yourself, or reject it."
        ).format(n=number)
    return _("{n} proposed by a model. Answer each yourself, or reject it.").format(n=number)


def _send(proposal: Proposal) -> None:
    try:
        current_app.send_task(TASK, [proposal.pk], queue="default", expires=settings.ATTUNE_EXTRACTOR_TIMEOUT * TRIES)
    except OperationalError as error:
        log.warning("The broker cannot be reached (%s); proposal %s is not made.", error, proposal.pk)
        reason = _("The worker that asks the model cannot be reached.")
        Proposal.objects.filter(pk=proposal.pk).update(state=Proposal.State.FAILED, reason=reason)
        proposal.state, proposal.reason = Proposal.State.FAILED, reason


def _refuse(assignment: Assignment, critique: str) -> None:
    """Raise `Invalid` where nothing can be proposed."""
    message = ""
    if assignment.campaign.kind != PrincipledCritique.name:
        message = _("In this campaign no principles are proposed.")
    elif not critique:
        message = _("Write your critique first; principles are proposed from what you write.")
    elif len(critique) > PrincipledCritique.MAX_TEXT:
        message = _("The critique is too long; at most {n} characters are kept.").format(n=PrincipledCritique.MAX_TEXT)
    message = message or unstorable(critique)
    if message:
        raise Invalid(message, {"critique": [message]})


def _hash(critique: str) -> str:
    return hashlib.sha256(critique.encode(errors="replace")).hexdigest()
