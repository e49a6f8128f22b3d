"""Accuracy on what is new to a model: worked out by hand on six pairs."""

from __future__ import annotations

import json

import pytest

from tests.core.worlds import pair_rows
from training.core.evaluate.splits import Known, known_of, splits
from training.core.job import RunError
from training.core.records import messages_of, prompt_hash


def row(prompt: str, annotator: str, origin: str, feedback: int, position: int, chosen: str = "yes it is") -> dict:
    return {
        "prompt": prompt,
        "chosen": chosen,
        "rejected": "no way!",
        "annotator": annotator,
        "chosen_origin": origin,
        "rejected_origin": "old",
        "feedback": feedback,
        "position": position,
    }


ROWS = [
    row("a", "ann", "old", 1, 0),
    row("b", "ann", "old", 2, 1),
    row("c", "ann", "new", 11, 0),
    row("d", "ben", "new", 12, 1),
    row("e", "ben", "new", 13, 0),
    row("f", "ben", "new", 14, 1, chosen="ok"),
]
RIGHT = [1.0, 1.0, 1.0, 0.0, 0.5, 0.0]


def test_each_side_has_its_accuracy_and_what_is_lost(tmp_path):
    """Seen prompts a, b: 1; the four new ones: 1.5 of 4. Ben's three: 0.5 of 3. First: (1+1+.5)/3, second: 1/3."""
    file = tmp_path / "known.jsonl"
    file.write_text("".join(json.dumps(one) + "\n" for one in ROWS[:2]) + "not a row\n")
    known = known_of([file])
    assert known.latest == 2 and known.generators == {"old"} and known.annotators == {"ann"}
    hashes = [prompt_hash(messages_of(one["prompt"])) for one in ROWS]
    found = splits(ROWS, hashes, RIGHT, known, confidence=0.95)
    told = {name: round(value["estimate"], 4) for name, value in found.items()}
    assert told["accuracy_prompt_seen"] == 1 and told["accuracy_prompt_new"] == 0.375 and told["lost_prompt"] == 0.625
    assert told["accuracy_annotator_new"] == pytest.approx(1 / 6, abs=1e-4)
    assert told["accuracy_generator_new"] == 0.375 and told["accuracy_time_after"] == 0.375
    assert told["accuracy_position_first"] == pytest.approx(2.5 / 3, abs=1e-4)
    assert told["accuracy_position_second"] == pytest.approx(1 / 3, abs=1e-4)
    assert told["accuracy_length_longer"] == 0.7 and told["accuracy_length_shorter"] == 0.0
    assert found["accuracy_prompt_new"]["n"] == 4 and found["lost_prompt"]["low"] < 0.625 < found["lost_prompt"]["high"]


def test_a_split_with_one_side_is_not_told():
    found = splits(ROWS[:2], ["a", "b"], RIGHT[:2], Known(), confidence=0.95)
    assert set(found) == {"accuracy_position_first", "accuracy_position_second", "lost_position"}


def test_a_model_that_reads_more_than_an_answer_is_measured_by_what_it_says(do, policy):
    quick = {"max_steps": 2, "batch_size": 4, "learning_rate": 1e-3}
    for name in ("pairwise-generative", "seq2seq-reward"):
        made, _ = do(name, into=name, model=policy, **quick)
        _, told = do("reward-accuracy", into=f"{name}-told", model=f"{made.output}/model", rows=pair_rows(4))
        assert 0 <= told.metrics["accuracy"]["estimate"] <= 1 and told.counts["kept"] == 4
        # Only a judge of two answers has an order to mind.
        assert ("order_effect" in told.metrics) == (name == "pairwise-generative")
    made, _ = do("principle-reward", into="principle", model=policy, **quick)
    with pytest.raises(RunError, match="reward-benchmark"):
        do("reward-accuracy", into="refused", model=f"{made.output}/model", rows=pair_rows(4))
