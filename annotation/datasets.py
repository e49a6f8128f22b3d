"""The views: what people said, as rows that a trainer reads. The same rows in the export, the snapshot and a laptop.

A prompt is in "train" or in "test" by its hash alone, so it never stands on both sides, whatever is exported when.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

import orjson
from django.db.models import Exists, OuterRef, QuerySet, TextField
from django.db.models.functions import Cast
from django.urls import reverse
from django.utils import translation

from annotation import aggregates, dataset_views, derived_rows, dialogues, reliability, routing, suggestions
from annotation.dataset_filters import SPLITS, Filters, agreement_of
from annotation.feedback import FeedbackType, kind
from annotation.feedback.fields import key_of
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
from annotation.models import Campaign, Feedback, Image, Prompt, Task

CHUNK = 1000
Side = Callable[[str], str]
__all__ = ["SPLITS", "Filters", "content_hash", "lines", "prompt_hash", "rows", "severity", "split"]


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
    filters: Filters | None = None,
    *,
    after_id: int = 0,
    through_id: int | None = None,
    site: str = "",
    side_of: Side | None = None,
) -> Iterator[dict[str, Any]]:
    """Return the rows of a view in the order of their ids, a thousand at a time, in constant memory.

    Checks its arguments at once, so that `Invalid` comes before the first byte of a stream. `after_id` continues after
    the row whose `feedback` it is, and `through_id` ends with it; of "aggregates", it gives the items that were judged
    since. Where the campaign has images, `site` (such as "https://attune.example.org") makes their addresses whole.
    `side_of` tells the side of a prompt by its hash, instead of `split`.
    """
    dataset_views.view(view)
    filters = filters or Filters()
    side_of = side_of or split
    if view == "prompts":
        return _prompts(campaign, filters.split, site, side_of)
    found = filters.judgements(campaign)
    if through_id is not None:
        found = found.filter(id__lte=through_id)
    if view == "aggregates":
        return _aggregates(campaign, found, found.filter(id__gt=after_id), filters, site, side_of)
    found = found.filter(id__gt=after_id)
    if view == "people":
        return _people(campaign, found, filters, site, side_of)
    return _judgements(campaign, view, found, filters, site, side_of)


def lines(rows: Iterable[dict[str, Any]]) -> Iterator[str]:
    """Yield each row as one line of JSON Lines."""
    for row in rows:
        try:
            line = orjson.dumps(row).decode()
        except TypeError:  # a number of more than 64 bits in what was imported with an item
            line = json.dumps(row, ensure_ascii=False, separators=(",", ":"))
        yield line + "\n"


def _by_id(found: QuerySet[Any], columns: Sequence[str]) -> Iterator[list[Sequence[Any]]]:
    """Yield lists of CHUNK rows of these columns, of which the first is the id, in the order of the ids.

    Not through one cursor: outside a transaction PostgreSQL would find all rows before it hands out the first, and
    inside one a client that reads slowly would hold back its vacuum. What is written after the start is left out, so
    that a judgement amended meanwhile does not come twice.
    """
    last, end = 0, found.order_by("-id").values_list("id", flat=True).first() or 0
    texts = [place for place, name in enumerate(columns) if name.rpartition("__")[2] in _JSON]
    meta = next((place for place in texts if columns[place].endswith("meta")), None)
    picked = [Cast(name, TextField()) if place in texts else name for place, name in enumerate(columns)]
    rows = found.filter(id__lte=end).order_by("id").values_list(*picked)
    while chunk := list(rows.filter(id__gt=last)[:CHUNK]):
        yield [_read(row, texts, meta) for row in chunk]
        last = chunk[-1][0]


# Columns of JSON. They are read as text and parsed here: by the field's own converter that takes most of an export.
_JSON = {"payload", "shown_order", "behaviour", "content", "meta", "messages"}
_LARGE = re.compile(r"\d{16}")


def _read(row: tuple[Any, ...], texts: Sequence[int], meta: int | None) -> list[Any]:
    values = list(row)
    for place in texts:
        text = values[place]
        if text is None:
            continue
        # What was imported with an item may have whole numbers of more than 64 bits; elsewhere numbers are our own.
        if place == meta and _LARGE.search(text):
            values[place] = json.loads(text)
            continue
        try:
            values[place] = orjson.loads(text)
        except orjson.JSONDecodeError:  # half a character, which SQLite keeps
            values[place] = json.loads(text)
    return values


class _Illustrated:
    """Contents as a campaign's exports have them: all of them as parts as soon as there is one image in it.

    A column with text in one row and a list in another is none that `datasets` can read.
    """

    def __init__(self, campaign: Campaign, site: str) -> None:
        self._campaign, self._site = campaign, site
        self._has_images = Image.objects.filter(campaign=campaign).exists()

    def content(self, content: Content) -> Content:
        return addressed(parts_of(content), self._address) if self._has_images else content

    def answers(self, completions: Sequence[dict[str, Any]]) -> list[Content]:
        """Return what the answers of an item say."""
        if not self._has_images:
            return [completion["text"] for completion in completions]
        return [self.content(answer_of(completion)) for completion in completions]

    def prompt(self, messages: list[Message]) -> dict[str, Any]:
        """Return the columns of a prompt."""
        if not self._has_images:
            return {"prompt": messages}
        contents = [self.content(message["content"]) for message in messages]
        shown = [as_message(one["role"], content) for one, content in zip(messages, contents, strict=True)]
        return {"prompt": shown, "images": [image for content in contents for image in references(content)]}

    def _address(self, sha256: str) -> str:
        return self._site + reverse("api-image", args=[self._campaign.pk, sha256])


def _prompts(campaign: Campaign, only: str | None, site: str, side_of: Side) -> Iterator[dict[str, Any]]:
    illustrated = _Illustrated(campaign, site)
    found = Prompt.objects.filter(campaign=campaign)
    for _, messages, hash_, domain in chain.from_iterable(_by_id(found, ("id", "messages", "content_hash", "domain"))):
        if only is None or side_of(hash_) == only:
            yield {"id": hash_, **illustrated.prompt(messages), "domain": domain}


def _people(
    campaign: Campaign, found: QuerySet[Feedback], filters: Filters, site: str, side_of: Side
) -> Iterator[dict[str, Any]]:
    for user in found.order_by("user_id").values_list("user_id", flat=True).distinct():
        yield from derived_rows.person(_judgements(campaign, "pairs", found.filter(user=user), filters, site, side_of))


# Plain tuples instead of model instances, which would take twice the time.
_COLUMNS = (
    *("id", "task_id", "kind", "payload", "shown_order", "seconds", "active_seconds", "guideline_version"),
    *("behaviour", "flagged"),
    *("user__pseudonym", "user__is_simulated"),
    *("task__external_id", "task__content", "task__meta", "task__is_audit", "task__tags"),
    *("task__prompt__domain", "task__prompt__content_hash"),
)


def _judgements(
    campaign: Campaign, view_name: str, found: QuerySet[Feedback], filters: Filters, site: str, side_of: Side
) -> Iterator[dict[str, Any]]:
    options = campaign.options
    rank = _rank(options)
    illustrated = _Illustrated(campaign, site)
    sources = dataset_views.MADE_OF.get(view_name, (view_name,))
    made = derived_rows.BY_ROW.get(view_name)
    weighted = "annotator_weight" in dataset_views.view(view_name).columns
    weight_of = reliability.weight_by_person(campaign) if weighted else None
    for (
        id_,
        _task,
        kind_name,
        payload,
        shown_order,
        seconds,
        active_seconds,
        guideline,
        behaviour,
        flagged,
        pseudonym,
        simulated,
        external_id,
        content,
        meta,
        audit,
        tags,
        domain,
        _hash,
    ) in chain.from_iterable(_kept(chunk, filters, side_of) for chunk in _by_id(found, _COLUMNS)):
        feedback_kind = kind(kind_name)
        payload = in_campaigns_order(payload, rank) if rank else payload
        texts = illustrated.answers(content["completions"])
        prompt = illustrated.prompt(content["messages"])
        origins = meta.get("origins") or [""] * len(texts)
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
        if view_name == "principles":
            provenance |= {"domain": domain, "language": _language(campaign, tags)}
        if weighted:
            provenance["annotator_weight"] = weight_of.get(pseudonym, 1.0) if weight_of is not None else None
        if view_name == "judgements":
            yield {
                "kind": kind_name,
                **prompt,
                "dialogue": dialogues.whole(content),
                "completions": _completions(content, texts, origins),
                "shown_order": shown_order,
                "payload": payload,
                "verdict": feedback_kind.verdict(payload, options=options),
                "behaviour": behaviour,
                "flagged": flagged,
                "suggestion": suggestions.column(feedback_kind, meta, payload, options=options),
                **provenance,
            }
            continue
        for source in sources:
            for row in feedback_kind.rows(source, payload, texts=texts, origins=origins, shown_order=shown_order):
                placed = dialogues.placed(row, content)
                if placed["turn"] is None:
                    placed |= prompt
                if made is None:
                    yield {**placed, **provenance, "turn": placed["turn"]}
                elif (of_it := made(placed)) is not None:
                    yield {**of_it, **provenance, "turn": placed["turn"]}


def _language(campaign: Campaign, tags: int) -> str | None:
    """Return the language that an item asks for, as "english"; None where it asks for none."""
    needs = routing.names(campaign.tags, tags, routing.NEEDS) if tags else []
    code = next((need.removeprefix("lang:") for need in needs if need.startswith("lang:")), None)
    if code is None:
        return None
    try:
        return str(translation.get_language_info(code)["name"]).lower()
    except KeyError:
        return code


def _completions(content: dict[str, Any], texts: Sequence[Content], origins: Sequence[str]) -> list[dict[str, Any]]:
    rests = content.get("dialogues") or [None] * len(texts)
    return [
        {**column, **({"messages": rest} if rest else {})}
        for column, rest in zip(completions_column(texts, origins), rests, strict=True)
    ]


def _kept(chunk: list[Sequence[Any]], filters: Filters, side_of: Side) -> list[Sequence[Any]]:
    """Return the rows of `_COLUMNS` that pass what only a kind can tell, and the split. One statement at most."""
    if filters.split is not None:
        chunk = [row for row in chunk if side_of(row[-1]) == filters.split]
    if filters.min_severity:
        chunk = [row for row in chunk if severity(kind(row[2]), row[3]) >= filters.min_severity]
    if filters.min_agreement is not None and chunk:
        said = defaultdict(list)
        of_them = Feedback.objects.current().filter(task__in={row[1] for row in chunk})
        for task, kind_name, payload in of_them.values_list("task_id", "kind", "payload"):
            said[task].append(list(kind(kind_name).points(payload)))
        shares = {task: agreement_of(points) for task, points in said.items()}
        agreed = {task for task, share in shares.items() if share is not None and share >= filters.min_agreement}
        chunk = [row for row in chunk if row[1] in agreed]
    return chunk


def _rank(options: dict[str, Any]) -> dict[str, int]:
    """Return the places of what a campaign asks about, by the names under which payloads have it."""
    lines = [line for value in options.values() if isinstance(value, list) for line in value if isinstance(line, str)]
    return {key_of(line): place for place, line in enumerate(lines)}


def in_campaigns_order(value: Any, rank: dict[str, int]) -> Any:
    """Return a stored value with what was asked about in the campaign's order.

    PostgreSQL keeps the keys of an object in an order of its own, and rows must be the same wherever they come from.
    """
    if isinstance(value, list):
        return [in_campaigns_order(one, rank) for one in value]
    if not isinstance(value, dict):
        return value
    names = sorted(value, key=lambda name: rank.get(name, -1))
    return {name: in_campaigns_order(value[name], rank) for name in names}


def severity(feedback_kind: FeedbackType, payload: dict[str, Any]) -> int:
    """Return the worst severity that a judgement names, 0 to 3; 0 where none is asked about."""
    return max((point.value for point in feedback_kind.points(payload) if point.dimension == "severity"), default=0)


def _aggregates(
    campaign: Campaign, found: QuerySet[Feedback], new: QuerySet[Feedback], filters: Filters, site: str, side_of: Side
) -> Iterator[dict[str, Any]]:
    """Yield an item per row, with what `aggregates.of` makes of its judgements. Two statements per thousand items."""
    illustrated = _Illustrated(campaign, site)
    rank = _rank(campaign.options)
    tasks = Task.objects.filter(campaign=campaign).filter(Exists(new.filter(task=OuterRef("pk"))))
    columns = ("id", "external_id", "content", "meta", "is_audit")
    for chunk in _by_id(tasks, columns):
        of_task = defaultdict(list)
        judged = list(found.filter(task__in=[task[0] for task in chunk]).values_list(*_AGGREGATED))
        for row in _kept(judged, filters, side_of):
            of_task[row[1]].append(row)
        for id_, external_id, content, meta, audit in chunk:
            if not of_task[id_]:
                continue
            said = sorted(of_task[id_], key=lambda row: row[0])
            judgements = [dict(zip(_AGGREGATED, row, strict=True)) for row in said]
            if rank:
                judgements = [{**one, "payload": in_campaigns_order(one["payload"], rank)} for one in judgements]
            texts = [illustrated.content(answer_of(completion)) for completion in content["completions"]]
            yield {
                "kind": campaign.kind,
                **illustrated.prompt(content["messages"]),
                "completions": _completions(content, texts, meta.get("origins") or [""] * len(texts)),
                **aggregates.of(campaign, judgements),
                "round": meta.get("round"),
                "policy": meta.get("policy"),
                "campaign": campaign.name,
                "task": external_id,
                "feedback": said[-1][0],
                "audit": audit,
                "turn": content.get("turn") if len(texts) == 1 else None,
            }


# As `_kept` reads them: id, task, kind and payload first, the hash last.
_AGGREGATED = (
    *("id", "task_id", "kind", "payload", "shown_order", "seconds", "active_seconds", "guideline_version"),
    *("created_at", "user__pseudonym", "user__is_simulated", "task__prompt__content_hash"),
)
