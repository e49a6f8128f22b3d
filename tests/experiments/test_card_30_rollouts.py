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
    "A policy that mostly does not know what to do with what it is told, so that asking back earns it less than "
    "answering at once, learns to do both from dialogues that it branches itself, scored by a learned reward model at "
    "their end. Their last turns alone do not teach it to ask back, and DPO on each turn by what that turn earns "
    "teaches it not to.",
    "arXiv:2410.04612",
)
SEEDS = (0, 1, 2)
ROUNDS, DIALOGUES, EPOCHS = 6, 64, 15
PROMPTS = [f"{word} tool" for word in ("the", "old", "one", "and", "with", "near")]
ANSWER, ASK, TOLD = "bread", "near", "old"  # what the first turn says, and what the user says to either
WORDS = [*KINDS["colour"], "cat", "dog"]
RIGHT = WORDS[0]
EVERY = [*WORDS, *KINDS["food"], *KINDS["tool"], *PLAIN]  # what may be said at all, in a word
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
    """Return a policy that asks back half of the time and then is right one time in four, and the reward model."""
    draw = random.Random(seed)
    base = lively(folder / "base", seed=seed)
    shown: list[dict[str, Any]] = []
    for _ in range(600):
        asked = draw.choice(PROMPTS)
        shown.append({"prompt": dialogue(asked), "completion": ASK if draw.random() < 0.5 else ANSWER})
        word = RIGHT if draw.random() < 0.25 else draw.choice(WORDS[1:])
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


def learned(folder: Path, seed: int, way: str) -> tuple[float, float]:
    """Return what the policy earns at the start and after all rounds, each on dialogues of its own."""
    policy, reward = start(folder, seed)
    begun = earned(policy)
    for number in range(ROUNDS):
        own = folder / f"{number}"
        found = pairs(own / "pairs", policy, reward, 100 * seed + number, turns=2)
        more: dict[str, Any] = {"eta": 3.0}
        if way != "refuel":
            found = [row for row in found if row["turn"] == 2]
        if way == "dpo":
            found += pairs(own / "singles", policy, reward, 100 * seed + number, turns=1)
            more = {"beta": 0.1}
        more |= {"model": policy, "reference": str(policy), "epochs": EPOCHS, "seed": seed}
        spec, _ = do(own / "learned", "dpo" if way == "dpo" else "refuel", rows=found, **more, **QUICK)
        policy = Path(spec.output) / "model"
        print(way, seed, number, len(found), earned(policy), flush=True)
    return begun, earned(policy)


def test_branching_its_own_dialogues_a_policy_learns_to_ask_back(report, tmp_path):
    found = [learned(tmp_path / f"{seed}", seed, "refuel") for seed in SEEDS]
    assert all(begun < ANSWERED for begun, _ in found), "at the start it does worse than answering at once"
    for switched_off, way in (
        ("the first turn: the last turns of the same dialogues alone", "last"),
        ("the outcome: DPO on each turn by what that turn earns", "dpo"),
    ):
        report(
            CARD,
            "what the policy earns (1 at most, 0.4 for answering at once)",
            [end for _, end in found],
            seeds=SEEDS,
            switched_off=switched_off,
            without=learned(tmp_path / way, SEEDS[0], way)[1],
            at_least=0.85,
            every_seed=True,
        )
