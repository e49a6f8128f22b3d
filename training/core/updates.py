"""What the policy learns from a rollout: the slot `update`. Each is an objective over the models and some of its rows.

Losses are of completions; one over tokens is the mean over a completion's tokens with their number as weight, so that
the loop's one weighted mean is the mean over all tokens of a step, however they are cut up into micro-batches.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import huber_loss

from training.core.batch import LossOutput, together
from training.core.losses.dpo import dpo
from training.core.masked import masked_mean, masked_sum
from training.core.policy import completion_logits, token_logps
from training.core.rollout import Models, Rollout


def ppo(models: Models, rollout: Rollout, *, clip: float, value_clip: float, value_weight: float) -> LossOutput:
    """Clipped policy loss and clipped value loss. PPO, arXiv:1707.06347, eq. 7 and 9; arXiv:2307.04964, eq. 8 and 12.

    Policy: -min(ρ A, clip(ρ, 1 ± ε) A) with ρ = π / π_old of each token; value: ½ max((V - R)², (V_c - R)²) with
    V_c = V_old + clip(V - V_old, ±ε_v). Both are means over all tokens.
    """
    assert models.critic is not None and rollout.values is not None and rollout.returns is not None
    policy, metrics = _clipped(models, rollout, clip=clip)
    values = models.critic(rollout.tokens)
    held = rollout.values + (values - rollout.values).clamp(-value_clip, value_clip)
    errors = 0.5 * torch.maximum((values - rollout.returns) ** 2, (held - rollout.returns) ** 2)
    metrics["value_loss"] = masked_mean(errors, rollout.mask).detach()
    return _of_tokens(rollout, policy + value_weight * errors, metrics)


def braked(models: Models, rollout: Rollout, *, clip: float, value_weight: float, entropy_weight: float) -> LossOutput:
    """PPO whose step the slot `kl` scales, and a KL that it weighs in the loss. SAFE, arXiv:2602.04651; `stages.brake`.

    s · min(ρ A, clip(ρ) A) as in `ppo`, + κ · KL(π ‖ π_ref) over the whole vocabulary, so that the brake has a gradient
    that no draw of tokens makes noisy, - w · H, + the mean of the Huber losses (δ = ½) of the value as it is and as
    it is clipped to ±0.2 about the old one. All are means over tokens.
    """
    assert models.critic is not None and rollout.values is not None and rollout.returns is not None
    assert rollout.advantages is not None and rollout.kl_weight is not None and rollout.step_scale is not None
    own = (completion_logits(models.policy, rollout.tokens) / models.temperature).log_softmax(-1)  # (N, V)
    with torch.no_grad(), models.at_reference() as reference:
        before = (completion_logits(reference, rollout.tokens) / models.temperature).log_softmax(-1)
    targets = rollout.tokens.input_ids[rollout.mask].unsqueeze(-1)
    logps = _spread(rollout, own.gather(-1, targets).squeeze(-1))
    divergence = _spread(rollout, (own.exp() * (own - before)).sum(-1))
    entropy = _spread(rollout, -(own.exp() * own).sum(-1))
    policy, metrics = _clipped_at(logps, rollout, clip=clip)
    values = models.critic(rollout.tokens)
    held = rollout.values + (values - rollout.values).clamp(-0.2, 0.2)
    errors = (_huber(values, rollout.returns) + _huber(held, rollout.returns)) / 2
    metrics["value_loss"] = masked_mean(errors, rollout.mask).detach()
    metrics["kl_to_reference"] = masked_mean(divergence, rollout.mask).detach()
    scale, weight = rollout.step_scale.unsqueeze(1), rollout.kl_weight.unsqueeze(1)
    losses = scale * policy + weight * divergence - entropy_weight * entropy + value_weight * errors
    return _of_tokens(rollout, losses, metrics)


def _huber(values: Tensor, returns: Tensor) -> Tensor:
    return huber_loss(values, returns, reduction="none", delta=0.5)


def clipped(models: Models, rollout: Rollout, *, clip: float, kl_weight: float, kl_estimate: str) -> LossOutput:
    """Clipped policy loss with a KL term in the loss instead of a critic. GRPO, arXiv:2402.03300, eq. 3 and 4.

    With d = log π_ref - log π of the token drawn the term is k3 = e^d - d - 1, as in the paper, or k2 = d² / 2. Both
    are estimates of KL(π ‖ π_ref), but what counts in a loss is the gradient: in expectation that of k2 is the gradient
    of KL(π ‖ π_ref), and that of k3 the one of KL(π_ref ‖ π), which comes to another policy (tests/experiments, card
    24). The mean is over all tokens of the step (DAPO, arXiv:2503.14476), where the paper takes that of each completion
    first and so lets a long wrong answer off lightly.
    """
    loss, metrics = _clipped(models, rollout, clip=clip)
    if kl_weight:
        assert rollout.reference_logps is not None
        d = rollout.reference_logps - metrics["logps"]
        loss = loss + kl_weight * (d.exp() - d - 1 if kl_estimate == "k3" else d**2 / 2)
    return _of_tokens(rollout, loss, metrics)


def reinforce(models: Models, rollout: Rollout) -> LossOutput:
    """-A · log π(y|x), the completion being one action. arXiv:2402.14740, eq. 6."""
    assert rollout.advantages is not None
    logps = token_logps(models.policy, rollout.tokens, temperature=models.temperature)
    loss = -masked_sum(rollout.advantages.detach() * logps, rollout.mask)
    return LossOutput(loss=loss, weight=torch.ones_like(loss), metrics={"policy_loss": loss.detach()})


def paired(models: Models, rollout: Rollout, *, pair_beta: float, imitation_weight: float) -> LossOutput:
    """-log σ(β (h⁺ - h⁻)) - λ / |y⁺| · log π(y⁺), h = log π / π_ref. CODPO, arXiv:2409.20370, eq. 14.

    y⁺ is the row's completion and y⁻ its rival. The second term holds the likelihood of what is preferred, which DPO
    alone lets fall as long as that of the rival falls faster.
    """
    assert rollout.rival is not None and rollout.rival_reference_logps is not None
    assert rollout.reference_logps is not None
    both = together([rollout.tokens, rollout.rival])
    own = token_logps(models.policy, both, temperature=models.temperature)
    before = torch.cat([rollout.reference_logps, rollout.rival_reference_logps])
    better, worse = masked_sum(own - before, both.completion_mask).chunk(2)
    imitated = masked_mean(own.chunk(2)[0], rollout.mask)
    loss = dpo(better, worse, beta=pair_beta, label_smoothing=0.0) - imitation_weight * imitated
    metrics = {"margin": (better - worse).detach(), "chosen_logratio": better.detach()}
    return LossOutput(loss=loss, weight=torch.ones_like(loss), metrics=metrics)


def imitate(models: Models, rollout: Rollout, *, prior_weight: float) -> LossOutput:
    """-log π(y|x) per token + β · KL(π_0 ‖ π), over the whole vocabulary. SuperHF, arXiv:2310.16763, eq. 2.

    The divergence is that of the distributions which wrote each of the completion's tokens, a mean over tokens. The
    authors' code takes it one position too late and sums over examples, so that β grows with the batch; we do neither.
    """
    logits = completion_logits(models.policy, rollout.tokens) / models.temperature  # (N, V)
    own = logits.log_softmax(-1)
    targets = rollout.tokens.input_ids[rollout.mask]
    losses = -own.gather(-1, targets.unsqueeze(-1)).squeeze(-1)
    metrics = {"policy_loss": masked_mean(_spread(rollout, losses.detach()), rollout.mask)}
    if prior_weight:
        with torch.no_grad(), models.at_reference() as reference:
            before = (completion_logits(reference, rollout.tokens) / models.temperature).log_softmax(-1)
        divergence = (before.exp() * (before - own)).sum(-1)
        metrics["prior_kl"] = masked_mean(_spread(rollout, divergence.detach()), rollout.mask)
        losses = losses + prior_weight * divergence
    return _of_tokens(rollout, _spread(rollout, losses), metrics)


def _clipped(models: Models, rollout: Rollout, *, clip: float) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the clipped loss of each token (B, T), and what there is to tell."""
    return _clipped_at(token_logps(models.policy, rollout.tokens, temperature=models.temperature), rollout, clip=clip)


def _clipped_at(logps: Tensor, rollout: Rollout, *, clip: float) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the same for log-probabilities (B, T) that are there already."""
    assert rollout.advantages is not None
    ratio = (logps - rollout.logps).masked_fill(~rollout.mask, 0.0).exp()
    advantages = rollout.advantages.detach()
    loss = -torch.minimum(ratio * advantages, ratio.clamp(1 - clip, 1 + clip) * advantages)
    told = ratio.detach()
    return loss, {
        "logps": logps,
        "policy_loss": masked_mean(loss.detach(), rollout.mask),
        "ratio": masked_mean(told, rollout.mask),
        "clip_share": masked_mean(((told - 1).abs() > clip).float(), rollout.mask),
    }


def _of_tokens(rollout: Rollout, losses: Tensor, metrics: dict[str, Tensor]) -> LossOutput:
    """Return losses of tokens as those of completions, which weigh as much as they have tokens."""
    metrics.pop("logps", None)
    return LossOutput(loss=masked_mean(losses, rollout.mask), weight=rollout.mask.sum(1), metrics=metrics)


def _spread(rollout: Rollout, values: Tensor) -> Tensor:
    """Put the numbers of the completions' tokens (N,) where the tokens are, (B, T)."""
    out = torch.zeros(rollout.mask.shape, dtype=values.dtype, device=values.device)
    return out.masked_scatter(rollout.mask, values)
