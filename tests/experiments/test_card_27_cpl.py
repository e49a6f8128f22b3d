"""Card 27: from preferences between segments of a walk to the best policy, without a reward and without a model."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.experiments.frame import Card
from training.core.losses.cpl import cpl

CARD = Card(
    27,
    "Contrastive preference learning",
    "In a chain of eight states, pairs of segments walked at random and told apart by their regret make the best "
    "policy there is; told apart by what they earned they do not.",
    "arXiv:2310.13639",
)
SEEDS = (0, 1, 2)
STATES, GOAL, STEP, GAMMA, ALPHA, LENGTH, PAIRS = 8, 1.0, -0.02, 0.9, 0.1, 4, 4000


def move(state: np.ndarray, action: np.ndarray) -> np.ndarray:
    """Return the next state: action 1 goes right, 0 left; the last state is the goal and keeps."""
    following = np.clip(state + np.where(action == 1, 1, -1), 0, STATES - 1)
    return np.where(state == STATES - 1, state, following)


def reward(state: np.ndarray, action: np.ndarray) -> np.ndarray:
    """Return what a step earns: 1 for reaching the goal, a small price for any other, nothing at the goal."""
    reached = (move(state, action) == STATES - 1) & (state != STATES - 1)
    return np.where(state == STATES - 1, 0.0, np.where(reached, GOAL, STEP))


def best() -> tuple[np.ndarray, np.ndarray]:
    """Return the advantages (S, 2) of the policy that is best with entropy at α, and that policy, e^{A/α}."""
    states, actions = np.meshgrid(np.arange(STATES), np.arange(2), indexing="ij")
    values = np.zeros(STATES)
    for _ in range(500):
        q = reward(states, actions) + GAMMA * values[move(states, actions)]
        values = ALPHA * np.log(np.exp((q - q.max(1, keepdims=True)) / ALPHA).sum(1)) + q.max(1)
        values[-1] = 0.0
    advantages = q - values[:, None]
    return advantages, np.exp(advantages / ALPHA)


def distance(seed: int, *, by_regret: bool) -> float:
    """Return the mean total variation between the policy learned and the best one, over the states before the goal."""
    draw = np.random.default_rng(seed)
    advantages, optimum = best()
    state = draw.integers(0, STATES - 1, size=(PAIRS, 2))
    visited, taken, worth = [], [], np.zeros((PAIRS, 2))
    for _ in range(LENGTH):
        action = draw.integers(0, 2, size=state.shape)
        there = state != STATES - 1
        told = advantages[state, action] if by_regret else reward(state, action)
        worth += told * there
        visited.append(np.where(there, state, -1))
        taken.append(action)
        state = move(state, action)
    share = torch.tensor(1 / (1 + np.exp(worth[:, 1] - worth[:, 0])))  # of people who prefer the first
    s, a = torch.tensor(np.stack(visited, -1)), torch.tensor(np.stack(taken, -1))
    logits = torch.zeros(STATES, 2, requires_grad=True)
    optimizer = torch.optim.Adam([logits], lr=0.05)
    for _ in range(400):
        optimizer.zero_grad()
        logps = logits.log_softmax(-1)[s.clamp(min=0), a] * (s >= 0)
        first, second = logps.sum(-1).unbind(1)
        loss = share * cpl(first, second, alpha=ALPHA, bias=1.0) + (1 - share) * cpl(
            second, first, alpha=ALPHA, bias=1.0
        )
        loss.mean().backward()
        optimizer.step()
    found = logits.detach().softmax(-1).numpy()[:-1]
    return float(np.abs(found - optimum[:-1] / optimum[:-1].sum(1, keepdims=True)).sum(1).mean() / 2)


@pytest.mark.experiment
def test_regret_makes_the_best_policy(report):
    report(
        CARD,
        "distance (total variation) from the best policy",
        [distance(seed, by_regret=True) for seed in SEEDS],
        seeds=SEEDS,
        switched_off="regret: told apart by what they earned",
        without=[distance(seed, by_regret=False) for seed in SEEDS],
        at_most=0.05,
    )
