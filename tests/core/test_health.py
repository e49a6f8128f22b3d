"""How a policy that learns on its own answers is doing, in figures by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from training.core.batch import Tokens
from training.core.health import likeness
from training.core.rollout import Rollout

END = 9


def rollout(answers: list[list[int]], groups: list[int]) -> Rollout:
    """Return answers to prompts of one token, 7; an answer that closes with END came to its end."""
    longest = max(map(len, answers)) + 1
    ids = torch.tensor([[7, *one] + [0] * (longest - 1 - len(one)) for one in answers])
    mask = torch.tensor([[False] + [True] * len(one) + [False] * (longest - 1 - len(one)) for one in answers])
    zeros = torch.zeros(ids.shape)
    ended = torch.tensor([one[-1] == END for one in answers])
    asked = ([],) * len(answers)
    tokens = Tokens(ids, torch.ones_like(ids), mask)
    return Rollout(asked, ("",) * len(answers), tokens, torch.tensor(groups), ended, zeros, zeros)


def test_answers_to_different_prompts_share_so_much_of_their_tokens() -> None:
    """Of 1 1 2 and 1 2 2 3 two are shared: 2 · 2 / (3 + 4). The end and the prompt are no words of theirs."""
    assert likeness(rollout([[1, 1, 2, END], [1, 2, 2, 3, END]], [0, 1])) == pytest.approx(4 / 7)
    assert likeness(rollout([[1, 2, END], [3, 4, END]], [0, 1])) == 0
    assert likeness(rollout([[1, 2, END], [2, 1]], [0, 1])) == 1


def test_answers_to_one_prompt_are_not_held_against_each_other() -> None:
    """Both prompts have the same answer twice, and neither has the other's."""
    assert likeness(rollout([[1, 2], [1, 2], [3, 4], [3, 4]], [0, 0, 1, 1])) == 0
    assert likeness(rollout([[1, 2], [1, 2]], [0, 0])) is None
    assert likeness(rollout([[END], [1, 2]], [0, 1])) is None, "nothing was said that could be like anything"


def test_a_run_tells_it_in_every_iteration(do, policy, reward):
    more = {"iterations": 2, "prompts_per_iteration": 4, "samples_per_prompt": 2, "max_new_tokens": 6}
    spec, _ = do("superhf", model=policy, scorers={"reward": str(reward)}, eval_share=0.0, **more)
    lines = [json.loads(line) for line in (Path(spec.output) / "metrics.jsonl").open()]
    assert len(lines) == 2 and all(0 <= line["likeness"] <= 1 for line in lines)
