"""Measures a model on a published benchmark: `manage.py benchmark rm-bench FOLDER --model MODEL`."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from training import launch
from training.management.commands.run import pair
from training.recipes import RecipeError, recipe
from training.recipes.spec import RunResult, RunSpec

NAME = "reward-benchmark"
# The layouts of what is put to a policy, with the recipe that does it.
PUT_TO_POLICIES = {"lab-safety": "safety-suite", "lab-safety-scenarios": "safety-scenarios"}


class Command(BaseCommand):
    help = (
        "Measures a reward model on a benchmark in the layout in which it is published, or a policy on LabSafety "
        "Bench's questions, and prints its figures with their intervals. Needs no database and no network."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        layouts = next(k for k in recipe(NAME).knobs() if k.name == "layout").choices
        parser.add_argument("layout", choices=[*layouts, *PUT_TO_POLICIES])
        parser.add_argument("data", help="a .json or .jsonl file, packed by gzip or not, or a folder of such files")
        parser.add_argument("--model", required=True, help="folder of a reward model made here, or of a policy")
        parser.add_argument("--judge", help="folder of the principle model that judges answers to open scenarios")
        parser.add_argument("--output", help="folder for the run's files; by default one that is not kept")
        parser.add_argument("--knob", action="append", default=[], metavar="NAME=VALUE", help="may be repeated")
        parser.add_argument("--principle", action="append", default=[], help="what it is to judge by; may be repeated")

    def handle(
        self, *, layout: str, data: str, model: str, principle: list[str], knob: list[str], **options: Any
    ) -> None:
        if not Path(data).exists():
            raise CommandError(f"There is nothing at {data}.")
        with tempfile.TemporaryDirectory() as folder:
            output = Path(options["output"] or folder).resolve()
            spec = RunSpec(
                kind="evaluate",
                recipe=_recipe(layout, principle, knob),
                output=str(output),
                model=str(Path(model).resolve()) if Path(model).exists() else model,
                data=str(Path(data).resolve()),
                scorers={"reward": str(Path(options["judge"]).resolve())} if options["judge"] else {},
            )
            code = launch.follow(launch.start(spec), report=lambda lines: True, every_seconds=5.0)
            result = RunResult.read(output)
            if code != 0 or result is None:
                error = output / "error.json"
                raise CommandError(json.loads(error.read_text())["message"] if error.exists() else f"Status {code}.")
        for note in result.notes:
            self.stdout.write(note)
        self.stdout.write(", ".join(f"{count} {name}" for name, count in result.counts.items()))
        for name, figure in result.metrics.items():
            self.stdout.write(f"{name.replace('_', ' ')}: {shown(figure)}")


def _recipe(layout: str, principles: list[str], knobs: list[str]) -> dict[str, Any]:
    name = PUT_TO_POLICIES.get(layout, NAME)
    fixed = {"layout": layout} if name == NAME else {}
    given = dict(pair(one, "--knob NAME") for one in knobs)
    given |= {"principles": "; ".join(principles)} if principles else {}
    try:
        return recipe(name).to_json({**given, **fixed})
    except RecipeError as error:
        raise CommandError(str(error)) from None


def shown(figure: Any) -> str:
    if isinstance(figure, dict):
        return f"{figure['estimate']:.3f} ({figure['low']:.3f} to {figure['high']:.3f}, n {figure['n']:.0f})"
    return f"{figure:.3f}"
