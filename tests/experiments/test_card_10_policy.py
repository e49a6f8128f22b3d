"""Card 10, its policy: paid for plain words it loses what a text says, unless there is a judge of meaning.

As in the card the policy is a table of what is written for each word, learned on texts that nobody rewrote. It begins
with what makes the shortcut reachable: a copy, but a quarter of the time an easy word stands where any word was.
The judge of meaning is exact here, and no model that was trained.

The card's third figure, at most 0.6 of the content words kept without the judge, is met on one of two seeds only (0.585
and 0.618 of 0.7 at the start), and what is written then pays no more. The card's discriminator adds up its words; ours
reads the text, and once no hard word is left, further easy ones are worth nothing to it. So the policy has no gain by
losing the meaning here, but nothing to lose by it either.
"""

from __future__ import annotations

import random
from functools import lru_cache
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from tests.experiments.frame import Card
from tests.experiments.tables import TablePolicy, climb
from tests.experiments.test_card_10_discriminator import ASK, CONTENT, EASY, FILLERS, HARD, original, trained
from training.core.rollout import Models
from training.core.scorers import RewardScorer
from training.recipes.assembled import assembled

CARD = Card(
    10,
    "rewriting policy by a discriminator",
    "A policy that is paid for what looks rewritten writes easy words in place of hard ones; a judge of meaning has it "
    "keep all others, of which it loses four in ten without one.",
    "arXiv:2401.15043",
)
SEEDS = (0, 1)
WORDS = [*HARD, *EASY, *CONTENT, *FILLERS]
NUMBER = {word: number for number, word in enumerate(WORDS)}
PLACES, PROMPTS, DRAWN, UPDATES = 12, 16, 8, 250

pytestmark = pytest.mark.experiment


class Rewriter(TablePolicy):
    """A table (words, words) of what is written for each word, for texts (prompts, places) of words."""

    def __init__(self, logits: Tensor, texts: Tensor) -> None:
        super().__init__(logits, places=PLACES)
        self.texts = texts

    @property
    def probabilities(self) -> Tensor:
        return self.table[self.texts]

    @property
    def table(self) -> Tensor:
        """(words, words): how likely each is written for each."""
        return self.output.weight.detach().T.softmax(-1)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, use_cache: bool = False):
        place = torch.arange(input_ids.shape[1]).clamp(max=PLACES - 1)
        states = one_hot(self.texts[input_ids[:, :1], place], len(WORDS)).float()
        return type("Output", (), {"logits": self.output(states)})()


def start() -> Tensor:
    """Return logits (words, words) of a copy in 70 of 100, an easy word in 25, and any word in 5."""
    chances = torch.full((len(WORDS), len(WORDS)), 0.05 / len(WORDS))
    chances[:, [NUMBER[word] for word in EASY]] += 0.25 / len(EASY)
    return (chances + 0.7 * torch.eye(len(WORDS))).log()


@lru_cache
def discriminator(folder: Path, seed: int) -> RewardScorer:
    return trained(folder / str(seed), seed)


def reached(folder: Path, seed: int, *, judged: bool, paid: bool = True) -> tuple[float, float, float]:
    """Return shares of hard words written and of content words kept, and the discriminator's mean logit.

    Not `paid`, an answer earns what the discriminator says of another one.
    """
    scorer, draw = discriminator(folder, seed), random.Random(f"policy {seed}")
    texts = torch.tensor([[NUMBER[word] for word in original(draw)] for _ in range(PROMPTS)])
    content = torch.zeros(len(WORDS), dtype=torch.bool)
    content[[NUMBER[word] for word in CONTENT]] = True

    def logits(answers: Tensor) -> Tensor:
        said = [" ".join(WORDS[one] for one in answer) for answer in answers.tolist()]
        return torch.tensor(scorer.score([ASK] * len(said), said))

    def score(asked: Tensor, answers: Tensor) -> dict[str, Tensor]:
        lost = (content[texts[asked]] & (answers != texts[asked])).sum(1)
        found = logits(answers)
        return {"reward": found if paid else found.roll(1 + DRAWN), "cost": lost.float() - 0.5}

    found = assembled("rloo", {"shape": "preference", **({"constrain": "judges"} if judged else {})})
    knobs = {"reward_scale": 0.2, "kl": 0.002} | ({"judged_cost": 0.0, "min_words": 0} if judged else {})
    parts = found.parts_with(found.fill(knobs))
    parts.pop("trainer")
    policy = Rewriter(start(), texts)
    models = Models(policy, reference=Rewriter(start(), texts).requires_grad_(False))
    more = {"n": DRAWN, "iterations": UPDATES, "rate": 0.1, "seed": seed, "references": 4}
    climb(models, score, *parts.values(), prompts=PROMPTS, **more)
    fresh = torch.tensor([[NUMBER[word] for word in original(draw)] for _ in range(200)])
    table = policy.table
    hard = table[:, : len(HARD)].sum(1)[fresh].mean()
    kept = table.diagonal()[fresh[content[fresh]]].mean()
    written = torch.multinomial(table[fresh].flatten(0, 1), 1, generator=torch.Generator().manual_seed(seed))
    found_last = float(hard), float(kept), float(logits(written.view(-1, PLACES)).mean())
    print(seed, judged, paid, found_last, flush=True)
    return found_last


def test_easy_words_and_the_same_meaning(report, tmp_path):
    judged = [reached(tmp_path, seed, judged=True) for seed in SEEDS]
    alone = [reached(tmp_path, seed, judged=False) for seed in SEEDS]
    unpaid = reached(tmp_path, SEEDS[0], judged=True, paid=False)
    report(
        CARD,
        "share of hard words in what the policy writes of new texts",
        [hard for hard, _, _ in judged],
        seeds=SEEDS,
        switched_off="the reward: what is said of another answer",
        without=unpaid[0],
        at_most=0.05,
        every_seed=True,
    )
    report(
        CARD,
        "content words that it keeps, under a judge of meaning",
        [kept for _, kept, _ in judged],
        seeds=SEEDS,
        switched_off="the judge of meaning",
        without=[kept for _, kept, _ in alone],
        at_least=0.95,
        every_seed=True,
    )
