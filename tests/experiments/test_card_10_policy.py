"""Card 10, its policy: paid for plain words it loses what a text says, unless there is a judge of meaning.

The world is the card's: 20 hard words with an easy synonym each, 30 content words, 10 fillers, 12 words a text, and a
policy that is a table of what is written for each word. It begins with what makes the shortcut reachable: a copy, but a
quarter of the time an easy word stands where any word was. As in the card the discriminator weighs words, each by
itself: the head, the loss and the pooling of `style-discriminator` on words in place of a model's states. That is what
pays for the shortcut. A tiny Llama as discriminator, which reads the text, gives nothing for further easy words once no
hard one is left (log-odds 3.01 of a true rewrite, 2.97 of easy words alone): by that one the policy gains nothing by
losing the meaning, and lost four content words in ten. The judge of meaning is exact here, and no model that was
trained.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from tests.experiments.frame import Card
from tests.experiments.tables import TablePolicy, climb
from tests.experiments.world import learn, reward_on
from training.core.backbone import RewardModel
from training.core.batch import LossOutput, Tokens
from training.core.heads import LogitHead
from training.core.losses.discriminator import discriminator
from training.core.losses.sft import nll
from training.core.policy import token_logps
from training.core.rollout import Models
from training.recipes.assembled import assembled

CARD = Card(
    10,
    "rewriting policy by a discriminator",
    "A policy that is paid for what looks rewritten writes easy words in place of hard ones; without a judge of "
    "meaning it writes them in place of all others too, and is paid more for it. With one it makes "
    "more of 50 rewritten texts than imitation does, as it learns on texts that nobody rewrote.",
    "arXiv:2401.15043",
)
SEEDS = (0, 1, 2)
HARD, EASY, CONTENT, FILLERS = range(20), range(20, 40), range(40, 70), range(70, 80)  # the easy word of hard h: h + 20
WORDS, PLACES, PROMPTS, DRAWN, UPDATES, FEW = 80, 12, 32, 8, 400, 50

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
        states = one_hot(self.texts[input_ids[:, :1], place], WORDS).float()
        return type("Output", (), {"logits": self.output(states)})()


def start() -> Tensor:
    """Return logits (words, words) of a copy in 70 of 100, an easy word in 25, and any word in 5."""
    chances = torch.full((WORDS, WORDS), 0.05 / WORDS)
    chances[:, EASY] += 0.25 / len(EASY)
    return (chances + 0.7 * torch.eye(WORDS)).log()


def is_content(words: Tensor) -> Tensor:
    return (words >= CONTENT[0]) & (words <= CONTENT[-1])


def originals(count: int, draw: random.Random) -> Tensor:
    """Return texts (count, places) of 3 hard words, 5 content words and 4 fillers."""
    texts = [draw.choices(HARD, k=3) + draw.choices(CONTENT, k=5) + draw.choices(FILLERS, k=4) for _ in range(count)]
    return torch.tensor([draw.sample(words, PLACES) for words in texts])


def rewritten(texts: Tensor) -> Tensor:
    return torch.where(texts < len(HARD), texts + len(HARD), texts)


def told_apart(texts: Tensor, seed: int) -> RewardModel:
    """Return the discriminator of these texts and their rewrites."""
    model = reward_on(np.eye(WORDS), LogitHead(WORDS))
    model.pooling = "mean"

    def both(model: RewardModel, words: tuple[Tensor, Tensor], loss) -> LossOutput:
        after, before = (log_odds(model, side) for side in words)
        losses = loss(after, before, torch.ones(len(after)))
        return LossOutput(losses, torch.ones_like(losses), {})

    learn(
        model,
        both,
        discriminator,
        lambda rows: (rewritten(texts[rows]), texts[rows]),
        len(texts),
        epochs=40,
        rate=0.3,
        seed=seed,
    )
    return model.requires_grad_(False)


def log_odds(model: RewardModel, answers: Tensor) -> Tensor:
    return model.outputs(answers, torch.ones_like(answers))[:, 0]


def imitated(texts: Tensor, epochs: int, seed: int) -> Tensor:
    """Return logits of the start after supervised training on the rewrites of these texts."""
    torch.manual_seed(seed)
    policy = Rewriter(start(), texts)
    optimizer = torch.optim.Adam(policy.parameters(), lr=0.1)
    ids = torch.cat([torch.arange(len(texts)).unsqueeze(1), rewritten(texts)], 1)
    mask = torch.ones_like(ids, dtype=torch.bool)
    mask[:, 0] = False
    for _ in range(epochs):
        for rows in torch.randperm(len(texts)).split(10):
            tokens = Tokens(ids[rows], torch.ones_like(ids[rows]), mask[rows])
            optimizer.zero_grad()
            nll(token_logps(policy, tokens), tokens.completion_mask).mean().backward()
            optimizer.step()
    return policy.output.weight.detach().T.clone()


@dataclass(frozen=True)
class Written:
    """What a policy writes."""

    hard: float  # share of hard words in it
    kept: float  # share of the content words that are still there
    right: float  # share of texts with no hard word and all content words
    log_odds: float  # mean, by the discriminator


def written(table: Tensor, model: RewardModel, seed: int) -> Written:
    """Return what a policy writes of 200 new texts."""
    texts = originals(200, random.Random(f"new {seed}"))
    hard = table[:, HARD].sum(1)
    good = torch.where(is_content(torch.arange(WORDS)), table.diagonal(), 1 - hard)
    answers = torch.multinomial(table[texts].flatten(0, 1), 1, generator=torch.Generator().manual_seed(seed))
    return Written(
        float(hard[texts].mean()),
        float(table.diagonal()[texts[is_content(texts)]].mean()),
        float(good[texts].prod(1).mean()),
        float(log_odds(model, answers.view(-1, PLACES)).mean()),
    )


def improved(
    logits: Tensor, model: RewardModel, seed: int, *, judged: bool, paid: bool = True, updates: int = UPDATES
) -> Tensor:
    """Return the table of a policy that began with these logits and was trained on texts that nobody rewrote.

    Not `paid`, an answer earns what the discriminator says of another one.
    """
    texts = originals(PROMPTS, random.Random(f"policy {seed}"))

    def score(asked: Tensor, answers: Tensor) -> dict[str, Tensor]:
        lost = (is_content(texts[asked]) & (answers != texts[asked])).sum(1)
        found = log_odds(model, answers)
        return {"reward": found if paid else found.roll(1 + DRAWN), "cost": lost.float() - 0.5}

    found = assembled("rloo", {"shape": "preference", **({"constrain": "judges"} if judged else {})})
    knobs = {"reward_scale": 0.2, "kl": 0.002} | ({"judged_cost": 0.0, "min_words": 0} if judged else {})
    parts = found.parts_with(found.fill(knobs))
    parts.pop("trainer")
    policy = Rewriter(logits, texts)
    models = Models(policy, reference=Rewriter(logits, texts).requires_grad_(False))
    climb(
        models,
        score,
        *parts.values(),
        prompts=PROMPTS,
        n=DRAWN,
        iterations=updates,
        rate=0.1,
        seed=seed,
        references=4,
    )
    return policy.table


def test_easy_words_and_the_same_meaning(report):
    models = [told_apart(originals(200, random.Random(f"pairs {seed}")), seed) for seed in SEEDS]

    def policy(seed: int, **how: bool) -> Written:
        return written(improved(start(), models[seed], seed, **how), models[seed], seed)

    judged = [policy(seed, judged=True) for seed in SEEDS]
    alone = [policy(seed, judged=False) for seed in SEEDS]
    unpaid = policy(SEEDS[0], judged=True, paid=False)
    report(
        CARD,
        "share of hard words in what the policy writes of new texts",
        [one.hard for one in judged],
        seeds=SEEDS,
        switched_off="the reward: what is said of another answer",
        without=unpaid.hard,
        at_most=0.05,
        every_seed=True,
    )
    report(
        CARD,
        "content words that it keeps, under a judge of meaning",
        [one.kept for one in judged],
        seeds=SEEDS,
        switched_off="the judge of meaning",
        without=[one.kept for one in alone],
        at_least=0.95,
        every_seed=True,
    )
    report(
        CARD,
        "content words that it keeps without a judge, of 0.7 at the start",
        [one.kept for one in alone],
        seeds=SEEDS,
        switched_off="the shortcut: a judge of meaning is there",
        without=[one.kept for one in judged],
        at_most=0.6,
        every_seed=True,
    )
    report(
        CARD,
        "the discriminator's log-odds without a judge above those with one",
        [one.log_odds - other.log_odds for one, other in zip(alone, judged, strict=True)],
        seeds=SEEDS,
        switched_off="the reward: what is said of another answer",
        without=unpaid.log_odds - judged[0].log_odds,
        at_least=3.0,
        every_seed=True,
    )


def test_texts_that_nobody_rewrote_add_to_fifty_that_people_did(report):
    """Imitation goes over the pairs 20 times. Gone over 80 times it comes nearer: 0.99 of the texts on one seed."""
    before, after, unpaid = [], [], []
    for seed in SEEDS:
        texts = originals(FEW, random.Random(f"few {seed}"))
        model, logits = told_apart(texts, seed), imitated(texts, 20, seed)
        before.append(written(logits.softmax(-1), model, seed).right)
        after.append(written(improved(logits, model, seed, judged=True, updates=150), model, seed).right)
        if seed == SEEDS[0]:
            table = improved(logits, model, seed, judged=True, paid=False, updates=150)
            unpaid.append(written(table, model, seed).right - before[0])
    report(
        CARD,
        "share of new texts without a hard word and with all content, by imitating 50 pairs and RL",
        after,
        seeds=SEEDS,
        switched_off="RL: imitation alone",
        without=before,
        at_least=0.95,
        every_seed=True,
    )
    report(
        CARD,
        "that share by imitation and RL above that by imitation alone",
        [one - other for one, other in zip(after, before, strict=True)],
        seeds=SEEDS,
        switched_off="the reward: what is said of another answer",
        without=unpaid,
        at_least=0.03,
        every_seed=True,
    )
