"""Freezing a view of the judgements into a file that never changes."""

from __future__ import annotations

import hashlib
import json
import os
import random
import tempfile
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any, TypeVar

from django.db import transaction
from django.db.models import Q
from django.utils.translation import gettext as _

from annotation import datasets
from annotation.messages import Message, from_columns
from annotation.models import Campaign, Prompt, Task, User
from annotation.services import events
from training import paths, store
from training.errors import Invalid, WrongState
from training.models import ModelVersion, Run, Snapshot
from training.services import anchors, cards, profiles
from training.services.contamination import Suites
from training.services.descent import forebears
from training.services.near_duplicates import leaders, text_of_prompt

Row = TypeVar("Row")

# What a snapshot may be narrowed by, as in `annotation.dataset_filters.Filters`.
FILTERS = (
    *("split", "batches", "include_audit", "include_simulated", "rounds", "policies", "languages"),
    *("since", "until", "min_agreement", "min_severity", "min_weight", "adjudicated", "include_gold"),
)
# Besides: rows of earlier batches, near duplicates on one side, nothing that evaluation suites hold, and nothing that a
# reward model has learned from; prompts with an answer each that is known to be good; and pairs with what people say.
MORE = ("replay", "group_near_duplicates", "decontaminate", "unseen_by", "anchors", "profiles")


def freeze(
    *, campaign: Campaign, view: str, filters: dict[str, Any], actor: User | None, licence: str = ""
) -> Snapshot:
    """Write the rows of `view` to ``snapshots/<sha256>.jsonl`` and return its row; the same bytes give the same row.

    Asked for with other sides (``group_near_duplicates``), they are another one, as what is held out differs.
    `filters` are those of `annotation.dataset_filters.Filters`, and "replay": ``{"batches", "rows", "seed"}`` adds so
    many rows drawn at random from earlier batches; "group_near_duplicates": true keeps prompts that are nearly the same
    on one side; "decontaminate": ``{"suites", "n"}`` leaves out rows that share words with these evaluation suites;
    "unseen_by": the id of a model leaves out rows whose prompts it has learned from; "anchors": a name of
    `training.recipes.anchors.ANCHORS` puts such an answer beside each prompt that has one; "profiles": true puts beside
    each pair what who judged it says of the answers they like.
    """
    unknown = sorted(set(filters) - {*FILTERS, *MORE})
    if unknown:
        told = _("A snapshot cannot be filtered by {unknown}; it can by {known}.")
        message = told.format(unknown=", ".join(unknown), known=", ".join((*FILTERS, *MORE)))
        raise Invalid(message, {"filters": [message]})
    is_grouped = bool(filters.get("group_near_duplicates"))
    side_of = _side_of(campaign) if is_grouped else datasets.split
    unwanted = filters.get("decontaminate")
    tally = cards.Tally(Suites(unwanted["suites"], n=unwanted["n"]) if unwanted else None)
    written = _write(tally.counted(_rows(campaign, view, filters, side_of)))
    path = store.keep(written.path)
    with transaction.atomic():
        snapshot, created = Snapshot.objects.get_or_create(
            campaign=campaign,
            view=view,
            sha256=written.sha256,
            is_grouped=is_grouped,
            defaults={
                "filters": filters,
                "rows": written.rows,
                "path": path,
                "feedback_ids": written.feedback_ids,
                "created_by": actor,
                "card": cards.facts(campaign, tally),
                "licence": licence,
            },
        )
        if created:
            events.record(
                campaign=campaign,
                actor=actor,
                action="snapshot.frozen",
                target=f"snapshot {snapshot.pk}",
                detail={"view": view, "rows": written.rows, "sha256": written.sha256},
            )
    return snapshot


def _rows(campaign: Campaign, view: str, filters: dict[str, Any], side_of: datasets.Side) -> Iterator[dict[str, Any]]:
    wanted = {name: value for name, value in filters.items() if name not in MORE}
    learned = learned_prompts(_version(campaign, filters["unseen_by"])) if "unseen_by" in filters else set()
    found = datasets.rows(campaign, view, datasets.Filters(**wanted), side_of=side_of)
    if "anchors" in filters:
        found = anchors.beside(found, campaign, view, filters["anchors"], wanted)
    replay = filters.get("replay")
    again: list[dict[str, Any]] = []
    if replay and replay["batches"] and replay["rows"]:
        before = datasets.Filters(**{**wanted, "batches": replay["batches"]})
        earlier = datasets.rows(campaign, view, before, side_of=side_of)
        again = draw(earlier, count=replay["rows"], seed=replay["seed"])
    fresh = (row for row in found if not learned or datasets.prompt_hash(_asked(row)) not in learned)
    every = chain(fresh, again)
    yield from profiles.beside(every, campaign, view) if filters.get("profiles") else every


def _version(campaign: Campaign, number: Any) -> ModelVersion:
    found = ModelVersion.objects.filter(campaign=campaign, pk=number).first() if isinstance(number, int) else None
    if found is None:
        message = _("This campaign has no model with the id {number}.").format(number=repr(number))
        raise Invalid(message, {"filters": [message]})
    return found


def learned_from(version: ModelVersion) -> list[Snapshot]:
    """Return the data sets that a model, and those it was trained from, learned from."""
    of_each = [one.snapshot for one in (version, *forebears(version))]
    return [snapshot for snapshot in of_each if snapshot is not None]


def learned_prompts(version: ModelVersion) -> set[str]:
    """Return the hashes of the prompts that a model has learned from. Reads the files of its data sets."""
    return set(learned_texts(version))


def learned_texts(version: ModelVersion) -> dict[str, str]:
    """Return the words of the prompts that a model has learned from, by their hashes: from what people judged, and from
    its own answers. Reads the files of its data sets and prompts; Invalid where one of prompts is gone.
    """
    rows = chain.from_iterable(lines(snapshot) for snapshot in learned_from(version))
    answered = chain.from_iterable(_prompts_of(run) for run in runs_without_snapshot(version))
    every = chain(rows, answered)
    found = (_asked(row) for row in every if "prompt" in row)
    return {datasets.prompt_hash(messages): text_of_prompt(messages) for messages in found if messages}


def _asked(row: dict[str, Any]) -> list[Message]:
    """Return the prompt of a row as it is stored; nothing where a run could read none either."""
    try:
        return from_columns(row)
    except (ValueError, KeyError, TypeError):
        return []


def runs_without_snapshot(version: ModelVersion) -> list[Run]:
    """Return the runs by which a model, and those it came from, learned from a file that is no data set: prompts, which
    a policy answers itself, or pairs of which a model labelled some.
    """
    made = [version, *forebears(version)]
    of_file = Q(snapshot=None) | Q(inputs__has_key="labelled_by")
    found = Run.objects.filter(of_file, output__in=made, kind=Run.Kind.FIT, inputs__has_key="data")
    return [run for run in found.order_by("pk") if run.inputs["data"]]


def _prompts_of(run: Run) -> Iterator[dict[str, Any]]:
    try:
        with open(store.fetch(run.inputs["data"]), encoding="utf-8") as file:
            yield from (json.loads(line) for line in file if line.strip())
    except FileNotFoundError:
        message = _(
            "The prompts that {version} learned on are gone ({path}), so it cannot be shown that others are new to it. "
            "Put the file back."
        )
        raise Invalid(message.format(version=run.output, path=run.inputs["data"])) from None


def _side_of(campaign: Campaign) -> datasets.Side:
    """Return what tells the side of a prompt by the first of its near duplicates. Reads every prompt once."""
    prompts = Prompt.objects.filter(campaign=campaign).order_by("id").values_list("content_hash", "messages")
    of_group = leaders((name, text_of_prompt(messages)) for name, messages in prompts.iterator(chunk_size=1000))
    return lambda name: datasets.split(of_group.get(name, name))


def with_sides(snapshot: Snapshot) -> Iterator[tuple[dict[str, Any], str]]:
    """Yield each row of a snapshot with its side: that of its item's prompt, also where it is about a later turn.

    Rows of several prompts, as "people" has them, are for training. One statement per thousand rows.
    """
    of_prompt = _side_of(snapshot.campaign) if snapshot.is_grouped else datasets.split
    coming = lines(snapshot)
    while several := list(islice(coming, datasets.CHUNK)):
        names = {row["task"] for row in several if "task" in row}
        found = Task.objects.filter(campaign=snapshot.campaign_id, external_id__in=names)
        hashes = dict(found.values_list("external_id", "prompt__content_hash"))
        for row in several:
            if "prompt" not in row:
                yield row, "train"
                continue
            known = hashes.get(row["task"]) if "task" in row else row.get("id")
            yield row, of_prompt(known or datasets.prompt_hash(_asked(row)))


def draw(rows: Iterable[Row], *, count: int, seed: int) -> list[Row]:
    """Return `count` of `rows` drawn at random without repetition, in their own order; all of them when fewer.

    Reservoir sampling (Vitter 1985, algorithm R), so that no more than `count` rows are held.
    """
    dice = random.Random(seed)
    kept: list[tuple[int, Row]] = []
    for position, row in enumerate(rows):
        if len(kept) < count:
            kept.append((position, row))
        elif (place := dice.randrange(position + 1)) < count:
            kept[place] = (position, row)
    return [row for _, row in sorted(kept, key=lambda pair: pair[0])]


class _Written:
    def __init__(self, path: Path, sha256: str, rows: int, feedback_ids: list[int]) -> None:
        self.path, self.sha256, self.rows, self.feedback_ids = path, sha256, rows, feedback_ids


def _write(rows: Iterable[dict[str, Any]]) -> _Written:
    """Return what was written; a crash leaves at most a file that ends in ``.part``."""
    folder = paths.files() / "snapshots"
    folder.mkdir(parents=True, exist_ok=True)
    digest, count = hashlib.sha256(), 0
    oldest: int | None = None
    newest: int | None = None
    with tempfile.NamedTemporaryFile("wb", dir=folder, suffix=".part", delete=False) as file:
        part = Path(file.name)
        try:
            for row in rows:
                line = (json.dumps(row, ensure_ascii=False) + "\n").encode()
                digest.update(line)
                file.write(line)
                count += 1
                feedback = row.get("feedback")
                if isinstance(feedback, int):
                    oldest = feedback if oldest is None else min(oldest, feedback)
                    newest = feedback if newest is None else max(newest, feedback)
            file.flush()
            os.fsync(file.fileno())
        except BaseException:
            part.unlink(missing_ok=True)
            raise
    path = folder / f"{digest.hexdigest()}.jsonl"
    part.chmod(0o644)
    part.replace(path)
    ids = [oldest, newest] if oldest is not None and newest is not None else []
    return _Written(path, digest.hexdigest(), count, ids)


def require_file(snapshot: Snapshot) -> Path:
    """Return the snapshot's file; raises `WrongState` when it is gone from this server."""
    path = Path(store.fetch(snapshot.path))
    if not path.is_file():
        told = _("The file of snapshot {number} is gone from this server; restore the files folder from a backup.")
        raise WrongState(told.format(number=snapshot.pk))
    return path


def content(snapshot: Snapshot) -> Iterator[bytes]:
    """Return the bytes of a snapshot in pieces; raises `WrongState` at once when they are gone."""
    path = require_file(snapshot)

    def pieces() -> Iterator[bytes]:
        with path.open("rb") as file:
            while piece := file.read(256 * 1024):
                yield piece

    return pieces()


def refuse_empty(snapshot: Snapshot) -> None:
    """Raise Invalid for a snapshot from which somebody who orders a run would have it learn nothing."""
    if not snapshot.rows:
        message = _("There are no {view} yet. Judge some items first, or import more.").format(view=snapshot.view)
        raise Invalid(message, {"snapshot": [message]})


def lines(snapshot: Snapshot) -> Iterator[dict[str, Any]]:
    """Return the rows of a snapshot, read from its file one at a time."""
    with Path(store.fetch(snapshot.path)).open(encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)
