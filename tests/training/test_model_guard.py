"""A guard out of a model, ordered by form, over REST and by command, and put before a loop."""

from __future__ import annotations

from io import StringIO

import pytest
from django.core.management import call_command
from django.urls import reverse
from rest_framework.test import APIClient

from annotation.models import Campaign, User
from tests.factories import make_campaign, make_task
from tests.training.test_real_round import judge_all
from training import paths
from training.errors import Invalid
from training.models import ModelVersion, Run
from training.recipes.spec import RunResult
from training.services import feeding, guard_retraining, guards, runs, versions

pytestmark = pytest.mark.django_db


@pytest.mark.one_database
def test_it_is_ordered_by_form_rest_and_command_and_a_loop_may_name_it(
    annotator: User, lead: User, client, attune_files, settings
) -> None:
    campaign = make_campaign("Both", lead=lead, annotators=[annotator], kind="dual")
    for number in range(3):
        make_task(campaign, number=number)
    judge_all(campaign, annotator)
    client.force_login(lead)
    page = reverse("run-new", args=[campaign.pk, "model-guard"])
    assert "It needs a cost model" in client.get(reverse("runs", args=[campaign.pk])).text
    policy = versions.add(campaign=campaign, kind="policy", path="org/policy")
    cost = versions.add(campaign=campaign, kind="cost", path="org/cost")
    html = client.get(page).text
    assert cost.label in html and policy.label not in html and 'name="target_fpr"' in html
    form = client.get(page).context["form"]
    sent = {
        name: form[name].value()
        for name in form.fields
        if form[name].value() is not None and form[name].value() is not False
    }
    answer = client.post(page, {**sent, "model": str(cost.pk), "target_fpr": "0.1"})
    assert answer.status_code == 302, answer.context["form"].errors
    by_form = Run.objects.get()
    assert by_form.recipe["knobs"]["target_fpr"] == 0.1 and by_form.inputs["model"] == "org/cost"
    assert by_form.snapshot is not None and by_form.snapshot.view == "safer_pairs" and by_form.snapshot.rows == 3
    assert by_form.inputs["known"] == []  # registered from outside: what it learned from is not known here

    api = APIClient()
    api.force_authenticate(lead)
    order = {"recipe": "model-guard", "parent": cost.pk, "snapshot": by_form.snapshot_id, "knobs": {}}
    assert api.post(reverse("api-runs", args=[campaign.pk]), order, format="json").status_code == 201
    refused = api.post(reverse("api-runs", args=[campaign.pk]), {**order, "parent": policy.pk}, format="json")
    assert refused.status_code == 422 and "no model of safety" in refused.json()["detail"]
    with pytest.raises(Invalid, match="Register it as a version first"):
        runs.create(
            campaign=campaign, recipe="model-guard", knobs={}, actor=lead, inputs={"model": "org/x", "data": "x.jsonl"}
        )
    taught = versions.add(campaign=campaign, kind="cost", path="org/taught")
    ModelVersion.objects.filter(pk=taught.pk).update(snapshot=by_form.snapshot)
    taught.refresh_from_db()
    there = {"campaign": campaign, "recipe": "model-guard", "knobs": {}, "actor": lead, "parent": taught}
    with pytest.raises(Invalid, match=r"learned from is gone \(none\.jsonl\)"):
        runs.create(**there, snapshot=by_form.snapshot, inputs={"known": ["none.jsonl"]})
    taught.delete()
    line = ["run", "--campaign", "Both", "--recipe", "model-guard", "--parent", cost.label, "--actor", "lead"]
    call_command(*line, "--no-follow", stdout=StringIO())
    assert Run.objects.filter(recipe__name="model-guard").count() == 3

    held = runs.claim(by_form.pk, "worker")
    assert held is not None
    folder = paths.run_folder(held.pk) / "model"
    folder.mkdir(parents=True)
    (folder / "guard.json").write_text("{}")
    share = {"estimate": 0.9, "low": 0.8, "high": 1.0, "n": 40}
    metrics = {"threshold": 0.4, "benign": 40, "catches": share, "false_refusals": share}
    runs.finish(held, RunResult(model="model", metrics=metrics))
    made = ModelVersion.objects.get(kind="guard")
    shown = client.get(reverse("model", args=[made.pk])).text
    assert "Unsafe answers held back" in shown and "90%" in shown
    versions.add(campaign=campaign, kind="reward", path="org/reward")
    judged = reverse("run-new", args=[campaign.pk, "cgpo-crpg"]) + "?part-constrain=judges"
    offered = client.get(judged).context["form"]
    assert str(made.pk) in dict(offered.fields["cost"].choices), "whether an answer may be given, a guard says too"
    assert offered["cost"].value() == str(cost.pk) and str(made.pk) not in dict(offered.fields["reward"].choices)
    assert str(made.pk) not in dict(offered.fields["model"].choices)
    settings.ATTUNE_SHARED_FOLDERS = []
    guards.refuse_foreign(made.path, campaign)
    with pytest.raises(Invalid):
        guards.refuse_foreign(made.path, make_campaign("Other", lead=lead))
    assert guard_retraining._detector(campaign) is None, "it has no detector of jailbreaks to go on from"


def test_a_recipe_that_keeps_a_cost_within_a_limit_is_told_that_a_guard_tells_one(campaign: Campaign) -> None:
    def told() -> feeding.Feeding:
        return next(one for one in feeding.feedings(campaign) if one.recipe.name == "safe-rlhf")

    versions.add(campaign=campaign, kind="reward", path="org/reward")
    assert not told().can_start and "register or make a guard" in told().reason
    versions.add(campaign=campaign, kind="guard", path="org/guard")
    assert told().can_start
