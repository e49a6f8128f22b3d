"""The quiz of a trained reward model for people: newcomers of two tastes end among those who share theirs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from django.urls import reverse
from playwright.sync_api import Page, expect

from annotation.models import Campaign, User
from tests.browser.looks import COLOURS, everywhere
from tests.core.worlds import make_spec, people_rows, tiny_policy
from tests.factories import make_campaign, make_user
from training.core.run import KINDS, open_job
from training.models import ModelVersion, Run
from training.services import execution, runs, versions

PEOPLE, QUESTIONS = 12, 4


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """Return a reward model that learned from people of whom every other one prefers thanks and the others do not."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("latent")
    quick = {"batch_size": 8, "micro_batch": 8, "learning_rate": 3e-3, "eval_share": 0.0}
    base = make_spec(folder / "base", "bradley-terry", model=tiny_policy(folder / "policy"), max_steps=2, **quick)
    KINDS["fit"](open_job(base))
    rows = people_rows(2 * PEOPLE)
    made = make_spec(
        folder / "made", "latent-user", model=f"{base.output}/model", rows=rows, epochs=40, max_steps=80, **quick
    )
    KINDS["fit"](open_job(made))
    return Path(made.output) / "model"


@pytest.fixture
def version(transactional_db, trained: Path, person: User, attune_files: Path) -> ModelVersion:
    """Return the model with its report on people, which a worker's child measured."""
    lead = make_user("lea")
    campaign: Campaign = make_campaign("What people like", lead=lead, annotators=[person])
    found = versions.register(campaign=campaign, kind="reward", path=str(trained), actor=None)
    ModelVersion.objects.filter(pk=found.pk).update(recipe={"name": "latent-user", "version": 1, "knobs": {}})
    data = attune_files / "people.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in people_rows(PEOPLE)))
    run = runs.create(
        campaign=campaign,
        recipe="people-report",
        knobs={"questions": QUESTIONS},
        actor=None,
        parent=found,
        inputs={"data": str(data)},
    )
    execution.execute(run.pk)
    run.refresh_from_db()
    assert run.state == Run.State.SUCCEEDED, run.error
    found.refresh_from_db()
    return found


def answered(page: Page, *, thanks: bool) -> int:
    """Answer the quiz as somebody who prefers thanks, or does not, and return the group that it ends in."""
    for number in range(1, QUESTIONS + 1):
        expect(page.get_by_text(f"Question {number}.")).to_be_visible()
        first, second = (
            page.locator(".card", has=page.get_by_role("heading", name=name)) for name in ("First", "Second")
        )
        likes_first = first.locator(".said").inner_text().startswith("thanks") == thanks
        (first if likes_first else second).get_by_role("link").click()
    ended = page.get_by_text("Your answers are nearest to group")
    expect(ended).to_be_visible()
    return int(ended.inner_text().rstrip(".").rsplit(" ", 1)[1])


def test_newcomers_end_in_the_group_of_those_who_share_their_taste(version, open_context, sign_in, person) -> None:
    quiz, people = (reverse(name, args=[version.pk]) for name in ("model-quiz", "model-people"))
    page = sign_in(open_context(), person, path=quiz)
    assert everywhere(page, "quiz") == []
    ends = {thanks: answered(page, thanks=thanks) for thanks in (True, False) if page.goto(quiz)}
    assert ends[True] != ends[False]
    assert everywhere(page, "quiz ended", again=COLOURS) == []
    page.get_by_role("link", name="Begin again").click()
    expect(page.get_by_text("Question 1.")).to_be_visible()

    lead = sign_in(open_context(), version.campaign.created_by, path=people)
    assert everywhere(lead, "people", again=COLOURS) == []
    lead.get_by_role("link", name="Take the quiz").click()
    ended = answered(lead, thanks=True)
    lead.get_by_role("link", name="People and groups").click()
    row = lead.locator(f"#group-{ended}")
    expect(row).to_be_visible()
    members = row.locator("td").last.inner_text().split(", ")
    assert ended == ends[True] and "person 0" in members and "person 1" not in members
