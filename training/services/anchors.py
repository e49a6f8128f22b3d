"""Answers that people know to be good, put beside the prompts that a policy learns on, for a judge to hold its against.

They stand in the frozen prompts, so that a run can be repeated exactly, and tells whose judgements are in it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from django.utils.translation import gettext as _

from annotation import datasets
from annotation.feedback.written import ORIGIN
from annotation.messages import from_columns
from annotation.models import Campaign
from training.errors import Invalid
from training.models import Snapshot
from training.recipes.anchors import ANCHORS
from training.recipes.base import Recipe

Row = dict[str, Any]


def wanted(recipe: Recipe, knobs: Mapping[str, Any]) -> str:
    """Return which anchor the prompts of such a run must have; empty where they need none."""
    asked = knobs.get("judge_against")
    return str(asked) if recipe.view == "prompts" and asked in ANCHORS else ""


def filters(recipe: Recipe, knobs: Mapping[str, Any]) -> dict[str, Any]:
    """Return how prompts are frozen for such a run, besides what narrows them."""
    anchor = wanted(recipe, knobs)
    return {"anchors": anchor} if anchor else {}


def require(recipe: Recipe, knobs: Mapping[str, Any], snapshot: Snapshot | None) -> None:
    """Refuse a snapshot of prompts that was frozen without the anchors that the run needs; raises `Invalid`."""
    anchor = wanted(recipe, knobs)
    if anchor and snapshot is not None and snapshot.filters.get("anchors") != anchor:
        told = _(
            "Snapshot {number} has no answers beside its prompts for the judge ({anchor}). Freeze the prompts anew "
            "with them, or hold answers against the reference."
        )
        message = told.format(number=snapshot.pk, anchor=anchor)
        raise Invalid(message, {"snapshot": [message]})


def beside(rows: Iterable[Row], campaign: Campaign, view: str, anchor: str, narrowed: dict[str, Any]) -> Iterator[Row]:
    """Return rows of the view "prompts" with a column called `anchor`, null where a prompt has no such answer.

    "judgements" names those by which it is one. Audit items and those whose answer is known are left out whatever
    `narrowed`, the filters, say: what measures people and models is not learned from. Raises `Invalid` at once for
    another view or name, and where no prompt has an anchor.
    """
    if view != "prompts" or anchor not in ANCHORS:
        told = _("Anchors ({names}) are put beside prompts alone; freeze the view prompts.")
        raise _invalid(told.format(names=", ".join(ANCHORS)))
    of_people = datasets.Filters(**{**narrowed, "include_audit": False, "include_gold": False})
    found = _chosen(campaign, of_people) if anchor == "chosen" else _edits(campaign, of_people)
    if not found:
        if anchor == "chosen":
            raise _invalid(_("Nobody has preferred an answer here yet, so that there is none to hold others against."))
        raise _invalid(_("Nobody has written an answer here yet, so that there is none to hold others against."))
    return _with(rows, anchor, found)


def _with(rows: Iterable[Row], anchor: str, found: Mapping[str, tuple[Any, list[Row]]]) -> Iterator[Row]:
    for row in rows:
        answer, judgements = found.get(datasets.prompt_hash(from_columns(row)), (None, []))
        newest = judgements[-1]["feedback"] if judgements else None
        yield {**row, anchor: answer, "feedback": newest, "judgements": judgements}


def _chosen(campaign: Campaign, of_people: datasets.Filters) -> dict[str, tuple[Any, list[Row]]]:
    """Return by prompt the answer with the most judgements for it less those against it; of several the newest.

    One that as many people found worse as better is not known to be good.
    """
    answers: dict[str, dict[str, Any]] = defaultdict(dict)
    better: dict[str, dict[str, list[Row]]] = defaultdict(lambda: defaultdict(list))
    worse: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for row in datasets.rows(campaign, "pairs", of_people):
        prompt, answer = datasets.prompt_hash(from_columns(row)), datasets.content_hash(row["chosen"])
        answers[prompt][answer] = row["chosen"]
        better[prompt][answer].append(_judgement(row))
        worse[prompt][datasets.content_hash(row["rejected"])] += 1
    found = {}
    for prompt, of_it in better.items():
        ahead = {answer: len(judgements) - worse[prompt][answer] for answer, judgements in of_it.items()}
        best = max(of_it, key=lambda answer: (ahead[answer], of_it[answer][-1]["feedback"]))
        if ahead[best] > 0:
            found[prompt] = (answers[prompt][best], of_it[best])
    return found


def _edits(campaign: Campaign, of_people: datasets.Filters) -> dict[str, tuple[Any, list[Row]]]:
    written = (
        row for row in datasets.rows(campaign, "demonstrations", of_people) if row["completion_origin"] == ORIGIN
    )
    return {datasets.prompt_hash(from_columns(row)): (row["completion"], [_judgement(row)]) for row in written}


def _judgement(row: Row) -> Row:
    return {name: row[name] for name in ("feedback", "annotator")}


def _invalid(message: str) -> Invalid:
    return Invalid(message, {"anchors": [message]})
