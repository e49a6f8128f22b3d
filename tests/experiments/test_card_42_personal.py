"""Card 42: a soft prompt for each person lets one policy answer two groups that want the opposite."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.metrics import adjusted_rand_score
from torch import Tensor, nn

from tests.experiments.frame import Card
from tests.experiments.world import learn
from training.core.batch import LossOutput, Pairs, Tokens
from training.core.losses.dpo import dpo
from training.core.objectives import pair_logratios, personal_pairs
from training.core.personal import UserTokens

CARD = Card(
    42,
    "Personalised RLHF (P-RLHF)",
    "Two groups of people want the opposite. One policy with a soft prompt for each person answers each as they "
    "prefer, where the same policy without is right about half of the pairs; a mixture of two finds the groups.",
    "arXiv:2402.05133",
)
SEEDS = (0, 1, 2)
USERS, WIDE, ANSWERS, ASKED, OPENING = 20, 6, 200, 50, 0
LOSS = partial(dpo, beta=0.5, label_smoothing=0.0)
PLAIN = partial(pair_logratios, annotator_weights=False, per_token=False, likelihood_weight=0.0)

pytestmark = pytest.mark.experiment


class LogLinear(nn.Module):
    """In place of a language model: log π(y) = φ(y)·h up to a constant, where h is a bias and what was read so far.

    Ordinary tokens embed to nothing, so that only a user's tokens change what is said.
    """

    def __init__(self, features: np.ndarray) -> None:
        super().__init__()
        count, width = features.shape
        self.table = nn.Embedding.from_pretrained(torch.zeros(count, width))
        self.bias = nn.Parameter(torch.zeros(width))
        self.output = nn.Linear(width, count, bias=False)
        self.output.weight = nn.Parameter(torch.tensor(features, dtype=torch.float32), requires_grad=False)

    def get_input_embeddings(self) -> nn.Module:
        return self.table

    def get_output_embeddings(self) -> nn.Module:
        return self.output

    def forward(self, input_ids: Tensor, attention_mask: Tensor, use_cache: bool) -> SimpleNamespace:
        return SimpleNamespace(logits=self.output(self.bias + self.table(input_ids).cumsum(1)))


class World:
    """People of two groups whose wants are opposite, with choices by Bradley and Terry, four times the gap, and more.

    Those to be told right are sharp. All are pairs of the same answers, as a campaign's are.
    """

    def __init__(self, seed: int, pairs: int, *, shuffled: bool = False) -> None:
        draw = np.random.default_rng(seed)
        want = draw.normal(size=WIDE)
        self.group = draw.permutation(np.arange(USERS) % 2)
        features = draw.normal(size=(ANSWERS, WIDE))
        per = pairs + ASKED
        two = np.stack([[draw.permutation(ANSWERS)[:2] for _ in range(per)] for _ in range(USERS)])
        points = features[two]
        gaps = (points[:, :, 0] - points[:, :, 1]) @ want * np.where(self.group == 0, 1.0, -1.0)[:, None]
        first = draw.random((USERS, per)) < 1 / (1 + np.exp(-4 * gaps))
        first[:, pairs:] = gaps[:, pairs:] > 0
        two = np.where(first[..., None], two, two[..., ::-1]).reshape(-1, 2)
        number = np.arange(USERS * per).reshape(USERS, per)
        self.train, self.asked = number[:, :pairs].ravel(), number[:, pairs:].ravel()
        self.features = np.concatenate([np.zeros((1, WIDE)), features])  # the first one opens texts
        self.answers, self.whose = 1 + two, np.repeat(np.arange(USERS), per)
        if shuffled:
            self.whose[self.train] = draw.permutation(self.whose[self.train])

    def batch(self, rows: np.ndarray) -> Pairs:
        answers = torch.tensor(self.answers[rows].T.ravel())
        ids = torch.stack([torch.full_like(answers, OPENING), answers], 1)
        tokens = Tokens(ids, torch.ones_like(ids), torch.tensor([False, True]).expand(len(ids), 2))
        return Pairs(
            tokens,
            torch.ones(len(rows)),
            # The start knows no preference: all answers are equally likely to it.
            reference_logps=torch.full((2 * len(rows),), -float(np.log(len(self.features)))),
            extra={"row": torch.tensor(rows), "user": torch.tensor(self.whose[rows])},
        )


@lru_cache
def trained(seed: int, pairs: int, *, plain: bool = False, clusters: int = 0, shuffled: bool = False):
    """Return the world, a policy that learned in it, and its users; `plain` is DPO on the same pairs without users."""
    world = World(seed, pairs, shuffled=shuffled)
    torch.manual_seed(seed)
    model = LogLinear(world.features)
    shared = torch.randn(clusters, 1, WIDE) * 0.1 if clusters else torch.zeros(1, WIDE)
    own = torch.zeros(USERS, clusters) if clusters else torch.zeros(USERS, 1, WIDE)
    users = UserTokens([str(n) for n in range(USERS)], shared, own, opening=[OPENING])
    users.pairs = torch.full((USERS,), float(pairs))
    objective: Callable[..., LossOutput] = PLAIN
    if not plain:
        users.attach(model)
        objective = partial(personal_pairs, alpha=0.5, user_penalty=0.1, text_alone=0.5, annotator_weights=False)

    def batch(rows: np.ndarray) -> Pairs:
        return world.batch(world.train[rows])

    count = len(world.train)
    learn(model, objective, LOSS, batch, count, epochs=300, rate=0.05, seed=seed, size=count)
    return world, model, users


def rights(seed: int, pairs: int, *, plain: bool = False) -> torch.Tensor:
    """Return the share of fresh pairs that the policy puts right, of each user, (USERS,)."""
    world, model, _ = trained(seed, pairs, plain=plain)
    objective = partial(personal_pairs, alpha=0.5, user_penalty=0.0, text_alone=0.5, annotator_weights=False)
    with torch.no_grad():
        found = (PLAIN if plain else objective)(model, world.batch(world.asked), LOSS)
    return found.metrics["accuracy"].view(USERS, -1).mean(1)


@pytest.mark.parametrize(("pairs", "bound"), [(30, 0.85), (60, 0.9)])
def test_each_person_is_answered_as_they_prefer(report, pairs, bound):
    plain = [float(rights(seed, pairs, plain=True).mean()) for seed in SEEDS]
    each = [rights(seed, pairs) for seed in SEEDS]
    worst = [float(one.sort().values[: USERS // 10].mean()) for one in each]
    print(f"worst tenth of the people: {worst}")
    report(
        CARD,
        f"accuracy on fresh pairs of 20 people, {pairs} pairs of each learned from",
        [float(one.mean()) for one in each],
        seeds=SEEDS,
        switched_off="the soft prompts: plain DPO on the same pairs",
        without=plain,
        at_least=bound,
        every_seed=True,
    )
    assert max(plain) <= 0.6 and min(worst) > max(plain)


def test_a_mixture_of_two_soft_prompts_finds_the_groups(report):
    def found(seed: int, *, shuffled: bool = False) -> float:
        world, _, users = trained(seed, 30, clusters=2, shuffled=shuffled)
        return float(adjusted_rand_score(world.group, users.own.detach().argmax(1)))

    report(
        CARD,
        "adjusted Rand index of the mixture's groups with the true ones",
        [found(seed) for seed in SEEDS],
        seeds=SEEDS,
        switched_off="who judged what: names shuffled over the pairs",
        without=[found(seed, shuffled=True) for seed in SEEDS],
        at_least=0.9,
        every_seed=True,
    )
