"""A reward model's margins reach the loss, once asked, and the same after a crash."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch

from tests.core.worlds import pair_rows
from training.core.job import RunError
from training.core.scorers import RewardScorer

KNOBS = {"max_steps": 2, "batch_size": 32, "micro_batch": 32, "learning_rate": 1e-3, "eval_share": 0.0}


def test_margins_are_the_reward_model_s_and_are_kept(do, policy, reward):
    rows = pair_rows(6)
    end = re.search(r'"eos_token": "([^"]+)"', (Path(policy) / "tokenizer_config.json").read_text())
    rows[2]["chosen"][0]["content"] = f"thanks {end.group(1)} again"
    spec, result = do("dpo-margin", model=policy, scorers={"reward": str(reward)}, rows=rows, **KNOBS)
    assert result.counts["trained_on"] == 5 and result.counts["refused_unscored"] == 1
    scorer = RewardScorer(str(reward), device=torch.device("cpu"))
    prompts = [row["prompt"] for row in rows]
    better, worse = (
        scorer.score(prompts, [row[side][0]["content"] for row in rows]) for side in ("chosen", "rejected")
    )
    kept = Path(spec.output) / "margins.jsonl.0.part"
    found = {row["id"]: row["margin"] for row in map(json.loads, kept.read_text().splitlines())}
    lines = [f"data {line}" for line in range(1, 7)]
    assert set(found) == set(lines) and found["data 3"] is None
    for line, b, w in zip(lines, better, worse, strict=True):
        assert found[line] is None or found[line] == pytest.approx(b - w, abs=1e-5)
    known = [margin for margin in found.values() if margin is not None]
    assert result.metrics["reward_margin"] == pytest.approx(sum(known) / 5, abs=1e-5)

    # What is there is not asked again: a run that goes on trains on the very same numbers.
    folder = Path(spec.output).parent / "again"
    folder.mkdir()
    (folder / kept.name).write_text("".join(json.dumps({"id": line, "margin": 7.0}) + "\n" for line in lines))
    _, again = do("dpo-margin", into="again", model=policy, scorers={"reward": str(reward)}, rows=rows[:2], **KNOBS)
    assert again.metrics["reward_margin"] == 7.0 and again.metrics["reward_agrees"] == 1.0
    with pytest.raises(RunError, match="Name one as the scorer reward"):
        do("dpo-margin", into="none", model=policy, rows=rows, **KNOBS)
