"""Writing items into the database: prompts, completions and tasks, in a handful of statements for hundreds of items."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

from django.utils.translation import gettext as _

from annotation import gold, rotation, routing, suggestions
from annotation.datasets import content_hash, prompt_hash
from annotation.errors import CampaignClosed
from annotation.feedback import kind
from annotation.importing.items import Item
from annotation.messages import stored_answer
from annotation.models import Campaign, Completion, Gold, Prompt, Task, TaskCompletion


def store(campaign: Campaign, items: dict[str, Item]) -> tuple[set[str], set[str]]:
    """Write the new ones of `items` in a handful of statements; return their ids, and those taken by other content.

    Call it in a transaction; raises `CampaignClosed`, and `Invalid` for more tags than a campaign can have. The
    campaign's row is locked, so that two imports at once cannot both find an item new; NO KEY, so that the judgements
    that come in meanwhile do not wait.
    """
    if not items:
        return set(), set()
    campaign = Campaign.objects.select_for_update(no_key=True).get(pk=campaign.pk)
    if campaign.state == Campaign.State.CLOSED:
        raise CampaignClosed(_("This campaign is closed; import into another one."))
    known = Task.objects.filter(campaign=campaign, external_id__in=items).values_list("external_id", "content")
    existing, clashing = set(), set()
    for external_id, content in known:
        existing.add(external_id)
        if not items[external_id].same_as(content):
            clashing.add(external_id)
    new = {external_id: item for external_id, item in items.items() if external_id not in existing}
    if new:
        _insert(campaign, new)
    return set(new), clashing


def _insert(campaign: Campaign, items: dict[str, Item]) -> None:
    """Insert prompts and completions that are not there yet, and a task for each item."""
    hash_of = {external_id: prompt_hash(item.prompt) for external_id, item in items.items()}
    prompts = {
        prompt.content_hash: prompt
        for prompt in Prompt.objects.filter(campaign=campaign, content_hash__in=set(hash_of.values())).defer("messages")
    }
    old_prompts = [prompt.pk for prompt in prompts.values()]
    unknown = {
        hash_of[external_id]: Prompt(
            campaign=campaign, messages=item.prompt, content_hash=hash_of[external_id], domain=item.domain
        )
        for external_id, item in items.items()
        if hash_of[external_id] not in prompts
    }
    Prompt.objects.bulk_create(unknown.values())
    prompts.update(unknown)

    hashes_of = {id_: [content_hash(answer) for answer, _ in item.completions] for id_, item in items.items()}
    completions = {
        (completion.prompt_id, completion.content_hash): completion
        for completion in Completion.objects.filter(prompt__in=old_prompts).defer("text")
    }
    wanted = {
        (prompts[hash_of[external_id]].pk, hash_): part
        for external_id, item in items.items()
        for hash_, part in zip(hashes_of[external_id], item.completions, strict=True)
    }
    fresh = {
        (prompt_id, hash_): Completion(prompt_id=prompt_id, **stored_answer(answer), content_hash=hash_, origin=origin)
        for (prompt_id, hash_), (answer, origin) in wanted.items()
        if (prompt_id, hash_) not in completions
    }
    Completion.objects.bulk_create(fresh.values())
    completions.update(fresh)

    routing.learn(
        campaign,
        needs=(tag for item in items.values() for tag in _needs(campaign, item)),
        about=(tag for item in items.values() for tag in _about(campaign, item)),
    )
    tasks: dict[str, Task] = {}
    golds: dict[str, dict[str, Any]] = {}
    parts = {}
    for external_id, item in items.items():
        prompt = prompts[hash_of[external_id]]
        parts[external_id] = [completions[prompt.pk, hash_].pk for hash_ in hashes_of[external_id]]
        known = _gold(campaign, item) if item.gold is not None else {}
        purpose = known.get("purpose", Gold.Purpose.MIXED)
        parked = bool(known) and rotation.is_parked(campaign, purpose)
        seats = 0 if parked else item.wanted or overlap_of(campaign, external_id)
        if known:
            golds[external_id] = known
        tasks[external_id] = Task(
            campaign=campaign,
            prompt=prompt,
            external_id=external_id,
            content=item.content(parts[external_id]),
            # Two policies may write the same words, which are stored once: so who wrote them is told here as well.
            meta={**item.meta, "origins": [origin for _, origin in item.completions], **_suggestion(campaign, item)},
            wanted=seats,
            seats=seats,
            state=Task.State.COMPLETE if parked else Task.State.OPEN,
            priority=item.priority,
            tags=routing.bits(campaign.tags, needs=_needs(campaign, item), about=_about(campaign, item)),
            is_audit=item.is_audit,
            batch=item.batch,
        )
    Task.objects.bulk_create(tasks.values())
    Gold.objects.bulk_create(Gold(task=tasks[external_id], **known) for external_id, known in golds.items())
    TaskCompletion.objects.bulk_create(
        TaskCompletion(task=task, completion_id=pk, position=position)
        for external_id, task in tasks.items()
        for position, pk in enumerate(parts[external_id])
    )


def _suggestion(campaign: Campaign, item: Item) -> dict[str, Any]:
    """Return what a model said of the item, to be kept with where it comes from; it was checked with the item."""
    if item.suggestion is None:
        return {}
    count = len(item.completions)
    read = suggestions.read(kind(campaign.kind), item.suggestion, options=campaign.options, count=count)
    return {suggestions.NAME: read}


def _gold(campaign: Campaign, item: Item) -> dict[str, Any]:
    """Return the right answer as it is stored; it was checked with the item."""
    read = gold.read(kind(campaign.kind), item.gold, options=campaign.options, texts=item.texts)
    return read.as_stored()


def overlap_of(campaign: Campaign, external_id: str) -> int:
    """Return how many people judge an item whose row does not say: of a share of the items, drawn by id, others.

    By id and not by chance, so that it does not matter in which order or how often items are imported.
    """
    drawn = int.from_bytes(hashlib.sha256(f"{campaign.pk}/{external_id}".encode()).digest()[:8], "big")
    return campaign.cohort_overlap if drawn * 100 < campaign.cohort_percent << 64 else campaign.overlap


def _needs(campaign: Campaign, item: Item) -> Iterable[str]:
    """Return what people need for the item: what its row says, else what the campaign says."""
    return campaign.requires if item.requires is None else item.requires


def _about(campaign: Campaign, item: Item) -> Iterable[str]:
    return campaign.about if item.about is None else item.about
