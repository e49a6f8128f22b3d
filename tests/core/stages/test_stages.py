"""Stages against numbers worked out by hand, a slow loop, or TRL."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from training.core.batch import Tokens
from training.core.heads import Scores
from training.core.job import RunError
from training.core.rollout import Rollout
from training.core.stages import advantage, constrain, segment, shape
from training.core.stages import filter as filters
from training.core.stages.kl import Adaptive, fixed, terminal

LENGTHS = (4, 1, 3, 4)


def rollout(rewards=(1.0, 2.0, 0.5, 3.0), group=(0, 0, 1, 1), *, prompt=2, pad=1, **more) -> Rollout:
    """Completions of 4, 1, 3 and 4 tokens behind prompts of `prompt` tokens."""
    lengths = (LENGTHS * len(rewards))[: len(rewards)]
    width = prompt + max(lengths) + pad
    mask = torch.zeros(len(rewards), width, dtype=torch.bool)
    for row, length in enumerate(lengths):
        mask[row, prompt : prompt + length] = True
    draw = torch.Generator().manual_seed(0)

    def numbers() -> torch.Tensor:
        return torch.randn(len(rewards), prompt + 4, generator=draw)

    def placed(values: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.pad(values, (0, width - values.shape[1]))[:, :width].masked_fill(~mask, 0.0)

    return Rollout(
        prompts=([],) * len(rewards),
        texts=tuple(map(str, range(len(rewards)))),
        tokens=Tokens(torch.arange(mask.numel()).view_as(mask.long()), mask.long(), mask),
        group=torch.tensor(group),
        ended=torch.ones(len(rewards), dtype=torch.bool),
        logps=placed(-numbers().abs()),
        entropy=placed(numbers().abs()),
        reference_logps=placed(-numbers().abs()),
        values=placed(numbers()),
        scores=Scores(torch.tensor(rewards).unsqueeze(1), ("reward",)),
        reward=torch.tensor(rewards),
        **more,
    )


def slow_gae(rewards, values, gamma, lam):
    """A double loop over the definition, in float64."""
    deltas = [r + gamma * (values[t + 1] if t + 1 < len(values) else 0.0) - values[t] for t, r in enumerate(rewards)]
    return [sum((gamma * lam) ** (k - t) * deltas[k] for k in range(t, len(deltas))) for t in range(len(deltas))]


@pytest.mark.parametrize(("gamma", "lam"), [(1.0, 0.95), (1.0, 1.0), (1.0, 0.0), (0.9, 0.8)])
def test_gae_is_its_definition(gamma, lam):
    made = advantage.gae(fixed(rollout(), kl=0.1), gamma=gamma, gae_lambda=lam, whiten=False)
    for row, length in enumerate(LENGTHS):
        inside = made.mask[row]
        rewards, values = made.token_reward[row][inside].double().tolist(), made.values[row][inside].double().tolist()
        expected = torch.tensor(slow_gae(rewards, values, gamma, lam))
        assert len(rewards) == length
        torch.testing.assert_close(made.advantages[row][inside], expected.float(), atol=1e-6, rtol=1e-6)
        torch.testing.assert_close(made.returns[row][inside], (expected + torch.tensor(values)).float())
        if lam == 1.0 and gamma == 1.0:  # returns less values
            ahead = torch.tensor(rewards).flip(0).cumsum(0).flip(0)
            torch.testing.assert_close(made.advantages[row][inside], (ahead - torch.tensor(values)).float())
    assert not made.advantages[~made.mask].any() and not made.returns[~made.mask].any()


def test_padding_and_company_change_no_advantage():
    alone = advantage.gae(fixed(rollout(), kl=0.1), gamma=1.0, gae_lambda=0.95, whiten=False)
    wide = advantage.gae(fixed(rollout(pad=5), kl=0.1), gamma=1.0, gae_lambda=0.95, whiten=False)
    torch.testing.assert_close(wide.advantages[:, : alone.advantages.shape[1]], alone.advantages, atol=0, rtol=0)
    few = advantage.gae(fixed(rollout().rows([2]), kl=0.1), gamma=1.0, gae_lambda=0.95, whiten=False)
    torch.testing.assert_close(few.advantages, alone.advantages[2:3], atol=0, rtol=0)


def test_macro_actions_of_one_token_are_tokens_bit_for_bit_and_the_whole_is_a_bandit():
    charged = fixed(rollout(), kl=0.1)
    plain = advantage.gae(charged, gamma=1.0, gae_lambda=0.95, whiten=True)
    ones = advantage.gae(segment.ngram(charged, tokens_each=1), gamma=1.0, gae_lambda=0.95, whiten=True)
    assert torch.equal(plain.advantages, ones.advantages) and torch.equal(plain.returns, ones.returns)
    whole = advantage.gae(segment.whole(charged), gamma=1.0, gae_lambda=0.95, whiten=False)
    for row in range(len(LENGTHS)):
        inside = charged.mask[row]
        expected = charged.token_reward[row][inside].sum() - charged.values[row][inside].mean()
        torch.testing.assert_close(whole.advantages[row][inside], expected.expand(int(inside.sum())))


def test_macro_actions_sum_rewards_and_average_values():
    charged = segment.ngram(fixed(rollout(), kl=0.1), tokens_each=3)
    assert charged.segments[0].tolist() == [-1, -1, 0, 0, 0, 1, -1]
    made = advantage.gae(charged, gamma=1.0, gae_lambda=0.0, whiten=False)
    rewards, values = charged.token_reward[0], charged.values[0]
    first = rewards[2:5].sum() + values[5] - values[2:5].mean()
    torch.testing.assert_close(
        made.advantages[0],
        torch.tensor([0, 0, 1, 1, 1, 0, 0]) * first + torch.tensor([0, 0, 0, 0, 0, 1, 0]) * (rewards[5] - values[5]),
    )


def test_actions_by_perplexity_begin_where_the_reference_is_more_surprised():
    told = replace(rollout(), reference_logps=torch.tensor([[0, 0, -1.0, -2, -1, -3, 0]] * 4))
    assert segment.perplexity(told).segments[0].tolist() == [-1, -1, 0, 1, 1, 2, -1]
    assert segment.perplexity(told).segments[1].tolist() == [-1, -1, 0, -1, -1, -1, -1]


def test_the_reward_stands_on_the_last_token_and_the_charge_on_each():
    made = terminal(rollout())
    assert made.token_reward[0].tolist() == [0, 0, 0, 0, 0, 1.0, 0]
    assert made.token_reward[1].tolist() == [0, 0, 2.0, 0, 0, 0, 0]
    charged = fixed(rollout(), kl=0.5)
    torch.testing.assert_close(
        charged.token_reward, made.token_reward - 0.5 * (charged.logps - charged.reference_logps)
    )


def test_each_token_has_what_it_earned_and_the_last_one_the_rest_of_the_reward():
    """Row 0 of four tokens has earned 0.5, -0.25, 0 and 0.25 of a reward of 1: the other 0.5 stands on its last."""
    plain = rollout()
    credit = torch.zeros_like(plain.logps)
    credit[0, 2:6] = torch.tensor([0.5, -0.25, 0.0, 0.25])
    credit[0, 0] = 9.0  # outside of the completion
    made = terminal(replace(plain, credit=credit * plain.mask))
    assert made.token_reward[0].tolist() == [0, 0, 0.5, -0.25, 0, 0.75, 0]
    torch.testing.assert_close(made.token_reward.sum(1), plain.reward)
    assert torch.equal(made.token_reward[1:], terminal(plain).token_reward[1:])


def test_the_adaptive_price_follows_its_target_and_is_remembered():
    controller = Adaptive(kl=0.1, kl_target=1.0, kl_horizon=8)
    far = replace(rollout(), logps=rollout().reference_logps + 100.0 * rollout().mask)
    controller(far)
    assert controller.coefficient == pytest.approx(0.1 * (1 + 0.2 * 4 / 8))
    again = Adaptive(kl=0.1, kl_target=1.0, kl_horizon=8)
    again.load_state_dict(controller.state_dict())
    assert again.coefficient == controller.coefficient


def test_leave_one_out_is_what_trl_computes():
    rewards = torch.tensor([1.0, 2.0, 0.5, 3.0, -1.0, 0.0])
    made = advantage.leave_one_out(terminal(rollout(rewards.tolist(), (0, 0, 0, 1, 1, 1))))
    groups = rewards.view(-1, 3)
    expected = rewards - ((groups.sum(1, keepdim=True) - groups) / 2).flatten()  # trl.RLOOTrainer
    torch.testing.assert_close(made.advantages.sum(1) / made.mask.sum(1), expected, atol=1e-6, rtol=1e-6)
    mean = groups.mean(1).repeat_interleave(3)
    torch.testing.assert_close(expected, 3 / 2 * (rewards - mean))  # card 24: G / (G - 1) times the group's mean off


def test_group_norm_is_what_trl_computes_and_alike_groups_teach_nothing():
    rewards = torch.tensor([1.0, 2.0, 0.5, 0.1, 0.1, 0.1])
    made = advantage.group_norm(terminal(rollout(rewards.tolist(), (0, 0, 0, 1, 1, 1))), scale_by_group=True)
    of_rows = made.advantages.sum(1) / made.mask.sum(1)
    groups = rewards.view(-1, 3)
    expected = ((groups - groups.mean(1, keepdim=True)) / (groups.std(1, keepdim=True) + 1e-4)).flatten()
    torch.testing.assert_close(of_rows[:3], expected[:3], atol=1e-6, rtol=1e-6)
    assert of_rows[3:].tolist() == [0.0, 0.0, 0.0]  # exactly, although the mean of three 0.1 is not 0.1
    assert made.metrics["groups_alike"] == 0.5
    plain = advantage.group_norm(terminal(rollout(rewards.tolist(), (0, 0, 0, 1, 1, 1))), scale_by_group=False)
    torch.testing.assert_close((plain.advantages.sum(1) / plain.mask.sum(1))[:3], (groups - groups.mean(1, True))[0])


def test_steps_are_standardised_in_their_group_and_each_token_has_what_comes_after():
    """Five steps 1, 0, -1, 1 | 1: mean 0.4, deviation √0.8, so ±: 0.6708, -0.4472, -1.5652, 0.6708 | 0.6708.

    From the end on they sum to -0.6708, -1.3416, -0.8944, 0.6708 | 0.6708. By twos the steps are 1, 0 | 1: mean ⅔,
    deviation √⅓, so 0.5774, -1.1547 | 0.5774. The other group's steps are all 0 and teach exactly nothing.
    """
    plain = rollout((1.0, 1.0, 0.0, 0.0))
    credit = torch.zeros_like(plain.logps)
    credit[0, 2:6] = torch.tensor([1.0, 0.0, -1.0, 1.0])
    credit[1, 2] = 1.0
    made = terminal(replace(plain, credit=credit))
    steps = advantage.group_norm_steps(made)
    assert steps.advantages[0, 2:6].tolist() == pytest.approx([-0.6708, -1.3416, -0.8944, 0.6708], abs=5e-4)
    assert float(steps.advantages[1].sum()) == pytest.approx(0.6708, abs=5e-4)
    assert not bool(steps.advantages[2:].any()) and steps.metrics["groups_alike"] == pytest.approx(0.5)
    assert not bool(steps.advantages[~steps.mask].any())
    twos = advantage.group_norm_steps(segment.ngram(made, tokens_each=2))
    assert twos.advantages[0, 2:6].tolist() == pytest.approx([-0.5774, -0.5774, -1.1547, -1.1547], abs=5e-4)
    assert float(twos.advantages[1].sum()) == pytest.approx(0.5774, abs=5e-4)


def test_with_one_step_an_answer_the_steps_are_group_norm():
    made = terminal(replace(rollout(), credit=torch.zeros_like(rollout().logps)))
    whole = advantage.group_norm_steps(segment.whole(made))
    torch.testing.assert_close(whole.advantages, advantage.group_norm(made, scale_by_group=True).advantages)


def test_groups_are_known_by_number_and_not_by_place():
    mixed = advantage.leave_one_out(terminal(rollout((1.0, 2.0, 0.5, 3.0), (7, 3, 7, 3))))
    assert (mixed.advantages.sum(1) / mixed.mask.sum(1)).tolist() == [0.5, -1.0, -0.5, 1.0]
    with pytest.raises(RunError, match="needs two completions"):
        advantage.group_norm(terminal(rollout().rows([0, 1, 2])), scale_by_group=True)


def test_each_score_on_its_own_scale_is_what_trl_computes():
    values = torch.tensor([[1.0, 100.0], [2.0, 50.0], [0.0, 75.0], [1.0, 10.0], [3.0, 30.0], [2.0, 20.0]])
    group = (0, 0, 0, 1, 1, 1)
    base = replace(rollout([0.0] * 6, group), scores=Scores(values, ("reward", "safe")))
    made = advantage.group_norm_each(terminal(base), score_weights="reward=1, safe=2")
    groups = values.view(2, 3, 2)
    each = (groups - groups.mean(1, keepdim=True)) / (groups.std(1, keepdim=True) + 1e-4)
    total = (each * torch.tensor([1.0, 2.0])).sum(-1).flatten()  # trl.GRPOTrainer, normalize_then_sum
    expected = (total - total.mean()) / (total.std() + 1e-4)
    of_rows = made.advantages.sum(1) / made.mask.sum(1)
    torch.testing.assert_close(of_rows, expected, atol=1e-6, rtol=1e-6)
    scaled = replace(base, scores=Scores(values * torch.tensor([1.0, 20.0]), ("reward", "safe")))
    again = advantage.group_norm_each(terminal(scaled), score_weights="reward=1, safe=2")
    torch.testing.assert_close(again.advantages, made.advantages, atol=1e-4, rtol=1e-4)


def test_a_score_that_is_missing_is_left_out_and_not_zero():
    values = torch.tensor([[1.0, 5.0], [2.0, math.nan], [0.0, 7.0], [4.0, math.nan]])
    base = replace(rollout([0.0] * 4, (0, 0, 0, 0)), scores=Scores(values, ("reward", "safe")))
    made = advantage.group_norm_each(terminal(base), score_weights="reward=1, safe=1")
    other = replace(base, scores=Scores(torch.nan_to_num(values, nan=math.nan), ("reward", "safe")))
    assert torch.isfinite(made.advantages).all()
    assert torch.equal(
        made.advantages, advantage.group_norm_each(terminal(other), score_weights="reward=1, safe=1").advantages
    )
    with pytest.raises(RunError, match="The scores that there are: reward, safe"):
        advantage.group_norm_each(terminal(base), score_weights="helpful=1")


def test_batch_mean_subtracts_one_number():
    made = advantage.batch_mean(terminal(rollout()))
    assert (made.advantages.sum(1) / made.mask.sum(1)).tolist() == [-0.625, 0.375, -1.125, 1.375]


@pytest.mark.parametrize(("keep", "rows"), [(filters.best, ["1", "3"]), (filters.best_and_worst, ["1", "2", "3", "5"])])
def test_filters_keep_the_ends_of_each_prompt(keep, rows):
    found = keep(rollout((1.0, 2.0, 0.0, 5.0, 4.0, 3.0), (0, 0, 0, 1, 1, 1)))
    assert list(found.texts) == rows
    assert (
        found.tokens.input_ids.tolist() == rollout((1.0,) * 6, (0,) * 6).tokens.input_ids[list(map(int, rows))].tolist()
    )
    assert found.scores.values.flatten().tolist() == found.reward.tolist()


def test_best_and_random_keeps_the_best_and_any_of_the_others():
    torch.manual_seed(0)
    seen = [filters.best_and_random(rollout((1.0, 2.0, 0.0), (0, 0, 0))).texts for _ in range(200)]
    assert all("1" in texts and len(texts) == 2 for texts in seen)
    assert 60 < sum("0" in texts for texts in seen) < 140


def test_preference_as_reward_knows_nothing_of_offsets():
    references = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.5, 0.5], [3.0, 1.0]])
    made = shape.preference(rollout(reference_rewards=references), reward_scale=1.0)
    sigmoid = torch.sigmoid
    assert made.reward[0] == pytest.approx(float(sigmoid(torch.tensor([0.0, 1.0])).mean()))
    assert made.reward[2] == 0.5
    moved = shape.preference(
        replace(rollout(reference_rewards=references + 100), reward=rollout().reward + 100), reward_scale=1.0
    )
    torch.testing.assert_close(moved.reward, made.reward, atol=1e-5, rtol=1e-5)


def test_running_moments_are_those_of_everything_seen():
    stage = shape.Normalised(centre=True, reward_limit=10.0)
    first, second = rollout((1.0, 2.0, 0.5, 3.0)), rollout((10.0, -4.0, 0.0, 1.0))
    stage(first)
    made = stage(second)
    everything = torch.cat([first.reward, second.reward]).double()
    torch.testing.assert_close(made.reward, ((second.reward - everything.mean()) / everything.std()).float())
    again = shape.Normalised(centre=True, reward_limit=10.0)
    again.load_state_dict(stage.state_dict())
    assert torch.equal(again(first).reward, stage(first).reward)


def test_a_price_on_length_begins_where_it_is_said():
    made = shape.length_penalty(rollout(), free_tokens=3, token_price=0.5)
    assert made.reward.tolist() == [0.5, 2.0, 0.5, 2.5]


def with_costs(*costs: float) -> Rollout:
    values = torch.tensor([[1.0, c] for c in costs])
    return replace(rollout([1.0] * len(costs), (0,) * len(costs)), scores=Scores(values, ("reward", "cost")))


def test_the_multiplier_rises_above_the_limit_falls_below_it_and_stays_in_bounds():
    stage = constrain.climbing(cost_limit=0.0, multiplier=1.0, multiplier_rate=0.5, multiplier_limit=4.0, cost_window=4)
    made = stage(with_costs(1.0, 1.0, 1.0, 1.0))
    assert made.metrics["multiplier"] == pytest.approx(math.exp(0.5))
    weight = math.exp(0.5)
    assert made.reward.tolist() == pytest.approx([(1 - weight) / (1 + weight)] * 4)
    for _ in range(20):
        stage(with_costs(1.0, 1.0, 1.0, 1.0))
    assert stage(with_costs(1.0)).metrics["multiplier"] == pytest.approx(4.0)
    again = constrain.climbing(cost_limit=0.0, multiplier=1.0, multiplier_rate=0.5, multiplier_limit=4.0, cost_window=4)
    again.load_state_dict(stage.state_dict())
    lower = stage(with_costs(-1.0, -1.0, -1.0, -1.0)).metrics
    assert again(with_costs(-1.0, -1.0, -1.0, -1.0)).metrics == lower and lower["multiplier"] < 4.0


def test_of_an_iteration_that_is_larger_than_the_window_all_costs_count():
    knobs = {"cost_limit": 0.0, "multiplier": 1.0, "multiplier_rate": 0.5, "multiplier_limit": 4.0, "cost_window": 2}
    stage = constrain.climbing(**knobs)
    assert stage(with_costs(1.0, 1.0, -1.0, -1.0)).metrics["multiplier"] == pytest.approx(1.0)
    again = constrain.climbing(**knobs)
    again.load_state_dict(stage.state_dict())
    more = [one(with_costs(1.0)).metrics["multiplier"] for one in (stage, again)]
    assert more == pytest.approx([1.0] * 2)  # the last two are -1 and 1


def test_the_pid_controller_answers_at_once_and_lets_go():
    stage = constrain.pid(cost_limit=0.0, proportional=0.5, integral=0.1, multiplier_limit=20.0, cost_window=2)
    assert stage(with_costs(1.0, 1.0)).metrics["multiplier"] == pytest.approx(0.6)
    assert stage(with_costs(-1.0, -1.0)).metrics["multiplier"] == 0.0
    assert stage.controller.state == 0.0


def test_the_pessimistic_charge_has_the_gradient_of_the_bound():
    """On all answers of a softmax, weighed by their probability, against a finite difference of mean + κ · deviation.

    With n = 5 and m = 50, t(0.9, 4) = 1.5332 and t(0.9, 49) = 1.2991, so κ = 1.5332 / √5 + 2 · 1.2991 / √50 = 1.0531.
    """
    knobs = {"cost_limit": 0.0, "delta": 0.1, "proportional": 0.5, "integral": 0.0, "multiplier_limit": 20.0}
    stage = constrain.pessimistic(**knobs, test_prompts=50, window_weight=1.0, test_weight=2.0, cost_window=8)
    costs = torch.tensor([1.0, -0.5, 0.25, 2.0, -1.5], dtype=torch.float64)
    stage.costs.extend(costs.tolist())
    charged, bound = stage.charged(costs)
    assert bound == pytest.approx(float(costs.mean() + 1.0531 * costs.std(correction=0)), abs=1e-3)

    logits = torch.zeros(5, dtype=torch.float64, requires_grad=True)  # the window is what this policy answers
    p = logits.softmax(0)
    mean = (p * costs).sum()
    exact = mean + 1.0531 * ((p * costs.square()).sum() - mean.square()).sqrt()
    (expected,) = torch.autograd.grad(exact, logits)
    (found,) = torch.autograd.grad((logits.softmax(0) * charged).sum(), logits)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)
    (plain,) = torch.autograd.grad((logits.softmax(0) * costs).sum(), logits)
    assert (plain - expected).abs().max() > 0.05

    alike = constrain.pessimistic(**knobs, test_prompts=50, window_weight=1.0, test_weight=1.0, cost_window=8)
    assert float(alike(with_costs(0.5, 0.5)).metrics["multiplier"]) == 0.25  # no deviation, no charge for it


def test_a_recipe_with_a_limit_wants_a_cost():
    stage = constrain.climbing(cost_limit=0.0, multiplier=1.0, multiplier_rate=0.5, multiplier_limit=4.0, cost_window=4)
    with pytest.raises(RunError, match="Train the recipe cost-model"):
        stage(rollout())
