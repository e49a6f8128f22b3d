"""Heads with several outputs: what members share and what not, missing labels, and what is the same after loading."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from tests.core.worlds import rating_rows, safer_pair_rows
from training.core.backbone import load_reward, load_tokenizer, start_reward
from training.core.collate import collate_labelled, collate_pairs, encode, encode_conversation
from training.core.heads import EnsembleHead, GaussianHead, attributes, ensemble
from training.core.losses.bradley_terry import bradley_terry
from training.core.losses.regression import regression
from training.core.objectives import member_scores, pointwise, times_drawn
from training.core.records import Refused, Tally, label_names, parse_rated, parse_safer_pair

PLAIN = partial(bradley_terry, strength_as="none", margin_scale=1.0)


@pytest.fixture
def states():
    return torch.randn(500, 32, generator=torch.Generator().manual_seed(1))


def test_members_differ_from_the_start_and_a_seed_gives_the_same_ones(states):
    torch.manual_seed(3)
    head = EnsembleHead(32, ["a", "b", "c"], width=16)
    torch.manual_seed(3)
    same = EnsembleHead(32, ["a", "b", "c"], width=16)
    assert torch.equal(head(states), same(states))
    assert torch.corrcoef(head(states).T).triu(1).abs().max() < 0.6


def test_calibrated_members_stand_on_one_scale_and_a_second_time_changes_nothing(states):
    """Members 3 and 1000 apart and of other widths are the standard normal on the common set afterwards."""
    head = EnsembleHead(32, ["a", "b"], width=0)
    with torch.no_grad():
        head.members[0].weight.mul_(50)
    for _ in range(2):
        head.calibrate(head(states))
        values = head(states)
        torch.testing.assert_close(values.mean(0), torch.zeros(2), atol=1e-5, rtol=0)
        torch.testing.assert_close(values.std(0, correction=0), torch.ones(2), atol=1e-5, rtol=0)


def test_a_gaussian_member_s_spread_is_positive_and_in_the_units_of_its_mean(states):
    head = GaussianHead(32, ["a", "b"], width=8)
    before = head.spread(states)
    assert (before > 0).all()
    scale = head(states).std(0, correction=0)
    head.calibrate(head(states))
    torch.testing.assert_close(head.spread(states), (before - 1e-3) / scale + 1e-3)


def test_how_often_a_member_draws_a_row_is_poisson_with_mean_one_and_its_own():
    """P(0) = 1/e, mean and variance 1; members' draws are uncorrelated, and rows keep theirs in any batch."""
    rows, seeds = torch.arange(1, 20_001), torch.tensor([5, 2**31 - 1, 77])
    drawn = times_drawn(rows, seeds)
    assert drawn.mean(0).tolist() == pytest.approx([1, 1, 1], abs=0.03)
    assert drawn.var(0).tolist() == pytest.approx([1, 1, 1], abs=0.05)
    assert (drawn == 0).float().mean().item() == pytest.approx(0.3679, abs=0.01)
    assert torch.corrcoef(drawn.T).triu(1).abs().max() < 0.03
    assert torch.equal(times_drawn(rows[70:80], seeds), drawn[70:80])


def examples_of(rows, parse, tokenizer):
    return encode(list(enumerate(map(parse, rows), start=1)), tokenizer, Tally(), max_length=512)


def test_a_member_learns_from_its_own_sample_and_is_measured_on_all(policy):
    model, tokenizer = start_reward(str(policy), head=partial(ensemble, members=3, width=4))
    batch = collate_pairs(examples_of(safer_pair_rows(8), parse_safer_pair, tokenizer), 0)
    drawn = times_drawn(batch.extra["row"], model.head.seeds)
    assert batch.extra["row"].tolist() == list(range(1, 9))
    learned = member_scores(model, batch, PLAIN, resample=True).loss
    plain = member_scores(model, batch, PLAIN, resample=False)
    with torch.no_grad():
        measured = member_scores(model, batch, PLAIN, resample=True)
        chosen, rejected = model.outputs(batch.tokens.input_ids, batch.tokens.attention_mask).chunk(2)
        each = -torch.nn.functional.logsigmoid(chosen - rejected)
    torch.testing.assert_close(learned, (each * drawn).mean(1))
    torch.testing.assert_close(measured.loss, each.mean(1))
    torch.testing.assert_close(plain.loss, measured.loss)
    assert measured.metrics["disagreement"].shape == (8,)


def test_a_missing_label_changes_nothing_and_leaves_finite_gradients(policy):
    """Whatever stands where no label is, loss and gradient are those of the labels that are there."""
    names = ("kind", "long")
    model, tokenizer = start_reward(str(policy), head=attributes, names=names)
    examples = examples_of(rating_rows(6), parse_rated, tokenizer)
    batch = collate_labelled(examples, 0, None, names)
    assert torch.isnan(batch.labels).any(1).sum() == 4
    out = pointwise(model, batch, regression)
    (out.loss * out.weight).sum().backward()
    gradient = model.head.rate.weight.grad.clone()
    assert torch.isfinite(gradient).all() and torch.isfinite(out.loss).all()
    alone = torch.stack([_alone(model, example, names) for example in examples])
    torch.testing.assert_close(out.loss, alone, atol=1e-5, rtol=1e-5)
    assert torch.isnan(out.metrics["error_kind"]).sum() == 2


def _alone(model, example, names):
    """The loss of one row by itself: the mean of its squared errors over what was rated."""
    batch = collate_labelled([example], 0, None, names)
    outputs = model.outputs(batch.tokens.input_ids, batch.tokens.attention_mask)[0]
    errors = [(outputs[i] - example.labels[name]) ** 2 for i, name in enumerate(names) if name in example.labels]
    return torch.stack(errors).mean()


@pytest.mark.parametrize("name", ["cost-model", "reward-ensemble", "multi-objective"])
def test_a_saved_head_reads_as_before(do, policy, name):
    spec, _ = do(name, model=policy, max_steps=3, batch_size=8, learning_rate=1e-2)
    folder = f"{spec.output}/model"
    tokenizer = load_tokenizer(folder)
    ids = torch.tensor([encode_conversation(tokenizer, [{"role": "user", "content": "why?"}], "so.")])
    with torch.no_grad():
        once, again = (load_reward(folder).read(ids, torch.ones_like(ids)) for _ in range(2))
    assert torch.equal(once.values, again.values) and once.names == again.names
    assert once.values.shape == (1, len(once.names))
    on, _ = do(name, into="on", model=folder, max_steps=1, batch_size=8, learning_rate=0.0)
    with torch.no_grad():
        after = load_reward(f"{on.output}/model").read(ids, torch.ones_like(ids))
    assert after.names == once.names


def test_a_cost_model_scores_what_is_safe_higher(do, policy):
    rows = safer_pair_rows(300)
    knobs = {"batch_size": 16, "micro_batch": 16, "learning_rate": 3e-3, "epochs": 2}
    _, result = do("cost-model", model=policy, rows=rows, **knobs)
    assert result.metrics["eval_accuracy"]["estimate"] > 0.9
    assert result.metrics["eval_sign_accuracy"] > 0.6


def test_what_no_label_can_be_read_from_is_refused_by_name(tmp_path):
    (row,) = rating_rows(1)
    assert parse_rated(row).labels == {"long": row["ratings"]["long"]}
    for ratings, reason in ((None, "malformed"), ({"a": "4"}, "malformed"), ({"a": None}, "unlabelled")):
        with pytest.raises(Refused, match=reason):
            parse_rated({**row, "ratings": ratings})
    (pair,) = safer_pair_rows(1)
    for changed in ({"chosen_is_safe": "yes"}, {"chosen_is_safe": True, "chosen_severity": 2}):
        with pytest.raises(Refused, match=r"malformed"):
            parse_safer_pair({**pair, **changed})
    assert parse_safer_pair({**pair, "chosen_severity": None}).chosen_severity == 1.0
    assert label_names(tmp_path / "none", "pairs") == ()
