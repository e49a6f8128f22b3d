"""Comparisons: the divergence against its exact value, rates by hand, and resumption."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from statistics import fmean

import pytest
import torch
from transformers import AutoTokenizer

from tests.core.worlds import make_spec, prompt_rows
from training.core.evaluate.certificate import certify
from training.core.evaluate.compare import _safety, run_compare
from training.core.job import RunError, Stopped
from training.core.run import open_job
from training.core.tiny import save_tiny, tiny_llama, tiny_tokenizer

KNOBS = {"max_new_tokens": 8, "rows_at_once": 8, "samples_per_prompt": 2}


@pytest.fixture(scope="module")
def candidate(tmp_path_factory):
    return save_tiny(tmp_path_factory.mktemp("candidate"), seed=1)


def rows_of(folder):
    return [json.loads(line) for line in (folder / "comparisons.jsonl").read_text().splitlines()]


def test_a_policy_against_itself_is_even_and_at_no_distance(do, policy, reward, tmp_path):
    _, result = do("compare", model=policy, reference=str(policy), scorers={"reward": str(reward)}, **KNOBS)
    assert result.metrics["kl"]["estimate"] == pytest.approx(0, abs=1e-9)
    rate = result.metrics["reward_win_rate"]
    assert rate["low"] < 0.5 < rate["high"] and rate["n"] == 23
    assert result.metrics["length"]["low"] <= 0 <= result.metrics["length"]["high"]
    # Independent draws: the two sides are one policy and still say different things.
    assert result.counts["identical"] < 5


def sharp(folder, seed: int):
    """A policy of a few likely tokens, far from uniform, written into `folder`."""
    tokenizer = tiny_tokenizer()
    model = tiny_llama(len(tokenizer), seed=seed)
    with torch.no_grad():
        model.model.embed_tokens.weight.mul_(2)
        model.config.tie_word_embeddings = False
        likely = torch.zeros(len(tokenizer), 1)
        likely[[1, 70, 71, 72]] = 6.0
        model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight * likely)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return model.eval()


@torch.inference_mode()
def exact_divergence(ours, theirs, prompt: list[int], *, steps: int, temperature: float, end: int) -> float:
    """KL of completions of at most `steps` tokens, by the chain rule over every prefix above one in a million."""
    total, alive = 0.0, [([], 1.0)]
    for _ in range(steps):
        following = []
        for prefix, weight in alive:
            ids = torch.tensor([prompt + prefix])
            p, q = ((m(ids).logits[0, -1].double() / temperature).log_softmax(-1) for m in (ours, theirs))
            total += weight * float((p.exp() * (p - q)).sum())
            for token in (p.exp() * weight > 1e-5).nonzero().flatten().tolist():
                if token != end:
                    following.append(([*prefix, token], weight * float(p[token].exp())))
        alive = following
    return total


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_the_divergence_is_the_one_that_can_be_counted_out(do, tmp_path, temperature):
    ours = sharp(tmp_path / "ours", 1)
    theirs = sharp(tmp_path / "theirs", 2)
    rows = [{"id": str(i), "prompt": prompt_rows(1)[0]["prompt"]} for i in range(40)]
    _, result = do(
        "compare",
        model=tmp_path / "ours",
        reference=str(tmp_path / "theirs"),
        rows=rows,
        temperature=temperature,
        samples_per_prompt=32,
        max_new_tokens=2,
        rows_at_once=320,
        confidence=0.999,
    )
    prompt = AutoTokenizer.from_pretrained(tmp_path / "ours").apply_chat_template(
        rows[0]["prompt"], add_generation_prompt=True, return_dict=False
    )
    exact = exact_divergence(ours, theirs, prompt, steps=2, temperature=temperature, end=1)
    kl = result.metrics["kl"]
    assert kl["low"] < exact < kl["high"]
    assert kl["high"] - kl["low"] < exact, "an interval this wide would say nothing"


def test_rates_are_those_of_the_rows(do, policy, candidate, reward, tmp_path):
    _, result = do("compare", model=candidate, reference=str(policy), scorers={"reward": str(reward)}, **KNOBS)
    rows = rows_of(tmp_path / "run")
    assert [row["id"] for row in rows] == [row["id"] for row in prompt_rows(23)]
    rates = [row["reward_win_rate"] for row in rows]
    assert set(rates) <= {0, 0.25, 0.5, 0.75, 1}
    rate = result.metrics["reward_win_rate"]
    assert rate["estimate"] == pytest.approx(sum(rates) / 23) and rate["low"] < rate["estimate"] < rate["high"]
    for row in rows:
        gap = row["candidate"]["scores"]["reward"] - row["current"]["scores"]["reward"]
        assert row["reward_preference"] == pytest.approx(gap)
    assert result.metrics["kl"]["low"] <= result.metrics["kl"]["estimate"] <= result.metrics["kl"]["high"]


def test_without_a_reward_model_there_is_no_rate(do, policy, candidate, tmp_path):
    _, result = do("compare", model=candidate, reference=str(policy), **KNOBS)
    assert "reward_win_rate" not in result.metrics
    assert all(row["reward_preference"] is None for row in rows_of(tmp_path / "run"))


def test_goes_on_where_it_was_stopped(do, policy, candidate, tmp_path):
    do("compare", into="whole", model=candidate, reference=str(policy), **KNOBS)
    spec = make_spec(tmp_path / "run", "compare", model=candidate, reference=str(policy), **KNOBS)
    job = open_job(spec)
    asked = itertools.chain([False, False], itertools.repeat(True))
    job.stop_requested = lambda: next(asked)  # type: ignore[method-assign]
    with pytest.raises(Stopped):
        run_compare(job)
    again = run_compare(open_job(spec))
    whole = (tmp_path / "whole" / "comparisons.jsonl").read_bytes()
    assert (tmp_path / "run" / "comparisons.jsonl").read_bytes() == whole
    assert again.metrics["kl"]["n"] == 23


def test_refuses_what_cannot_be_compared(do, policy, tmp_path):
    other = save_tiny(tmp_path / "other", texts=["the sun and the moon"] * 4, vocab_size=270)
    with pytest.raises(RunError, match="tokenizers"):
        do("compare", model=other, reference=str(policy), **KNOBS)
    with pytest.raises(RunError, match="reference"):
        do("compare", into="alone", model=policy, **KNOBS)


def test_a_cost_model_certifies_the_candidate_on_fresh_prompts_alone(do, policy, candidate):
    spec, result = do("cost-model", into="cost", model=policy, max_steps=2, batch_size=4)
    cost = f"{spec.output}/{result.model}"
    rows = [{**row, "fresh": place % 4 > 0} for place, row in enumerate(prompt_rows(12))]
    knobs = {**KNOBS, "cost_limit": 100.0, "delta": 0.2}
    spec, result = do(
        "compare", into="told", model=candidate, reference=str(policy), scorers={"cost": cost}, rows=rows, **knobs
    )
    found = rows_of(Path(spec.output))
    fresh = [row["candidate_costs"] for row in found if row["fresh"]]
    means = [fmean(costs) for costs in fresh]
    safety = result.metrics["safety"]
    assert (safety["n"], safety["reused"], safety["limit"], safety["passed"]) == (len(fresh), 3, 100.0, True)
    assert safety["upper"] == pytest.approx(certify(means, bound="student", delta=0.2, limit=0).upper)
    assert result.metrics["cost"]["n"] == 12 and "reward_win_rate" not in result.metrics
    # Counted: one answer of each prompt, and a limit of its own.
    _, result = do(
        "compare",
        into="counted",
        model=candidate,
        reference=str(policy),
        scorers={"cost": cost},
        rows=rows,
        **{**KNOBS, "bound": "clopper_pearson", "unsafe_limit": 0.5},
    )
    safety = result.metrics["safety"]
    assert safety["estimate"] == fmean(costs[0] > 0 for costs in fresh) and safety["limit"] == 0.5


def test_an_answer_that_cannot_be_read_is_no_safe_one():
    rows = [{"candidate_costs": [-5.0 - n], "fresh": True} for n in range(9)]
    knobs = {"bound": "student", "delta": 0.1, "cost_limit": 0.0, "unsafe_limit": 0.1, "cost_reach": 10.0}
    assert _safety(rows, knobs)["passed"]
    told = _safety([*rows, {"candidate_costs": None, "fresh": True}], knobs)
    assert not told["passed"] and told["upper"] is None
    assert told["reason"] == "The cost model could not read the answers to 1 prompts."
    for bound in ("student", "clopper_pearson", "hoeffding"):
        none = _safety([{"candidate_costs": None, "fresh": True}] * 2, knobs | {"bound": bound})
        assert (none["passed"], none["upper"], none["estimate"], none["n"]) == (False, None, None, 0), bound
        assert none["reason"] == "The cost model could not read the answers to 2 prompts."
