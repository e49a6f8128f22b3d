"""The reward explorer: what each kind of model can say, side by side, and one that cannot stops no other."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.core.worlds import stands_on
from training.core.evaluate.explore import agreement

SHORT = {"max_steps": 2, "batch_size": 4, "learning_rate": 1e-3}
FIVE = {
    "prompt": [{"role": "user", "content": "which sea?"}],
    "completions": ["thanks sun", "the moon", " sea ", "thanks sun road", "hill"],
    "choices": [{"prompt": "which sea?", "chosen": "thanks", "rejected": "hill"}],
}


def test_every_model_says_what_it_can(do, policy):
    paths = {}
    for name in ("bradley-terry", "reward-ensemble", "multi-objective", "critique-reward", "seq2seq-reward"):
        paths[name] = do(name, into=name, model=policy, **SHORT)[0]
    for name in ("gated-objectives", "latent-user"):
        below = Path(paths[stands_on(name)].output) / "model"
        paths[name] = do(name, into=name, model=below, **SHORT)[0]
    for name in ("principle-reward", "pairwise-generative"):
        paths[name] = do(name, into=name, model=policy, **SHORT)[0]
    scorers = {name: f"{spec.output}/model" for name, spec in paths.items()} | {"gone": "/no/such/model"}
    spec, result = do("reward-explorer", model=policy, scorers=scorers, rows=[FIVE])
    told = {one["model"]: one for one in json.loads((Path(spec.output) / "explored.json").read_text())["models"]}
    assert list(told) == list(scorers) and result.counts["failed"] == 2
    assert "Name at least one" in told["principle-reward"]["error"] and told["gone"]["error"]
    read = {name: one for name, one in told.items() if "error" not in one}
    assert all(len(one["scores"]) == 5 for one in read.values())
    assert len(read["reward-ensemble"]["members"][0]) > 2
    assert len(read["critique-reward"]["critiques"]) == 5
    assert read["seq2seq-reward"]["credit"][0]["tokens"] and len(read["seq2seq-reward"]["rewrites"]) == 5
    why = read["gated-objectives"]["why"][0]
    assert sum(part["contribution"] for part in why) == pytest.approx(read["gated-objectives"]["scores"][0], abs=1e-4)
    assert len(read["latent-user"]["personal"]) == 5 and read["latent-user"]["spread"][0]
    duels = read["pairwise-generative"]["duels"]
    assert len(duels) == 10 and 0 <= duels[0]["first_is_better"] <= 1


def test_a_named_principle_is_a_column(do, policy):
    made, _ = do("principle-reward", into="made", model=policy, **SHORT)
    scorers = {"reward-0": f"{made.output}/model"}
    spec, _ = do("reward-explorer", model=policy, scorers=scorers, rows=[FIVE], principles="polite; short")
    told = json.loads((Path(spec.output) / "explored.json").read_text())["models"][0]
    assert told["names"] == ["polite", "short"] and len(told["values"][0]) == 2


def test_models_agree_where_they_order_alike():
    # Of the three pairs of answers both models order (0, 1) and (0, 2) alike; the third they turn round.
    assert agreement([[3.0, 2.0, 1.0], [9.0, 1.0, 2.0]]) == pytest.approx(2 / 3)
    assert agreement([[1.0, 1.0], [2.0, 1.0]]) == 0.0  # a tie is no order
    assert agreement([[1.0, None], [2.0, 1.0]]) == 1.0 and agreement([]) == 1.0
