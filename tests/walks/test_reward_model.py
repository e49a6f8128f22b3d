"""Walk (iii): a lead trains a reward model from the form and sees on its page which judgements are behind it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from django.urls import reverse

from annotation.models import User
from tests.factories import PASSWORD, judge, make_campaign, make_task, make_user
from tests.walks.steps import filled_in, let_workers_work, signed_in
from training.core.tiny import save_tiny
from training.models import ModelVersion, Run
from training.services import fresh_pairs, versions

pytestmark = pytest.mark.django_db(transaction=True)

# What Python runs first in a run's own process: its device holds three pairs with their gradients and no more. Imitated
# at the outer edge, with the error of a real one; the learner, the process, the worker and the page are the real ones.
SMALL_DEVICE = """
import torch
from training.core.backbone import RewardModel
roomy = RewardModel.pair_scores

def pair_scores(self, tokens):
    if torch.is_grad_enabled() and len(tokens.input_ids) > 2 * 3:
        raise torch.OutOfMemoryError("CUDA out of memory.")
    return roomy(self, tokens)

RewardModel.pair_scores = pair_scores
"""


@pytest.fixture
def ann() -> User:
    return make_user("zwicky")


@pytest.mark.one_database
def test_from_the_form_to_the_lineage_and_to_fresh_pairs(ann: User, tmp_path: Path, monkeypatch: Any) -> None:
    lead = make_user("lea", password=PASSWORD)
    campaign = make_campaign("Reward", lead=lead, annotators=[ann])
    for n in range(24):
        make_task(campaign, number=n, prompt=f"Why is {n} even?", completions=(f"It is {n}.", f"Thank you! It is {n}."))
    for _ in range(24):
        judge(ann, campaign, preference=-3)
    folder = tmp_path / "base"
    save_tiny(folder)
    base = versions.register(campaign=campaign, kind="policy", path=str(folder), actor=lead)
    client = signed_in(lead)

    form = client.get(reverse("run-new", args=[campaign.pk, "bradley-terry"]))
    assert form.status_code == 200
    sent = filled_in(form.context["form"])
    sent |= {"model": base.pk, "epochs": 4, "learning_rate": 0.003}
    started = client.post(reverse("run-new", args=[campaign.pk, "bradley-terry"]), sent)
    assert started.status_code == 302, started.context["form"].errors

    (tmp_path / "device").mkdir()
    (tmp_path / "device" / "sitecustomize.py").write_text(SMALL_DEVICE)
    with monkeypatch.context() as small:
        small.setenv("PYTHONPATH", f"{tmp_path / 'device'}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
        let_workers_work()
    run = Run.objects.get()
    assert run.state == Run.State.SUCCEEDED, str(run.error)
    page = client.get(reverse("run", args=[run.pk])).content.decode()
    assert "Succeeded" in page
    assert "<svg" in page
    assert "The device&#x27;s memory was full, so micro_batch is 2 from now on." in page

    made = ModelVersion.objects.get(kind=ModelVersion.Kind.REWARD)
    assert made.snapshot is not None
    assert made.snapshot.rows == 24
    model_page = client.get(reverse("model", args=[made.pk])).content.decode()
    assert made.snapshot.sha256[:8] in model_page
    assert ann.pseudonym in model_page
    assert ann.username not in model_page

    # People go on judging, and a worker asks how often the model agrees with them on what it never saw.
    monkeypatch.setattr(fresh_pairs, "LEAST", 12)
    for n in range(12):
        odd = f"Why is {2 * n + 1} odd?"
        make_task(campaign, number=100 + n, prompt=odd, completions=(f"It is {n}.", f"Thank you! It is {n}."))
    for _ in range(12):
        judge(ann, campaign, preference=-3)
    assert fresh_pairs.measure_all() == 1
    let_workers_work()
    (fresh,) = fresh_pairs.of_campaign(campaign)
    assert (fresh.version, fresh.snapshot.rows) == (made, 12)
    accuracy = fresh.metrics["accuracy"]
    assert accuracy["n"] == 12 and accuracy["estimate"] > 0.8, "the thanked answer is told apart on new prompts too"
    assert accuracy["low"] <= accuracy["estimate"] <= accuracy["high"]
    assert 0 <= fresh.metrics["calibration_error"] <= 1 and 0 <= fresh.metrics["brier"] < 0.25
    assert sum(one["n"] for one in _bins(fresh.metrics["reliability"])) == 12
    policies = client.get(reverse("policies", args=[campaign.pk])).content.decode()
    assert str(made.label) in policies and f"{accuracy['estimate']:.0%}"[:-1] in policies


def _bins(reliability: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [one["right"] for one in reliability]
