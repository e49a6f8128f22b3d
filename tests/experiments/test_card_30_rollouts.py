"""Card 30 by the product's own runs: dialogues branched on policy by `refuel-rollouts`, and `refuel` on their pairs."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.experiments.frame import Card
from tests.experiments.world import KINDS, PLAIN, do, lively
from training.core.backbone import load_policy
from training.core.collate import encode_completion, encode_prompt, pad
from training.core.policy import logps

CARD = Card(
    30,
    "REFUEL by branched rollouts",
    "A policy that hardly ever knows what to do with what it is told, so that asking back earns it less than answering "
    "at once, learns to do both from dialogues that it branches itself, scored by a learned reward model at their end. "
    "Their last turns alone do not teach it to ask back, and first turns credited with how the first policy would have "
    "gone on teach it not to.",
    "arXiv:2410.04612",
)
SEEDS = (0, 1, 2)
ROUNDS, DIALOGUES, EPOCHS = 7, 64, 15  # of each of eight prompts, so 512 a round
PROMPTS = [f"{word} tool" for word in ("the", "old", "one", "and", "with", "near", "very", "some")]
ANSWER, ASK, TOLD = "bread", "near", "old"  # what the first turn says, and what the user says to either
WORDS = [*KINDS["colour"], "cat", "dog"]
RIGHT = WORDS[0]
EVERY = [*WORDS, *KINDS["food"], *KINDS["tool"], *PLAIN]  # what may be said at all, in a word
ASKS, KNOWS = 0.27, 0.05  # how often it asks back at the start, and then says the right word: the card's logits
ANSWERED = 0.4  # what answering at once earns; asking back earns 1 if the right one of eight words follows
QUICK = {"eval_share": 0.0, "learning_rate": 1e-3, "batch_size": 64, "micro_batch": 64}

pytestmark = pytest.mark.experiment


def dialogue(*said: str) -> list[dict[str, str]]:
    """Return what a user and an assistant said in turn."""
    return [{"role": ("user", "assistant")[n % 2], "content": text} for n, text in enumerate(said)]


def odd(draw: random.Random, count: int) -> list[str]:
    """Return answers that nobody was shown: two words, with or without a blank between, often a known one first."""
    firsts = [ANSWER, ASK, RIGHT, *EVERY]
    return [f"{draw.choice(firsts)}{draw.choice(('', ' '))}{draw.choice(firsts)}" for _ in range(count)]


def worth(before: list[dict[str, str]], said: str) -> float:
    """Return what a dialogue has earned that ends with `said`."""
    if len(before) == 1:
        return ANSWERED * (said == ANSWER)  # asking back has earned nothing yet
    first = before[1]["content"]
    return ANSWERED if first == ANSWER else float(first == ASK and said == RIGHT)


def start(folder: Path, seed: int) -> tuple[Path, Path]:
    """Return a policy that asks back and then is right as often as `ASKS` and `KNOWS` say, and the reward model."""
    draw = random.Random(seed)
    base = lively(folder / "base", seed=seed)
    shown: list[dict[str, Any]] = []
    for _ in range(600):
        asked = draw.choice(PROMPTS)
        shown.append({"prompt": dialogue(asked), "completion": ASK if draw.random() < ASKS else ANSWER})
        word = RIGHT if draw.random() < KNOWS else draw.choice(WORDS[1:])
        shown.append({"prompt": dialogue(asked, draw.choice((ASK, ANSWER)), TOLD), "completion": word})
    policy, _ = do(folder / "sft", "sft", model=base, rows=shown, epochs=12, seed=seed, **QUICK)
    rated = [
        {"prompt": before, "completion": said, "ratings": {"worth": worth(before, said)}}
        for asked in PROMPTS
        for before, said in (
            *[(dialogue(asked), said) for said in [ANSWER, ASK] * 4 + EVERY + odd(draw, 30)],
            *[(dialogue(asked, ANSWER, TOLD), said) for said in WORDS + odd(draw, 10)],
            *[(dialogue(asked, ASK, TOLD), said) for said in [RIGHT] * 12 + EVERY + odd(draw, 30)],
            *[(dialogue(asked, first, TOLD), RIGHT) for first in EVERY + odd(draw, 30)],
        )
    ]
    reward, _ = do(folder / "reward", "multi-objective", model=base, rows=rated, epochs=25, seed=seed, **QUICK)
    return Path(policy.output) / "model", Path(reward.output) / "model"


def pairs(folder: Path, policy: Path, reward: Path, seed: int, *, turns: int) -> list[dict[str, Any]]:
    """Return the pairs that a run of `refuel-rollouts` leaves."""
    spec, _ = do(
        folder,
        "refuel-rollouts",
        model=policy,
        scorers={"reward": str(reward)},
        rows=[{"id": asked, "prompt": dialogue(asked)} for asked in PROMPTS],
        turns=turns,
        rows_per_prompt=DIALOGUES,
        user_turns=TOLD,
        max_new_tokens=4,
        rows_at_once=2 * DIALOGUES * len(PROMPTS),
        seed=seed,
    )
    return [json.loads(line) for line in (Path(spec.output) / "pairs.jsonl").read_text().splitlines()]


def gone_on(folder: Path, rows: list[dict[str, Any]], first: Path, reward: Path, seed: int) -> list[dict[str, Any]]:
    """Return pairs of first turns as they would come out if the policy `first` went on behind both."""
    sides = [[*row["prompt"], *row[side], *dialogue(TOLD)] for row in rows for side in ("chosen", "rejected")]
    asked = [{"id": str(n), "prompt": messages} for n, messages in enumerate(sides)]
    more = {"samples_per_prompt": 2, "selection": "random", "max_new_tokens": 4, "rows_at_once": 2 * len(sides)}
    spec, _ = do(folder, "sample", model=first, scorers={"reward": str(reward)}, rows=asked, seed=seed, **more)
    drawn = [json.loads(line) for line in (Path(spec.output) / "samples.jsonl").read_text().splitlines()]
    came_out = {row["id"]: row["completions"][0]["scores"]["reward"] for row in drawn}
    found = []
    for n, row in enumerate(rows):
        gap = came_out[str(2 * n)] - came_out[str(2 * n + 1)]
        turned = gap < 0
        sides = {"chosen": row["rejected"], "rejected": row["chosen"]} if turned else {}
        found += [{**row, **sides, "strength": abs(gap)}] if gap else []
    return found


def earned(folder: Path) -> float:
    """Return what the policy earns on average, exactly; whatever else it may say earns nothing."""
    model, tokenizer = load_policy(str(folder))
    asked = [turn for said in PROMPTS for turn in ((dialogue(said), ANSWER), (dialogue(said), ASK))]
    asked += [(dialogue(said, ASK, TOLD), RIGHT) for said in PROMPTS]
    rows = [(encode_prompt(tokenizer, before), encode_completion(tokenizer, text)) for before, text in asked]
    with torch.no_grad():
        chances = logps(model, pad(rows, 0)).exp()
    answers, asks = chances[: 2 * len(PROMPTS)].view(-1, 2).T
    return float((ANSWERED * answers + asks * chances[2 * len(PROMPTS) :]).mean())


def learned(folder: Path, first: Path, reward: Path, seed: int, way: str) -> float:
    """Return what the policy earns after all rounds, each on dialogues of its own."""
    policy = first
    for number in range(ROUNDS):
        own = folder / f"{number}"
        found = pairs(own / "pairs", policy, reward, 100 * seed + number, turns=2)
        if way != "refuel":
            firsts = [row for row in found if row["turn"] == 1]
            found = [row for row in found if row["turn"] == 2]
        if way == "reference":
            found += gone_on(own / "gone-on", firsts, first, reward, 100 * seed + number)
        more: dict[str, Any] = {"eta": 3.0, "model": policy, "reference": str(policy), "epochs": EPOCHS, "seed": seed}
        spec, _ = do(own / "learned", "refuel", rows=found, **more, **QUICK)
        policy = Path(spec.output) / "model"
        print(way, seed, number, len(found), earned(policy), flush=True)
    return earned(policy)


def test_branching_its_own_dialogues_a_policy_learns_to_ask_back(report, tmp_path):
    """By the card 0.93 after twelve rounds of 512, here seven; at most 0.6 by the last turns alone, and at most 0.5 by
    the first policy's continuations (0.55 and 0.40 there).

    Both by one seed, as each is as long as the whole way.
    """
    begun = {seed: start(tmp_path / f"start-{seed}", seed) for seed in SEEDS}
    assert all(earned(policy) < ANSWERED for policy, _ in begun.values()), "at first it does worse than answering"
    found = [learned(tmp_path / f"{seed}", *begun[seed], seed, "refuel") for seed in SEEDS]
    for switched_off, way, at_most in (
        ("the first turn: the last turns of the same dialogues alone", "last", 0.6),
        ("its own continuations: the first policy's", "reference", 0.5),
    ):
        without = learned(tmp_path / way, *begun[SEEDS[0]], SEEDS[0], way)
        assert without <= at_most, f"{way}: {without}"
        report(
            CARD,
            "what the policy earns (1 at most, 0.4 for answering at once)",
            found,
            seeds=SEEDS,
            switched_off=switched_off,
            without=without,
            at_least=0.85,
            every_seed=True,
        )
