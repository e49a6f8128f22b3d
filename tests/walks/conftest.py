from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def quiet_broker(settings) -> None:
    """Keep messages in memory: here the test itself is the worker, see `let_workers_work`."""
    from celery import current_app

    current_app.conf.broker_url = "memory://"
