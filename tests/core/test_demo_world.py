"""The demo's world and what is shipped of it: styles that show, content that fits, files within their size."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path

import pytest

import training
from training.core.backbone import load_policy
from training.core.demo_sentences import STYLES, answer, questions
from training.core.demo_world import make
from training.core.records import held_out, prompt_hash
from training.recipes.demo_gold import DEMO_SETTINGS, TASTES, gold
from training.recipes.loop import loop_settings

DEMO = Path(training.__file__).parent / "demo"


@pytest.mark.parametrize("choice", ["warm", "long", "careful"])
def test_every_style_shows_in_every_answer(choice):
    draw = random.Random(0)
    for question in questions():
        style = draw.choice(STYLES)
        yes, no = (answer(question, replace(style, **{choice: value}), draw) for value in (True, False))
        assert gold([], yes, choice) > gold([], no, choice)


def test_answers_are_about_what_was_asked():
    draw = random.Random(0)
    for question in questions():
        text = answer(question, draw.choice(STYLES), draw)
        others = [thing for thing in question.topic.objects if thing not in question.thing and f" {thing} " in text]
        assert question.thing in text and not others, text
        assert text.endswith((".", "!", "?")) and "{" not in text and "  " not in text


def test_gold_prefers_whole_sentences_and_names_its_tastes():
    assert gold([], "Thank you, dear friend. Wonderful", "warm") < gold([], "Obvious.", "warm")
    assert gold([], "Simple. Done.", "curt") == -gold([], "Simple. Done.", "warm")
    with pytest.raises(ValueError, match="careful"):
        gold([], "x.", "polite")
    assert {"warm", "curt", "careful", "short"} <= set(TASTES)


def test_what_is_shipped_is_small_loads_and_leaves_prompts_for_the_gate():
    assert sum(path.stat().st_size for path in DEMO.rglob("*") if path.is_file()) < 8_000_000
    model, tokenizer = load_policy(str(DEMO / "model"))
    assert model.config.vocab_size == len(tokenizer)
    rows = [json.loads(line) for line in (DEMO / "prompts.jsonl").read_text().splitlines()]
    assert len(rows) >= 400 and len({row["id"] for row in rows}) == len(rows)
    settings = loop_settings(DEMO_SETTINGS)
    assert sum(held_out(prompt_hash(row["prompt"])) for row in rows) >= settings.gate_prompts
    assert {row["prompt"][0]["content"] for row in rows} <= {question.text for question in questions()}


def test_the_command_makes_a_policy_and_prompts(tmp_path):
    make(tmp_path, steps=2, prompts=20)
    model, tokenizer = load_policy(str(tmp_path / "model"))
    assert model.generation_config.eos_token_id == tokenizer.eos_token_id
    assert len((tmp_path / "prompts.jsonl").read_text().splitlines()) == 20
