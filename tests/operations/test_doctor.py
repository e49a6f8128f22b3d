"""The doctor names what is missing and what to do; good and bad stand side by side."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.core.management import call_command
from django.db import connection

from frontend import doctor
from frontend.doctor import Level
from training.celery import app as celery

pytestmark = pytest.mark.django_db


def finding(name: str) -> doctor.Finding:
    return next(found for found in doctor.examine() if found.name == name)


def test_a_gpu_is_told_from_none_and_from_a_broken_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert finding("GPU").level is Level.NOTE
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 'NVIDIA H100 80GB HBM3, 81559 MiB, 81000 MiB'\n")
    program.chmod(0o755)
    assert finding("GPU") == doctor.Finding("GPU", Level.GOOD, "NVIDIA H100 80GB HBM3, 81559 MiB, 81000 MiB")
    program.write_text("#!/bin/sh\necho 'NVIDIA-SMI has failed because the driver is gone'\nexit 9\n")
    broken = finding("GPU")
    assert broken.level is Level.BAD and "has failed" in broken.state and broken.advice


@pytest.fixture
def no_broker(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Name a broker that is not there; other tests keep their messages in memory."""
    monkeypatch.setattr(celery.conf, "broker_url", f"redis+socket://{tmp_path / 'none.sock'}")


def test_the_database_is_good_and_a_broker_that_is_named_but_away_is_bad(
    settings, capsys: pytest.CaptureFixture, no_broker: None
):
    settings.ATTUNE_BROKER_EMBEDDED = True
    assert finding("Database").level is Level.GOOD
    assert finding("Database").state.startswith(connection.vendor)
    settings.ATTUNE_BROKER_EMBEDDED = False
    assert finding("Broker").level is Level.BAD
    with pytest.raises(SystemExit):
        call_command("doctor")
    shown = capsys.readouterr().out
    assert "BAD   Broker" in shown and "correct BROKER_URL" in shown


def test_a_nearly_full_disk_is_bad(monkeypatch: pytest.MonkeyPatch):
    assert finding("Disk").level in (Level.GOOD, Level.NOTE)
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 1e8})())
    assert finding("Disk").level is Level.BAD


def test_without_a_broker_no_worker_is_waited_for(no_broker: None):
    levels = {found.name: found.level for found in doctor.examine()}
    assert levels["Worker gpu"] is Level.NOTE and levels["Worker default"] is Level.NOTE
