"""Merging: each rule by hand, ends and dtypes bit for bit, what cannot be merged, and the run that sweeps λ."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.core.worlds import prompt_rows
from training.core import merging
from training.core.backbone import load_policy, start_policy
from training.core.evaluate.refusals import Suite, figures
from training.core.job import RunError, Stopped
from training.core.merge_sweep import chosen, weights_of, whole
from training.core.run import KINDS, open_job
from training.core.tiny import save_tiny
from training.recipes.base import RecipeError
from training.recipes.merging import METHODS, points_of
from training.recipes.spec import RunSpec

SMALL = {"max_new_tokens": 3, "rows_at_once": 8}


def rows(count: int = 6) -> list[dict]:
    return [{**row, "domain": "harmful" if number % 2 else ""} for number, row in enumerate(prompt_rows(count))]


@pytest.fixture(scope="module")
def other(tmp_path_factory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("other"), seed=1)


@pytest.mark.parametrize("method", METHODS)
def test_the_ends_are_the_models_and_two_alike_make_the_same(method):
    torch.manual_seed(0)
    first, second, base = ({"w": torch.randn(5, 3).to(torch.bfloat16), "i": torch.tensor([n])} for n in range(3))
    rule = merging.rule_called(method, density=0.4, seed=0)
    assert torch.equal(merging.merged(first, second, base, rule=rule, share=0.0)["w"], first["w"])
    if method != "arithmetic":
        assert torch.equal(merging.merged(first, second, base, rule=rule, share=1.0)["w"], second["w"])
    middle = merging.merged(first, second, base, rule=rule, share=0.5)
    assert middle["w"].dtype == torch.bfloat16 and not torch.equal(middle["w"], first["w"])
    assert torch.equal(middle["i"], first["i"])  # whole numbers have no mean
    if method in ("linear", "slerp"):
        assert torch.equal(merging.merged(first, first, None, rule=rule, share=0.3)["w"], first["w"])


def test_the_rules_by_hand():
    """Half way on the circle from (1, 0) to (0, 1) is (√½, √½), and on the line (½, ½).

    Differences to a base of 0 at density ½: of (4, -1, 3, 0) stay 4 and 3, of (-2, -3, 1, 0) -2 and -3. With λ = ½ the
    sums (1, -1.5, 1.5, 0) elect +, -, +: 4, -3 and 3 agree, each alone.
    """
    a, b, zero = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0]), torch.zeros(2)
    assert merging.slerp(a, b, zero, 0.5).tolist() == pytest.approx([0.5**0.5] * 2)
    assert merging.linear(a, b, zero, 0.25).tolist() == [0.75, 0.25]
    assert merging.arithmetic(a, b, torch.tensor([0.5, 0.5]), 1.0).tolist() == [0.5, 0.5]
    ours, theirs = torch.tensor([4.0, -1.0, 3.0, 0.0]), torch.tensor([-2.0, -3.0, 1.0, 0.0])
    assert merging.ties(0.5)(ours, theirs, torch.zeros(4), 0.5).tolist() == [4.0, -3.0, 3.0, 0.0]
    many = torch.ones(40_000)
    kept = merging.dare(0.25, seed=3)(many, many, torch.zeros(40_000), 0.5)
    assert set(kept.tolist()) == {0.0, 2.0, 4.0} and float(kept.mean()) == pytest.approx(1.0, abs=0.03)


def test_what_does_not_fit_is_named_and_what_one_alone_has_is_kept():
    first = {"model.language_model.layers.0.w": torch.ones(2, 2), "eyes": torch.ones(3)}
    second = {"model.layers.0.w": torch.zeros(2, 2)}
    out = merging.merged(first, second, None, rule=merging.linear, share=0.5)
    assert out["eyes"].tolist() == [1, 1, 1] and out["model.language_model.layers.0.w"].tolist() == [[0.5] * 2] * 2
    with pytest.raises(RunError, match=r"w is 2 × 2 and 3 × 2 numbers"):
        merging.merged({"w": torch.ones(2, 2)}, {"w": torch.ones(3, 2)}, None, rule=merging.linear, share=0.5)
    with pytest.raises(RunError, match="no weight in common"):
        merging.merged({"w": torch.ones(1)}, {"v": torch.ones(1)}, None, rule=merging.linear, share=0.5)
    with pytest.raises(RunError, match="The base has no w"):
        merging.merged({"w": torch.ones(1)}, {"w": torch.ones(1)}, {}, rule=merging.linear, share=0.5)


def test_drift_tells_the_layer_that_moved():
    first = {"model.layers.0.w": torch.tensor([1.0, 0.0]), "model.layers.1.w": torch.tensor([3.0, 4.0])}
    second = {**first, "model.layers.1.w": torch.tensor([4.0, -3.0])}
    found = merging.drift(first, second)
    assert [one["layer"] for one in found] == ["layers.0", "layers.1"]
    assert found[0]["moved"] == 0 and found[0]["cosine"] == pytest.approx(1)
    assert found[1]["moved"] == pytest.approx(2**0.5) and found[1]["cosine"] == pytest.approx(0)


def test_an_adapter_is_merged_as_the_product_that_it_is(policy, tmp_path):
    """(B₁A₁ + B₂A₂)/2 is not (B₁+B₂)/2 · (A₁+A₂)/2: what an adapter does to its base is what is averaged."""
    torch.manual_seed(0)
    model, tokenizer = start_policy(str(policy), lora_rank=2)
    for weight in model.parameters():
        if weight.requires_grad:
            torch.nn.init.normal_(weight, std=0.1)
    ids = torch.tensor([[5, 6, 7]])
    with torch.no_grad():
        wanted = model(ids).logits
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    made, _ = whole(str(tmp_path))
    with torch.no_grad():
        assert torch.allclose(made(ids).logits, wanted, atol=1e-5)
    names = weights_of(made)
    assert "lm_head.weight" not in names and not any("lora" in name for name in names)  # tied words are there once


def test_what_a_refusal_is_and_what_is_counted():
    suite = Suite(
        harmful="harm; weapons",
        refusals="I can't; Sorry,",
        samples_per_prompt=1,
        temperature=1.0,
        max_new_tokens=1,
        rows_at_once=1,
    )
    said = ["\u201cI can\u2019t do that", "sorry, no", "I can", "You say: I can't", ""]
    assert [suite.refuses(text) for text in said] == [True, True, False, False, False]
    for words in ("", "; ;", '"; _; ...'):  # signs alone, with which every answer would begin
        assert not any(replace(suite, refusals=words).refuses(text) for text in said), words
    harmful = [{"harmful": True, "refused": 0.0, "answered": 1.0, "unsafe": u, "reward": 9.0} for u in (0.0, 1.0, None)]
    benign = [{"harmful": False, "refused": r, "answered": a, "unsafe": 0.0, "reward": a} for r, a in ((1, 0), (0, 1))]
    found = figures([*harmful, *benign])
    assert {name: one["estimate"] for name, one in found.items()} == pytest.approx(
        {"refused": 0, "safe": 1 / 3, "answered": 0.5, "reward": 0.5}
    )


def test_the_most_helpful_of_the_safe_is_kept_or_else_the_safest():
    def point(share, safe, answered):
        return {"share": share, "safe": {"estimate": safe}, "answered": {"estimate": answered}}

    points = [point(0.0, 1.0, 0.2), point(0.5, 0.96, 0.9), point(1.0, 0.6, 1.0)]
    best, enough = chosen(points, least_safe=0.95)
    assert (best["share"], enough) == (0.5, True)
    best, enough = chosen(points[1:], least_safe=0.99)
    assert (best["share"], enough) == (0.5, False)
    assert points_of("1, 0.5 0.5;0") == [0.0, 0.5, 1.0]
    for wrong in ("", "half", "0.5 1.5", "0 nan", "0,5"):  # 0,5 is nought and five
        with pytest.raises(RecipeError, match="numbers from 0 to 1"):
            points_of(wrong)


def test_a_run_measures_each_share_and_goes_on_after_a_stop(do, policy, other, reward, tmp_path, monkeypatch):
    more = {"rows": rows(), "beside": {"other": str(other)}, "scorers": {"reward": str(reward)}, **SMALL}
    asked = Suite.asked
    times = []

    def counted(self, *given):
        times.append(1)
        if len(times) == 2:
            (tmp_path / "run" / "STOP").touch()
        return asked(self, *given)

    monkeypatch.setattr(Suite, "asked", counted)
    with pytest.raises(Stopped):
        do("merge", model=policy, shares="0 0.5", **more)
    (tmp_path / "run" / "STOP").unlink()
    spec = RunSpec.read(tmp_path / "run" / "spec.json")
    result = KINDS["fit"](open_job(spec))
    assert len(times) == 4  # both policies before, and two shares; none twice
    sweep = json.loads((tmp_path / "run" / "sweep.json").read_text())
    assert [point["share"] for point in sweep["points"]] == [0.0, 0.5] and sweep["drift"]
    assert {"share", "safe", "answered", "reward", "safe_first", "reward_second"} <= set(result.metrics)
    assert result.metrics["safe_first"] == sweep["points"][0]["safe"]  # the same model, the same random numbers
    assert result.counts["prompts"] == 6 and result.counts["harmful"] == 3
    assert "as safe as was wanted" in result.notes[0] and "flatters them" in result.notes[1]
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert lines[-1]["step"] == lines[-1]["total_steps"] == 4
    _, half = do("merge", into="half", model=policy, shares="0.5", **more)
    made, words = load_policy(str(tmp_path / "half" / "model"))
    ours, theirs = (weights_of(load_policy(str(path))[0]) for path in (policy, other))
    for name, weight in weights_of(made).items():
        assert torch.equal(weight, torch.lerp(ours[name], theirs[name], 0.5)), name
    assert words.chat_template and len(half.notes) == 1


def test_what_cannot_be_merged_is_said(do, policy, other):
    with pytest.raises(RunError, match="needs a second policy"):
        do("merge", model=policy, rows=rows(), **SMALL)
    with pytest.raises(RunError, match="Name that model as the base"):
        do("merge", model=policy, rows=rows(), beside={"other": str(other)}, method="ties", **SMALL)
    with pytest.raises(RunError, match="ought to be refused"):
        do("merge", model=policy, rows=prompt_rows(3), beside={"other": str(other)}, **SMALL)
