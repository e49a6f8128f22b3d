"""The audit trail as sentences, for people who were not there."""

from __future__ import annotations

from annotation.models import Campaign, Event

WORDS = {
    "account.created": "Account {target} was made",
    "batch.prioritised": "Batch {target} was given another priority",
    "campaign.changed": "Settings were changed",
    "campaign.closed": "The campaign was closed",
    "member.left": "{target} left the campaign",
    "campaign.created": "The campaign was created",
    "campaign.opened": "The campaign was opened",
    "campaign.paused": "The campaign was paused",
    "gold.removed": "The right answer to {target} was taken away",
    "gold.set": "The right answer to {target} was set",
    "guideline.written": "The guideline was rewritten: {target}",
    "loop.configured": "The loop's settings were changed",
    "loop.created": "The loop was set up",
    "loop.paused": "The loop was paused",
    "member.added": "{target} was added",
    "member.skills": "What {target} can do was changed",
    "member.removed": "{target} was removed",
    "policy.promoted": "{target} was promoted",
    "policy.promoted_over_the_gate": "{target} was promoted without a passing gate",
    "policy.rolled_back": "{target} was put back into use",
    "reward.promoted": "{target} was promoted",
    "reward.rolled_back": "{target} was put back into use",
    "round.cancelled": "{target} was cancelled",
    "round.drafting": "{target} began",
    "round.freezing": "{target}: judging ended",
    "round.gating": "{target}: the new policy is being tested",
    "round.labelling": "{target}: people judge",
    "round.promoted": "{target} ended with a new policy",
    "round.rejected": "{target} showed no improvement",
    "round.resumed": "{target} was resumed",
    "round.sampling": "{target}: the policy writes answers",
    "round.stalled": "{target} stalled",
    "round.training": "{target}: training began",
    "run.cancelled": "{target} was cancelled",
    "run.created": "{target} was started",
    "run.retried": "{target} was tried again",
    "snapshot.frozen": "{target} was frozen",
    "tasks.imported": "{created} items were imported",
    "tasks.lines_refused": "{target} of an import were refused",
    "version.registered": "{target} was registered",
}


# Targets that are a common noun and a number.
COMMON = ("run ", "round ", "snapshot ")


def in_words(event: Event) -> str:
    """Return one event as a sentence; an unknown one by its own name."""
    pattern = WORDS.get(event.action)
    if pattern is None:
        return f"{event.action.replace('.', ' ').replace('_', ' ')} {event.target}".strip().capitalize()
    sentence = pattern.format(target=event.target, created=event.detail.get("created", 0))
    if role := event.detail.get("role"):
        sentence += f" as {role}"
    if reason := event.detail.get("reason"):
        sentence += f": {reason}"
    # A username or a label stays as it is written; "run 12" at the beginning of a sentence does not.
    return sentence[:1].upper() + sentence[1:] if event.target.startswith(COMMON) else sentence


def last(campaign: Campaign, count: int) -> list[tuple[Event, str]]:
    """Return the campaign's last events, the newest first, each with its sentence (1 query)."""
    found = Event.objects.filter(campaign=campaign).select_related("actor").order_by("-id")[:count]
    return [(event, in_words(event)) for event in found]
