"""Card 39 inside reinforcement learning: who is known by eight choices gets a policy that gives what this person wants.

Two groups want the opposite: words of colours and not of animals, or the other way round. All runs are the product's.
A reward model for people learns from many of both groups, on a plain one that knows words but nobody. It reads eight
choices of each newcomer without learning from them, and a tiny Llama learns by its scores for that person (`person` of
a run). The other policy learns from what the same model says of somebody unknown, the mean over everybody it imagines.

Rewards are the chance of being preferred to the start's answers (the paper's scaling, which is that of card 34). By the
raw score one policy in six found words run together, which no pair had and the model paid for as if they were colours.
"""

from __future__ import annotations

import random
from functools import lru_cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest

from tests.core.worlds import write_lines
from tests.experiments.frame import Card
from tests.experiments.world import KINDS, PLAIN, Annotator, fitted, lively, sampled

CARD = Card(
    39,
    "Policies for people (VPL)",
    "A policy that is rewarded as one person would reward it gives that person what they want, whichever of two "
    "opposite groups they are of; one that is rewarded by what people want on average fails one of them.",
    "arXiv:2408.10075",
)
SEEDS = (0, 1, 2)
GROUPS = ("colour", "animal")
PEOPLE, KNOWN, ASKED = 200, 8, 4
NEWCOMERS = 2  # of each group

pytestmark = pytest.mark.experiment


def asked(draw: random.Random, *among: str) -> str:
    words = [draw.choice(PLAIN) for _ in range(3)] + list(among)
    draw.shuffle(words)
    return " ".join(words)


def said(draw: random.Random, share: float) -> str:
    """Return an answer of which about that share of the words are of colours and the others of animals."""
    count = draw.randint(3, 5)
    return " ".join(draw.choice(KINDS[GROUPS[draw.random() >= share]]) for _ in range(count))


def worth(text: str, group: str) -> float:
    """Return the share of an answer's words that somebody of a group wants."""
    words = text.split()
    return sum(word in KINDS[group] for word in words) / max(len(words), 1)


def pair(draw: random.Random, prompt: str, group: str, judge: Annotator) -> dict[str, Any]:
    while True:
        one, other = (said(draw, draw.random()) for _ in range(2))
        if gap := worth(one, group) - worth(other, group):
            break
    chosen, rejected = (one, other) if judge.prefers_first(gap) else (other, one)
    return {"prompt": prompt, "chosen": chosen, "rejected": rejected, "strength": 1.0}


def person(draw: random.Random, name: str, group: str, judge: Annotator) -> dict[str, Any]:
    pairs = [pair(draw, f"{asked(draw)} {number}", group, judge) for number in range(KNOWN + ASKED)]
    return {"annotator": name, "context": pairs[:KNOWN], "target": pairs[KNOWN:]}


@lru_cache
def made(seed: int) -> tuple[Path, Path]:
    """Return the policy that is to learn and the reward model for people."""
    root, draw, judge = Path(mkdtemp()), random.Random(f"world {seed}"), Annotator(seed=seed)
    base = lively(root / "base", seed=seed)
    # As a prompt asks, so that both kinds are known and neither is preferred.
    plain = [pair(draw, asked(draw, group), group, judge) for group in GROUPS * 1200]
    knows = {"rows": plain, "epochs": 3, "learning_rate": 2e-3, "seed": seed}
    words = fitted(root / "words", "bradley-terry", model=base, batch=32, **knows)
    many = [person(draw, f"known {number}", GROUPS[number % 2], judge) for number in range(PEOPLE)]
    new = [person(draw, newcomer(group, n), group, judge) for group in GROUPS for n in range(NEWCOMERS)]
    newcomers = write_lines(root / "newcomers.jsonl", new)
    learns = {"rows": many, "epochs": 10, "learning_rate": 3e-3, "latent_size": 4, "seed": seed}
    people = fitted(root / "people", "latent-user", model=words, batch=10, eval_data=str(newcomers), **learns)
    rows = [{"prompt": asked(draw), "completion": said(draw, 0.5)} for _ in range(1000)]
    start = fitted(root / "start", "sft", model=base, batch=32, rows=rows, epochs=2, learning_rate=3e-3, seed=seed)
    return start, people


def newcomer(group: str, number: int) -> str:
    return f"new, {group}, {number}"


def gold(policy: Path, group: str) -> float:
    """Return what answers to fresh prompts are worth to somebody of a group."""
    draw = random.Random("fresh")
    told = sampled(policy, [asked(draw) for _ in range(200)], longest=8)
    return sum(worth(text, group) for text in told) / len(told)


def improved(seed: int, who: str) -> Path:
    """Return what a policy becomes that is rewarded as this person would; as somebody unknown where it is nobody."""
    start, people = made(seed)
    draw = random.Random(f"asked {seed}")
    rows = [{"id": str(number), "prompt": asked(draw)} for number in range(320)]
    knobs = {"iterations": 30, "prompts_per_iteration": 16, "samples_per_prompt": 4, "max_new_tokens": 8}
    knobs |= {"learning_rate": 2e-3, "missing_end_penalty": 1.0, "kl": 0.02, "person": who, "seed": seed}
    more: dict[str, Any] = {"parts": {"shape": "preference"}, "scorers": {"reward": str(people)}}
    return fitted(Path(mkdtemp()), "rloo", model=start, batch=64, rows=rows, **more, **knobs)


def test_each_of_two_groups_gets_what_it_wants(report):
    before, found, without = [], [], []
    for seed in SEEDS:
        before.append([gold(made(seed)[0], group) for group in GROUPS])
        served = [gold(improved(seed, newcomer(group, n)), group) for group in GROUPS for n in range(NEWCOMERS)]
        for_all = improved(seed, "")
        mean = [gold(for_all, group) for group in GROUPS]
        print(seed, before[-1], served, mean, flush=True)
        found.append(min(served))
        without.append(min(mean))
    assert max(map(max, before)) <= 0.6, "nothing is learned where it is known before"
    assert max(without) <= 0.5
    report(
        CARD,
        f"share of words that newcomers want in the answers of their policies, of {2 * NEWCOMERS} the one served worst",
        found,
        seeds=SEEDS,
        switched_off="knowing the person: the mean over everybody, the group served worse",
        without=without,
        at_least=0.8,
        every_seed=True,
    )
