"""A guard version as people see and change it: what each tier leads to, its lines, and what other lines would do.

The web knows no model, so what a line does is read from what the fit measured (`recipes.tiers.CURVE_FILE`). A version
is never changed: what is saved is a new one, a candidate, that a lead puts into use like any other.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from annotation.models import User
from annotation.services import events
from annotation.told import share
from training import paths, store
from training.errors import Invalid, TrainingError
from training.models import ModelVersion
from training.recipes.spec import write_json, write_text
from training.recipes.tiers import (
    CURVE_FILE,
    EDITED,
    MEASURED_FILE,
    largest_recall,
    line_for,
    refuses_many,
    refusing_few,
    risky_needed,
    tiers_of,
)
from training.services import guard_documents, guards, versions

GUARD_FILE = "guard.json"
SIDES = ("prompt", "answer")
CLAIMS = (0.9, 0.95, 0.98, 0.993)  # recalls of which the page tells what sample they take


def floored(recall: float) -> str:
    """Return a recall in per cent with one place, never more than it is: what is told can be claimed."""
    return str(share(math.floor(1000 * recall + 1e-9) / 1000, places=1))


@dataclass(frozen=True)
class Asked:
    """A recall that somebody wants of a line: the risky texts that it takes, and what its line would do."""

    recall: float
    needed: int
    enough: bool
    point: Mapping[str, Any] | None  # of the curve; None where no known line shows the recall

    @property
    def refuses_many(self) -> bool:
        return self.point is not None and refuses_many(self.point["false_refusals"])


@dataclass(frozen=True)
class Side:
    """One side of a guard: its line as it stands, what was measured of it, and the other lines that are known."""

    name: str
    check: str
    line: dict[str, Any]  # a `thresholds.Threshold`
    measured: dict[str, Any] | None  # of the check's own line when it was made
    curve: list[dict[str, Any]]  # from the highest line to the lowest

    @property
    def point(self) -> dict[str, Any] | None:
        """Return what the line as it stands does, where that is known."""
        return next((one for one in self.curve if one["value"] == self.line["value"]), None)

    @property
    def risky(self) -> int:
        return int(self.curve[0]["risky"]) if self.curve else int(self.line["risky"])

    @property
    def largest(self) -> float:
        """Return the largest recall that can be claimed of a line on this side."""
        return largest_recall(self.risky, confidence=self.line["confidence"])

    @property
    def refuses(self) -> dict[str, Any]:
        """Return what share of safe texts the line as it stands refuses."""
        told = self.point or self.measured or self.line
        return dict(told["false_refusals"])

    @property
    def refuses_many(self) -> bool:
        return self.refuses["n"] > 0 and refuses_many(self.refuses)

    @property
    def gentle(self) -> Mapping[str, Any] | None:
        """Return the known line of the highest recall that refuses few safe texts; None where there is none."""
        return refusing_few(self.curve)

    def asked(self, recall: float) -> Asked:
        """Return what it takes to claim a recall, and the line that would be drawn for it."""
        needed = risky_needed(recall, confidence=self.line["confidence"])
        return Asked(recall, needed, self.risky >= needed, line_for(self.curve, recall))

    @property
    def claims(self) -> list[dict[str, Any]]:
        """Return for usual recalls how many risky texts they take, with none missed, and whether there are so many."""
        confidence = self.line["confidence"]
        return [
            {"recall": recall, "words": floored(recall), "needed": n, "enough": self.risky >= n}
            for recall in CLAIMS
            for n in (risky_needed(recall, confidence=confidence),)
        ]


@dataclass(frozen=True)
class Shown:
    tiers: dict[str, dict[str, Any]]
    sides: list[Side]
    documents: list[dict[str, str]]  # that safe answers quote
    regenerations: int

    @property
    def knowledge(self) -> bool:
        return bool(self.documents)

    @property
    def digest(self) -> str:
        return guard_documents.digest(self.documents)


def shown(version: ModelVersion) -> Shown | None:
    """Return what a guard version does; None where its folder is no guard, or is gone."""
    return shown_at(version.path)


def shown_at(path: str) -> Shown | None:
    """Return what the guard in a folder does; None where that is no guard, or is gone."""
    try:
        folder = Path(store.fetch(path))
        told = json.loads((folder / GUARD_FILE).read_text(encoding="utf-8"))
        curves, measured = _read(folder / CURVE_FILE), _read(folder / MEASURED_FILE)
        sides = [
            Side(
                name=name,
                check=told[name]["check"],
                line=told[name]["threshold"],
                measured=measured.get(name),
                curve=curves.get(name, []),
            )
            for name in SIDES
        ]
        return Shown(
            tiers=tiers_of(told.get("tiers")),
            sides=sides,
            documents=guard_documents.read(folder / Path(told["knowledge"]).name) if told.get("knowledge") else [],
            regenerations=int(told["regenerations"]),
        )
    except (OSError, ValueError, KeyError, TypeError, TrainingError):
        return None


def _read(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}


@transaction.atomic
def edit(
    *,
    version: ModelVersion,
    actor: User | None,
    tiers: Mapping[str, Any] | None = None,
    lines: Mapping[str, float] | None = None,
    documents: Iterable[Mapping[str, Any]] | None = None,
) -> ModelVersion:
    """Return a new version that does as told, `version` being its parent; Invalid says what does not fit.

    `lines` has a threshold by side; the line is drawn at the highest known one that is no higher, so that no less is
    caught than was looked at. What is left out stays as it is.
    """
    before = shown(version)
    if before is None:
        raise Invalid(_("{version} holds no guard that can be read.").format(version=version.label))
    try:
        after = tiers_of({**before.tiers, **(tiers or {})})
    except (ValueError, TypeError):
        message = _("A tier gets a refusal or documents, and a person or none. The safe tier goes to the policy.")
        raise Invalid(message, {"tiers": [message]}) from None
    points = {side.name: _point(side, (lines or {}).get(side.name)) for side in before.sides}
    if unknown := set(lines or {}) - set(SIDES):
        message = _("A guard has no side called {name}.").format(name=", ".join(sorted(unknown)))
        raise Invalid(message, {"lines": [message]})
    drawn = {name: point for name, point in points.items() if point is not None}
    quoted = before.documents if documents is None else guard_documents.checked(documents)
    if after == before.tiers and not drawn and quoted == before.documents:
        message = _("Nothing differs from {version}, so there is nothing to save.").format(version=version.label)
        raise Invalid(message)
    folder = paths.files() / "guards" / "versions" / f"{version.campaign_id}-{uuid.uuid4().hex[:12]}"
    _write(Path(store.fetch(version.path)), folder, after, drawn, quoted)
    made = versions.add(
        campaign=version.campaign,
        kind=ModelVersion.Kind.GUARD,
        path=store.keep(folder),
        parent=version,
        metrics=_metrics(before, drawn) or version.metrics,
    )
    knobs = {"documents": len(quoted), "documents_sha256": guard_documents.digest(quoted)}
    made.recipe = {"name": EDITED, "version": 1, "knobs": knobs, "guard": guards.base_of(version)}
    made.save(update_fields=["recipe"])
    changes: dict[str, tuple[Any, Any]] = {
        tier: (_words(before.tiers[tier]), _words(one)) for tier, one in after.items()
    }
    changes |= {
        f"{side.name} line": (side.line["value"], drawn[side.name]["value"])
        for side in before.sides
        if side.name in drawn
    }
    changes |= guard_documents.differences(before.documents, quoted)
    events.record(
        campaign=version.campaign,
        actor=actor,
        action="guard.edited",
        target=made.label,
        detail={"from": version.label},
        changes={name: pair for name, pair in changes.items() if pair[0] != pair[1]},
    )
    return made


def _point(side: Side, value: float | None) -> dict[str, Any] | None:
    """Return the known line at this threshold; None where it is the one that is drawn already."""
    if value is None or value == side.line["value"]:
        return None
    found = next((one for one in side.curve if one["value"] <= value), None)
    if not 0 < value <= 1 or found is None:
        if side.curve:
            told = _("Of this side lines from {low} to {high} were measured. Choose one of them.")
            message = told.format(low=f"{side.curve[-1]['value']:.3f}", high=f"{side.curve[0]['value']:.3f}")
        else:
            message = _("What other lines of this side would do was not measured. Make the guard anew to see it.")
        raise Invalid(message, {side.name: [message]})
    return None if found["value"] == side.line["value"] else found


def _write(
    source: Path,
    folder: Path,
    tiers: Mapping[str, Any],
    drawn: Mapping[str, dict[str, Any]],
    documents: list[dict[str, str]],
) -> None:
    shutil.copytree(source, folder, copy_function=_link)
    told = json.loads((source / GUARD_FILE).read_text(encoding="utf-8"))
    told["tiers"] = tiers
    for side, point in drawn.items():
        told[side]["threshold"] = {
            **told[side]["threshold"],
            **{name: point[name] for name in ("value", "recall_bound", "confidence", "risky", "misses")},
            "recall": point["recall_bound"],
            "false_refusals": point["false_refusals"],
        }
    # What is written anew may be a link to what it was made from, which stays as it is.
    for name in (GUARD_FILE, guard_documents.FILE):
        (folder / name).unlink(missing_ok=True)
    if documents:
        told["knowledge"] = guard_documents.FILE
        write_text(folder / guard_documents.FILE, guard_documents.written(documents))
    else:
        told.pop("knowledge", None)
    write_json(folder / GUARD_FILE, told)


def _link(source: str, target: str) -> None:
    """Let a model's weights, which no version changes, lie on the disk once."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _metrics(before: Shown, drawn: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """Return what the version's list tells: of its prompts, or of its answers where that is all that is known."""
    for side in before.sides:
        point = drawn.get(side.name) or side.point
        if point is not None:
            return {
                "threshold": point["value"],
                "catches": point["catches"],
                "false_refusals": point["false_refusals"],
            }
    return {}


def _words(one: Mapping[str, Any]) -> str:
    return f"{one['answer']}{', person' if one['person'] else ''}"
