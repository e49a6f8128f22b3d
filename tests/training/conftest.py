from __future__ import annotations

import json
from pathlib import Path

import pytest

from annotation.models import Campaign, User
from tests.factories import make_campaign, make_user
from tests.training.round_world import SETTINGS
from training.models import Loop, ModelVersion, Round
from training.services import answering, execution, rounds, versions


@pytest.fixture(autouse=True)
def worker_goes_on():
    yield
    execution.STOPPING.value = False


@pytest.fixture
def silence():
    """End the model that answered chats in this process."""
    yield
    answering.fall_silent()


@pytest.fixture
def engineer(db: None) -> User:
    return make_user("engineer")


@pytest.fixture
def campaign(lead: User, annotator: User, reviewer: User, engineer: User) -> Campaign:
    return make_campaign("Shape it", lead=lead, annotators=[annotator], reviewers=[reviewer], engineers=[engineer])


@pytest.fixture
def policy(campaign: Campaign, attune_files) -> ModelVersion:
    """The policy in use; its folder is empty, which is enough for everything but the training core."""
    folder = attune_files / "base"
    folder.mkdir()
    return versions.register(
        campaign=campaign, kind="policy", path=str(folder), actor=None, state=ModelVersion.State.PROMOTED
    )


@pytest.fixture
def prompts_file(tmp_path: Path) -> Path:
    path = tmp_path / "prompts.jsonl"
    # Numbers apart, as one that is nearly another's would be no prompt to test on.
    said = [f"Question {n}: {n * 7919}, {n * 104729}?" for n in range(120)]
    rows = [{"id": f"q{n}", "prompt": [{"role": "user", "content": text}]} for n, text in enumerate(said)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def base(tmp_path: Path) -> Path:
    folder = tmp_path / "base-policy"
    folder.mkdir()
    (folder / "style.txt").write_text("curt")
    return folder


@pytest.fixture
def loop(campaign: Campaign, prompts_file: Path, base: Path, lead: User) -> Loop:
    return rounds.create_loop(
        campaign=campaign, policy=str(base), prompts_path=str(prompts_file), settings=SETTINGS, actor=lead
    )


@pytest.fixture
def round(loop: Loop, lead: User) -> Round:
    return rounds.start_round(loop=loop, actor=lead)
