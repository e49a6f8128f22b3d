"""Card 18: rounds of DPO whose pairs a reward model labels, against rounds labelled by the reward a policy implies."""

from __future__ import annotations

import json
import random
from pathlib import Path
from statistics import fmean

import pytest

from tests.experiments.frame import Card
from tests.experiments.test_card_18_implicit import BAD, GOOD, PLAIN, pairs, text, untied
from tests.experiments.world import do

CARD = Card(
    18,
    "Who labels a round (iterative DPO)",
    "A policy goes on learning from its own answers in words that people never compared, which mean the same as those "
    "they did. Labelled by a reward model it comes to say what people want; labelled by the reward that a policy "
    "implies, which learned from the same comparisons, it does not.",
    "arXiv:2409.03650",
)
SEEDS = (0, 1, 2)
HERE, THERE = PLAIN[:2], PLAIN[2:]  # a prompt asks by its two words for the first set, the second, or either
ROUNDS, PROMPTS = 3, 150

pytestmark = pytest.mark.experiment


def gold(answer: str) -> float:
    """Return the share of the answer's words about concepts, of either set, that are about good ones; 0 without any."""
    good, bad = ({word for pair in concepts for word in pair} for concepts in (GOOD, BAD))
    found = [word for word in answer.split() if word in good | bad]
    return sum(word in good for word in found) / len(found) if found else 0.0


def corpus(count: int, draw: random.Random) -> list[dict]:
    rows = []
    for _ in range(count):
        asked = draw.choices(PLAIN, k=2)
        side = {0: 0, 1: None, 2: 1}[sum(word in THERE for word in asked)]
        rows.append({"prompt": " ".join(asked), "completion": text(draw, draw.choice([GOOD, BAD]), side)})
    return rows


def lines(file: Path) -> list[dict]:
    with file.open() as rows:  # one by one: what a policy writes may have the signs that `splitlines` breaks at
        return [json.loads(row) for row in rows]


def reached(folder: Path, seed: int, labeller: str, *, base: Path, policy: Path, reward: Path, draws: int = 0) -> float:
    """Return the gold of the policy's answers after the rounds, which `labeller` labels; `draws` tells of their chance.

    Both rewards stay as people's comparisons made them.
    """
    scorers = {"reward": str(reward), "implied": str(policy)}
    knobs = {"samples_per_prompt": 4, "max_new_tokens": 12, "rows_at_once": 400, "audit_share": 0.0}
    for number in range(ROUNDS + 1):
        draw = random.Random(f"round {seed} {draws} {number}")
        rows = [{"id": str(i), "prompt": " ".join(draw.choices(THERE, k=2))} for i in range(PROMPTS)]
        asked = {"rows": rows, "scorers": scorers, "reference": str(base), "labeller": labeller, **knobs}
        drawn, _ = do(folder / f"{number} answers", "sample", model=policy, seed=100 * draws + number, **asked)
        if number < ROUNDS:
            told = {"rows": lines(Path(drawn.output) / "pairs.jsonl"), "reference": str(base)}
            learned, _ = do(folder / f"{number} policy", "dpo", model=policy, epochs=4, **told, **quick(seed))
            policy = Path(learned.output) / "model"
    told = lines(Path(drawn.output) / "samples.jsonl")
    return fmean(gold(answer["text"]) for row in told for answer in row["completions"])


def quick(seed: int, *, learning_rate: float = 5e-4) -> dict[str, float]:
    more = {"eval_share": 0.0, "seed": seed, "checkpoint_every": 1000}
    return {"batch_size": 32, "micro_batch": 64, "learning_rate": learning_rate, **more}


def by_labeller(folder: Path, seed: int) -> dict[str, float]:
    """Return the gold after the rounds by labeller, and once more by the implied reward on other draws."""
    draw = random.Random(f"rounds {seed}")
    start = untied(folder / "start", seed=seed)
    rows = corpus(2400, draw)
    pretrained, _ = do(folder / "text", "sft", model=start, rows=rows, epochs=3, **quick(seed, learning_rate=3e-3))
    base = Path(pretrained.output) / "model"
    told = [row | {"prompt": " ".join(draw.choices(HERE, k=2))} for row in pairs(300, 0, draw)]
    reward, policy = (
        Path(do(folder / name, name, model=base, rows=told, epochs=3, **quick(seed))[0].output) / "model"
        for name in ("bradley-terry", "dpo")
    )
    made = {"base": base, "policy": policy, "reward": reward}
    found = {one: reached(folder / one, seed, one, **made) for one in ("explicit", "implicit")}
    found["again"] = reached(folder / "again", seed, "implicit", draws=1, **made)
    print(json.dumps(found))
    return found


def test_rounds_labelled_by_the_reward_model_end_better(report, tmp_path):
    found = [by_labeller(tmp_path / str(seed), seed) for seed in SEEDS]
    report(
        CARD,
        "gold after three rounds labelled by the reward model, less that after three labelled by the implied reward",
        [one["explicit"] - one["implicit"] for one in found],
        seeds=SEEDS,
        switched_off="a reward head: the implied reward labels both, on other draws",
        without=[one["again"] - one["implicit"] for one in found],
        at_least=0.05,
        every_seed=True,
    )
