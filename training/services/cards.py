"""What a frozen data set says of itself: the facts at the moment it was frozen, and its card on a hub."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from django.utils import translation

from annotation import dataset_views, reliability
from annotation.agreement import campaign_agreement
from annotation.models import Campaign, Event, Guideline, QualityReport
from annotation.quality.labels import USUAL
from training.models import Snapshot
from training.recipes.anchors import ANCHORS
from training.services.contamination import Overlap, Suites

# Rows that were left out for sharing words with a suite are named up to this many; all are counted.
NAMED = 200


class Tally:
    """Counts rows as they are written, and leaves out those that share words with evaluation suites."""

    def __init__(self, suites: Suites | None) -> None:
        self._suites = suites
        self.counts: dict[str, Counter[str]] = {
            name: Counter() for name in ("annotators", "rounds", "policies", "guidelines_used", "kinds")
        }
        self.dropped: list[Overlap] = []
        self.dropped_count = 0

    def counted(self, rows: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """Yield the rows that stay."""
        for line, row in enumerate(rows, start=1):
            if self._suites is not None and (found := self._suites.overlap(row)) is not None:
                self.dropped_count += 1
                if len(self.dropped) < NAMED:
                    self.dropped.append(Overlap(line, row.get("feedback"), str(row.get("task", "")), *found))
                continue
            self._count(row)
            yield row

    def _count(self, row: dict[str, Any]) -> None:
        people = [row["annotator"]] if "annotator" in row else []
        if isinstance(row.get("judgements"), list):  # of a whole item
            people += [one["annotator"] for one in row["judgements"]]
        self.counts["annotators"].update(people)
        for name, column in (("rounds", "round"), ("policies", "policy"), ("guidelines_used", "guideline")):
            if row.get(column) is not None:
                self.counts[name][str(row[column])] += 1
        if "simulated" in row:
            self.counts["kinds"]["simulated people" if row["simulated"] else "people"] += 1


def facts(campaign: Campaign, tally: Tally) -> dict[str, Any]:
    """Return what was so when the rows were frozen, in English and as JSON. About six statements."""
    with translation.override(None):  # a file says the same whoever freezes it
        agreement = campaign_agreement(campaign)
        guidelines = Guideline.objects.filter(campaign=campaign).order_by("version")
        begun = Event.objects.filter(campaign=campaign, action="campaign.created").order_by("id").first()
        return {
            "campaign": campaign.name,
            "description": campaign.description,
            "kind": campaign.kind,
            "options": campaign.options,
            "template": (begun.detail.get("began_as", "") if begun else ""),
            "guidelines": [
                {"version": one.version, "sha256": hashlib.sha256(one.text.encode()).hexdigest()} for one in guidelines
            ],
            "weights": _weights(campaign),
            "agreement": [{"dimension": name, **dataclasses.asdict(found)} for name, found in agreement.items()],
            **{name: dict(sorted(count.items())) for name, count in tally.counts.items()},
            "contaminated": {
                "count": tally.dropped_count,
                "rows": [dataclasses.asdict(one) for one in tally.dropped],
            },
        }


def _weights(campaign: Campaign) -> dict[str, Any] | None:
    """Return where the column `annotator_weight` comes from: which judgements, by which model, and what came out."""
    report = QualityReport.objects.filter(campaign=campaign).first()
    if report is None:
        return None
    return {
        "method": "information of one judgement about the true label, over its mean; Dawid and Skene 1979 by EM, "
        f"{USUAL:g} judgements like everybody's before a person's own; 0 for who is right less often than by chance",
        "dimension": report.figures["dimension"],
        "judgements": report.judgements,
        "last_feedback": report.last_feedback,
        "made_at": report.made_at.isoformat(),
        "people": reliability.weight_by_person(campaign),
    }


def readme(snapshot: Snapshot, files: dict[str, int]) -> str:
    """Return the card as a hub has it; `files` are the names of the parts there are and their rows.

    With it, `datasets.load_dataset(folder)` reads the folder as it is.
    """
    card = snapshot.card
    head = {
        "license": snapshot.licence or "unknown",
        "pretty_name": f"{card.get('campaign', snapshot.campaign.name)}: {snapshot.view}",
        "tags": ["human-feedback", snapshot.view],
        "configs": [
            {
                "config_name": "default",
                "data_files": [{"split": name, "path": f"data/{name}.jsonl"} for name in files],
            }
        ],
    }
    # JSON is YAML, and needs no library to be written right.
    lines = ["---", *(f"{name}: {json.dumps(value, ensure_ascii=False)}" for name, value in head.items()), "---", ""]
    lines += [f"# {head['pretty_name']}", "", card.get("description") or "Judgements of people, frozen by Attune.", ""]
    view = dataset_views.VIEWS[snapshot.view]
    lines += ["## What it is", "", f"{view.title}.", ""]
    lines += [f"- {snapshot.rows} rows, sha256 `{snapshot.sha256}`, frozen {snapshot.created_at:%Y-%m-%d %H:%M} UTC"]
    lines += [f"- {name}: {rows} rows" for name, rows in files.items()]
    lines += [f"- Kind of feedback: {card.get('kind', snapshot.campaign.kind)}"]
    if card.get("template"):
        lines += [f"- Made from: {card['template']}"]
    lines += [f"- Filters: `{json.dumps(snapshot.filters, ensure_ascii=False, sort_keys=True)}`"]
    lines += [f"- Options: `{json.dumps(card.get('options', {}), ensure_ascii=False, sort_keys=True)}`"]
    if snapshot.withdrawn_at:
        lines += ["", f"**Somebody whose judgements are in it withdrew on {snapshot.withdrawn_at:%Y-%m-%d}.**"]
    if anchor := snapshot.filters.get("anchors"):
        lines += ["", "## Anchors", "", f"`{anchor}`: {ANCHORS[anchor]}; null for a prompt without one."]
    if snapshot.filters.get("profiles"):
        lines += [
            "",
            "## Profiles",
            "",
            "`profile`: what the person who judged says of the answers they like, as it was",
        ]
        lines += ["when this was frozen; null where they say nothing."]
    lines += ["", "## Who judged", ""]
    lines += [f"- {len(card.get('annotators', {}))} people, under pseudonyms"]
    lines += [f"- {count} rows by {name}" for name, count in card.get("kinds", {}).items()]
    lines += [f"- Guideline {name}: {count} rows" for name, count in card.get("guidelines_used", {}).items()]
    lines += [f"- Guideline version {one['version']}, sha256 `{one['sha256']}`" for one in _versions(card)]
    lines += [f"- Policy {name}: {count} rows" for name, count in card.get("policies", {}).items()]
    lines += [f"- Round {name}: {count} rows" for name, count in card.get("rounds", {}).items()]
    weights = card.get("weights")
    if weights and "annotator_weight" in view.columns:
        lines += ["", "## How much each counts", ""]
        lines += [f"`annotator_weight`: {weights['method']}."]
        lines += [
            f"Of {weights['judgements']} judgements up to {weights['last_feedback']}, on {weights['made_at']}:",
            "",
        ]
        lines += [f"- {person}: {weight:g}" for person, weight in sorted(weights["people"].items())]
    lines += ["", "## How far they agreed", "", *_agreement(card.get("agreement", []))]
    contaminated = card.get("contaminated", {})
    if contaminated.get("count"):
        lines += ["", "## Left out", "", f"{contaminated['count']} rows share words with evaluation suites."]
    lines += ["", "## Columns", "", "| column | meaning |", "| --- | --- |"]
    lines += [f"| `{name}` | {meaning.replace('|', chr(92) + '|')} |" for name, meaning in view.columns.items()]
    return "\n".join(lines) + "\n"


def _versions(card: dict[str, Any]) -> list[dict[str, Any]]:
    found = card.get("guidelines", [])
    return found if isinstance(found, list) else []


def _agreement(found: list[dict[str, Any]]) -> list[str]:
    if not found:
        return ["Nothing that could be compared was asked."]
    heads = ("dimension", "Krippendorff's alpha (95 %)", "equal pairs", "items", "people")
    lines = [f"| {' | '.join(heads)} |", "| --- " * len(heads) + "|"]
    for one in found:
        alpha = one["reason_undefined"] or "undefined"
        if one["alpha"] is not None:
            interval = f" ({one['low']:.3f} to {one['high']:.3f})" if one["low"] is not None else ""
            alpha = f"{one['alpha']:.3f}{interval}"
        percent = "–" if one["percent"] is None else f"{one['percent']:.1%}"
        lines.append(f"| {one['dimension']} | {alpha} | {percent} | {one['items']} | {one['people']} |")
    return lines
