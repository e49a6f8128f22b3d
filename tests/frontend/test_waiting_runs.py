"""Ordering the next stage of a pipeline while the one before it is still at work."""

from __future__ import annotations

import pytest
from django.db import transaction
from django.urls import reverse

from tests.frontend.lead_world import finish_run, judge_all, make_world, start_run
from training.models import Run
from training.services import waiting

pytestmark = pytest.mark.django_db


def test_the_form_offers_what_runs_will_make_and_the_page_says_what_it_waits_for() -> None:
    world = make_world()
    judge_all(world)
    first = start_run(world)  # a reward model
    client = world.client("engineer")
    address = reverse("run-new", args=[world.campaign.pk, "bradley-terry"])
    form = client.get(address).context["form"]
    offered = dict(form.fields["model"].choices)
    assert f"what run {first.pk} makes" in offered[f"run-{first.pk}"]
    values = {name: form[name].value() for name in form.fields if form[name].value() is not None}
    answer = client.post(address, values | {"model": f"run-{first.pk}"}, follow=True)
    run = Run.objects.latest("pk")
    assert (run.state, run.inputs["awaits"]) == ("waiting", {"model": first.pk})
    html = answer.content.decode()
    assert f"Run {run.pk} waits for other runs." in html and "makes the model it starts from" in html
    assert reverse("run", args=[first.pk]) in html and 'id="run-cancel"' in html
    done = finish_run(first)
    with transaction.atomic():
        waiting.release(done)
    made = done.output
    run.refresh_from_db()
    assert made is not None and (run.state, run.parent) == ("queued", made)
    assert "makes the model it starts from" not in client.get(reverse("run", args=[run.pk])).content.decode()
    assert f"run-{first.pk}" not in dict(client.get(address).context["form"].fields["model"].choices)


def test_rest_takes_the_runs_to_wait_for_and_refuses_what_is_said_twice() -> None:
    world = make_world()
    judge_all(world)
    first = start_run(world)
    client, address = world.client("engineer"), reverse("api-runs", args=[world.campaign.pk])

    def post(**body: object) -> tuple[int, dict[str, object]]:
        answer = client.post(address, {"recipe": "bradley-terry", **body}, content_type="application/json")
        return answer.status_code, answer.json()

    status, made = post(awaits={"model": first.pk})
    assert (status, made["state"], made["awaits"]) == (201, "waiting", {"model": first.pk})
    for body in ({"awaits": {"model": first.pk}, "model": "org/model"}, {"awaits": {"colour": first.pk}}):
        status, told = post(**body)
        assert status in (400, 422) and "awaits" in told["errors"], told  # type: ignore[operator]
    assert post(awaits={"model": made["id"] + 1000})[0] in (400, 422)  # type: ignore[operator]
