"""Which completions are learned from: the slot `filter`. Rows are left out; groups are known by number, not by place.

It stands before `kl` and `advantage`, so that no baseline is made of completions that were thrown away.
"""

from __future__ import annotations

from dataclasses import replace

import torch

from training.core.masked import masked_sum
from training.core.rollout import Rollout
from training.core.stages.kl import k1


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


def best_passing(rollout: Rollout, *, kl_at_most: float) -> Rollout:
    """Keep of each prompt the best completion that all judges let pass. CRRAFT, arXiv:2409.20370, eq. 17.

    It also has to be no more than `kl_at_most` nats likelier than under the reference. A prompt without such a
    completion is left out; the paper then imitates the reference's own answer if that passes, which holds the policy
    to its start where it fails and teaches it nothing else. The share of prompts left out is `prompts_unused`.
    """
    assert rollout.passes is not None
    usable = rollout.passes & (masked_sum(k1(rollout), rollout.mask) <= kl_at_most)
    kept, unused = [], 0
    for ranked in _ranked(rollout):
        row = next((row for row in ranked if usable[row]), None)
        if row is None:
            unused += 1
        else:
            kept.append(row)
    return rollout.rows(sorted(kept)).told(prompts_unused=unused / (unused + len(kept)))


def judged_pairs(rollout: Rollout) -> Rollout:
    """Keep of each prompt the best completion that passes, and as its rival the worst that fails. CODPO, eq. 14.

    Best and worst are by the reward before judges took any away: an arg max over reward times verdict takes one that
    breaks the rules wherever rewards are negative. Where all pass, the rival is the worst of all; where none passes, or
    best and worst say the same, the prompt is left out. arXiv:2409.20370; the share left out is `prompts_unused`.
    """
    assert rollout.passes is not None and rollout.merit is not None and rollout.reference_logps is not None
    kept, rivals, unused = [], [], 0
    for ranked in _ranked(replace(rollout, reward=rollout.merit)):
        passing = [row for row in ranked if rollout.passes[row]]
        failing = [row for row in ranked if not rollout.passes[row]]
        worst = (failing or ranked)[-1]
        if passing and not _same(rollout, passing[0], worst):
            kept.append(passing[0])
            rivals.append(worst)
        else:
            unused += 1
    made = replace(
        rollout.rows(kept),
        rival=rollout.tokens.rows(rivals),
        rival_reference_logps=rollout.reference_logps[rivals],
    )
    return made.told(prompts_unused=unused / (unused + len(kept)))


def _same(rollout: Rollout, one: int, other: int) -> bool:
    ids, mask = rollout.tokens.input_ids, rollout.mask
    return bool(torch.equal(ids[one][mask[one]], ids[other][mask[other]]))


def _ranked(rollout: Rollout) -> list[list[int]]:
    """Return the rows of each prompt, the highest reward first; equal rewards keep their order."""
    assert rollout.reward is not None
    order = torch.argsort(rollout.reward, descending=True, stable=True).tolist()
    groups: dict[int, list[int]] = {}
    numbers = rollout.group.tolist()
    for row in order:
        groups.setdefault(numbers[row], []).append(row)
    return [groups[number] for number in sorted(groups)]
