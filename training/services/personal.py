"""Reward models for people: the groups they see, and the quiz by which they get to know somebody.

A run made both; here its file is read. Who takes the quiz is known by nothing but the answers in the address, so that
nothing about them is stored.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from annotation.models import Campaign
from training import paths
from training.models import ModelVersion, Run

RECIPE = "people-report"
MOST_ANSWERS = 8


@dataclass(frozen=True)
class Report:
    """What the last report of a model says."""

    run: Run
    people: list[dict[str, Any]]  # person (a pseudonym), group, choices, known, stranger
    groups: list[int]  # people in each
    quiz: dict[str, Any]


def report(version: ModelVersion) -> Report | None:
    """Return the newest report on people by this model; None before there is one, or when its file is gone."""
    found = Run.objects.filter(parent=version, recipe__name=RECIPE, state=Run.State.SUCCEEDED).order_by("-pk").first()
    return None if found is None else _read(found)


def _read(run: Run) -> Report | None:
    try:
        told = json.loads((paths.run_folder(run.pk) / "people.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return Report(run, told["people"], told["groups"], told["quiz"])


def walk(quiz: dict[str, Any], answers: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return where in the quiz these answers lead ("0" the first, "1" the second one), and the choices they are.

    What does not belong to a quiz, or goes on behind its end, is left out.
    """
    node, choices = quiz, []
    for answer in answers[:MOST_ANSWERS]:
        if answer not in "01" or "question" not in node:
            break
        asked = node["question"]
        chosen, rejected = (asked["one"], asked["other"]) if answer == "0" else (asked["other"], asked["one"])
        choices.append({"prompt": asked["prompt"], "chosen": chosen, "rejected": rejected})
        node = node["first" if answer == "0" else "second"]
    return node, choices


def choices(campaign: Campaign, given: str) -> list[dict[str, Any]]:
    """Return the choices of somebody who took a quiz, from "run:answers"; none when there is no such quiz here."""
    number, _, answers = given.partition(":")
    if not number.isdecimal() or len(number) > 18:
        return []
    run = Run.objects.filter(campaign=campaign, recipe__name=RECIPE, pk=int(number)).first()
    found = None if run is None else _read(run)
    return [] if found is None else walk(found.quiz, answers)[1]
