"""Models that know people: the groups that a reward model sees and its quiz, and how a policy answers its users.

A run made both; here its file is read. Who takes the quiz is known by nothing but the answers in the address, so that
nothing about them is stored.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from annotation.models import Campaign
from training import store
from training.models import ModelVersion, Run
from training.recipes import users_file
from training.recipes.spec import write_json
from training.services import versions

RECIPE = "people-report"
USERS_REPORT = "users.json"  # in the folder of the run that made a policy which knows its users
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
        told = json.loads(store.run_file(run.pk, "people.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return Report(run, told["people"], told["groups"], told["quiz"])


def answered(version: ModelVersion) -> list[dict[str, Any]]:
    """Return how a policy answers each of its users, the worst answered first; none where it was not measured.

    Each row has user (a pseudonym), trained_on and pairs (how many), win_rate and generic (None without pairs).
    """
    known, run = set(versions.users(version)), version.made_by
    if not known or run is None:
        return []
    try:
        told = json.loads(store.run_file(run.pk, USERS_REPORT).read_text(encoding="utf-8"))["users"]
    except FileNotFoundError:
        return []
    rows = [row for row in told if row["user"] in known]
    return sorted(rows, key=lambda row: (row["win_rate"] is None, row["win_rate"], row["user"]))


def forget(version: ModelVersion, pseudonym: str) -> None:
    """Take a person out of a policy that knows its users, and out of what was measured of it."""
    folder = Path(store.fetch(version.path))
    if users_file.forget(folder, pseudonym):
        store.keep(folder / users_file.USERS_FILE)
    path = None if version.made_by is None else store.run_file(version.made_by.pk, USERS_REPORT)
    if path is not None and path.is_file():
        told = json.loads(path.read_text(encoding="utf-8"))
        store.keep(write_json(path, {"users": [row for row in told["users"] if row["user"] != pseudonym]}))


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
