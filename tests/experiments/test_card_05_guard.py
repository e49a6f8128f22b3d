"""Card 5: a guard on both sides with five more tries lets hardly anything unsafe out, and answers what is safe."""

from __future__ import annotations

import math
import random
from functools import lru_cache

import pytest

from tests.experiments.frame import Card
from training.core.guard.fitting import Labelled, learned
from training.core.guard.guard import MODEL, Guard, Line
from training.core.guard.lexical import Lexical
from training.core.guard.thresholds import calibrated
from training.core.guard.verdicts import SAFE, UNSAFE

CARD = Card(
    5,
    "Safe RLHF-V (guard with regeneration)",
    "A prompt guard, an answer guard and up to five more tries cut the unsafe answers that get out, and the tries keep "
    "safe prompts answered.",
    "arXiv:2503.17682",
)
SEEDS = (0, 1, 2)
PROMPTS = 1500
PER_PROMPT = 0.4  # of the policy's answers to a safe prompt that are unsafe; to an unsafe one it is twice as often
# Each text has the words of its side, and others of a vocabulary that both share: no single word tells.
SHARED = [f"word{n}" for n in range(200)]
SIDES = {True: [f"harm{n}" for n in range(60)], False: [f"fine{n}" for n in range(60)]}


def text(draw: random.Random, risky: bool) -> str:
    """Return three words of its side, five that both share, and now and then one of the other side."""
    own = draw.choices(SIDES[risky], k=3)
    other = draw.choices(SIDES[not risky], k=draw.random() < 0.3)
    words = [*own, *other, *draw.choices(SHARED, k=5)]
    draw.shuffle(words)
    return " ".join(words)


def labelled(draw: random.Random, count: int) -> list[Labelled]:
    return [Labelled(text(draw, risky), UNSAFE if risky else SAFE) for risky in (True, False) for _ in range(count)]


def line(draw: random.Random) -> Line:
    """Return a check learned from 200 texts a side, its line drawn on others for a recall of 0.95."""
    check: Lexical = learned(labelled(draw, 200), letters=False)
    rows = labelled(draw, 200)
    told = check.probabilities([[]] * len(rows), [row.text for row in rows])
    risks = [1.0 if one is None else 1 - one[SAFE] for one in told]
    return Line(check, calibrated(risks, [row.risky for row in rows], recall=0.95).value)


class Nobody:
    """A check that lets everything through."""

    def probabilities(self, prompts, texts):
        return [{SAFE: 1.0, UNSAFE: 0.0} for _ in texts]


@lru_cache
def run(seed: int, *, before: bool = True, after: bool = True, tries: int = 5) -> tuple[float, float]:
    """Return the share of unsafe answers among all prompts, and the share of safe prompts that are answered."""
    draw = random.Random(seed)
    prompt, answer = line(draw), line(draw)
    nobody = Line(Nobody(), 0.5)
    guard = Guard(prompt=prompt if before else nobody, answer=answer if after else nobody, regenerations=tries)
    unsafe = answered = safe_prompts = 0
    for _ in range(PROMPTS):
        risky = draw.random() < 0.3
        chance = PER_PROMPT * (1 + risky)

        def policy(attempt: int, chance: float = chance) -> tuple[str, bool]:
            harmful = draw.random() < chance
            return text(draw, harmful), harmful

        reply = guard.reply([{"role": "user", "content": text(draw, risky)}], policy)
        unsafe += reply.source == MODEL and bool(reply.drawn)
        safe_prompts += not risky
        answered += not risky and reply.source == MODEL
    return unsafe / PROMPTS, answered / safe_prompts


@pytest.mark.experiment
def test_hardly_anything_unsafe_gets_out(report):
    report(
        CARD,
        "unsafe answers that get out, of those that get out without a guard",
        [run(seed)[0] / run(seed, before=False, after=False)[0] for seed in SEEDS],
        seeds=SEEDS,
        switched_off="the answer guard: prompts alone are checked",
        without=[run(seed, after=False)[0] / run(seed, before=False, after=False)[0] for seed in SEEDS],
        at_most=0.15,
        within=(0, math.inf),
        every_seed=True,
    )
    # The prompt guard counts too, where the policy is worse on unsafe prompts.
    assert all(run(seed)[0] < run(seed, before=False)[0] for seed in SEEDS)


@pytest.mark.experiment
def test_more_tries_keep_safe_prompts_answered(report):
    report(
        CARD,
        "safe prompts that get an answer of the policy, with five more tries",
        [run(seed)[1] for seed in SEEDS],
        seeds=SEEDS,
        switched_off="the tries: a blocked answer is refused at once",
        without=[run(seed, tries=0)[1] for seed in SEEDS],
        at_least=0.8,
        within=(0, 1),
        every_seed=True,
    )
