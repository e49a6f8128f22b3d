"""Policies that are tables, for what is to be exact: the real stages and updates climb on them in seconds.

A table gives each token of an answer a distribution of its own for each prompt and place, and knows nothing of the
tokens before. With answers of one token it is a bandit, whose best policy can be written down (`world.Bandit`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from training.core.batch import Tokens
from training.core.heads import Scores
from training.core.policy import completion_logits, token_logps
from training.core.rollout import Models, Rollout
from training.core.trainers.offline import called
from training.core.trainers.onpolicy import made, staged
from training.recipes.slots import AFTER_COMBINING, check_slots


class TablePolicy(nn.Module):
    """Logits (prompts · places, tokens) in place of a language model; token ids of prompts and answers do not mix.

    A sequence is the prompt's number and then the answer. It has the forward pass and the output layer of a model of
    the transformers library, so that log-probabilities come from the code that serves real ones.
    """

    def __init__(self, logits: Tensor, *, places: int = 1) -> None:
        super().__init__()
        self.places = places
        states, tokens = logits.shape
        self.output = nn.Linear(states, tokens, bias=False)
        with torch.no_grad():
            self.output.weight.copy_(logits.T)

    @property
    def probabilities(self) -> Tensor:
        """(prompts, places, tokens)."""
        return self.output.weight.detach().T.softmax(-1).view(-1, self.places, self.output.out_features)

    def get_output_embeddings(self) -> nn.Module:
        return self.output

    def forward(self, input_ids: Tensor, attention_mask: Tensor, use_cache: bool = False) -> SimpleNamespace:
        place = torch.arange(input_ids.shape[1]).clamp(max=self.places - 1)
        states = one_hot(input_ids[:, :1] * self.places + place, self.output.in_features).float()
        return SimpleNamespace(logits=self.output(states))


class TableCritic(nn.Module):
    """A value for each prompt and place."""

    def __init__(self, prompts: int, places: int) -> None:
        super().__init__()
        self.values = nn.Parameter(torch.zeros(prompts, places))

    def forward(self, tokens: Tokens) -> Tensor:
        values = self.values[tokens.input_ids[:, 0]]
        return torch.cat([torch.zeros(len(values), 1), values], 1)


def drawn(models: Models, prompts: Tensor, n: int, *, generator: torch.Generator) -> Rollout:
    """Return n answers of the policy to each prompt, read by all who are there."""
    group = torch.arange(len(prompts)).repeat_interleave(n)
    asked = prompts[group]
    policy: Any = models.policy
    chances = policy.probabilities[asked]  # (B, places, tokens)
    answers = torch.multinomial(chances.flatten(0, 1), 1, generator=generator).view(len(asked), -1)
    ids = torch.cat([asked.unsqueeze(1), answers], 1)
    mask = torch.ones_like(ids, dtype=torch.bool)
    mask[:, 0] = False
    tokens = Tokens(ids, torch.ones_like(ids), mask)
    with torch.no_grad(), models.at_reference() as reference:
        told = completion_logits(policy, tokens).log_softmax(-1)
        entropy = torch.zeros(ids.shape).masked_scatter(mask, -(told.exp() * told).sum(-1))
        return Rollout(
            prompts=([],) * len(ids),
            texts=("",) * len(ids),
            tokens=tokens,
            group=group,
            ended=torch.ones(len(ids), dtype=torch.bool),
            logps=token_logps(policy, tokens),
            entropy=entropy,
            reference_logps=token_logps(reference, tokens),
            values=None if models.critic is None else models.critic(tokens),
        )


def climb(
    models: Models,
    score: Callable[[Tensor, Tensor], Mapping[str, Tensor]],
    *parts: Any,
    prompts: int,
    n: int,
    iterations: int,
    rate: float,
    seed: int,
    plain: bool = False,
    passes: int = 1,
    references: int = 0,
    one_scorer: bool = False,
    watch: Callable[[int, Rollout], bool] | None = None,
) -> None:
    """Improve the models' policy by the parts' stages and update, as the on-policy loop does with a language model.

    `score` gives named scores (B,) of prompts (B,) and answers (B, places), of a scorer each or all of `one_scorer`.
    With `references`, each prompt has so many answers of the reference for a shape to compare with. With `plain` it is
    gradient descent instead of Adam, which would bring the gradient of each entry of a table to one size. Stops when
    `watch` of an iteration and its rollout says so.
    """
    by_slot = {part.slot: part for part in parts}
    check_slots(by_slot)
    combine, update = called(by_slot["combine"]), called(by_slot["update"])
    stages = {slot: made(by_slot[slot]) for slot in AFTER_COMBINING if slot in by_slot}
    generator = torch.Generator().manual_seed(seed)
    optimizer = (torch.optim.SGD if plain else torch.optim.Adam)(models.parameters(), lr=rate)
    every = torch.arange(prompts)

    def scored(rollout: Rollout) -> tuple[Scores, Tensor]:
        given = score(rollout.tokens.input_ids[:, 0], rollout.tokens.input_ids[:, 1:])
        scores = Scores(torch.stack(list(given.values()), 1).float(), tuple(given))
        whole = one_scorer or by_slot["combine"].reads == "all"
        first = scores if whole else Scores(scores.values[:, :1], scores.names[:1])
        return scores, combine(first)

    known = None
    if references:
        with models.at_reference() as reference:
            of_reference = drawn(Models(reference, reference=reference), every, references, generator=generator)
        known = scored(of_reference)[1].view(prompts, references)
    for iteration in range(iterations):
        rollout = drawn(models, every, n, generator=generator)
        scores, reward = scored(rollout)
        rollout = replace(rollout, scores=scores, reward=reward)
        if known is not None:
            rollout = replace(rollout, reference_rewards=known[rollout.group])
        rollout = staged(rollout, stages)
        for _ in range(passes if len(rollout) else 0):
            optimizer.zero_grad()
            out = update(models, rollout)
            ((out.loss * out.weight).sum() / out.weight.sum()).backward()
            optimizer.step()
        if watch is not None and watch(iteration, rollout):
            break


def table_models(logits: Tensor, *, places: int = 1, critic: bool = False, temperature: float = 1.0) -> Models:
    """Return a policy that starts as these logits, held to what it starts as."""
    prompts = len(logits) // places
    return Models(
        TablePolicy(logits, places=places),
        critic=TableCritic(prompts, places) if critic else None,
        reference=TablePolicy(logits, places=places).requires_grad_(False),
        temperature=temperature,
    )
