"""Merging two policies by form, REST and command: the same run, and a lineage with both of them."""

from __future__ import annotations

import json

import pytest
from django.core.management import call_command
from django.urls import reverse
from rest_framework.test import APIClient

from tests.frontend.lead_world import as_sent, finish_run, judge_all, make_world
from training import paths
from training.models import ModelVersion, Run
from training.recipes.spec import RunResult, write_json
from training.services import runs, snapshots, versions, withdrawals
from training.services.descent import forebears, merged_with

pytestmark = pytest.mark.django_db


def test_merging_by_form_rest_and_command_and_the_lineage_of_what_comes_out() -> None:
    world = make_world()
    judge_all(world)
    campaign, client, page = world.campaign, world.client("lead"), reverse("run-new", args=[world.campaign.pk, "merge"])
    first = versions.register(campaign=campaign, kind="policy", path="org/seeing", actor=world.lead)
    refused = client.get(page)
    assert refused.status_code == 404 and "It needs two policies" in refused.content.decode()
    pairs = snapshots.freeze(campaign=campaign, view="pairs", filters={}, actor=None)
    second = versions.add(campaign=campaign, kind="policy", path="org/safe")
    ModelVersion.objects.filter(pk=second.pk).update(snapshot=pairs)
    cost = versions.register(campaign=campaign, kind="cost", path="org/cost", actor=world.lead)

    for start, other in ((first, second), (second, first)):
        form = client.get(page, {"model": start.pk}).context["form"]
        assert (form["model"].value(), form["other"].value()) == (str(start.pk), str(other.pk)), "never one twice"
    form = client.get(page).context["form"]
    assert form.fields["base"].choices[0] == ("", "none") and form.fields["cost"].choices[0] == ("", "none")
    sent = {**as_sent(form), "model": str(first.pk), "other": str(second.pk), "cost": str(cost.pk), "reward": ""}
    assert client.post(page, {**sent, "other": ""}).status_code == 422
    for field, wrong in (("shares", {"shares": "0,5"}), ("base", {"method": "ties"})):  # before a worker takes it up
        refused = client.post(page, {**sent, **wrong})
        assert refused.status_code == 422 and list(refused.context["form"].errors) == [field]
    assert client.post(page, {**sent, "shares": "0.3 0.7"}).status_code == 302
    run = Run.objects.get()
    wanted = {"other": "org/safe"}
    assert run.inputs["beside"] == wanted and run.inputs["scorers"] == {"cost": "org/cost"}
    assert run.recipe["knobs"]["shares"] == "0.3 0.7" and run.snapshot is not None and run.snapshot.view == "prompts"

    api = APIClient()
    api.force_authenticate(world.lead)
    address = reverse("api-runs", args=[campaign.pk])
    asked = {"recipe": "merge", "parent": first.pk, "other": second.pk, "base": first.pk, "knobs": {"method": "ties"}}
    made = api.post(address, asked, format="json")
    assert made.status_code == 201, made.content
    assert Run.objects.get(pk=made.json()["id"]).inputs["beside"] == {"other": "org/safe", "base": "org/seeing"}
    lacking = api.post(address, {"recipe": "merge", "parent": first.pk}, format="json")
    assert lacking.status_code == 422 and "other" in json.dumps(lacking.json())
    alike = api.post(address, {"recipe": "merge", "parent": first.pk, "other": first.pk}, format="json")
    assert alike.status_code == 422 and "choose two" in json.dumps(alike.json())
    command = ["run", "--campaign", campaign.name, "--recipe", "merge", "--parent", first.label, "--no-follow"]
    call_command(*command, "--beside", f"other={second.label}", "--scorer", f"cost={cost.label}")
    last = Run.objects.latest("pk")
    assert last.inputs["beside"] == wanted and last.inputs["scorers"] == {"cost": "org/cost"}

    finish_run(run, metrics={"share": 0.7})
    folder = paths.run_folder(run.pk)
    point = {name: {"estimate": 0.5, "low": 0.4, "high": 0.6, "n": 9} for name in ("safe", "answered")}
    write_json(folder / "sweep.json", {"points": [{"share": s, **point} for s in (0.3, 0.7)], "drift": []})
    run.refresh_from_db()
    run.result["files"] = {"sweep": "sweep.json"}
    run.save(update_fields=["result"])
    html = client.get(reverse("run", args=[run.pk])).content.decode()
    assert "Safety and help at each share" in html and "Share of the second policy" in html
    output = versions.record_output(run=run, result=RunResult(model="model"), makes="policy")
    Run.objects.filter(pk=run.pk).update(output=output)
    assert output.parent == first and merged_with(output) == [second]
    told = versions.lineage(output)
    assert told["merged_with"] == [{"id": second.pk, "label": second.label}]
    assert told["judgements"] == 0 and told["all_judgements"] == 6
    assert pairs in snapshots.learned_from(output) and forebears(output) == [first, second]
    html = client.get(reverse("model", args=[output.pk])).content.decode()
    assert "Merged with" in html
    (pseudonym,) = pairs.card["annotators"] or {""}
    assert output in withdrawals.uses(pseudonym).versions
    assert runs.create(campaign=campaign, recipe="dpo", knobs={}, actor=None, parent=output, inputs={"data": "x"})
