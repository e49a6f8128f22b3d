"""Card 23: a safety suite tells where a policy is worst, and the gate stops one that is good only on the whole.

Sixty questions in our own words, in LabSafety Bench's layout (none is from the benchmark, whose data we did not have):
a dozen, five times with a number, so that three categories, two levels and twelve with images can be told apart. The
policies are scripts: they say what an oracle, a guesser or one that knows no biology would say. What they say goes
through what a real policy's does: prompts, decoding, log-probabilities, the reading of the letter, the figures, and the
gate. So this shows that the measurement is right, and of no model that it is safe.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from annotation.told import of
from tests.core.lab_safety import BIOLOGICAL, CHEMICAL, FIRE, lab_rows
from tests.core.scripted import scripted
from tests.core.worlds import make_spec
from tests.experiments.frame import Card
from training.core.evaluate.safety_suite import measure
from training.core.evaluate.suite import figures as gate_figures
from training.core.run import open_job
from training.core.sampler import Sampler
from training.models import Run
from training.recipes.loop import loop_settings
from training.recipes.multiple_choice import LETTERS, Question, question
from training.services import suites

CARD = Card(
    23,
    "Domain safety suites (LabSafety Bench)",
    "An oracle has 1, a policy that always says A the share of keys A, and “A or B” nothing; moved options show who "
    "goes by the place; a policy that is bad in one category alone fails the gate, which names it; questions with "
    "images are unsupported and in no share. Scripted policies on 60 questions of our own, through the true scorers.",
    "arXiv:2410.14182",
)
SEEDS = (0, 1, 2)
# Of five questions two, two and one: bad at the last, a policy is right in four of five.
CATEGORIES = (CHEMICAL, FIRE, CHEMICAL, FIRE, BIOLOGICAL)
Script = Callable[[str, Question], str]  # where the right option stands, and the question → what is said


def world(seed: int) -> list[dict[str, Any]]:
    """Return 60 rows: half of them hard, one of five with an image, half of the keys A, in every category alike."""
    draw = random.Random(seed)
    rows = []
    for number, row in enumerate(lab_rows(60)):
        one = question(row)
        right = one.options[LETTERS.index(one.answer)]
        options = draw.sample([option for option in one.options if option != right], 3)
        key = "A" if number // 5 % 2 else draw.choice("BCD")
        options.insert(LETTERS.index(key), right)
        listed = "\n".join(f"{letter}: {option}" for letter, option in zip(LETTERS, options, strict=True))
        rows.append(
            {
                **row,
                "Question": f"{one.stem}\n{listed}",
                "Correct Answer": key,
                "Category": [CATEGORIES[number % 5]],
                "Level": "Hard" if number % 2 else "Easy",
                "Image Path": f"images/{number}-is-{key}.png" if number // 5 in (2, 5) or number in (0, 41) else None,
            }
        )
    return rows


@dataclass(frozen=True)
class Put:
    """What a policy's answers to a world came to."""

    metrics: dict[str, Any]
    counts: dict[str, int]
    answers: list[dict[str, Any]]
    prompts: list[str]

    def estimate(self, name: str) -> float:
        return float(self.metrics[name]["estimate"])

    def first_letter(self, keys: dict[str, str]) -> float:
        """Return the accuracy if the first of A to D after the thoughts were the letter."""
        said = [row for row in self.answers if row["order"] == "published"]
        read = [(re.search("[A-D]", row["said"].split("</think>")[-1]), keys[row["question"]]) for row in said]
        return sum(found is not None and found[0] == key for found, key in read) / len(said)


def put(folder: Path, rows: list[dict[str, Any]], script: Script, **knobs: Any) -> Put:
    """Put a world to a policy that says what `script` does of a question as it stands before it."""
    known = {one.stem: one for one in map(question, rows)}
    prompts: list[str] = []

    def says(prompt: str) -> str:
        prompts.append(prompt)
        stem, *lines = prompt.split("\n")
        one = known[stem]
        here = [line[3:] for line in lines[:4]]
        return script(LETTERS[here.index(one.options[LETTERS.index(one.answer)])], one)

    spec = make_spec(folder, "safety-suite", model=folder, rows=rows, max_new_tokens=60, **knobs)
    job = open_job(spec)
    job.knobs["samples_per_prompt"] = 1
    result = measure(job, Sampler(job, "", loaded=scripted(says)), [question(row) for row in rows])
    lines = (folder / "answers.jsonl").read_text().splitlines()
    return Put(result.metrics, result.counts, [json.loads(line) for line in lines], prompts)


def oracle(key: str, one: Question) -> str:
    return f"<think>It may be {'B' if key == 'A' else 'A'}.</think>Actually, {key}."


def only_key(key: str, one: Question) -> str:
    return key


def always_a(key: str, one: Question) -> str:
    return "A"


def either(key: str, one: Question) -> str:
    return "A or B"


def no_biologist(key: str, one: Question) -> str:
    return "ABCD"["ABCD".index(key) - 1] if BIOLOGICAL in one.categories else key


@pytest.mark.experiment
def test_an_oracle_is_right_in_both_orders_whichever_scorer_reads_it(report, tmp_path):
    """(i) and (v). Without: what is chosen once the options have moved is held against the published key."""
    values, without = [], []
    for seed in SEEDS:
        rows = world(seed)
        keys = {one.id: one.answer for one in map(question, rows)}
        each = [
            put(tmp_path / f"{seed}-{scorer}", rows, script, scorer=scorer)
            for scorer, script in (("generate", oracle), ("loglik", only_key))
        ]
        values.append(min(one.estimate(name) for one in each for name in ("accuracy_suite", "accuracy_moved")))
        assert [one.estimate("position_bias") for one in each] == [0, 0]
        assert all(
            one.metrics[f"accuracy_level_{level}"]["estimate"] == 1 for one in each for level in ("Easy", "Hard")
        )
        moved = [row["letter"] == keys[row["question"]] for row in each[0].answers if row["order"] == "moved"]
        without.append(sum(moved) / len(moved))
    report(
        CARD,
        "accuracy of an oracle, the lowest of both scorers and both orders of the options",
        values,
        seeds=SEEDS,
        at_least=1.0,
        every_seed=True,
        switched_off="the key moves with the options",
        without=without,
    )


@pytest.mark.experiment
def test_actually_b_is_b(report, tmp_path):
    """The card's traps: the A of Actually, and a letter that was only thought of."""
    values, without = [], []
    for seed in SEEDS:
        rows = world(seed)
        told = put(tmp_path / str(seed), rows, oracle, move_options=False)
        values.append(told.estimate("accuracy_suite"))
        without.append(told.first_letter({one.id: one.answer for one in map(question, rows)}))
    report(
        CARD,
        "accuracy of an oracle that thinks of another letter and then says “Actually, B”",
        values,
        seeds=SEEDS,
        at_least=1.0,
        every_seed=True,
        switched_off="reading the letter: the first of A to D",
        without=without,
    )


@pytest.mark.experiment
def test_always_a_has_the_share_of_a_and_changes_when_options_move(report, tmp_path):
    """(ii) and (v), of the 48 questions without an image."""
    apart, with_images, change = [], [], []
    for seed in SEEDS:
        rows = world(seed)
        told = put(tmp_path / str(seed), rows, always_a)
        asked = [row["Correct Answer"] == "A" for row in rows if row["Image Path"] is None]
        apart.append(abs(told.estimate("accuracy_suite") - sum(asked) / len(asked)))
        with_images.append(abs(told.estimate("accuracy_suite") * len(asked) / len(rows) - sum(asked) / len(asked)))
        change.append(told.estimate("accuracy_suite") - told.estimate("accuracy_moved"))
        assert told.estimate("position_bias") == 1 and told.estimate("none_rate") == 0
    report(
        CARD,
        "distance of always-A's accuracy from the share of keys A",
        apart,
        seeds=SEEDS,
        at_most=0.0,
        every_seed=True,
        switched_off="questions with an image are in no share: they count as wrong",
        without=with_images,
    )
    report(
        CARD,
        "accuracy that always-A loses once the options have moved",
        change,
        seeds=SEEDS,
        at_least=0.3,
        every_seed=True,
        switched_off="no option stays where it was: none moves",
        without=0.0,
    )


@pytest.mark.experiment
def test_two_letters_are_none(report, tmp_path):
    """(iii)."""
    values, without = [], []
    for seed in SEEDS:
        rows = world(seed)
        told = put(tmp_path / str(seed), rows, either, move_options=False)
        values.append(told.estimate("accuracy_suite") + 1 - told.estimate("none_rate"))
        without.append(told.first_letter({one.id: one.answer for one in map(question, rows)}))
    report(
        CARD,
        "accuracy of “A or B”, and the share of it that is not told as none",
        values,
        seeds=SEEDS,
        at_most=0.0,
        every_seed=True,
        switched_off="reading the letter: the first of A to D",
        without=without,
    )


@pytest.mark.experiment
def test_the_gate_stops_a_policy_that_is_bad_in_one_category_and_names_it(report, tmp_path):
    """(iv). Without: the same minimum held against all questions together."""
    named, on_the_whole = [], []
    settings = loop_settings({"gate_suite": "suite.jsonl"})
    for seed in SEEDS:
        rows = world(seed)
        told = put(tmp_path / str(seed), rows, no_biologist, move_options=False)
        assert told.estimate("accuracy_suite") >= 0.75 and told.metrics["worst_category"]["name"] == BIOLOGICAL
        right = {row["question"]: row["right"] for row in told.answers}
        asked = [one for one in suites.rows_of(map(question, rows)) if not one["unsupported"]]
        answered = [{**one, "candidate": right[one["id"]], "current": True} for one in asked]
        found = {**gate_figures(answered, confidence=0.95), "left_out": 0, "silent": [], "unsupported": 12}
        figures = suites.figures(Run(result={"metrics": {"suite": found}}), settings)
        (minimum,) = (one for one in figures if one["name"] == "category_minimum")
        said = str(of(minimum["explanation"]))
        named.append(float(not minimum["passed"] and f"Below that: {BIOLOGICAL}." in said))
        on_the_whole.append(float(told.estimate("accuracy_suite") < settings.gate_category_minimum))
    report(
        CARD,
        "share of policies wrong in one category alone that the gate turns down, and names it and no other",
        named,
        seeds=SEEDS,
        at_least=1.0,
        every_seed=True,
        switched_off="by category: the same minimum for all questions together",
        without=on_the_whole,
    )


@pytest.mark.experiment
def test_questions_with_images_are_unsupported_and_neither_wrong_nor_left_out_in_silence(report, tmp_path):
    """(vi). Nor does the name of an image's file, which has the key in it, reach a prompt or an id."""
    told_of, without = [], []
    for seed in SEEDS:
        rows = world(seed)
        told = put(tmp_path / f"{seed}", rows, only_key)
        blind = put(tmp_path / f"{seed}-blind", [{**row, "Image Path": None} for row in rows], only_key)
        assert told.metrics["accuracy_suite"]["n"] == 48 and "accuracy_modality_image" not in told.metrics
        assert not any(".png" in prompt or "-is-" in prompt for prompt in told.prompts)
        assert not any(key["id"].endswith(".png") for key in told.answers)
        told_of.append(told.counts.get("unsupported_image", 0) / 12)
        without.append(blind.counts.get("unsupported_image", 0) / 12)
    report(
        CARD,
        "share of the questions with an image that are told as unsupported",
        told_of,
        seeds=SEEDS,
        at_least=1.0,
        every_seed=True,
        switched_off="Image Path: all are asked as text",
        without=without,
    )
