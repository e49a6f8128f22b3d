"""The administrator's pages of training open with rows in them, and change nothing: services do, and tell of it."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib import admin
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from annotation.models import Campaign, Completion, User
from tests.factories import make_task, make_user
from training.models import Chat, ChatTurn, GateOrder, GateReport, Loop, ModelVersion, Round, Run, Sample, Snapshot

pytestmark = pytest.mark.django_db

OURS = [model for model in admin.site._registry if model._meta.app_label == "training"]


@pytest.fixture
def rows(campaign: Campaign, annotator: User) -> None:
    """One row of each model at least."""
    make_task(campaign)
    serving, candidate = (
        ModelVersion.objects.create(campaign=campaign, kind="policy", number=number, path="org/model", state=state)
        for number, state in enumerate(("promoted", "candidate"))
    )
    loop = Loop.objects.create(campaign=campaign, prompts_path="prompts.jsonl")
    round = Round.objects.create(loop=loop, index=1, policy=serving, candidate=candidate)
    Run.objects.create(campaign=campaign, kind="evaluate", recipe={"name": "compare", "knobs": {}}, round=round)
    Snapshot.objects.create(campaign=campaign, view="pairs", rows=1, sha256="0" * 64, path="seen.jsonl")
    GateOrder.objects.create(loop=loop, candidate=candidate)
    GateReport.objects.create(candidate=candidate, parent=serving, verdict=GateReport.Verdict.FAIL)
    Sample.objects.create(completion=Completion.objects.all()[0], version=serving, round=round)
    chat = Chat.objects.create(campaign=campaign, user=annotator, policy=serving, mode="positive")
    now = timezone.now()
    ChatTurn.objects.create(
        chat=chat, number=1, message="Hello", client_key="k", shown_order=[0, 1], heartbeat_at=now, asked_at=now
    )


@pytest.mark.parametrize("model", OURS, ids=lambda model: model.__name__)
@pytest.mark.usefixtures("rows")
def test_rows_open_and_nobody_puts_a_policy_into_use_or_writes_a_report_here(client: Client, model: Any) -> None:
    client.force_login(make_user("root", is_staff=True, is_superuser=True))
    name = f"admin:training_{model._meta.model_name}"
    row = model.objects.latest("pk")
    before = model.objects.filter(pk=row.pk).values()[0]
    shown = [reverse(f"{name}_changelist"), reverse(f"{name}_change", args=[row.pk])]
    assert [client.get(page).status_code for page in shown] == [200, 200]
    assert client.get(shown[0], {"q": "x"}).status_code == 200
    changed = {"state": "promoted", "verdict": "pass", "_save": "Save"}
    assert client.get(reverse(f"{name}_add")).status_code == 403
    assert client.post(reverse(f"{name}_add"), changed).status_code == 403
    assert client.post(shown[1], changed).status_code == 403
    assert client.post(reverse(f"{name}_delete", args=[row.pk]), {"post": "yes"}).status_code == 403
    action = {"action": "delete_selected", "_selected_action": [row.pk], "post": "yes"}
    client.post(shown[0], action)
    assert model.objects.filter(pk=row.pk).values()[0] == before
