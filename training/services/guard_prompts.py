"""What a guard read, where the campaign keeps it: taken in, sent in, and deleted again. No log has any of it."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from annotation.models import Campaign, Prompt, Task, User
from annotation.services import blocks, events
from annotation.services.queue import QUEUE_ORDER
from annotation.storable import unstorable
from training import paths, store
from training.errors import Invalid
from training.models import GuardedPrompt, GuardWatch, ModelVersion
from training.services import guards

LONGEST = 32_000  # characters that are kept of a prompt; a longer one is not kept at all
MOST_AT_ONCE = 10_000
CHUNK = 500
HUMAN = "human"


def text_of(messages: Sequence[dict[str, Any]]) -> str:
    """Return what a detector reads of a conversation: what the user said so far, as one text."""
    said = [str(message["content"]) for message in messages if message.get("role") == "user"]
    return "\n".join(text for text in said if text.strip())


def digest_of(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()


def keep(*, campaign: Campaign, messages: Sequence[dict[str, Any]], source: str, person: User | None) -> bool:
    """Keep what was asked, once; return whether it was new. Nothing is kept unless the campaign says so.

    One statement where nothing is kept.
    """
    watch = GuardWatch.objects.filter(campaign=campaign).first()
    if watch is None or not watch.settings.get("keep") or not guards.named(campaign):
        return False
    if person is not None and person.is_simulated:
        return False
    text = text_of(messages)
    if not text.strip() or len(text) > LONGEST or unstorable(text):
        return False
    _row, is_new = GuardedPrompt.objects.get_or_create(
        campaign=campaign,
        digest=digest_of(text),
        defaults={"text": text, "source": source, "person": person, "at": timezone.now()},
    )
    return is_new


@dataclass(frozen=True)
class Taken:
    """What came of prompts that were sent in."""

    created: int
    existing: int


@transaction.atomic
def send_in(*, campaign: Campaign, rows: Iterable[dict[str, Any]], actor: User | None) -> Taken:
    """Keep prompts from outside, ``{"text", "at", "jailbreak"}``, each once; Invalid names the first that cannot be.

    A label counts as a person's, and is put on a prompt that is there without one.
    """
    watch = GuardWatch.objects.filter(campaign=campaign).first()
    if watch is None or not watch.settings.get("keep"):
        message = _("This campaign keeps no prompts. Turn that on first.")
        raise Invalid(message, {"keep": [message]})
    made: dict[str, GuardedPrompt] = {}
    for number, row in enumerate(rows, start=1):
        one = _row(campaign, number, row)
        made.setdefault(one.digest, one)
    known: set[str] = set()
    names = list(made)
    for start in range(0, len(names), CHUNK):
        there = GuardedPrompt.objects.filter(campaign=campaign, digest__in=names[start : start + CHUNK])
        for one in there:
            known.add(one.digest)
            new = made[one.digest]
            if new.jailbreak is not None and one.labelled_by != HUMAN:
                GuardedPrompt.objects.filter(pk=one.pk).update(jailbreak=new.jailbreak, labelled_by=HUMAN)
    fresh = [one for name, one in made.items() if name not in known]
    GuardedPrompt.objects.bulk_create(fresh, batch_size=CHUNK, ignore_conflicts=True)
    events.record(
        campaign=campaign, actor=actor, action="guard.prompts_sent", target="guard", detail={"created": len(fresh)}
    )
    return Taken(len(fresh), len(known))


def _row(campaign: Campaign, number: int, row: dict[str, Any]) -> GuardedPrompt:
    text, at, said = row.get("text"), row.get("at"), row.get("jailbreak")
    if not isinstance(text, str) or not text.strip() or len(text) > LONGEST or unstorable(text):
        message = _("Prompt {number} has no text, or one of more than {most} characters.")
        message = message.format(number=number, most=LONGEST)
        raise Invalid(message, {"prompts": [message]})
    if at is not None and not isinstance(at, datetime):
        message = _("The time of prompt {number} cannot be read. Write it like 2026-01-31T12:00:00Z.")
        raise Invalid(message.format(number=number), {"prompts": [message.format(number=number)]})
    now = timezone.now()
    if at is not None and not datetime(2000, 1, 1, tzinfo=UTC) < at <= now + timedelta(days=1):
        message = _("The time of prompt {number} lies in the future, or long before there were language models.")
        raise Invalid(message.format(number=number), {"prompts": [message.format(number=number)]})
    return GuardedPrompt(
        campaign=campaign,
        digest=digest_of(text),
        text=text,
        source=GuardedPrompt.Source.IMPORT,
        at=at or now,
        jailbreak=said,
        labelled_by="" if said is None else HUMAN,
    )


def delete_old(watch: GuardWatch) -> int:
    """Delete what was kept for long enough, or is more than is kept, and return how many prompts went.

    What people are asked about in another campaign stays there until it is judged, and then as long as it does.
    """
    settings = watch.settings
    kept = GuardedPrompt.objects.filter(campaign=watch.campaign_id)
    gone, _of = kept.filter(at__lt=timezone.now() - timedelta(days=settings["keep_days"])).delete()
    limit = kept.order_by("-at", "-pk").values_list("at", "pk")[settings["keep_most"] : settings["keep_most"] + 1]
    for at, pk in limit:
        more, _of = (kept.filter(at__lt=at) | kept.filter(at=at, pk__lte=pk)).delete()
        gone += more
    return gone


def delete_files(campaign_id: int, *, older_than: float = 0.0) -> None:
    """Delete what was written for retrainings of a campaign that have ended."""
    for name in store.names(f"guards/retraining-{campaign_id}"):
        file = paths.files() / name
        changed = store.changed_at(name)
        at = changed.timestamp() if changed is not None else file.stat().st_mtime
        if time.time() - at >= older_than:
            store.drop(file)
            file.unlink(missing_ok=True)


def external_id(prompt: GuardedPrompt) -> str:
    """Return what the item that asks people about a prompt is called."""
    return f"guard-{prompt.campaign_id}-{prompt.digest[:32]}"


@transaction.atomic
def erase(person: User) -> None:
    """Delete what somebody asked, with the items that ask others about it, and mark the detectors that learned it."""
    theirs = GuardedPrompt.objects.filter(person=person)
    if not theirs.exists():
        return
    names = [external_id(one) for one in theirs]
    items = Task.objects.filter(external_id__in=names, batch__startswith="guard-")
    prompts = set(items.values_list("prompt_id", flat=True))
    locked = Task.objects.filter(pk__in=items.values("pk")).order_by(*QUEUE_ORDER).select_for_update()
    gone = list(locked.values_list("pk", flat=True))
    blocks.mark_all(gone)
    Task.objects.filter(pk__in=gone).delete()
    Prompt.objects.filter(pk__in=prompts, tasks=None).delete()
    for campaign, since in _first(theirs).items():
        learned = ModelVersion.objects.filter(
            campaign=campaign, kind=ModelVersion.Kind.GUARD, created_at__gte=since, withdrawn_at=None
        )
        learned.update(withdrawn_at=timezone.now())
        delete_files(campaign)
    theirs.delete()


def _first(theirs: Any) -> dict[int, datetime]:
    """Return when the first prompt of each campaign was asked: no detector from before learned any."""
    found: dict[int, datetime] = {}
    for campaign, at in theirs.values_list("campaign_id", "at"):
        found[campaign] = min(at, found.get(campaign, at))
    return found
