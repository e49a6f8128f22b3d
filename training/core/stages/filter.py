"""Which completions are learned from: the slot `filter`. Rows are left out; groups are known by number, not by place.

It stands before `kl` and `advantage`, so that no baseline is made of completions that were thrown away.
"""

from __future__ import annotations

import torch

from training.core.rollout import Rollout


def best(rollout: Rollout) -> Rollout:
    """Keep the completion with the highest reward of each prompt: best of n. RAFT, arXiv:2304.06767; arXiv:2310.16763.

    One is left of a group, so an advantage that compares within groups has nothing to compare with.
    """
    return rollout.rows(sorted(ranked[0] for ranked in _ranked(rollout)))


def best_and_random(rollout: Rollout) -> Rollout:
    """Keep the best completion and one of the others, each as likely. PF-PPO (BR), arXiv:2409.06957, section 4.

    It draws from torch's global generator, whose state is in the checkpoint.
    """
    kept = []
    for ranked in _ranked(rollout):
        kept.append(ranked[0])
        if len(ranked) > 1:
            kept.append(ranked[1 + int(torch.randint(len(ranked) - 1, ()))])
    return rollout.rows(sorted(kept))


def best_and_worst(rollout: Rollout) -> Rollout:
    """Keep the best completion and the worst. PF-PPO (BW), arXiv:2409.06957, section 4.

    The paper's code takes them for each prompt; verl's option of the same name takes them over the whole batch.
    """
    kept = {place for ranked in _ranked(rollout) for place in (ranked[0], ranked[-1])}
    return rollout.rows(sorted(kept))


def _ranked(rollout: Rollout) -> list[list[int]]:
    """Return the rows of each prompt, the highest reward first; equal rewards keep their order."""
    assert rollout.reward is not None
    order = torch.argsort(rollout.reward, descending=True, stable=True).tolist()
    groups: dict[int, list[int]] = {}
    numbers = rollout.group.tolist()
    for row in order:
        groups.setdefault(numbers[row], []).append(row)
    return [groups[number] for number in sorted(groups)]
