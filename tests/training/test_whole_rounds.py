"""Every way in which a candidate may learn goes through a whole round by the real core, and on into the next one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from annotation.feedback import kind
from annotation.models import Campaign, Task, User
from annotation.services import queue
from tests.factories import judge, make_campaign
from tests.training.core_world import work
from tests.training.test_loop_knobs import settings_for
from training.core.tiny import save_tiny
from training.models import GateReport, ModelVersion, Round, Run
from training.recipes.loop import loop_settings
from training.recipes.loop_candidate import trains_cost
from training.recipes.ways import OF_PAIRS, WAYS
from training.services import rounds, versions

pytestmark = pytest.mark.django_db

SMALL = {
    "prompts_per_round": 6,
    "samples_per_prompt": 2,
    "max_new_tokens": 6,
    "gate_prompts": 4,
    "gate_human_pairs": 2,
    "gate_minimum_win_rate": 0.0,
    "gate_maximum_kl": 1000,
    "gate_cost_limit": 10,
    "audit_share": 0.0,
    "learning_rate": 1e-3,
    "batch_size": 8,
}
TASKS = {"sums": {"recipe": "cgpo-codpo"}, "*": {"recipe": "cgpo-crraft", "weight": 2}}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("tiny") / "model")


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("asked") / "prompts.jsonl"
    rows = [
        {
            "id": f"q{n}",
            "prompt": [{"role": "user", "content": f"Question {n}: {n * 7919}, {n * 104729}?"}],
            "domain": ("sums", "words")[n % 2],
        }
        for n in range(60)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def of_way(way: str) -> dict[str, Any]:
    own = SMALL | settings_for(way)
    if way == "task-mix":
        own["tasks"] = json.dumps(TASKS)
    if way not in OF_PAIRS:
        own["iterations"] = 1
    return own


def judge_all(campaign: Campaign, people: list[User]) -> list[Task]:
    """Judge whatever is there: every second answer is better and safer than the first, and the other way round."""
    judged = []
    for person in people:
        while (assignment := queue.next_task(user=person, campaign=campaign)) is not None:
            better = assignment.task.pk % 2
            if campaign.kind == "dual":
                labels = [{"safe": True, "harms": {}}, {"safe": False, "harms": {"violence": 2}}]
                said: dict[str, Any] = {"pack": "safe-rlhf", "labels": labels[::-1] if better else labels}
                said |= {"safer": better, "better": better, "comment": ""}
                data = kind("dual").initial(said, shown_order=assignment.shown_order)
                judge(person, campaign, assignment=assignment, data=data)
            else:
                judge(person, campaign, assignment=assignment, preference=-3 if better else 3)
            judged.append(assignment.task)
    return judged


def what_happened(round: Round) -> tuple[str, list[Any]]:
    return str(round.note), list(round.runs.values("purpose", "state", "error"))


@pytest.mark.one_database
@pytest.mark.parametrize("way", WAYS)
def test_a_round_goes_its_whole_way(
    way: str, annotator: User, reviewer: User, lead: User, tiny: Path, asked: Path
) -> None:
    settings = of_way(way)
    costly = trains_cost(loop_settings(settings))
    people = [annotator, reviewer]
    campaign = make_campaign("Whole", lead=lead, annotators=people, kind="dual" if costly else "pairwise")
    loop = rounds.create_loop(
        campaign=campaign, policy=str(tiny), prompts_path=str(asked), settings=settings, actor=lead
    )
    round = rounds.start_round(loop=loop, actor=lead)
    assert work(round).state == Round.State.LABELLING, what_happened(round)
    assert {task.batch for task in judge_all(campaign, people)} == {"round-1"}

    assert work(round).state == Round.State.GATING, what_happened(round)
    learned = Run.objects.get(round=round, purpose="policy")
    assert learned.recipe["name"] == way and learned.result["metrics"], learned.result
    assert (versions.current(campaign, ModelVersion.Kind.COST) is not None) == costly
    assert judge_all(campaign, people)

    assert work(round).state == Round.State.PROMOTED, what_happened(round)
    candidate = versions.current(campaign, ModelVersion.Kind.POLICY)
    assert candidate is not None and candidate == round.candidate == learned.output
    assert GateReport.objects.filter(candidate=candidate).exists()

    following = Round.objects.get(loop=loop, index=2)
    assert work(following).state == Round.State.LABELLING, what_happened(following)
    drawn = Run.objects.get(round=following, purpose="sample")
    assert drawn.inputs["model"] == candidate.path
    assert all(task.meta["policy"] == candidate.label for task in judge_all(campaign, people))
