"""Several scores become one, by hand: members 1, 2 and 6 of one answer, 4, 4 and 4 of another."""

from __future__ import annotations

import pytest
import torch

from training.core.heads import Scores
from training.core.job import RunError
from training.core.stages.combine import first, gated, mean, mean_minus_var, minimum, robust, weighted_sum

VALUES = torch.tensor([[1.0, 2.0, 6.0], [4.0, 4.0, 4.0]])
SCORES = Scores(VALUES, ("a", "b", "mixed"), torch.tensor([[3.0, 0.1, 2.0], [1.0, 1.0, 1.0]]))


def test_by_hand():
    """Mean 3 and 4; population variance (4 + 1 + 9)/3 and 0."""
    assert first(SCORES).tolist() == [1, 4]
    assert mean(SCORES).tolist() == [3, 4]
    assert minimum(SCORES).tolist() == [1, 4]
    torch.testing.assert_close(mean_minus_var(SCORES, variance_weight=0.5), torch.tensor([3 - 7 / 3, 4]))
    assert gated(SCORES).tolist() == [6, 4]
    assert weighted_sum(SCORES, weights="a=1, mixed=-0.5").tolist() == [-2, 2]


def test_robust():
    """0.5 · 3 + 0.5 · 1 and 4; the member least unsure gives 2; over the batch the first member is the worst one."""
    settings = {"nominal_weight": 0.5, "nominal": "mean", "worst_of": "sample"}
    assert robust(SCORES, **settings).tolist() == [2, 4]
    assert robust(SCORES, **{**settings, "nominal": "least_spread"}).tolist() == [1.5, 4]
    turned = Scores(torch.tensor([[1.0, 2.0], [9.0, 2.0]]), ("a", "b"))
    assert robust(turned, **{**settings, "nominal_weight": 0.0, "worst_of": "batch"}).tolist() == [2, 2]
    assert robust(turned, **{**settings, "nominal_weight": 0.0}).tolist() == [1, 2]


def test_one_member_is_the_plain_reward_whatever_the_weight():
    alone = Scores(torch.tensor([[0.3], [0.7]]), ("reward",))
    for how in (first, mean, minimum):
        assert torch.equal(how(alone), alone.values[:, 0])
    plain = robust(alone, nominal_weight=1.0, nominal="mean", worst_of="sample")
    assert torch.equal(plain, alone.values[:, 0])


def test_what_does_not_fit_is_said():
    with pytest.raises(RunError, match=r"weights name c. The scores that there are: a, b, mixed"):
        weighted_sum(SCORES, weights="c=1")
    with pytest.raises(RunError, match=r"helpful=1, cost=-0.5"):
        weighted_sum(SCORES, weights="a")
    with pytest.raises(RunError, match=r"no mixture"):
        gated(Scores(VALUES, ("a", "b", "c")))
    with pytest.raises(RunError, match=r"no spread"):
        robust(Scores(VALUES, ("a", "b", "c")), nominal_weight=0.5, nominal="least_spread", worst_of="sample")
