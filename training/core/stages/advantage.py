"""How much better a completion was than expected: the slot `advantage`. Each gives a number a token, (B, T)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from training.core.job import RunError
from training.core.masked import masked_sum
from training.core.rollout import Rollout, group_sums
from training.recipes.note import Note

SMALL = 1e-4  # as in TRL's GRPO


def gae(rollout: Rollout, *, gamma: float, gae_lambda: float, whiten: bool) -> Rollout:
    """Generalised advantage estimation over the actions, and the returns the critic is to learn. arXiv:1506.02438.

    δ_s = R_s + γ V_{s+1} - V_s with V = 0 behind the last action, A_s = Σ_k (γλ)^k δ_{s+k}, returns A_s + V_s. An
    action is a token or, where the rollout has segments, a macro action: R_s is the *sum* of its tokens' rewards and
    V_s the mean of their values (MA-RLHF, arXiv:2410.02743, eq. 6 and 7, with γ = 1 inside an action). Its advantage
    and return go to each of its tokens. The authors' code takes the mean of the rewards, which divides the charge for
    leaving the reference by the length of the actions; we take the sum.

    `whiten` makes the mean over all tokens 0 and the deviation 1, when the rows to learn from are chosen already.
    """
    assert rollout.token_reward is not None and rollout.values is not None
    mask = rollout.mask
    inside = mask.float()
    index, there, summed = _actions(rollout)
    count = summed(inside)
    rewards, values = summed(rollout.token_reward), summed(rollout.values) / count.clamp(min=1)
    actions = rewards.shape[1]
    advantages = torch.zeros_like(rewards)
    later = torch.zeros(len(mask), device=mask.device)
    following = torch.zeros(len(mask), device=mask.device)
    for s in reversed(range(actions)):
        delta = rewards[:, s] + gamma * following - values[:, s]
        later = torch.where(there[:, s], delta + gamma * gae_lambda * later, later)
        following = torch.where(there[:, s], values[:, s], following)
        advantages[:, s] = later
    of_tokens = torch.gather(advantages, 1, index) * inside
    returns = torch.gather(advantages + values, 1, index) * inside
    told = rollout.told(explained_variance=_explained(values[there], (advantages + values)[there]))
    if whiten:
        of_tokens = _whitened(of_tokens, mask)
    return replace(told, advantages=of_tokens, returns=returns)


def _actions(rollout: Rollout) -> tuple[Tensor, Tensor, Callable[[Tensor], Tensor]]:
    """Return which action each token belongs to (B, T), which actions there are (B, S), and what sums over them.

    An action is a token or, where the rollout has segments, a macro action.
    """
    mask = rollout.mask
    segments = rollout.segments if rollout.segments is not None else torch.where(mask, mask.long().cumsum(1) - 1, -1)
    index = segments.clamp(min=0)
    shape = (len(mask), int(segments.max()) + 1)

    def summed(values: Tensor) -> Tensor:
        return torch.zeros(shape, device=mask.device).scatter_add_(1, index, values.float() * mask.float())

    return index, summed(mask.float()) > 0, summed


def leave_one_out(rollout: Rollout) -> Rollout:
    """A_i = r_i - mean of the others of its group. RLOO, arXiv:2402.14740, eq. 7.

    r_i is the sum of the completion's token rewards, so what the slot `kl` charges is part of it.
    """
    reward = _whole_reward(rollout)
    sums, sizes = group_sums(reward, rollout.group)
    _refuse_alone(sizes)
    return _of_completions(rollout, reward - (sums - reward) / (sizes - 1))


def group_norm(rollout: Rollout, *, scale_by_group: bool) -> Rollout:
    """A_i = (r_i - mean of its group) / (deviation of its group + 1e-4). GRPO, arXiv:2402.03300, eq. 4.

    The deviation has n - 1 below, as in TRL. A group whose rewards are all alike gives exactly 0, and the
    share of such groups is told as `groups_alike`. Without `scale_by_group` nothing is divided (Dr. GRPO,
    arXiv:2503.20783), so that prompts on which the answers hardly differ do not count as much as the others.
    """
    advantages, alike = _standardised(_whole_reward(rollout), rollout.group, scale=scale_by_group)
    return _of_completions(rollout, advantages).told(groups_alike=alike)


def group_norm_steps(rollout: Rollout) -> Rollout:
    """A_t = Σ_{steps j from t on} (r_j - mean) / (deviation + 1e-4), over all steps of all answers of a group.

    GRPO with process supervision, arXiv:2402.03300, section 4.1.3. A step is a token, to which a scorer that knows what
    each has earned gives its reward; or a macro action where the rollout has segments, which earns the sum of its
    tokens. What shapes and penalties have made of the reward beside the credit is part of the last step. With one step
    an answer it is `group_norm`. A long answer has more steps, so it weighs more in the mean, as in the paper.
    """
    assert rollout.credit is not None
    assert rollout.token_reward is not None
    index, there, summed = _actions(rollout)
    _refuse_alone(group_sums(rollout.token_reward[:, 0], rollout.group)[1])
    rewards = summed(rollout.token_reward)
    found = torch.zeros_like(rewards)
    of_steps = rollout.group.unsqueeze(1).expand_as(rewards)[there]
    found[there], alike = _standardised(rewards[there], of_steps, scale=True)
    later = found.flip(1).cumsum(1).flip(1)
    return replace(rollout, advantages=torch.gather(later, 1, index) * rollout.mask).told(groups_alike=alike)


def pairwise(rollout: Rollout, *, verdicts: str) -> Rollout:
    """A_i = (Σ_j d_ij / G) / √(Σ_ij d_ij² / (2 G (G - 1)) + 1e-6), with no reward in between. arXiv:2505.16265.

    d_ij in [-1, 1] says how much rather i is preferred to j than the contrary, by a judge that read both in both
    orders: 1, 0 or -1 by two `hard` verdicts, whose mean is 0 where the place decides, or `graded` by how sure it is.
    The authors ask in one order, and then a judge's leaning to the first answer enters the policy. Graded, what little
    the answers say beside a leaning is brought to the size of any other advantage. With d_ij = r_i - r_j this is GRPO.
    Pairs that could not be compared count as ties, and their share is told; so is `position_bias`, the share of the
    compared pairs of which the judge names the same place in both orders. What `kl` charges is added after, as the
    reward at the end stands for nothing here.
    """
    assert rollout.comparisons is not None and rollout.token_reward is not None and rollout.reward is not None
    missing = torch.isnan(rollout.comparisons).any(-1)
    told = torch.where(missing.unsqueeze(-1), 0.0, rollout.comparisons)
    sides = told.sign()
    d = (sides if verdicts == "hard" else told).mean(-1)
    _, sizes = group_sums(d[:, 0], rollout.group)
    _refuse_alone(sizes)
    squares, _ = group_sums((d**2).sum(1), rollout.group)
    advantages = d.sum(1) / sizes / (squares / (2 * sizes * (sizes - 1)) + 1e-6).sqrt()
    charged = _whole_reward(rollout) - rollout.reward
    both = sides.prod(-1)  # -1 where the same place is named twice, so that each order prefers another answer
    figures = {"uncompared": missing.float().mean(), "groups_alike": (squares == 0).float().mean()}
    figures["position_bias"] = (both < 0).float().sum() / (both != 0).float().sum().clamp(min=1)
    return _of_completions(rollout, advantages + charged).told(**{name: float(f) for name, f in figures.items()})


def group_norm_each(rollout: Rollout, *, score_weights: str) -> Rollout:
    """Each score by itself is standardised in its group, then they are summed and standardised. GDPO, arXiv:2601.05242.

    Card 31's paper sums first and normalises then, which is `weighted-sum` and `group-norm`: there a score on a large
    scale drowns the others. A score that is missing (NaN) drops out of its sample. What `kl` charges is added after,
    in units of the standardised sum.
    """
    from training.core.stages.combine import weighed  # heads and their errors live there

    assert rollout.scores is not None
    given = weighed(score_weights, rollout.scores.names)
    total = torch.zeros(len(rollout), device=rollout.logps.device)
    alike = 1.0
    for name, weight in given.items():
        score = rollout.scores.named(name).float()
        known = torch.isfinite(score)
        found = torch.zeros_like(score)
        if bool(known.any()):
            some, share = _standardised(score[known], rollout.group[known], scale=True)
            found[known] = some
            alike = min(alike, share)
        total = total + weight * found
    total = (total - total.mean()) / (total.std() + SMALL) if len(total) > 1 else total * 0
    charged = _whole_reward(rollout) - rollout.reward if rollout.reward is not None else 0.0
    return _of_completions(rollout, total + charged).told(groups_alike=alike)


def batch_mean(rollout: Rollout) -> Rollout:
    """A_i = r_i - mean over all completions of the step: REINFORCE's plain baseline. CGPO, arXiv:2409.20370, eq. 12."""
    reward = _whole_reward(rollout)
    return _of_completions(rollout, reward - reward.mean())


def plain(rollout: Rollout) -> Rollout:
    """A_i = r_i, without a baseline: imitation that weighs as much as the reward. CRRAFT, arXiv:2409.20370, eq. 18."""
    return _of_completions(rollout, _whole_reward(rollout))


def _whole_reward(rollout: Rollout) -> Tensor:
    assert rollout.token_reward is not None
    return masked_sum(rollout.token_reward, rollout.mask)


def _of_completions(rollout: Rollout, advantages: Tensor) -> Rollout:
    """Give each token its completion's advantage."""
    return replace(rollout, advantages=advantages.float().unsqueeze(1) * rollout.mask)


def _standardised(values: Tensor, group: Tensor, *, scale: bool) -> tuple[Tensor, float]:
    """Return (values - mean) / (deviation + 1e-4) within groups, and the share of groups that are all alike."""
    sums, sizes = group_sums(values, group)
    _refuse_alone(sizes)
    centred = values - sums / sizes
    squares, _ = group_sums(centred**2, group)
    deviation = (squares / (sizes - 1)).sqrt()
    # By difference from a member and not by the deviation: a mean of equal numbers may be off by a rounding.
    first = torch.zeros(int(group.max()) + 1, dtype=values.dtype, device=values.device)
    first[group] = values
    apart, _ = group_sums((values != first[group]).to(values.dtype), group)
    flat = apart == 0
    alike = float((flat.to(values.dtype) / sizes).sum() / (1 / sizes).sum())
    centred = centred.masked_fill(flat, 0.0)
    return (centred / (deviation + SMALL) if scale else centred), alike


def _refuse_alone(sizes: Tensor) -> None:
    if bool((sizes < 2).any()):
        raise RunError(
            Note(
                "A baseline within groups needs two completions of each prompt. Raise samples_per_prompt, or "
                "choose a filter that leaves two."
            )
        )


def _whitened(values: Tensor, mask: Tensor) -> Tensor:
    inside = values[mask]
    mean, deviation = inside.mean(), inside.std(correction=0)
    return ((values - mean) / (deviation + 1e-8)).masked_fill(~mask, 0.0)


def _explained(values: Tensor, returns: Tensor) -> float:
    """Return 1 - Var(returns - values) / Var(returns): 1 for a critic that is always right, below 0 for harm."""
    spread = float(returns.var(correction=0))
    return 1 - float((returns - values).var(correction=0)) / spread if spread > 1e-12 else 0.0
