"""The gate over attributes: what it may see, what its score is made of, and how length is taken out."""

from __future__ import annotations

import pytest
import torch
from scipy.stats import spearmanr

from tests.core.worlds import pair_rows, rating_rows
from training.core.heads import MIXED, AttributesHead, debias, gated
from training.core.job import RunError
from training.core.scorers import RewardScorer

KNOBS = {"gate_width": 8, "gate_temperature": 1.0, "debias_limit": 0.03}
NAMES = ("clear", "kind", "long")


def test_an_attribute_is_freed_of_the_nuisance_with_the_least_that_does_it():
    """clear = its own + 0.6·long, kind goes against long, and long itself counts nothing."""
    draw = torch.randn(2000, 3, generator=torch.Generator().manual_seed(0))
    values = torch.stack([draw[:, 0] + 0.6 * draw[:, 2], draw[:, 1] - 0.3 * draw[:, 2], draw[:, 2]], 1)
    transform = debias(values, NAMES, nuisance="long", limit=0.03)
    freed = values @ transform.T
    assert transform[0, 2].item() == pytest.approx(-0.6, abs=0.06)
    assert transform[1, 2].item() == pytest.approx(0.3, abs=0.06)
    assert freed[:, 2].abs().max() == 0
    for j in (0, 1):
        assert abs(spearmanr(freed[:, j], values[:, 2])[0]) <= 0.03
    assert torch.equal(debias(values, NAMES, nuisance="", limit=0.03), torch.eye(3))


def test_how_far_the_freedom_holds_depends_on_how_many_answers_it_was_found_on():
    """Nothing leans on length, and yet 400 answers cannot say so to within 0.03."""
    head = gated(4, NAMES, AttributesHead(4, NAMES), nuisance="long", **KNOBS)
    for count, most in ((400, "0.13"), (20_000, "0.04")):
        (note,) = head.prepare(torch.randn(count, 4, generator=torch.Generator().manual_seed(0)))
        assert f"{count} answers" in note and f"up to {most} with" in note
    plain = gated(4, NAMES, AttributesHead(4, NAMES), nuisance="", **KNOBS)
    assert plain.prepare(torch.randn(400, 4)) == [], "nothing is taken out"


def test_what_cannot_be_parted_is_said():
    draw = torch.randn(100, generator=torch.Generator().manual_seed(0))
    with pytest.raises(RunError, match="clear cannot be freed of long"):
        debias(torch.stack([draw**3, draw], 1), ("clear", "long"), nuisance="long", limit=1e-9)
    with pytest.raises(RunError, match=r"no attribute called size. There are: clear, kind, long"):
        gated(4, NAMES, AttributesHead(4, NAMES), nuisance="size", **KNOBS)


def test_the_weights_see_the_prompt_alone_and_the_parts_sum_to_the_score():
    torch.manual_seed(0)
    head = gated(6, NAMES, AttributesHead(6, NAMES), nuisance="", **KNOBS)
    pooled, prompts = torch.randn(5, 6), torch.randn(5, 6)
    values = head(pooled, prompts)
    assert head.names == (*NAMES, MIXED) and values.shape == (5, 4)
    torch.testing.assert_close(head.contributions(pooled, prompts).sum(-1), values[:, -1])
    torch.testing.assert_close(head.weights(prompts).sum(-1), torch.ones(5))
    assert not torch.equal(head.weights(prompts)[0], head.weights(prompts)[1])
    trained = {name for name, p in head.named_parameters() if p.requires_grad}
    assert trained and all(name.startswith("gate.") or name == "scale" for name in trained)


def test_a_trained_gate_says_why_and_leaves_what_it_stands_on_as_it_was(do, policy):
    knobs = {"batch_size": 16, "micro_batch": 16, "learning_rate": 3e-3}
    below, _ = do("multi-objective", into="below", model=policy, rows=rating_rows(120), epochs=3, **knobs)
    spec, result = do("gated-objectives", model=f"{below.output}/model", rows=pair_rows(120), epochs=3, **knobs)
    device = torch.device("cpu")
    gate, attributes = (RewardScorer(f"{s.output}/model", device=device) for s in (spec, below))
    ask, text = [{"role": "user", "content": "the sun 7"}], "thanks the moon"
    parts = gate.why(ask, text)
    assert {part["attribute"] for part in parts} == {"kind", "long"}
    assert sum(part["contribution"] for part in parts) == pytest.approx(gate.score([ask], [text])[0], abs=1e-4)
    columns, plain = gate.columns([ask], [text]), attributes.columns([ask], [text])
    assert columns.names == ("kind", "long", MIXED)
    assert columns.values[0][:2] == pytest.approx(plain.values[0], abs=1e-5)
    assert result.metrics["eval_accuracy"]["estimate"] > 0.8
    with pytest.raises(RunError, match="Only a gate"):
        attributes.why(ask, text)


def test_without_the_end_of_the_prompt_a_gate_gives_no_score(do, policy):
    below, _ = do("multi-objective", into="below", model=policy, max_steps=1, batch_size=4)
    spec, _ = do("gated-objectives", model=f"{below.output}/model", max_steps=1, batch_size=4)
    model = RewardScorer(f"{spec.output}/model", device=torch.device("cpu")).model
    ids = torch.tensor([[5, 6, 7]])
    with pytest.raises(RunError, match="where the prompt ends"):
        model.scores(ids, torch.ones_like(ids))
