"""Card 11: where a mistake asks for what no demonstration shows, imitation gets lost and learning online does not.

A round has five steps, each with its one right action, and begins anew. Whatever else is done leads off the track, as
does a slip, once in a hundred steps; one action leads back, which nobody who demonstrates needs. A policy is a table,
and a sequence is state, action, state, action: only the actions are the policy's. Losses, reward model, stages and
update are those that serve language models. The loop around them is this file's, as the product's has no world that
answers an action with a state.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from tests.experiments.test_card_11_inverse import CARD
from tests.experiments.world import learn, pairs_of, reward_on
from training.core.backbone import RewardModel
from training.core.batch import Tokens
from training.core.heads import ScalarHead
from training.core.losses.bradley_terry import bradley_terry
from training.core.losses.sft import nll
from training.core.objectives import pair_scores
from training.core.policy import completion_logits, token_logps
from training.core.rollout import Models, Rollout
from training.core.trainers.offline import called
from training.recipes.stages import GAE, FixedKL, PPOUpdate

STEPS, SLIP = 5, 0.01
LOST = BACK = STEPS  # the state off the track, and the action that leads back
STATES = ACTIONS = STEPS + 1
SEEDS = (0, 1, 2)
LENGTHS = (10, 20, 40)

pytestmark = pytest.mark.experiment


class StepPolicy(nn.Module):
    """Logits of the actions in each state, with the forward pass and the output layer of a language model."""

    def __init__(self) -> None:
        super().__init__()
        self.output = nn.Linear(STATES, ACTIONS, bias=False)
        nn.init.zeros_(self.output.weight)

    @property
    def chances(self) -> Tensor:
        """Of each action in each state, (states, actions)."""
        return self.output.weight.detach().T.softmax(-1)

    def get_output_embeddings(self) -> nn.Module:
        return self.output

    def forward(self, input_ids: Tensor, attention_mask: Tensor, use_cache: bool = False) -> SimpleNamespace:
        return SimpleNamespace(logits=self.output(one_hot(input_ids, STATES).float()))


class StepCritic(nn.Module):
    """A value for each state."""

    def __init__(self) -> None:
        super().__init__()
        self.values = nn.Parameter(torch.zeros(STATES))

    def forward(self, tokens: Tokens) -> Tensor:
        return self.values[tokens.input_ids].roll(1, 1) * tokens.completion_mask


@dataclass
class Walk:
    """B walks of T steps: the states in which something was done (B, T), what was done, and whether it led off."""

    states: Tensor
    actions: Tensor
    lost: Tensor

    @property
    def tokens(self) -> Tokens:
        ids = torch.stack([self.states, self.actions], 2).flatten(1)
        acted = (torch.arange(ids.shape[1]) % 2 == 1).expand_as(ids)
        return Tokens(ids, torch.ones_like(ids), acted)


def walk(chances: Tensor, *, walks: int, steps: int, slip: float, generator: torch.Generator) -> Walk:
    """Return walks by these chances of actions (states, actions), all from the round's beginning."""
    state = torch.zeros(walks, dtype=torch.long)
    found = []
    for _ in range(steps):
        action = torch.multinomial(chances[state], 1, generator=generator).squeeze(1)
        right = torch.where(state == LOST, action == BACK, action == state)
        following = torch.where(state == LOST, 0, (state + 1) % STEPS)
        slipped = torch.rand(walks, generator=generator) < slip
        after = torch.where(right & ~slipped, following, LOST)
        found.append((state, action, after == LOST))
        state = after
    return Walk(*(torch.stack(column, 1) for column in zip(*found, strict=True)))


def off_track(policy: StepPolicy, *, seed: int) -> list[float]:
    """Return the share of steps that ended off the track, in walks of each length."""
    generator = torch.Generator().manual_seed(1000 + seed)
    more = {"walks": 2000, "slip": SLIP, "generator": generator}
    return [float(walk(policy.chances, steps=steps, **more).lost.float().mean()) for steps in LENGTHS]


def imitating(demonstrations: Walk) -> StepPolicy:
    """Return a policy that imitates them until it does about 97 of 100 of their steps."""
    policy, tokens = StepPolicy(), demonstrations.tokens
    optimizer = torch.optim.Adam(policy.parameters(), lr=0.1)
    for _ in range(28):
        optimizer.zero_grad()
        nll(token_logps(policy, tokens), tokens.completion_mask).mean().backward()
        optimizer.step()
    return policy


def better_reward(reward: RewardModel, told: Walk, own: Walk, *, turned: bool, seed: int) -> None:
    """Have the reward learn which steps are people's and which the policy's own; half of them turned round, if so."""
    draw = np.random.default_rng(seed)
    steps = [(some.states * ACTIONS + some.actions).flatten().numpy() for some in (told, own)]
    theirs, ours = (draw.choice(one, 1000) for one in steps)
    if turned:
        theirs[::2], ours[::2] = ours[::2].copy(), theirs[::2].copy()

    def batch(rows: np.ndarray):
        return pairs_of(theirs[rows], theirs[rows], ours[rows], rows)

    objective = partial(pair_scores, annotator_weights=False)
    loss = partial(bradley_terry, strength_as="none", margin_scale=0.0)
    learn(reward, objective, loss, batch, len(theirs), epochs=1, rate=0.05, seed=seed, size=100)


def improved(imitated: StepPolicy, told: Walk, *, seed: int, turned: bool = False) -> StepPolicy:
    """Return the policy after rounds of walking, of learning a reward of each step, and of PPO on its own walks."""
    generator = torch.Generator().manual_seed(seed)
    policy, reference = StepPolicy(), StepPolicy().requires_grad_(False)
    policy.load_state_dict(imitated.state_dict())
    reference.load_state_dict(imitated.state_dict())
    models = Models(policy, critic=StepCritic(), reference=reference)
    reward = reward_on(np.eye(STATES * ACTIONS), ScalarHead(STATES * ACTIONS))
    charged, advantage, update = called(FixedKL(kl=0.01)), called(GAE(gamma=0.9)), called(PPOUpdate())
    optimizer = torch.optim.Adam(models.parameters(), lr=0.05)
    every = torch.arange(STATES * ACTIONS).unsqueeze(1)
    for number in range(60):
        own = walk(policy.chances, walks=64, steps=20, slip=SLIP, generator=generator)
        better_reward(reward, told, own, turned=turned, seed=seed * 100 + number)
        with torch.no_grad():
            of_step = reward.scores(every, torch.ones_like(every))
            rewards = of_step[own.states * ACTIONS + own.actions]
            rollout = charged(rolled(models, own))
        # The slot `kl` puts one reward on the last token; here each action has its own.
        by_token = torch.stack([torch.zeros_like(rewards), rewards], 2).flatten(1)
        rollout = advantage(replace(rollout, token_reward=rollout.token_reward + by_token))
        for _ in range(4):
            optimizer.zero_grad()
            out = update(models, rollout)
            ((out.loss * out.weight).sum() / out.weight.sum()).backward()
            optimizer.step()
    return policy


def rolled(models: Models, own: Walk) -> Rollout:
    """Return the walks as a rollout that nobody has rewarded yet."""
    tokens = own.tokens
    count = len(own.states)
    with models.at_reference() as reference:
        before = token_logps(reference, tokens)
    told = completion_logits(models.policy, tokens).log_softmax(-1)
    entropy = torch.zeros(tokens.input_ids.shape).masked_scatter(tokens.completion_mask, -(told.exp() * told).sum(-1))
    return Rollout(
        prompts=([],) * count,
        texts=("",) * count,
        tokens=tokens,
        group=torch.zeros(count, dtype=torch.long),
        ended=torch.ones(count, dtype=torch.bool),
        logps=token_logps(models.policy, tokens),
        entropy=entropy,
        reference_logps=before,
        values=None if models.critic is None else models.critic(tokens),
        reward=torch.zeros(count),
    )


def told_by(*, slip: float, seed: int) -> Walk:
    """Return what people do: the right action in every state, on 50 walks of 20 steps."""
    right = one_hot(torch.arange(STATES), ACTIONS).float()
    return walk(right, walks=50, steps=20, slip=slip, generator=torch.Generator().manual_seed(seed))


def test_imitation_gets_worse_with_length_and_online_learning_does_not(report):
    told = [told_by(slip=0.0, seed=seed) for seed in SEEDS]
    assert not any((walked.states == LOST).any() for walked in told), "a demonstration shows the way back"
    imitated = [imitating(walked) for walked in told]
    cloned = [off_track(policy, seed=seed) for policy, seed in zip(imitated, SEEDS, strict=True)]
    shown = [off_track(imitating(told_by(slip=0.05, seed=seed)), seed=seed) for seed in SEEDS]
    learned, noise = (
        [
            off_track(improved(policy, walked, seed=seed, turned=turned), seed=seed)
            for policy, walked, seed in zip(imitated, told, SEEDS, strict=True)
        ]
        for turned in (False, True)
    )
    print({"cloned": cloned, "shown the way back": shown, "learned": learned, "from noise": noise})
    report(
        CARD,
        "steps of imitation that end off the track, in walks of 40 above those in walks of 10",
        [rates[-1] - rates[0] for rates in cloned],
        seeds=SEEDS,
        switched_off="what demonstrations lack: they show the way back",
        without=[rates[-1] - rates[0] for rates in shown],
        at_least=0.03,
        every_seed=True,
    )
    figure = "steps that end off the track after learning online by a reward of each step, the worst of 10, 20 and 40"
    for switched_off, without in (
        ("learning online: imitation", cloned),
        ("the reward: half of its pairs turned round", noise),
    ):
        report(
            CARD,
            figure,
            [max(rates) for rates in learned],
            seeds=SEEDS,
            switched_off=switched_off,
            without=[max(rates) for rates in without],
            at_most=0.02,
            every_seed=True,
        )
