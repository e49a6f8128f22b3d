"""What comes in: prompts with their completions become tasks. Each is stored once, however often it is sent."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from django.db import transaction

from annotation.datasets import content_hash, prompt_hash
from annotation.errors import CampaignClosed, Invalid
from annotation.feedback import kind
from annotation.models import Campaign, Completion, Prompt, Task, TaskCompletion, User
from annotation.services import events
from annotation.services.layouts import MAX_LINE_BYTES, Item, Refused, check, read_line

CHUNK_ITEMS = 500
CHUNK_CHARACTERS = 8_000_000
# How many refused lines are told one by one; `ImportReport.failed` counts them all.
MAX_ERRORS = 1000


@dataclass(frozen=True)
class LineError:
    line: int  # from 1
    reason: str


@dataclass
class ImportReport:
    """What an import did, line by line."""

    created: int = 0
    existing: int = 0  # lines whose item was there already, from an earlier import or an earlier line
    blank: int = 0
    failed: int = 0
    errors: list[LineError] = field(default_factory=list)

    def refuse(self, line: int, reason: str) -> None:
        self.failed += 1
        if len(self.errors) < MAX_ERRORS:
            self.errors.append(LineError(line, reason))


def make_task(
    *,
    campaign: Campaign,
    messages: list[dict[str, str]],
    completions: list[tuple[str, str]],
    external_id: str,
    wanted: int | None = None,
    priority: int = 0,
    is_audit: bool = False,
    batch: str = "",
    meta: dict[str, Any] | None = None,
) -> tuple[Task, bool]:
    """Return the task called `external_id` and whether it is new; one that exists is returned as it is.

    `completions` are (text, origin) in canonical order. Raises `Invalid` for what people could not judge.
    """
    item = Item(external_id, messages, completions, wanted, priority, is_audit, batch, "", meta or {})
    try:
        check(item, kind(campaign.kind))
    except Refused as refused:
        raise Invalid(f"The item {external_id!r} cannot be judged. {refused}") from None
    with transaction.atomic():
        created, _ = _store(campaign, {external_id: item})
        task = Task.objects.get(campaign=campaign, external_id=external_id)
    return task, bool(created)


def import_lines(*, campaign: Campaign, lines: Iterable[str | bytes], actor: User | None) -> ImportReport:
    """Store the items of a JSON Lines file and return what came of each line. Good lines are kept whatever the rest is.

    Chunk by chunk, each in its own transaction: an import that breaks off is continued by importing again, since an
    item is known by its id, or without one by its content. The layouts are told in `annotation.services.layouts`.
    """
    report = ImportReport()
    feedback_kind = kind(campaign.kind)
    chunk: dict[str, Item] = {}
    numbers: dict[str, int] = {}  # external id → line
    characters = 0
    for number, line in enumerate(lines, start=1):
        try:
            item = read_line(line, first=number == 1)
            if item is None:
                report.blank += 1
                continue
            check(item, feedback_kind)
        except Refused as refused:
            report.refuse(number, str(refused))
            continue
        known = chunk.get(item.external_id)
        if known is None:
            chunk[item.external_id], numbers[item.external_id] = item, number
            characters += len(line)
        elif known.same_as(item.messages, [text for text, _ in item.completions]):
            report.existing += 1
        else:
            report.refuse(number, _taken(item.external_id))
        if len(chunk) >= CHUNK_ITEMS or characters >= CHUNK_CHARACTERS:
            _flush(campaign, chunk, numbers, report)
            chunk, numbers, characters = {}, {}, 0
    _flush(campaign, chunk, numbers, report)
    report.errors.sort(key=lambda error: error.line)
    detail = {"created": report.created, "existing": report.existing, "failed": report.failed}
    events.record(campaign=campaign, actor=actor, action="tasks.imported", detail=detail)
    return report


def read_lines(file: BinaryIO) -> Iterator[bytes]:
    """Yield the lines of a binary file; of an over-long line only enough to be refused, so that memory stays small."""
    while line := file.readline(MAX_LINE_BYTES + 3):
        yield line
        while line and not line.endswith(b"\n"):
            line = file.readline(MAX_LINE_BYTES)


def _flush(campaign: Campaign, chunk: dict[str, Item], numbers: dict[str, int], report: ImportReport) -> None:
    """Store a chunk in one transaction and count what came of it."""
    with transaction.atomic():
        created, clashing = _store(campaign, chunk)
    report.created += len(created)
    report.existing += len(chunk) - len(created) - len(clashing)
    for external_id in clashing:
        report.refuse(numbers[external_id], _taken(external_id))


def _store(campaign: Campaign, items: dict[str, Item]) -> tuple[set[str], set[str]]:
    """Write the new ones of `items` in a handful of statements; return their ids, and those taken by other content.

    Call it in a transaction. The campaign's row is locked, so that two imports at once cannot both find an item new;
    NO KEY, so that the judgements that come in meanwhile do not wait.
    """
    if not items:
        return set(), set()
    campaign = Campaign.objects.select_for_update(no_key=True).get(pk=campaign.pk)
    if campaign.state == Campaign.State.CLOSED:
        raise CampaignClosed("This campaign is closed; import into another one.")
    known = Task.objects.filter(campaign=campaign, external_id__in=items).values_list("external_id", "content")
    existing, clashing = set(), set()
    for external_id, content in known:
        existing.add(external_id)
        texts = [completion["text"] for completion in content["completions"]]
        if not items[external_id].same_as(content["messages"], texts):
            clashing.add(external_id)
    new = {external_id: item for external_id, item in items.items() if external_id not in existing}
    if new:
        _insert(campaign, new)
    return set(new), clashing


def _insert(campaign: Campaign, items: dict[str, Item]) -> None:
    """Insert prompts and completions that are not there yet, and a task for each item."""
    hash_of = {external_id: prompt_hash(item.messages) for external_id, item in items.items()}
    prompts = {
        prompt.content_hash: prompt
        for prompt in Prompt.objects.filter(campaign=campaign, content_hash__in=set(hash_of.values())).defer("messages")
    }
    old_prompts = [prompt.pk for prompt in prompts.values()]
    unknown = {
        hash_of[external_id]: Prompt(
            campaign=campaign, messages=item.messages, content_hash=hash_of[external_id], domain=item.domain
        )
        for external_id, item in items.items()
        if hash_of[external_id] not in prompts
    }
    Prompt.objects.bulk_create(unknown.values())
    prompts.update(unknown)

    hashes_of = {id_: [content_hash(text) for text, _ in item.completions] for id_, item in items.items()}
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
        (prompt_id, hash_): Completion(prompt_id=prompt_id, text=text, content_hash=hash_, origin=origin)
        for (prompt_id, hash_), (text, origin) in wanted.items()
        if (prompt_id, hash_) not in completions
    }
    Completion.objects.bulk_create(fresh.values())
    completions.update(fresh)

    tasks = {}
    parts = {}
    for external_id, item in items.items():
        prompt = prompts[hash_of[external_id]]
        parts[external_id] = [completions[prompt.pk, hash_].pk for hash_ in hashes_of[external_id]]
        seats = item.wanted or campaign.overlap
        tasks[external_id] = Task(
            campaign=campaign,
            prompt=prompt,
            external_id=external_id,
            content={
                "messages": item.messages,
                "completions": [
                    {"id": pk, "text": text} for pk, (text, _) in zip(parts[external_id], item.completions, strict=True)
                ],
            },
            # Two policies may write the same words, which are stored once: so who wrote them is told here as well.
            meta={**item.meta, "origins": [origin for _, origin in item.completions]},
            wanted=seats,
            seats=seats,
            priority=item.priority,
            is_audit=item.is_audit,
            batch=item.batch,
        )
    Task.objects.bulk_create(tasks.values())
    TaskCompletion.objects.bulk_create(
        TaskCompletion(task=task, completion_id=pk, position=position)
        for external_id, task in tasks.items()
        for position, pk in enumerate(parts[external_id])
    )


def _taken(external_id: str) -> str:
    return f"The id {external_id!r} belongs to an item with other content; nothing was changed."
