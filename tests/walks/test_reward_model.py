"""Walk (iii): a lead trains a reward model from the form and sees on its page which judgements are behind it."""

from __future__ import annotations

import pytest
from django.urls import reverse

from annotation.models import User
from tests.factories import PASSWORD, judge, make_campaign, make_task, make_user
from tests.walks.steps import filled_in, let_workers_work, signed_in
from training.core.tiny import save_tiny
from training.models import ModelVersion, Run
from training.services import versions

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def ann() -> User:
    return make_user("zwicky")


def test_from_the_form_to_the_lineage(ann: User, tmp_path) -> None:
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

    let_workers_work()
    run = Run.objects.get()
    assert run.state == Run.State.SUCCEEDED, str(run.error)
    page = client.get(reverse("run", args=[run.pk])).content.decode()
    assert "Succeeded" in page
    assert "<svg" in page

    made = ModelVersion.objects.get(kind=ModelVersion.Kind.REWARD)
    assert made.snapshot is not None
    assert made.snapshot.rows == 24
    model_page = client.get(reverse("model", args=[made.pk])).content.decode()
    assert made.snapshot.sha256[:8] in model_page
    assert ann.pseudonym in model_page
    assert ann.username not in model_page
