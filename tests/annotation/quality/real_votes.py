"""Reads the votes of real people in `votes/`; its README says where they come from."""

from __future__ import annotations

import csv
import gzip
from collections import Counter, defaultdict
from pathlib import Path

from annotation.quality.strengths import Game

FOLDER = Path(__file__).parent / "votes"


def read(name: str) -> list[dict[str, str]]:
    with gzip.open(FOLDER / f"{name}.csv.gz", "rt", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def llmfao() -> tuple[list[Game], dict[str, dict[str, str]]]:
    """Return the comparisons, and item → person → left, right or tie."""
    games, votes = [], defaultdict(dict)
    for row in read("llmfao"):
        share = {"left": 1.0, "right": 0.0, "tie": 0.5}[row["winner"]]
        games.append(Game(row["left"], row["right"], share, row["person"], row["item"]))
        votes[row["item"]][row["person"]] = row["winner"]
    return games, dict(votes)


def crows_pairs() -> tuple[dict[str, dict[str, str]], dict[str, str]]:
    """Return item → person → bias type, and item → the writer's."""
    votes, gold = defaultdict(dict), {}
    for row in read("crows_pairs"):
        votes[row["item"]][row["person"]] = row["said"]
        gold[row["item"]] = row["gold"]
    return dict(votes), gold


def convabuse() -> dict[str, dict[int, int]]:
    """Return item → person → severity."""
    votes = defaultdict(dict)
    for row in read("convabuse"):
        votes[row["item"]][int(row["person"])] = int(row["severity"])
    return dict(votes)


def hate_offensive() -> Counter[tuple[int, ...]]:
    """Return how many tweets got each combination of votes, sorted: 0 hate, 1 offensive, 2 neither."""
    patterns: Counter[tuple[int, ...]] = Counter()
    for row in read("hate_offensive"):
        pattern = (0,) * int(row["hate"]) + (1,) * int(row["offensive"]) + (2,) * int(row["neither"])
        patterns[pattern] += int(row["tweets"])
    return patterns
