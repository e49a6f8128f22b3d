"""Items of a campaign that have a right answer, as rows that another campaign imports: gold goes with its campaign."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

from annotation import gold, routing, suggestions
from annotation.feedback import kind
from annotation.importing.items import Item
from annotation.messages import Content, answer_of, parts_of
from annotation.models import Campaign, Gold, Image, Task

# Beyond that many, gold is imported like any other items.
MOST = 2000
_DIALOGUE = ("turn", "between", "dialogues")


def gold_count(campaign: Campaign) -> int:
    """Return how many items with a right answer go on with the campaign."""
    return min(MOST, Gold.objects.filter(task__campaign=campaign, retired_at=None).count())


def gold_rows(campaign: Campaign) -> Iterator[dict[str, Any]]:
    """Yield the items with a right answer in Attune's own layout, images in them as data URIs; the first come first.

    As they were imported: with their ids, with what they ask of people and are about, and with what a model said.
    """
    album = _Images(campaign)
    stored = (
        Gold.objects.filter(task__campaign=campaign, retired_at=None)
        .select_related("task", "task__prompt")
        .order_by("task_id")
    )
    for one in stored[:MOST].iterator(chunk_size=200):
        yield album.in_full(_item(campaign, one).as_row())


def _item(campaign: Campaign, stored: Gold) -> Item:
    task: Task = stored.task
    feedback_kind, content = kind(campaign.kind), task.content
    count = len(content["completions"])
    suggested = task.meta.get(suggestions.NAME)
    completions: list[tuple[Content, str]] = [
        (answer_of(completion), origin)
        for completion, origin in zip(content["completions"], task.meta["origins"], strict=True)
    ]
    return Item(
        external_id=task.external_id,
        messages=content["messages"],
        completions=completions,
        wanted=task.wanted,
        priority=task.priority,
        is_audit=task.is_audit,
        batch=task.batch,
        domain=task.prompt.domain,
        meta={name: value for name, value in task.meta.items() if name not in ("origins", suggestions.NAME)},
        requires=tuple(routing.names(campaign.tags, task.tags, routing.NEEDS)),
        about=tuple(routing.names(campaign.tags, task.tags, routing.ABOUT)),
        gold=gold.as_given(
            feedback_kind, gold.GoldAnswer(stored.payload, stored.tolerance, stored.purpose), count=count
        ),
        suggestion=suggestions.as_given(feedback_kind, suggested, count=count) if suggested else None,
        dialogue={name: content[name] for name in _DIALOGUE if name in content},
    )


class _Images:
    """The images of a campaign, each written out where an item shows it."""

    def __init__(self, campaign: Campaign) -> None:
        self._campaign = campaign

    def in_full(self, row: dict[str, Any]) -> dict[str, Any]:
        """Return the row with each image itself in the place of its hash."""
        read = {**row}
        if isinstance(row.get("prompt"), list):
            read["prompt"] = [{**message, "content": self._content(message["content"])} for message in row["prompt"]]
        if "completions" in row:
            read["completions"] = [{**one, "text": self._content(one["text"])} for one in row["completions"]]
        return read

    def _content(self, content: Content) -> Content:
        if isinstance(content, str):
            return content
        return [
            {"type": "image", "image": self._data_uri(part["image"]), "alt": part["alt"]}
            if part["type"] == "image"
            else part
            for part in parts_of(content)
        ]

    def _data_uri(self, sha256: str) -> str:
        image = Image.objects.get(campaign=self._campaign, sha256=sha256)
        with image.file.open() as file:
            return f"data:{image.media_type};base64,{base64.b64encode(file.read()).decode()}"
