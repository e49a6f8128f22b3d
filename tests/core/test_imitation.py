"""Rewards without comparisons: demonstrations against the policy's own answers, and prompts chosen by a log."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tests.core.worlds import demonstration_rows
from training.core import imitation, prompt_choice
from training.core.imitation import against_samples, beside
from training.core.job import RunError
from training.core.prompt_choice import PromptChooser
from training.core.records import Refused, Tally, parse_demonstration

ASK = [{"role": "user", "content": "why?"}]


def demonstration(*samples):
    return parse_demonstration({"prompt": ASK, "completion": "good", "samples": list(samples)})


def test_a_demonstration_is_preferred_to_what_the_policy_says_and_not_to_itself():
    rows = [
        (1, demonstration("bad", "good ", "bad", "worse", "more")),
        (2, demonstration("good")),
        (3, demonstration()),
    ]
    tally = Tally()
    pairs = against_samples(rows, tally, samples=2)
    assert [(line, pair.chosen, pair.rejected) for line, pair in pairs] == [(1, "good", "bad"), (1, "good", "worse")]
    assert tally.counts["refused_no_samples"] == 2
    for wrong in ("text", [1]):
        with pytest.raises(Refused, match="malformed"):
            parse_demonstration({"prompt": ASK, "completion": "good", "samples": wrong})


def test_the_answers_of_a_sample_run_come_beside_the_demonstrations_of_their_prompts(tmp_path, capsys):
    rows = [{"prompt": "why?", "completion": "so"}, {"prompt": "what?", "completion": "that"}]
    sampled = [{"prompt": ASK, "completions": [{"text": "one"}, {"text": "two"}]}]
    assert [row["samples"] for row in beside(rows, sampled)] == [["one", "two"], []]
    paths = [str(tmp_path / name) for name in ("demonstrations", "samples", "out")]
    for path, lines in zip(paths, (rows, sampled), strict=False):
        (tmp_path / path).write_text("".join(json.dumps(line) + "\n" for line in lines))
    imitation.main(*paths)
    assert "1 of 2 demonstrations" in capsys.readouterr().out
    assert json.loads((tmp_path / "out").read_text().splitlines()[0])["samples"] == ["one", "two"]


def test_a_reward_is_learned_from_demonstrations_alone(do, policy):
    _, result = do("demonstration-reward", model=policy, rows=demonstration_rows(6), max_steps=2, batch_size=4)
    assert result.counts["trained_on"] + result.counts["held_out"] == 12
    with pytest.raises(RunError, match="no answers of the policy beside them"):
        rows = [{**row, "samples": []} for row in demonstration_rows(3)]
        do("demonstration-reward", into="none", model=policy, rows=rows)


def test_the_prompt_that_worked_for_such_questions_is_chosen():
    """Two kinds of question, two prompts, each right for one kind: no fixed prompt is right for more than half."""
    draw = np.random.default_rng(0)
    kind = draw.integers(0, 2, 200)
    questions = np.stack([kind, 1 - kind], 1) + draw.normal(size=(200, 2)) * 0.1
    prompts = draw.choice(["first", "second"], 200)
    chooser = PromptChooser().fit(questions, prompts, (kind == (prompts == "second")).astype(float))
    assert chooser.choose(np.array([[0.0, 1.0], [1.0, 0.0]])) == ["first", "second"]
    always = PromptChooser().fit(questions, prompts, (prompts == "second").astype(float))
    assert always.promise(questions[:1]).tolist() == [[0.0, 1.0]]
    half = PromptChooser().fit(questions, prompts, np.full(200, 0.25))
    assert half.promise(questions[:3]) == pytest.approx(0.25, abs=0.02), "a quarter is a quarter of a success"
    with pytest.raises(RunError, match="scores from 0 to 1"):
        PromptChooser().fit(questions, prompts, np.full(200, 2.0))


def test_a_log_on_the_command_line(tmp_path, capsys):
    log = [
        {"question": f"{word} {n}", "prompt": prompt, "score": float((word == "sum") == (prompt == "count"))}
        for n in range(5)
        for word in ("sum", "rhyme")
        for prompt in ("count", "sing")
    ]
    for name, lines in (("log", log), ("asked", [{"question": "a rhyme"}, {"question": "the sum"}])):
        (tmp_path / name).write_text("".join(json.dumps(line) + "\n" for line in lines))
    prompt_choice.main(str(tmp_path / "log"), str(tmp_path / "asked"))
    assert [json.loads(line)["prompt"] for line in capsys.readouterr().out.splitlines()] == ["sing", "count"]
