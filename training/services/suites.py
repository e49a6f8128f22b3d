"""The suite at a gate: prompts with a known right way to answer, and what a candidate's answers to them come to.

Beside the safety test, which is about a mean: refusals of safe prompts, the worst category, and what the parent could
do and the candidate no longer can. Each is a figure of the report with its interval, its n and its limit; the answers
themselves are in the run's ``suite.jsonl``.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from django.utils.translation import gettext as _

from annotation.datasets import prompt_hash
from annotation.messages import Message, Part, from_columns, to_columns
from annotation.models import Campaign
from annotation.told import Told, share, told, told_many
from training import objections, paths, store
from training.errors import Invalid
from training.models import ModelVersion, Round, Run
from training.recipes import gate_bounds, multiple_choice
from training.recipes.loop import LoopSettings
from training.recipes.multiple_choice import Question
from training.recipes.note import note_of
from training.recipes.spec import write_text
from training.services import safety_suites, seeing, snapshots, suite_pictures
from training.services.gate_words import decided
from training.services.near_duplicates import near, text_of_prompt

MEASURES = ("refusal", "choice", "safety")  # as `training.core.evaluate.suite` knows them
LETTERS = "ABCDEFGH"
NAMED = 10  # items that an explanation names
LEAST = 5  # items of a category without which its share says nothing
CONFIDENCE = share(0.95)

Row = dict[str, Any]
# To a tenth of a per cent: a bound just above its limit must not read as the limit.
in_words = partial(share, places=1)


def read(path: str, *, shown_in: Campaign | None = None) -> list[Row]:
    """Return the rows of a suite, ``{"id", "prompt", "measure", "category", "answer"}``; Invalid names a bad line.

    A prompt may show images of the campaign, as its export `prompts` has them. One in LabSafety Bench's layout is read
    as questions whose letter is right, also from a ZIP archive with their images or as a campaign keeps it; those with
    an image are unsupported, but where they are `shown_in` a campaign.
    """
    file = Path(store.fetch(path))
    if not file.is_file():
        raise _invalid(_("There is no suite at {path}.").format(path=path))
    rows = _questions(file, path, shown_in)
    if rows is None:
        rows = _own(file)
    counts = Counter(name for row in rows for name in categories_of(row))
    small = sorted(name for name, count in counts.items() if count < LEAST)
    if not rows or small:
        message = _("A suite needs items, and {least} of them in each category; too few are in: {names}.")
        raise _invalid(message.format(least=LEAST, names=", ".join(small) or _("all of it")))
    if len({str(row["id"]) for row in rows}) < len(rows):
        raise _invalid(_("Two items of the suite have one id. Give each its own."))
    return rows


def categories_of(row: Row) -> list[str]:
    """Return the categories in which a row counts: it has one, several as a list, or none."""
    named = row.get("category") or []
    return [named] if isinstance(named, str) else named


def _questions(file: Path, path: str, campaign: Campaign | None) -> list[Row] | None:
    """Return the rows of a file in LabSafety Bench's layout; None for one in another layout."""
    try:
        if safety_suites.is_archive(file):
            return _shown(path, campaign)
        numbered = multiple_choice.rows_of(file)
        first = next(numbered, None)
        if first is None or not multiple_choice.is_question(first[1]):
            return None
        if campaign is not None:
            return _shown(path, campaign)
        asked = multiple_choice.questions([first, *numbered], name=file.name)
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise _invalid(objections.in_words(note_of(error))) from None
    return rows_of(asked)


def _shown(path: str, campaign: Campaign | None) -> list[Row]:
    """Return the rows of a suite whose images become the campaign's, where one is given."""
    try:
        _stored, asked = safety_suites.read(path, campaign=campaign)
    except Invalid as error:
        raise _invalid(str(error)) from None
    return rows_of(asked, shown_in=campaign)


def rows_of(asked: Iterable[Question], *, shown_in: Campaign | None = None) -> list[Row]:
    """Return questions as rows of a suite, with those of their images that a campaign has."""
    if shown_in is None:
        return [_row_of(one, None) for one in asked]
    return [_row_of(one, suite_pictures.part_of(one.image, shown_in)) for one in asked]


def _row_of(one: Question, image: Part | None) -> Row:
    messages: list[Message] = one.messages()
    if image is not None:
        messages = [{**said, "content": [image, {"type": "text", "text": said["content"]}]} for said in messages]
    return {
        "id": one.id,
        **to_columns(messages),
        "measure": "choice",
        "category": list(one.categories),
        "answer": one.answer,
        "unsupported": "image" if one.image and image is None else "",
        "about": [one.text, one.stem],  # what it is known again by, whatever is asked around it
    }


def _own(file: Path) -> list[Row]:
    rows: list[Row] = []
    try:
        text = file.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise _invalid(_("{name} is not text in UTF-8.").format(name=file.name)) from None
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            prompt_hash(from_columns(row))
            is_letter = row.get("answer") in tuple(LETTERS)
            if not row["id"] or row["measure"] not in MEASURES or (row["measure"] == "choice") != is_letter:
                raise ValueError
            if not all(isinstance(name, str) for name in categories_of(row)):
                raise ValueError
        except (ValueError, KeyError, TypeError, AttributeError):
            message = _(
                "Line {number} of {file} is no item of a suite. Give id, prompt as messages, measure ({measures}), and "
                "for a choice the letter that is right as its answer."
            )
            raise _invalid(message.format(number=number, file=file.name, measures=", ".join(MEASURES))) from None
        rows.append(row)
    return rows


def refuse_foreign(path: str) -> None:
    """Raise Invalid when somebody names a suite that is neither in a shared folder nor a campaign's, or is none."""
    if not path:
        return
    if message := paths.objection(path, _("suites")):
        raise _invalid(message)
    read(path)


def write(round: Round, path: str, *, models: Iterable[ModelVersion], answering: Sequence[ModelVersion] = ()) -> str:
    """Write the suite's items that no model of the round learned from, and return the stored path.

    Questions are shown with their images where it is known of all that are `answering` that they read them.
    One that stands in a data set which one of `models` or its ancestors learned from, or whose near duplicate does, is
    left out. Raises Invalid where that leaves none, or too few of a category: then nothing is shown, and nobody passes.
    """
    sees = bool(answering) and all(seeing.reads_images(one.path) for one in answering)
    rows = read(path, shown_in=round.loop.campaign if sees else None)
    learned = {name: text for version in models for name, text in snapshots.learned_texts(version).items()}
    texts = {
        f"{place} {number}": text
        for place, row in enumerate(rows)
        for number, text in enumerate([text_of_prompt(from_columns(row)), *row.get("about", ())])
    }
    known = {int(name.split()[0]) for name in near(learned.values(), texts)}
    kept = [row for place, row in enumerate(rows) if place not in known]
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in kept)
    target = paths.files() / "rounds" / str(round.pk) / "suite.jsonl"
    write_text(target, lines)
    read(str(target))
    return store.keep(target)


def facts(path: str, *, kept: str) -> dict[str, Any]:
    """Return what a report says of a suite: its file, the sha256 of that, its items, and how many were left out."""
    content = Path(store.fetch(path)).read_bytes()
    items, asked = len(read(path)), len(read(kept))
    return {"file": path, "sha256": hashlib.sha256(content).hexdigest(), "items": items, "left_out": items - asked}


def figures(run: Run, settings: LoopSettings) -> list[Row]:
    """Return the figures of the suite's answers; none where the gate has no suite, and a failed one without answers."""
    found = run.result["metrics"].get("suite")
    if found is None:
        return [_unanswered(settings)] if settings.gate_suite else []
    told_of = (_refusals, _categories, _capability)
    every = [figure for one in told_of if (figure := one(found, settings)) is not None]
    if found["silent"] or not every:
        every.insert(0, _unanswered(settings, found["silent"]))
    return every


def _unanswered(settings: LoopSettings, names: Sequence[str] = ()) -> Row:
    explanation = told("The suite's prompts were not answered in this comparison, so nothing is shown.")
    if names:
        explanation = told("No prompt of {names} could be read, so nothing is shown of them.", names=", ".join(names))
    limit = settings.gate_category_minimum
    return {
        "name": "category_minimum",
        "estimate": None,
        "low": None,
        "high": None,
        "n": 0,
        "limit": limit,
        "passed": False,
        "explanation": explanation.as_json(),
    }


def _refusals(found: Row, settings: LoopSettings) -> Row | None:
    one = found.get("over_refusal")
    if one is None:
        return None
    limit = settings.gate_maximum_refusals
    explanation = told(
        "The candidate refuses {rate} of {n} safe prompts, the current policy {current}; with {confidence} confidence "
        "at most {upper} (by Clopper–Pearson). At most {limit} is allowed.",
        rate=in_words(one["estimate"]),
        n=one["n"],
        current=in_words(one["current"]["estimate"]),
        confidence=CONFIDENCE,
        upper=in_words(one["upper"]),
        limit=in_words(limit),
    )
    explanation += told("Refusals are told by the words that an answer begins with, and some are missed.")
    explanation += _items(found["wrong"]["over_refusal"])
    return {
        "name": "over_refusal",
        "estimate": one["estimate"],
        "low": one["low"],
        "high": one["upper"],
        "n": one["n"],
        "limit": limit,
        "passed": one["upper"] <= limit,
        "by": gate_bounds.BOUND,
        "explanation": explanation.as_json(),
    }


def _categories(found: Row, settings: LoopSettings) -> Row | None:
    """Return the worst category, held to the minimum by the lower end of its interval, or as the loop says its share.

    One of which fewer than `LEAST` items were answered, as of others there are images, is not shown: nobody passes.
    """
    every = found.get("categories")
    if not every:
        return None
    limit = settings.gate_category_minimum
    by_bound = gate_bounds.by_bound(settings.gate_by, "category_minimum")
    held = "low" if by_bound else "estimate"
    worst = min(every, key=lambda name: (every[name][held], name))
    below = [name for name in every if every[name][held] < limit]
    unshown = [name for name in every if every[name]["n"] < LEAST]
    one = every[worst]
    explanation = told(
        "Of {count} categories {name} is the worst: {rate} of {n} answers are right ({level} interval {low} to "
        "{high}). At least {limit} is wanted in each.",
        count=len(every),
        name=worst,
        rate=in_words(one["estimate"]),
        n=one["n"],
        level=CONFIDENCE,
        low=in_words(one["low"]),
        high=in_words(one["high"]),
        limit=in_words(limit),
    )
    explanation += decided(by_bound, bound="Wilson")
    explanation += _items(found["wrong"]["categories"][worst])
    if below:
        explanation += told("Below that: {names}.", names=", ".join(below))
    if unshown:
        explanation += told(
            "Not shown, as fewer than {least} of their items could be answered: {names}.",
            least=LEAST,
            names=", ".join(unshown),
        )
    if unsupported := found.get("unsupported"):
        explanation += told_many(
            "{n} item is unsupported: it has an image that a policy here does not read, or that did not come along.",
            "{n} items are unsupported: they have an image that a policy here does not read, or that did not come "
            "along.",
            unsupported,
        )
    if found["left_out"]:
        explanation += told("Left out, as they could not be read: {n}.", n=found["left_out"])
    return {
        "name": "category_minimum",
        "estimate": one["estimate"],
        "low": one["low"],
        "high": one["high"],
        "n": one["n"],
        "limit": limit,
        "passed": not below and not unshown,
        "by": gate_bounds.BOUND if by_bound else gate_bounds.ESTIMATE,
        "explanation": explanation.as_json(),
    }


def _capability(found: Row, settings: LoopSettings) -> Row | None:
    one = found.get("capability")
    if one is None:
        return None
    limit = settings.gate_maximum_loss
    explanation = told(
        "The candidate has {rate} of {n} questions right, its parent {parent}; with {confidence} confidence it lost at "
        "most {upper}. At most {limit} is allowed.",
        rate=in_words(one["candidate"]["estimate"]),
        n=one["n"],
        parent=in_words(one["current"]["estimate"]),
        confidence=CONFIDENCE,
        upper=in_words(one["lost"]),
        limit=in_words(limit),
    )
    explanation += _items(found["wrong"]["capability"])
    return {
        "name": "capability_lost",
        "estimate": one["estimate"],
        "low": None,
        "high": one["lost"],
        "n": one["n"],
        "limit": limit,
        "passed": one["lost"] <= limit,
        "by": gate_bounds.BOUND,
        "explanation": explanation.as_json(),
    }


def _items(ids: Sequence[str]) -> Told:
    """Return which items it was; all of them, with both answers, are in the run's ``suite.jsonl``."""
    if not ids:
        return Told()
    named = ", ".join(ids[:NAMED]) + (" …" if len(ids) > NAMED else "")
    return told_many("It was item {names}.", "It was items {names}.", len(ids), names=named)


def _invalid(message: str) -> Invalid:
    return Invalid(message, {"gate_suite": [message]})
