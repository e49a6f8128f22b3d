"""Updates on a rollout against numbers worked out by hand, and against the whole vocabulary."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.nn.functional import kl_div

from tests.core.stages.test_stages import rollout
from training.core import updates
from training.core.backbone import load_policy
from training.core.critic import Critic, DoubleCritic
from training.core.policy import completion_logits, token_logps
from training.core.rollout import Models


@pytest.fixture
def models(policy):
    torch.manual_seed(0)
    model, _ = load_policy(str(policy))
    other, _ = load_policy(str(policy))
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    critic = Critic(load_policy(str(policy))[0].model, 64)
    with torch.no_grad():
        critic.value.weight.normal_()
    return Models(model, critic=critic, reference=other, temperature=0.7)


@pytest.fixture
def written(models):
    """A rollout as the policy wrote it, with advantages and returns drawn."""
    made = rollout()
    ids = made.tokens.input_ids % 200 + 6
    made = replace(made, tokens=replace(made.tokens, input_ids=ids))
    with torch.no_grad():
        logps = token_logps(models.policy, made.tokens, temperature=0.7)
        values = models.critic(made.tokens)
    draw = torch.randn(made.mask.shape, generator=torch.Generator().manual_seed(3)).masked_fill(~made.mask, 0.0)
    return replace(made, logps=logps, values=values, advantages=draw, returns=draw * 2)


def mean_of(out):
    return (out.loss * out.weight).sum() / out.weight.sum()


def test_on_its_own_rollout_ppo_is_the_mean_advantage_and_the_squared_error(models, written):
    out = updates.ppo(models, written, clip=0.2, value_clip=0.2, value_weight=0.5)
    mask = written.mask
    squares = 0.5 * (written.values - written.returns)[mask] ** 2
    torch.testing.assert_close(mean_of(out), -written.advantages[mask].mean() + 0.5 * squares.mean())
    assert out.metrics["ratio"].tolist() == [1.0] * 4 and not out.metrics["clip_share"].any()


def test_ppo_clips_ratio_and_value_by_hand(models, written):
    moved = replace(written, logps=written.logps - 0.5 * written.mask, values=written.values - written.mask * 1.0)
    out = updates.ppo(models, moved, clip=0.2, value_clip=0.2, value_weight=1.0)
    ratio = torch.tensor(0.5).exp()
    for row in range(4):
        inside = moved.mask[row]
        a, r = moved.advantages[row][inside], moved.returns[row][inside]
        policy = -torch.minimum(ratio * a, torch.tensor(1.2) * a)
        v, old = written.values[row][inside], moved.values[row][inside]
        value = 0.5 * torch.maximum((v - r) ** 2, (old + 0.2 - r) ** 2)
        torch.testing.assert_close(out.loss[row], (policy + value).mean(), atol=1e-5, rtol=1e-5)
    assert out.metrics["clip_share"].tolist() == [1.0] * 4


def test_the_kl_term_in_the_loss_is_what_it_is_called_and_has_a_gradient(models, written):
    told = replace(written, reference_logps=written.logps + 0.3 * written.mask, advantages=written.advantages * 0)
    out = updates.clipped(models, told, clip=0.2, kl_weight=2.0, kl_estimate="k2")
    torch.testing.assert_close(out.loss, torch.full((4,), 0.09))
    out = updates.clipped(models, told, clip=0.2, kl_weight=2.0, kl_estimate="k3")
    expected = 2.0 * (torch.tensor(0.3).exp() - 0.3 - 1)
    torch.testing.assert_close(out.loss, expected.expand(4))
    mean_of(out).backward()
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in models.policy.parameters())


def test_the_brake_has_a_gradient_and_is_the_exact_divergence(models, written):
    """A penalty that is a plain number, as in the paper's code, leaves the gradient as it was and fails here."""

    def gradients(weight, *, scale=1.0, entropy_weight=0.0):
        ones = torch.ones(4)
        row = replace(written, kl_weight=weight * ones, step_scale=scale * ones)
        models.zero_grad()
        out = updates.braked(models, row, clip=0.2, value_weight=0.5, entropy_weight=entropy_weight)
        mean_of(out).backward()
        return mean_of(out).detach(), torch.cat([p.grad.flatten() for p in models.policy.parameters()]), out

    free, before, out = gradients(0.0)
    held, after, _ = gradients(2.0)
    assert not torch.allclose(before, after, atol=1e-4)
    exact = (out.metrics["kl_to_reference"] * out.weight).sum() / out.weight.sum()
    torch.testing.assert_close(held - free, 2.0 * exact)
    mask = written.mask
    half, _, _ = gradients(0.0, scale=0.5)  # the policy's own step is shortened, the critic's is not
    torch.testing.assert_close(half - free, 0.5 * written.advantages[mask].mean(), atol=1e-5, rtol=1e-5)
    errors = (written.values - written.returns)[mask].abs()
    huber = torch.where(errors < 0.5, errors**2 / 2, 0.5 * (errors - 0.25))
    torch.testing.assert_close(free, -written.advantages[mask].mean() + 0.5 * huber.mean(), atol=1e-5, rtol=1e-5)
    varied, _, _ = gradients(0.0, entropy_weight=1.0)
    assert varied < free


def test_two_heads_of_a_critic_start_at_nothing_and_do_not_stay_the_same(models, written):
    critic = DoubleCritic(models.policy.model, 64, softness=0.3)
    assert not critic(written.tokens).any()
    (critic(written.tokens) - written.returns).square().sum().backward()
    one, other = (head[-1].weight.grad for head in critic.heads)
    assert not torch.allclose(one, other)


def test_reinforce_weighs_the_log_probability_of_the_whole_answer(models, written):
    same = replace(written, advantages=torch.tensor([[1.0], [-2.0], [0.5], [0.0]]) * written.mask)
    out = updates.reinforce(models, same)
    torch.testing.assert_close(out.loss, -torch.tensor([1.0, -2.0, 0.5, 0.0]) * written.logps.sum(1))


def test_a_pair_is_preferred_and_its_better_answer_imitated(models, written):
    """By the formula, on a row whose rival is the next row; micro-batches keep both together."""
    order = [1, 2, 3, 0]
    with models.at_reference() as reference, torch.no_grad():
        before = token_logps(reference, written.tokens, temperature=0.7)
    row = replace(
        written, reference_logps=before, rival=written.tokens.rows(order), rival_reference_logps=before[order]
    )
    out = updates.paired(models, row, pair_beta=0.5, imitation_weight=2.0)
    ratios = (written.logps - before).sum(1)
    expected = -torch.nn.functional.logsigmoid(0.5 * (ratios - ratios[order]))
    expected = expected - 2.0 * written.logps.sum(1) / written.mask.sum(1)
    torch.testing.assert_close(out.loss, expected, atol=1e-5, rtol=1e-5)
    alone = torch.cat(
        [updates.paired(models, row.rows([i]), pair_beta=0.5, imitation_weight=2.0).loss for i in range(4)]
    )
    torch.testing.assert_close(alone, expected, atol=1e-5, rtol=1e-5)


def test_imitation_is_held_by_the_exact_divergence(models, written):
    out = updates.imitate(models, written, prior_weight=0.35)
    with models.at_reference() as reference, torch.no_grad():
        before = (completion_logits(reference, written.tokens) / 0.7).log_softmax(-1)
        own = (completion_logits(models.policy, written.tokens) / 0.7).log_softmax(-1)
    exact = kl_div(own, before, log_target=True, reduction="none").sum(-1)
    torch.testing.assert_close(mean_of(out), -written.logps[written.mask].mean() + 0.35 * exact.mean())
    near = Models(models.policy, reference=models.policy, temperature=0.7)
    assert updates.imitate(near, written, prior_weight=1.0).metrics["prior_kl"].abs().max() < 1e-6


def test_a_critic_does_not_see_the_token_it_judges(models, written):
    ids = written.tokens.input_ids.clone()
    ids[0, 3] = 7
    changed = models.critic(replace(written.tokens, input_ids=ids))[0]
    assert torch.equal(changed[:4], models.critic(written.tokens)[0][:4])
    assert not torch.equal(changed[4], models.critic(written.tokens)[0][4])
