"""A lead is told on every page when nobody does the work behind it, and what to start."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace

import pytest
import time_machine
from celery.signals import celeryd_after_setup, heartbeat_sent
from django.core.cache import cache
from django.test import Client
from django.urls import reverse
from django.utils import timezone

import training.tasks  # noqa: F401 - connects to the signals of workers
from annotation.models import User
from tests.factories import make_campaign
from training.services import presence


@pytest.fixture
def lead_browser(lead: User) -> Client:
    make_campaign(lead=lead)
    client = Client()
    client.force_login(lead)
    return client


def test_a_worker_notes_its_queues_with_its_own_heart(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presence, "_noted", -60.0)
    monkeypatch.setattr(presence.connections, "close_all", lambda: None)  # the test's own connection
    cache.delete(presence.LOOKED_AT)
    assert [one.queue for one in presence.away()] == ["default", "gpu"]
    worker = SimpleNamespace(app=SimpleNamespace(amqp=SimpleNamespace(queues=SimpleNamespace(consume_from={"gpu"}))))
    celeryd_after_setup.send(sender="gpu@here", instance=worker, conf=None)
    heartbeat_sent.send(sender=None)
    assert [(one.queue, one.since) for one in presence.away()] == [("default", None)]
    before = presence.Presence.objects.get().seen_at
    heartbeat_sent.send(sender=None)
    assert presence.Presence.objects.get().seen_at == before, "not with every beat"


def test_who_runs_campaigns_is_told_and_nobody_else(lead_browser: Client, annotator: User) -> None:
    pages = [reverse(name) for name in ("home", "campaigns", "profile")]
    assert all(b"No worker" not in lead_browser.get(page).content for page in pages)
    presence.note(node="gpu@here", queues=["default", "gpu", "chat"])
    with time_machine.travel(timezone.now() + timedelta(minutes=5)):
        presence.note(node="default@here", queues=["default"])
        for page in pages:
            html = lead_browser.get(page).content.decode()
            assert "No worker for training since" in html
            assert "No worker for “chat” since" in html
            assert "celery -A training worker -Q gpu" in html
            assert "short jobs" not in html
        other = Client()
        other.force_login(annotator)
        assert b"No worker" not in other.get(pages[0]).content
        assert b"No worker" not in Client().get(reverse("login")).content
