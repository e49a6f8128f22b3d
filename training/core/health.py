"""How a policy that learns on its own answers is doing, in figures; `training.recipes.alarms` says what they mean."""

from __future__ import annotations

import random
from collections import Counter

from training.core.masked import masked_sum
from training.core.rollout import Rollout
from training.core.stages.kl import k1

PAIRS = 200  # as many as the authors of SuperHF compare


def figures(rollout: Rollout) -> dict[str, float]:
    """Return how the policy is doing, before anything was left out."""
    length = rollout.mask.sum(1).float()
    told = {
        "entropy": float(masked_sum(rollout.entropy, rollout.mask).sum() / length.sum()),
        "length": float(length.mean()),
        "ended_share": float(rollout.ended.float().mean()),
    }
    if (alike := likeness(rollout)) is not None:
        told["likeness"] = alike
    if rollout.reference_logps is not None:
        spent = masked_sum(k1(rollout), rollout.mask)
        told |= {"kl": float(spent.mean()), "kl_per_token": float(spent.sum() / length.sum())}
    return told


def likeness(rollout: Rollout) -> float | None:
    """Return how much of their tokens answers to different prompts share, from 0 to 1; None where there is one prompt.

    The mean F1 of the tokens, without the one that ends an answer, over pairs drawn anew in the same way each time.
    SuperHF (arXiv:2310.16763) watches METEOR so: it rises as a policy comes to answer everything alike. Tokens need no
    dictionary of any language, and order and synonyms, which METEOR counts besides, matter little for that.
    """
    draw = random.Random(len(rollout))
    ended, groups = rollout.ended.tolist(), rollout.group.tolist()
    places = rollout.mask.cpu()
    ids = [row[there].tolist() for row, there in zip(rollout.tokens.input_ids.cpu(), places, strict=True)]
    bags = [Counter(row[:-1] if over else row) for row, over in zip(ids, ended, strict=True)]
    of_group: dict[int, list[int]] = {}
    for row, group in enumerate(groups):
        if bags[row]:
            of_group.setdefault(group, []).append(row)
    if len(of_group) < 2:
        return None
    total = 0.0
    for _ in range(PAIRS):
        one, other = (bags[draw.choice(of_group[group])] for group in draw.sample([*of_group], 2))
        total += 2 * (one & other).total() / (one.total() + other.total())
    return total / PAIRS
