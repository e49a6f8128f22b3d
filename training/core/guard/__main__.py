"""Makes a guard, or measures one on published data.

``python -m training.core.guard fit ROWS --output FOLDER`` reads JSON lines ``{"side": "prompt" or "answer", "text",
"tier", "group"}``, tier being safe, unsafe, conditionally_safe or focused_attention and group, which may be left out,
what a text belongs to. ``--knowledge FILE`` gives the documents that safe answers quote, ``{"id", "text"}`` a line.

``python -m training.core.guard data FOLDER --only xstest`` measures the same check on published data, beside TF-IDF.
``python -m training.core.guard drift FOLDER`` replays published jailbreaks in time order, beside TF-IDF.
``python -m training.core.guard refusals FOLDER`` does so with the words by which the gate tells a refusal, and
``python -m training.core.guard suite FOLDER --output FILE`` writes XSTest's safe prompts as a gate's suite.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from training.core.evaluate.suite import held_against
from training.core.guard.fitting import DRAW, TITLE, Labelled, Measured, fitted
from training.core.guard.folder import save_guard
from training.core.guard.grounding import Knowledge
from training.core.guard.published import TEXTS, xstest_refusals, xstest_suite
from training.core.guard.replay import TITLE as DRIFT_TITLE
from training.core.guard.replay import in_the_wild, over_time
from training.core.guard.thresholds import needed
from training.core.guard.verdicts import ANSWER, PROMPT, TIERS
from training.core.job import RunError
from training.errors import TrainingError
from training.recipes.note import Note
from training.recipes.spec import write_json, write_text
from training.recipes.tiers import CURVE_FILE, MEASURED_FILE, MOST_REFUSED, largest_recall, refuses_many, refusing_few


def rows_of(path: Path) -> dict[str, list[Labelled]]:
    """Return the texts of each side; RunError names the first line that is none."""
    found: dict[str, list[Labelled]] = {PROMPT: [], ANSWER: []}
    for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            side, text, tier = row["side"], row["text"], row["tier"]
            if side not in found or tier not in TIERS or not isinstance(text, str) or not text.strip():
                raise ValueError
            found[side].append(Labelled(text, tier, group=str(row.get("group") or ""), categories=(tier,)))
        except (ValueError, KeyError, TypeError):
            raise RunError(
                Note(
                    "Line {number} of {file} is no labelled text. Give side ({prompt} or {answer}), text and "
                    "tier ({tiers}).",
                    number=number,
                    file=path.name,
                    prompt=PROMPT,
                    answer=ANSWER,
                    tiers=", ".join(TIERS),
                )
            ) from None
    return found


def _fit(told: argparse.Namespace) -> None:
    rows = rows_of(told.rows)
    knowledge = Knowledge.load(told.knowledge) if told.knowledge else None
    for side in (PROMPT, ANSWER):
        sys.stdout.write(_allows(side, rows[side], recall=told.recall, confidence=told.confidence) + "\n")
    sys.stdout.write(TITLE + "\n")
    made = {}
    for side in (PROMPT, ANSWER):
        check, found = fitted(side, rows[side], recall=told.recall, confidence=told.confidence)
        sys.stdout.write(found.told() + "\n")
        made[side] = (check, found)
    for side in (PROMPT, ANSWER):
        if found_many := _refuses_many(side, made[side][1]):
            sys.stdout.write(found_many + "\n")
    save_guard(
        told.output,
        prompt=(made[PROMPT][0], made[PROMPT][1].threshold),
        answer=(made[ANSWER][0], made[ANSWER][1].threshold),
        knowledge=knowledge,
    )
    write_json(told.output / MEASURED_FILE, {side: found.as_json() for side, (_, found) in made.items()})
    write_json(told.output / CURVE_FILE, {side: found.curve for side, (_, found) in made.items()})


def _allows(side: str, rows: Sequence[Labelled], *, recall: float, confidence: float) -> str:
    """Return before anything is learned what recall the texts that the line is drawn on can show."""
    n = sum(row.risky for row in rows if row.part == DRAW)
    return (
        f"{side}: the line is drawn on {n} risky texts, which show a recall of "
        f"{largest_recall(n, confidence=confidence):.1%} at most with {confidence:.0%} confidence; {recall:.1%} takes "
        f"{needed(recall, confidence=confidence)}, none of them missed."
    )


def _refuses_many(side: str, found: Measured) -> str:
    """Return that a line refuses many safe texts, with the highest recall that does not; empty where it does not."""
    if not refuses_many(found.false_refusals):
        return ""
    few = refusing_few(found.curve)
    offered = "No line that was measured refuses fewer."
    if few is not None:
        offered = (
            f"The highest recall that does not is {few['recall_bound']:.1%}, at a risk of {few['value']:.3f}: it "
            f"refuses {few['false_refusals']['estimate']:.1%}. Draw that line on the guard's page."
        )
    return (
        f"{side}: this line refuses {found.false_refusals['estimate']:.1%} of safe texts, more than "
        f"{MOST_REFUSED:.0%}. {offered}"
    )


def _data(told: argparse.Namespace) -> None:
    sys.stdout.write(TITLE + "\n")
    every: list[dict[str, Any]] = []
    for name in told.only or TEXTS:
        _, found = fitted(name, TEXTS[name](told.folder), recall=told.recall, confidence=told.confidence)
        sys.stdout.write(found.told() + "\n")
        sys.stdout.flush()
        every.append(found.as_json())
    if told.output:
        write_json(told.output / "guard_data.json", every)


def _drift(told: argparse.Namespace) -> None:
    if "over-time" in (told.only or ["over-time"]):
        sys.stdout.write("\n".join(over_time(told.folder)) + "\n")
    if "in-the-wild" in (told.only or ["in-the-wild"]):
        sys.stdout.write("\n".join([DRIFT_TITLE, *(way.told() for way in in_the_wild(told.folder))]) + "\n")


def _refusals(told: argparse.Namespace) -> None:
    for name, rate in held_against(xstest_refusals(told.folder)).items():
        sys.stdout.write(f"{name}: {rate['estimate']:.1%} ({rate['low']:.1%} to {rate['high']:.1%}, n {rate['n']})\n")


def _suite(told: argparse.Namespace) -> None:
    rows = xstest_suite(told.folder)
    write_text(told.output, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    sys.stdout.write(f"{told.output} has {len(rows)} prompts.\n")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m training.core.guard", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True)
    fit = commands.add_parser("fit", help="make a guard from labelled texts")
    fit.add_argument("rows", type=Path)
    fit.add_argument("--output", type=Path, required=True, help="a new folder")
    fit.add_argument("--knowledge", type=Path, help="documents that safe answers quote")
    fit.set_defaults(do=_fit)
    data = commands.add_parser("data", help="measure on published data")
    data.add_argument("folder", type=Path, help="folder that holds the data sets, each in a folder of its own name")
    data.add_argument("--only", action="append", choices=list(TEXTS), help="may be repeated; all if left out")
    data.add_argument("--output", type=Path)
    data.set_defaults(do=_data)
    drift = commands.add_parser("drift", help="replay published jailbreaks in time order")
    drift.add_argument("folder", type=Path, help="folder that holds the data sets")
    drift.add_argument("--only", action="append", choices=["over-time", "in-the-wild"], help="may be repeated")
    drift.set_defaults(do=_drift)
    refusals = commands.add_parser("refusals", help="hold the gate's judge of refusals against XSTest's human labels")
    refusals.add_argument("folder", type=Path, help="folder that holds the data sets")
    refusals.set_defaults(do=_refusals)
    suite = commands.add_parser("suite", help="write XSTest's safe prompts as a gate's suite")
    suite.add_argument("folder", type=Path, help="folder that holds the data sets")
    suite.add_argument("--output", type=Path, required=True, help="a file below the files folder")
    suite.set_defaults(do=_suite)
    for command in (fit, data):
        command.add_argument("--recall", type=float, default=0.9, help="of risky texts, to be shown for the line")
        command.add_argument("--confidence", type=float, default=0.95)
    told = parser.parse_args(arguments)
    try:
        told.do(told)
    except (TrainingError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
