"""Card 11, its chart: the more of an answer is read the surer is imitation told from people, less so after RL.

To a prompt that names a kind of thing people name all of that kind in their order, twice, from any of them on. A tiny
Llama that has imitated them for a while slips, and goes on from where its slip led. What `demonstration-reward` learns
from the same demonstrations pays `rloo`, at a price of one for a nat: as the reward is the log-odds of people against
the policy, that is the price at which the best policy is people's. All of it are runs of recipes, the chart
(`error-by-position`) too. Its judge learned from other demonstrations, and has seen answers of both policies.

The card has no figure for its chart; the bounds are ours, set after a pilot of seed 1. Its figure for
learning online, at most 0.02 of the steps off the track, is that of a reward of each step in `test_card_11_chain.py`.
Here one reward of the whole answer is paid, and a part of the answers is still wrong: told by their last word they
stay above one half.
"""

from __future__ import annotations

import json
import random
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest

from tests.experiments.test_card_11_inverse import CARD, lines
from tests.experiments.world import KINDS, do, lively, prompt
from training.core.imitation import beside

CHART = replace(
    CARD,
    method="Error by position",
    claim="A policy that imitates is told from people the more often the more of its answers is read, though it is not "
    "more surprised by people's later words; after learning online by a reward of demonstrations it is told less.",
)
SEEDS = (0, 1, 2)
SAID = 12  # words of an answer: all of a kind, twice
LONGEST = SAID + 2
QUICK = {"micro_batch": 64, "eval_share": 0.0, "checkpoint_every": 1000}
IMITATING = {"epochs": 5, "batch_size": 32, "learning_rate": 2e-3}
REWARDING = {"epochs": 2, "batch_size": 32, "learning_rate": 2e-3}
IMPROVING = {"iterations": 60, "prompts_per_iteration": 16, "samples_per_prompt": 8, "kl": 1.0}
IMPROVING |= {"batch_size": 64, "max_new_tokens": LONGEST, "learning_rate": 7e-4}

pytestmark = pytest.mark.experiment


def named(asked: str) -> list[str]:
    """Return the words of the kind that a prompt names."""
    (words,) = (words for kind, words in KINDS.items() if kind in asked.split())
    return words


def told_by(count: int, seed: str) -> list[dict[str, Any]]:
    """Return what people answer to `count` prompts, no two of them alike."""
    draw = random.Random(seed)
    found: dict[str, str] = {}
    while len(found) < count:
        asked = prompt(draw)
        begin = draw.randrange(len(named(asked)))
        found[asked] = " ".join((named(asked) * 3)[begin : begin + SAID])
    return [{"prompt": asked, "completion": text} for asked, text in found.items()]


def right(asked: str, text: str) -> bool:
    """Return whether a person could have answered so."""
    words, said = named(asked), text.split()
    following = dict(pairwise([*words, words[0]]))
    return len(said) == SAID and said[0] in words and all(following.get(a) == b for a, b in pairwise(said))


def wrong(rows: list[dict[str, Any]]) -> float:
    """Return the share of sampled answers that nobody would write."""
    return 1 - fmean(right(row["prompt"][-1]["content"], one["text"]) for row in rows for one in row["completions"])


def answers(folder: Path, policy: Path, rows: list[dict[str, Any]], *, seed: int) -> list[dict[str, Any]]:
    """Return four answers of a policy to each prompt of the demonstrations."""
    asked = [{"id": str(number), "prompt": row["prompt"]} for number, row in enumerate(rows)]
    more = {"samples_per_prompt": 4, "max_new_tokens": LONGEST, "seed": seed}
    spec, _ = do(folder, "sample", model=policy, rows=asked, **more)
    return lines(spec.output)


def turned_round(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return these demonstrations with one answer of the policy each, in half of them in each other's place."""
    rows = [{**row, "samples": row["samples"][:1]} for row in rows]
    for row in rows[::2]:
        row |= {"completion": row["samples"][0], "samples": [row["completion"]]}
    return rows


def charted(folder: Path, seed: int) -> list[dict[str, Any]]:
    """Return what the chart and the truth tell of two policies beside imitation: improved by the reward, and by noise.

    The noise is the same reward, learned with half of the pairs turned round.
    """
    counts = {"told": 600, "other": 300, "new": 150, "asked": 2000}
    told, others, fresh, asked = (told_by(count, f"{name} {seed}") for name, count in counts.items())
    base = lively(folder / "base", seed=seed)
    sft, _ = do(folder / "sft", "sft", model=base, rows=told, seed=seed, **IMITATING, **QUICK)
    imitation = Path(sft.output) / "model"

    def reward(name: str, rows: list[dict[str, Any]], *, seed: int) -> str:
        spec, _ = do(folder / name, "demonstration-reward", model=base, rows=rows, seed=seed, **REWARDING, **QUICK)
        return f"{spec.output}/model"

    rows = beside(told, answers(folder / "own", imitation, told, seed=seed))
    of_imitation = answers(folder / "others", imitation, others, seed=seed)
    found = []
    for name, data in (("learned", rows), ("noise", turned_round(rows))):
        paid = {"reward": reward(f"reward-{name}", data, seed=seed)}
        prompts = [{"prompt": row["prompt"]} for row in asked]
        more = {"scorers": paid, "seed": seed * 10, **IMPROVING, **QUICK}
        improved, _ = do(folder / name, "rloo", model=imitation, rows=prompts, **more)
        policy = Path(improved.output) / "model"
        own = answers(folder / f"others-{name}", policy, others, seed=seed)
        judge = {"reward": reward(f"judge-{name}", beside(others, [*of_imitation, *own]), seed=seed + 100)}
        chart = {"scorers": judge, "beside": {"imitation": str(imitation)}, "max_new_tokens": LONGEST, "seed": seed}
        spec, result = do(folder / f"chart-{name}", "error-by-position", model=policy, rows=fresh, **chart)
        points = json.loads((Path(spec.output) / "positions.json").read_text())["points"]
        found.append({**result.metrics, "points": points, "wrong": wrong(own), "wrong_imitation": wrong(of_imitation)})
        print(seed, name, found[-1], flush=True)
    return found


def told_less(chart: dict[str, Any]) -> float:
    return float(chart["told_last_imitation"]["estimate"] - chart["told_last"]["estimate"])


def test_the_chart_tells_imitation_by_its_length_and_what_learned_online_less(report, tmp_path):
    found = [charted(tmp_path / str(seed), seed) for seed in SEEDS]
    for chart, _ in found:
        assert chart["told_growth_imitation"]["low"] > 0, "imitation is to be told the surer the more is read"
        first, *_, last = (point["surprise_imitation"]["estimate"] for point in chart["points"])
        assert last < first, "its loss on people's words is not to show it"
    report(
        CHART,
        "how much less often whole answers are told from people's after learning online than those of imitation",
        [told_less(chart) for chart, _ in found],
        seeds=SEEDS,
        switched_off="the reward: half of its pairs turned round",
        without=[told_less(noise) for _, noise in found],
        at_least=0.05,
        every_seed=True,
    )
    report(
        CHART,
        "share of answers that nobody would write, after learning online",
        [chart["wrong"] for chart, _ in found],
        seeds=SEEDS,
        switched_off="the reward: half of its pairs turned round",
        without=[noise["wrong"] for _, noise in found],
        at_most=0.4,
        every_seed=True,
    )
