from __future__ import annotations

import pytest

from annotation.models import Campaign, User
from tests.factories import make_campaign, make_user
from training.models import ModelVersion
from training.services import execution, versions


@pytest.fixture(autouse=True)
def quiet_broker(settings) -> None:
    """Keep messages in memory: no test of a service depends on a broker, and the rows hold the work anyway."""
    from celery import current_app

    current_app.conf.broker_url = "memory://"


@pytest.fixture(autouse=True)
def worker_goes_on():
    yield
    execution.STOPPING.value = False


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
