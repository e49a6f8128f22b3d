"""Reward models on published human data, each beside what a trivial rule gets: one command, figures with intervals.

``python -m training.core.real_data FOLDER --output OUT [--only NAME] [--model BACKBONE]`` reads the data sets as they
are published (folder by folder), trains the recipe that fits each, and measures it on prompts that it has not seen,
beside the majority or the mean, length alone, and TF-IDF with logistic regression (ridge where points are given). The
model beats a baseline when the interval of the paired difference is above 0, and it is said when it does not. Without
``--model`` it starts from a small Llama with random weights, which knows no language: then the figures say what the
recipe gets out of the data alone. ImageReward's rankings are published without their images; what is left, the prompt,
is the same for all answers that are ranked, so that nothing can be learned from it here.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, Ridge

from training.core.job import RunError
from training.core.published import PROBLEMS, Problem, Row, group_of
from training.core.records import canonical, messages_of
from training.core.run import KINDS, open_job
from training.core.scoring import scorer_of
from training.core.stats import Interval, bootstrap_mean
from training.core.tiny import save_tiny
from training.recipes import recipe
from training.recipes.note import Note
from training.recipes.spec import RunSpec, write_json


@dataclass(frozen=True)
class Found:
    """How model and baselines do on the same held-out rows: one number a row each, of which the mean is told."""

    name: str
    recipe: str
    figure: str
    trained_on: int
    model: Interval
    baselines: dict[str, Interval]
    gain: Interval  # of the model over the best baseline, in the figure's own units, positive when it is better

    @property
    def beats(self) -> bool:
        return self.gain["low"] > 0

    def told(self) -> str:
        """Return a line of the table."""
        shown = "; ".join(f"{name} {_shown(value)}" for name, value in self.baselines.items())
        said = "yes" if self.beats else "**no**"
        what = {"pairs": "accuracy", "yes_no": "accuracy", "points": "mean absolute error, less is better"}[self.figure]
        return (
            f"| {self.name} | `{self.recipe}` | {what} | {self.trained_on} | {_shown(self.model)} | {shown} | "
            f"{said} ({_shown(self.gain)}) |"
        )


TITLE = (
    "| data | recipe | figure | rows trained on | model | baselines | beats the best one (by) |\n" + "| --- " * 7 + "|"
)


def _shown(value: Interval) -> str:
    return f"{value['estimate']:.3f} ({value['low']:.3f} to {value['high']:.3f})"


def measured(problem: Problem, output: Path, *, model: str, seed: int, knobs: dict[str, Any]) -> Found:
    """Train the problem's recipe and hold it to its baselines on the rows that were kept apart."""
    train, test = problem.split()
    if not train or not test:
        raise RunError(Note("{name} has no rows on one side of the split.", name=problem.name))
    output.mkdir(parents=True, exist_ok=True)
    data = output / "train.jsonl"
    data.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in train), encoding="utf-8")
    start = model or str(save_tiny(output / "base", texts=_texts(train), vocab_size=4000, seed=seed))
    found = recipe(problem.recipe)
    enough = math.ceil(STEPS * KNOBS["batch_size"] / len(train))
    knobs = {"epochs": max(3, enough)} | knobs
    spec = RunSpec(
        kind="fit", recipe=found.to_json(knobs), output=str(output / "run"), model=start, data=str(data), seed=seed
    )
    Path(spec.output).mkdir(exist_ok=True)
    spec.write()
    result = KINDS["fit"](open_job(spec))
    result.write(spec.output)
    scores = _scores(problem, f"{spec.output}/{result.model}", test)
    told = _baselines(problem, train, test)
    better = -1.0 if problem.figure == "points" else 1.0
    best = max(told, key=lambda name: better * float(np.mean(told[name])))
    return Found(
        name=problem.name,
        recipe=problem.recipe,
        figure=problem.figure,
        trained_on=len(train),
        model=_mean(test, scores),
        baselines={name: _mean(test, values) for name, values in told.items()},
        gain=_mean(test, better * (scores - told[best])),
    )


def _mean(rows: Sequence[Row], values: np.ndarray) -> Interval:
    """Return the mean over rows, with the bootstrap over prompts: answers to one prompt are no independent draws."""
    groups: dict[str, list[float]] = {}
    for row, value in zip(rows, values.tolist(), strict=True):
        groups.setdefault(group_of(row), []).append(value)
    return bootstrap_mean([float(np.mean(group)) for group in groups.values()])


def _texts(rows: Sequence[Row]) -> Iterator[str]:
    for row in rows:
        yield from (str(row[name]) for name in ("chosen", "rejected", "completion") if name in row)
        yield canonical(messages_of(row["prompt"]))


def _scores(problem: Problem, path: str, rows: Sequence[Row]) -> np.ndarray:
    """Return of each row whether the model is right (½ where it cannot tell), or how far off its points are."""
    principles = [problem.target] if problem.figure == "yes_no" else []
    scorer = scorer_of(path, device=torch.device("cpu"), principles=principles)
    prompts = [messages_of(row["prompt"]) for row in rows]
    if problem.figure == "pairs":
        sides = [scorer.score(prompts, [row[side] for row in rows]) for side in ("chosen", "rejected")]
        return np.array([0.5 if a is None or b is None else _ahead(a - b) for a, b in zip(*sides, strict=True)])
    columns = scorer.columns(prompts, [row["completion"] for row in rows])
    place = columns.names.index(problem.target)
    told = [None if one is None else one[place] for one in columns.values]
    if problem.figure == "yes_no":
        return np.array([0.5 if z is None else float((z > 0) == y) for z, y in zip(told, _labels(rows), strict=True)])
    known = _points(problem, rows)
    return np.abs(np.array([np.nan if z is None else z for z in told]) - known)


def _ahead(gap: float) -> float:
    return 1.0 if gap > 0 else 0.5 if gap == 0 else 0.0


def _labels(rows: Sequence[Row]) -> np.ndarray:
    return np.array([row["answer"] == "yes" for row in rows])


def _points(problem: Problem, rows: Sequence[Row]) -> np.ndarray:
    return np.array([row["ratings"][problem.target] for row in rows], dtype=float)


def _baselines(problem: Problem, train: Sequence[Row], test: Sequence[Row]) -> dict[str, np.ndarray]:
    """Return the same of the trivial rules, by name."""
    words = TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2), min_df=2)
    if problem.figure == "pairs":
        gaps = [np.array([len(row["chosen"]) - len(row["rejected"]) for row in rows]) for rows in (train, test)]
        longer = 1.0 if (gaps[0] > 0).sum() >= (gaps[0] < 0).sum() else -1.0
        words.fit([row[side] for row in train for side in ("chosen", "rejected")])
        apart = [
            words.transform(r["chosen"] for r in rows) - words.transform(r["rejected"] for r in rows)
            for rows in (train, test)
        ]
        turned = np.arange(len(train)) % 2  # half of the pairs the other way round, so that there are two classes
        signs = np.where(turned, -1.0, 1.0)
        fitted = LogisticRegression(max_iter=1000, fit_intercept=False).fit(
            apart[0].multiply(signs[:, None]).tocsr(), signs
        )
        return {
            "length": np.array([_ahead(longer * gap) for gap in gaps[1]]),
            "TF-IDF": np.array([_ahead(value) for value in fitted.decision_function(apart[1])]),
        }
    vectors = (
        words.fit_transform(row["completion"] for row in train),
        words.transform(row["completion"] for row in test),
    )
    sizes = [np.log1p([[len(row["completion"])] for row in rows]) for rows in (train, test)]
    if problem.figure == "yes_no":
        labels = _labels(train), _labels(test)
        common = labels[0].mean() >= 0.5
        return {
            "majority": (labels[1] == common).astype(float),
            "length": (LogisticRegression().fit(sizes[0], labels[0]).predict(sizes[1]) == labels[1]).astype(float),
            "TF-IDF": (
                LogisticRegression(max_iter=1000).fit(vectors[0], labels[0]).predict(vectors[1]) == labels[1]
            ).astype(float),
        }
    points = _points(problem, train), _points(problem, test)
    return {
        "mean": np.abs(points[1] - points[0].mean()),
        "length": np.abs(points[1] - Ridge().fit(sizes[0], points[0]).predict(sizes[1])),
        "TF-IDF": np.abs(points[1] - Ridge().fit(vectors[0], points[0]).predict(vectors[1])),
    }


STEPS = 250  # at least: a few hundred rows gone through thrice are no training
KNOBS = {
    "learning_rate": 1e-3,
    "batch_size": 16,
    "micro_batch": 16,
    "max_length": 256,
    "eval_share": 0.0,
    "checkpoint_every": 1000,
}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m training.core.real_data", description=__doc__)
    parser.add_argument("folder", type=Path, help="folder that holds the data sets, each in a folder of its own name")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--only", action="append", choices=list(PROBLEMS), help="may be repeated; all if left out")
    parser.add_argument("--model", default="", help="folder or hub name of the backbone; a small random Llama if empty")
    parser.add_argument("--rows", type=int, default=0, help="so many rows of each at most; 0 takes all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--knob", action="append", default=[], metavar="NAME=VALUE", help="may be repeated")
    told = parser.parse_args(arguments)
    knobs = KNOBS | dict(given.split("=", 1) for given in told.knob)
    torch.manual_seed(told.seed)
    sys.stdout.write(TITLE + "\n")
    every = []
    for name in told.only or PROBLEMS:
        problem = PROBLEMS[name](told.folder / name)
        if told.rows:
            problem = Problem(problem.name, problem.recipe, problem.figure, problem.rows[: told.rows], problem.target)
        found = measured(problem, told.output / name, model=told.model, seed=told.seed, knobs=knobs)
        every.append({**vars(found), "beats": found.beats})
        sys.stdout.write(found.told() + "\n")
        sys.stdout.flush()
    write_json(told.output / "real_data.json", {"model": told.model or "random", "seed": told.seed, "found": every})
    return 0


if __name__ == "__main__":
    sys.exit(main())
