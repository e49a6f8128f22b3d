"""The views: what people said, as rows that a trainer reads. The same rows in the export, the snapshot and a laptop.

A prompt is in "train" or in "test" by its hash alone, so it never stands on both sides, whatever is exported when.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

import orjson
from django.db.models import QuerySet
from django.urls import reverse

from annotation import dataset_views, dialogues, suggestions
from annotation.errors import Invalid
from annotation.feedback import kind
from annotation.messages import (
    Content,
    Message,
    addressed,
    answer_of,
    as_message,
    completions_column,
    parts_of,
    references,
)
from annotation.models import Campaign, Feedback, Image, Prompt

CHUNK = 1000
SPLITS = ("train", "test")


def content_hash(value: Any) -> str:
    """Return the sha256 of the canonical JSON of `value`, in hex."""
    canonical = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    # Half a character has a hash too; whether it can be stored is asked elsewhere.
    return hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()


def prompt_hash(messages: list[Message]) -> str:
    """Return the hash under which a conversation is known; only roles and contents count."""
    return content_hash([{"role": message["role"], "content": message["content"]} for message in messages])


def split(prompt_hash: str) -> str:
    """Return "test" for a tenth of all prompts, "train" for the rest; `prompt_hash` is a sha256 in hex."""
    return "test" if int(prompt_hash[:8], 16) % 10 == 0 else "train"


def rows(
    campaign: Campaign,
    view: str,
    *,
    split: str | None = None,
    batches: Collection[str] | None = None,
    include_audit: bool = True,
    include_simulated: bool = True,
    exclude_users: Collection[int] = (),
    after_id: int = 0,
    site: str = "",
) -> Iterator[dict[str, Any]]:
    """Return the rows of a view in the order of their ids, a thousand at a time, in constant memory.

    Checks its arguments at once, so that `Invalid` comes before the first byte of a stream. `batches` keeps the tasks
    of these batches; `after_id` continues after the row whose `feedback` it is. Where the campaign has images, `site`
    (such as "https://attune.example.org") makes their addresses whole.
    """
    dataset_views.view(view)
    if split is not None and split not in SPLITS:
        message = f"There is no split {split!r}; there are: {', '.join(SPLITS)}."
        raise Invalid(message, {"split": [message]})
    if view == "prompts":
        return _prompts(campaign, split, site)
    judgements = Feedback.objects.current().filter(campaign=campaign, id__gt=after_id)
    if batches is not None:
        judgements = judgements.filter(task__batch__in=batches)
    if not include_audit:
        judgements = judgements.filter(task__is_audit=False)
    if not include_simulated:
        judgements = judgements.filter(user__is_simulated=False)
    if exclude_users:
        judgements = judgements.exclude(user__in=exclude_users)
    return _judgements(campaign, view, judgements.order_by("id"), split, site)


def lines(rows: Iterable[dict[str, Any]]) -> Iterator[str]:
    """Yield each row as one line of JSON Lines."""
    for row in rows:
        try:
            line = orjson.dumps(row).decode()
        except TypeError:  # a number of more than 64 bits in what was imported with an item
            line = json.dumps(row, ensure_ascii=False, separators=(",", ":"))
        yield line + "\n"


def _by_id(found: QuerySet[Any], columns: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    """Yield the columns, of which the first is the id, in the order of the ids, CHUNK rows per statement.

    Not through one cursor: outside a transaction PostgreSQL would find all rows before it hands out the first, and
    inside one a client that reads slowly would hold back its vacuum. What is written after the start is left out, so
    that a judgement amended meanwhile does not come twice.
    """
    last, end = 0, found.order_by("-id").values_list("id", flat=True).first() or 0
    rows = found.filter(id__lte=end).order_by("id").values_list(*columns)
    while chunk := list(rows.filter(id__gt=last)[:CHUNK]):
        yield from chunk
        last = chunk[-1][0]


class _Illustrated:
    """Contents as a campaign's exports have them: all of them as parts as soon as there is one image in it.

    A column with text in one row and a list in another is none that `datasets` can read.
    """

    def __init__(self, campaign: Campaign, site: str) -> None:
        self._campaign, self._site = campaign, site
        self._has_images = Image.objects.filter(campaign=campaign).exists()

    def content(self, content: Content) -> Content:
        return addressed(parts_of(content), self._address) if self._has_images else content

    def prompt(self, messages: list[Message]) -> dict[str, Any]:
        """Return the columns of a prompt."""
        if not self._has_images:
            return {"prompt": messages}
        contents = [self.content(message["content"]) for message in messages]
        shown = [as_message(one["role"], content) for one, content in zip(messages, contents, strict=True)]
        return {"prompt": shown, "images": [image for content in contents for image in references(content)]}

    def _address(self, sha256: str) -> str:
        return self._site + reverse("api-image", args=[self._campaign.pk, sha256])


def _prompts(campaign: Campaign, only: str | None, site: str) -> Iterator[dict[str, Any]]:
    illustrated = _Illustrated(campaign, site)
    found = Prompt.objects.filter(campaign=campaign).order_by("id")
    for _, messages, hash_, domain in _by_id(found, ("id", "messages", "content_hash", "domain")):
        if only is None or split(hash_) == only:
            yield {"id": hash_, **illustrated.prompt(messages), "domain": domain}


def _judgements(
    campaign: Campaign, view_name: str, found: Any, only: str | None, site: str
) -> Iterator[dict[str, Any]]:
    """Yield the rows; plain tuples instead of model instances, which would take twice the time."""
    columns = (
        *("id", "kind", "payload", "shown_order", "seconds", "active_seconds", "guideline_version"),
        "behaviour",
        *("user__pseudonym", "user__is_simulated"),
        *("task__external_id", "task__content", "task__meta", "task__is_audit", "task__prompt__content_hash"),
    )
    options = campaign.options
    illustrated = _Illustrated(campaign, site)
    for (
        id_,
        kind_name,
        payload,
        shown_order,
        seconds,
        active_seconds,
        guideline,
        behaviour,
        pseudonym,
        simulated,
        external_id,
        content,
        meta,
        audit,
        hash_,
    ) in _by_id(found, columns):
        if only is not None and split(hash_) != only:
            continue
        feedback_kind = kind(kind_name)
        texts = [illustrated.content(answer_of(completion)) for completion in content["completions"]]
        prompt = illustrated.prompt(content["messages"])
        origins = meta.get("origins") or [""] * len(texts)
        rests = content.get("dialogues") or [None] * len(texts)
        provenance = {
            "annotator": pseudonym,
            "seconds": seconds,
            "active_seconds": active_seconds,
            "round": meta.get("round"),
            "policy": meta.get("policy"),
            "campaign": campaign.name,
            "task": external_id,
            "feedback": id_,
            "audit": audit,
            "simulated": simulated,
            "guideline": guideline,
            "turn": content.get("turn") if len(texts) == 1 else None,
        }
        if view_name == "judgements":
            yield {
                "kind": kind_name,
                **prompt,
                "dialogue": dialogues.whole(content),
                "completions": [
                    {**column, **({"messages": rest} if rest else {})}
                    for column, rest in zip(completions_column(texts, origins), rests, strict=True)
                ],
                "shown_order": shown_order,
                "payload": payload,
                "verdict": feedback_kind.verdict(payload, options=options),
                "behaviour": behaviour,
                "suggestion": suggestions.column(feedback_kind, meta, payload, options=options),
                **provenance,
            }
            continue
        for row in feedback_kind.rows(view_name, payload, texts=texts, origins=origins, shown_order=shown_order):
            placed = dialogues.placed(row, content)
            if placed["turn"] is None:
                placed |= prompt
            yield {**placed, **provenance, "turn": placed["turn"]}
