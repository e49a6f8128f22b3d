"""The audit trail as sentences, for people who were not there."""

from __future__ import annotations

import re

from django.utils.translation import gettext, ngettext_lazy
from django.utils.translation import gettext_lazy as _

from annotation.models import Campaign, Event, Role
from annotation.told import of

_HASH = re.compile("[0-9a-f]{64}")

WORDS = {
    "account.connected": _("Account {target} was connected to the identity provider"),
    "account.second_factor_off": _("{target} turned the second factor off"),
    "account.second_factor_on": _("{target} turned the second factor on"),
    "account.locked": _("Sign-ins under this name are locked for a while: {target}"),
    "account.created": _("Account {target} was made"),
    "batch.prioritised": _("Batch {target} was given another priority"),
    "campaign.changed": _("Settings were changed"),
    "campaign.closed": _("The campaign was closed"),
    "member.left": _("{target} left the campaign"),
    "campaign.created": _("The campaign was created"),
    "campaign.deleted": _("The campaign was deleted"),
    "campaign.restored": _("The campaign was brought back"),
    "campaign.opened": _("The campaign was opened"),
    "campaign.paused": _("The campaign was paused"),
    "items.overlap": _("How many people judge the items was changed"),
    "invitation.made": _("A link that invites people was made"),
    "invitation.revoked": _("A link that invites people was revoked"),
    "gold.retired": _("The right answer to {target} was retired: people are asked for it no more"),
    "gold.removed": _("The right answer to {target} was taken away"),
    "item.accepted": _("A reviewer let a judgement of {target} stand"),
    "item.overridden": _("A reviewer decided {target} themselves"),
    "judgements.exported": _("What people said was exported: {target}"),
    "judgements.listed": _("What people said was read over REST"),
    "judgements.seen": _("Somebody looked at what others said of {target}"),
    "judgement.returned": _("A reviewer sent {target} back"),
    "gold.set": _("The right answer to {target} was set"),
    "guideline.written": _("The guideline was rewritten: {target}"),
    "suite.added": _("A safety suite was added: {target}"),
    "suite.asked": _("Questions of a safety suite were put into the queue of {target}"),
    "rollouts.asked": _("Branched dialogues were put into the queue of {target}"),
    "knowledge.changed": _("A document that the guard quotes was changed: {target}"),
    "knowledge.removed": _("A document that the guard quotes was removed: {target}"),
    "loop.configured": _("The loop's settings were changed"),
    "loop.created": _("The loop was set up"),
    "loop.paused": _("The loop was paused"),
    "member.added": _("{target} was added"),
    "member.held_back": _("{target} may judge nothing more for now"),
    "member.let_go_on": _("{target} may judge again"),
    "member.skills": _("What {target} can do was changed"),
    "member.removed": _("{target} was removed"),
    "person.admitted": _("{target} may judge without the test"),
    "person.failed": _("{target} did not pass the test"),
    "person.lifted": _("{target} was let go on"),
    "person.paused": _("{target} was paused for missed attention checks"),
    "person.qualified": _("{target} passed the test"),
    "person.warned": _("{target} was told of missed attention checks"),
    "gate.queued": _("{target} was sent to the gate, and waits for its turn"),
    "gate.withdrawn": _("{target} was withdrawn from the gate before its turn"),
    "gate.dropped": _("{target} no longer waits for the gate, which cannot decide on it"),
    "gate.ordered": _("{target} was sent to the gate"),
    "gate.stale": _("The gate of {target} closed undecided, as another policy was put into use meanwhile"),
    "gate.closed_early": _("{target} was decided on before enough pairs were judged"),
    "guard.configured": _("What is kept of the guard's prompts, and how it is retrained, was changed"),
    "guard.edited": _("{target} was made of another guard, with other tiers, lines or documents"),
    "guard.prompts_sent": _("Prompts were sent in for the guard to learn from"),
    "guard.promoted": _("{target} was promoted"),
    "guard.retrained": _("{target} was started, to retrain the guard"),
    "guard.rolled_back": _("{target} was put back into use"),
    "playground.saved": _("{target} was made of a turn in the playground"),
    "policy.promoted": _("{target} was promoted"),
    "policy.answered_negatively": _("{target} answered in its negative mode"),
    "policy.promoted_over_the_gate": _("{target} was promoted without a passing gate"),
    "policy.rolled_back": _("{target} was put back into use"),
    "policy.rolled_back_over_the_gate": _("{target} was put back into use against a test for lost safety"),
    "reward.promoted": _("{target} was promoted"),
    "reward.rolled_back": _("{target} was put back into use"),
    "rewrite.not_passed_on": _("A better answer was not passed on"),
    "round.cancelled": _("{target} was cancelled"),
    "round.drafting": _("{target} began"),
    "round.freezing": _("{target}: judging ended"),
    "round.gating": _("{target}: the new policy is being tested"),
    "round.labelling": _("{target}: people judge"),
    "round.promoted": _("{target} ended with a new policy"),
    "round.rejected": _("{target} showed no improvement"),
    "round.resumed": _("{target} was resumed"),
    "round.sampling": _("{target}: the policy writes answers"),
    "round.stalled": _("{target} stalled"),
    "round.training": _("{target}: training began"),
    "run.cancelled": _("{target} was cancelled"),
    "run.created": _("{target} was started"),
    "run.retried": _("{target} was tried again"),
    "tamper.measured": _("{target} measured what training against safety does"),
    "tamper.ordered": _("{target} was started, to train against a policy's safety"),
    "demo.seeded": _("The demo put its items here"),
    "webhook.added": _("{target} is told what happens"),
    "webhook.removed": _("{target} is told nothing more"),
    "account.email_changed": _("The e-mail address of an account was changed"),
    "account.profile_text_changed": _("Somebody changed what they say of the answers they like"),
    "account.password_reset": _("A lost password was replaced by a link sent by e-mail"),
    "person.erased": _("The data of a person was erased"),
    "snapshot.frozen": _("{target} was frozen"),
    "token.made": _("A token was made: {target}"),
    "token.revoked": _("A token was revoked: {target}"),
    "snapshot.pushed": _("{target} was pushed to a hub"),
    "version.exported": _("{target} was exported with its card"),
    "version.exported_unattacked": _("{target} was taken away without a tamper test, which was confirmed"),
    "version.registered": _("{target} was registered"),
}


# Sentences about so many of something.
COUNTS = {
    "tasks.imported": ngettext_lazy("{n} item was imported", "{n} items were imported", "n"),
    "tasks.lines_refused": ngettext_lazy(
        "{n} line of an import was refused", "{n} lines of an import were refused", "n"
    ),
}
# Under which name their events keep the number.
COUNTED = {"tasks.imported": "created", "tasks.lines_refused": "failed"}
# Targets that are a common noun and a number; the events call them by their English names.
NUMBERED = {
    "run": _("Run {number}"),
    "round": _("Round {number}"),
    "snapshot": _("Snapshot {number}"),
    "version": _("version {number}"),
}


def in_words(event: Event) -> str:
    """Return one event as a sentence; an unknown one by its own name."""
    if event.action in COUNTS:
        return COUNTS[event.action].format(n=int(event.detail.get(COUNTED[event.action], 0)))
    pattern = WORDS.get(event.action)
    if pattern is None:
        return f"{event.action.replace('.', ' ').replace('_', ' ')} {event.target}".strip().capitalize()
    sentence = pattern.format(target=_target(event.target))
    if role := event.detail.get("role"):
        label = Role(role).label if role in Role.values else role
        sentence = gettext("{sentence}, role: {role}").format(sentence=sentence, role=label)
    if reason := event.detail.get("reason"):
        sentence += f": {of(reason)}"
    return sentence


def _target(target: str) -> str:
    """Return what an event is about; a username or a label stays as it is written."""
    noun, _space, number = target.partition(" ")
    if noun in NUMBERED and number.isdecimal():
        return NUMBERED[noun].format(number=number)
    # The id of an item that came without one is a hash: its beginning tells items apart.
    if noun == "item":
        return gettext("item {id}").format(id=f"{number[:12]}…" if _HASH.fullmatch(number) else number)
    return target


def last(campaign: Campaign, count: int) -> list[tuple[Event, str]]:
    """Return the campaign's last events, the newest first, each with its sentence (1 query)."""
    # That somebody looked at something is for the page of all changes: there it would hide what was changed.
    found = Event.objects.filter(campaign=campaign).exclude(action__startswith="judgements.")
    found = found.select_related("actor").order_by("-id")[:count]
    return [(event, in_words(event)) for event in found]
