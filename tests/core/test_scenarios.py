"""Open scenarios: what is read and asked, which points count as named, and the figures."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.core.lab_safety import scenario_rows
from tests.core.scripted import scripted
from tests.core.worlds import make_spec, tiny_policy
from training.core.evaluate.scenarios import measure, safety_scenarios
from training.core.job import RunError
from training.core.run import open_job
from training.core.sampler import Sampler
from training.core.scorers import RewardScorer
from training.recipes.scenarios import COVERED, questions, scenario


class ByWords(RewardScorer):
    """Says that a point is named where its words stand in the answer: what a perfect judge would say of these."""

    by_principle = True

    def __init__(self) -> None:
        """Load nothing."""

    def satisfied(self, prompts, texts, principles):
        before = COVERED.partition("{point}")[0]
        return [1.0 if one.removeprefix(before) in text else -1.0 for text, one in zip(texts, principles, strict=True)]


def put(folder: Path, script, rows: list[dict], *, max_length: int = 4096):
    job = open_job(make_spec(folder, "safety-scenarios", model=folder, rows=rows, max_new_tokens=400))
    job.knobs["samples_per_prompt"] = 1
    asked = questions(enumerate(rows, start=1), name="lab.jsonl")
    result = measure(job, Sampler(job, "", loaded=scripted(script, max_length=max_length)), asked, ByWords())
    return result, [json.loads(line) for line in (folder / "answers.jsonl").read_text().splitlines()]


def test_by_hand(tmp_path):
    """The first scenario has 2 hazards, 1 incident and a decision with 1 consequence; the second 3 hazards alone.

    A policy that names both hazards and the incident of the first and one hazard of the second has 3/4 and 1/3.
    """
    first, second = scenario_rows()
    hazards = first["LabSafety_Related_Issues"]["Most_Common_Hazards"]
    incidents = first["LabSafety_Related_Issues"]["Most_Likely_Safety_Incidents"]
    others = second["LabSafety_Related_Issues"]["Most_Common_Hazards"]

    def says(prompt: str) -> str:
        if prompt.startswith(second["Scenario"]):
            return others[1]
        if "hazards" in prompt:
            return f"{hazards[1]}. And {hazards[0]}."
        return incidents[0] if "incidents" in prompt else "Nothing."

    result, answers = put(tmp_path, says, [first, second])
    told = {name: one["estimate"] if isinstance(one, dict) else one for name, one in result.metrics.items()}
    assert told["coverage_suite"] == pytest.approx((3 / 4 + 1 / 3) / 2)
    assert told["coverage_points"] == pytest.approx(4 / 7)
    assert told["coverage_aspect_hazards"] == pytest.approx((1 + 1 / 3) / 2)
    assert told["coverage_aspect_incidents"] == 1 and told["coverage_aspect_consequences"] == 0
    assert result.metrics["worst_subject"]["name"] == second["Subject"]
    assert result.counts == {"scenarios": 2, "read": 4, "asked": 4, "points": 7}
    assert "33% of its points" in " ".join(result.notes)
    assert sorted(len(row["named"]) for row in answers) == [1, 1, 2, 3]


def test_an_oracle_names_all_and_a_silent_policy_none(tmp_path):
    rows = scenario_rows()
    points = " ".join(point for row in rows for one in scenario(row) for point in one.points)
    oracle, _ = put(tmp_path / "oracle", lambda prompt: points, rows)
    assert oracle.metrics["coverage_suite"]["estimate"] == oracle.metrics["coverage_points"] == 1.0
    silent, _ = put(tmp_path / "silent", lambda prompt: "No.", rows)
    assert silent.metrics["coverage_suite"]["estimate"] == 0.0


def test_no_point_is_in_its_question() -> None:
    for row in scenario_rows():
        for one in scenario(row):
            assert not any(point in one.prompt for point in one.points)


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"Scenario": " "}, "no Scenario"),
        ({"Scenario": "x"}, "no point of safety"),
        ({"Scenario": "x", "LabSafety_Related_Issues": []}, "no point of safety"),
        ({"Scenario": "x", "LabSafety_Related_Issues": [1]}, "no object of lists"),
        ({"Scenario": "x", "LabSafety_Related_Issues": {"Most_Common_Hazards": [1]}}, "no list of texts"),
        ({"Scenario": "x", "Decisions": "y"}, "no list of objects"),
        ({"Scenario": "x", "Decisions": [{"Consequence": ["y"]}]}, "has no Decision"),
    ],
)
def test_what_is_no_scenario_is_said(row: dict, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        questions([(1, row)], name="lab.jsonl")


def test_by_a_real_principle_model_and_by_no_other(tmp_path, do):
    policy = tiny_policy(tmp_path / "policy")
    rows = scenario_rows()
    judges = {}
    for recipe in ("principle-reward", "bradley-terry"):
        made, _ = do(recipe, into=recipe, model=policy, max_steps=1, batch_size=4)
        judges[recipe] = {"reward": f"{made.output}/model"}
    more = {"model": policy, "rows": rows, "max_new_tokens": 8}
    spec = make_spec(tmp_path / "run", "safety-scenarios", scorers=judges["principle-reward"], **more)
    result = safety_scenarios(open_job(spec))
    assert result.counts["asked"] == 4 and 0 <= result.metrics["coverage_suite"]["estimate"] <= 1
    spec = make_spec(tmp_path / "no", "safety-scenarios", scorers=judges["bradley-terry"], **more)
    with pytest.raises(RunError, match="judges by principles"):
        safety_scenarios(open_job(spec))
