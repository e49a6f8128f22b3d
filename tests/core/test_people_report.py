"""The report on people: groups, and a quiz that anybody can take without a model."""

from __future__ import annotations

import json
from pathlib import Path


def test_the_quiz_asks_what_tells_most_and_ends_in_a_group(do, reward):
    quick = {"epochs": 20, "max_steps": 60, "batch_size": 8, "micro_batch": 8, "learning_rate": 3e-3, "eval_share": 0.0}
    made, _ = do("latent-user", into="made", model=reward, **quick)
    spec, result = do("people-report", model=Path(made.output) / "model", questions=2)
    told = json.loads((Path(spec.output) / "people.json").read_text())
    assert len(told["people"]) == result.counts["people"] == 23 and sum(told["groups"]) == 23
    assert result.metrics["groups"] == len(told["groups"])
    node, depth, asked = told["quiz"], 0, set()
    while "question" in node:
        asked.add(node["question"]["prompt"][0]["content"])
        assert node["question"]["one"] != node["question"]["other"]
        node, depth = node["second"], depth + 1
    assert depth == len(asked) == 2 and node["group"] in range(len(told["groups"]))
    assert not any("a stranger to it" in note for note in result.notes)
    # What the first question is, does not depend on what anybody answered.
    assert told["quiz"]["question"]["one"] < told["quiz"]["question"]["other"]


def test_a_model_to_which_everybody_is_a_stranger_is_told(do, reward):
    quick = {"epochs": 20, "max_steps": 40, "batch_size": 8, "micro_batch": 8, "learning_rate": 1e-2, "eval_share": 0.0}
    made, _ = do("latent-user", into="made", model=reward, kl_weight=10.0, **quick)
    _, result = do("people-report", model=Path(made.output) / "model", questions=1)
    assert any("everybody is a stranger to it" in note and "lower kl_weight" in note for note in result.notes)
