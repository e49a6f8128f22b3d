"""Export files as they are: every view and every layout of a small campaign, line by line beside a committed file.

Whatever changes a column, its order or a value shows here as a line that differs, so that nobody changes it unawares.
When it was meant: ``ATTUNE_GOLDEN=write pytest tests/annotation/test_golden_exports.py``, and read the difference.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from annotation import dataset_views, datasets
from annotation.export_formats import FORMATS, source_of
from annotation.feedback import KINDS
from annotation.models import User
from tests.annotation.feedback.examples import EXAMPLES
from tests.factories import judge, make_assignment, make_campaign, make_task, make_user

FOLDER = Path(__file__).parent / "golden"
# What no two runs have in common.
CHANGING = {"feedback", "annotator", "seconds", "active_seconds", "created"}
ANSWERS = [
    "It is **scattering**, in plain words:\n\n- short waves\n- long waves",
    "It reflects the sea, über alles. 海",
]


def exported(kind: str, person: User) -> dict[str, list[dict[str, Any]]]:
    """Return the rows of every view of a kind: two items, of which the second was shown the other way round."""
    campaign = make_campaign(f"Golden {kind}", lead=person, kind=kind, annotators=[person])
    for number in range(2):
        answers = ANSWERS[: KINDS[kind].completions[1]]
        make_task(
            campaign,
            number=number,
            prompt=f"Question {number}: why is the sky blue?",
            completions=answers,
            meta={"round": 1 + number, "policy": f"policy-{number}"},
        )
        held = make_assignment(person, campaign)
        held.shown_order = list(range(len(answers)))[:: -1 if number else 1]
        held.save(update_fields=["shown_order"])
        marked = {"passages_weaknesses_1": "plain words"} if kind == "critique" and not number else {}
        judge(person, campaign, assignment=held, data={**EXAMPLES[kind], **marked})
    views = [view.name for view in dataset_views.views_of(KINDS[kind].views)]
    return {view: list(datasets.rows(campaign, view)) for view in views}


def lines(rows: list[dict[str, Any]]) -> str:
    """Return rows as an export has them, without what changes from run to run."""
    return "".join(datasets.lines(map(_fixed, rows)))


def _fixed(value: Any) -> Any:
    if isinstance(value, list):
        return [_fixed(one) for one in value]
    if not isinstance(value, dict):
        return value
    return {name: "*" if _changes(name, one) else _fixed(one) for name, one in value.items()}


def _changes(name: str, value: Any) -> bool:
    # A number for an id is the database's, which on PostgreSQL counts on from the tests before.
    return (name in CHANGING and value is not None and not isinstance(value, dict | list)) or (
        name == "id" and isinstance(value, int)
    )


def written(line: str) -> list[tuple[str, str]]:
    """Return the columns in their order, with values as they are written; PostgreSQL orders the keys of stored ones."""
    return [(name, json.dumps(value, sort_keys=True)) for name, value in json.loads(line).items()]


@pytest.mark.django_db
def test_exports_are_line_by_line_what_they_were() -> None:
    person = make_user("golden")
    found: dict[str, str] = {}
    for kind in KINDS:
        views = exported(kind, person)
        for view, rows in views.items():
            found[f"{kind}.{view}"] = lines(rows)
        for name, layout in FORMATS.items():
            if any(view in views for view in layout.views):
                found[f"{kind}.as.{name}"] = lines(list(layout.convert(views[source_of(layout, views)])))
    if os.environ.get("ATTUNE_GOLDEN") == "write":
        FOLDER.mkdir(exist_ok=True)
        for old in FOLDER.glob("*.jsonl"):
            old.unlink()
        for name, text in found.items():
            (FOLDER / f"{name}.jsonl").write_text(text, encoding="utf-8")
    kept = {path.stem: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.jsonl")}
    assert set(found) == set(kept)
    for name, text in found.items():
        pairs = zip(text.splitlines(), kept[name].splitlines(), strict=True)
        for number, (now, before) in enumerate(pairs, start=1):
            assert json.loads(now) == json.loads(before), f"{name}.jsonl, line {number}"
            assert written(now) == written(before), f"{name}.jsonl, line {number}: the same values, written another way"
