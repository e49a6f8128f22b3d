"""Guard > Drift in the browser and over REST: who may see it and change it, what it says, and its file."""

from __future__ import annotations

import pytest
from django.urls import reverse
from rest_framework.test import APIClient

from annotation.models import Membership, Role
from tests.factories import make_campaign, make_user
from tests.frontend.lead_world import World, make_world
from tests.training.guard_world import behind_guard, bring_to_its_end, started, week
from training.models import GuardWatch, GuardWeek
from training.services import guard_inbox, guard_prompts, guard_retraining, guard_settings

pytestmark = pytest.mark.django_db


@pytest.fixture
def world() -> World:
    return make_world(tasks=0)


def rest(person) -> APIClient:
    client = APIClient()
    client.force_authenticate(person)
    return client


def test_from_the_settings_over_a_retraining_to_the_figures(world: World, tmp_path) -> None:
    campaign, lead = world.campaign, world.client("lead")
    page, settings, retrain = (
        reverse(name, args=[campaign.pk]) for name in ("drift", "drift-settings", "drift-retrain")
    )
    assert "This campaign has no guard" in lead.get(page).content.decode()
    assert page not in lead.get(reverse("models", args=[campaign.pk])).content.decode()
    behind_guard(campaign, tmp_path, world.lead)
    assert page in lead.get(reverse("models", args=[campaign.pk])).content.decode()
    assert "No prompt is kept" in lead.get(page).content.decode()
    form = lead.get(settings).context["form"]
    values = {name: form[name].value() for name in form.fields if form[name].value() is not None}
    wrong = lead.post(settings, {**values, "target_fpr": "2", "keep": "on"})
    assert wrong.status_code == 422 and "at most 0.5" in wrong.content.decode()
    wrong = lead.post(settings, {**values, "inbox": str(campaign.pk)})
    assert wrong.status_code == 422 and "does not judge safety" in wrong.content.decode()
    assert lead.post(settings, {**values, "keep": "on"}).status_code == 302
    assert guard_settings.settings_of(campaign)["keep"]
    assert "A detector starts from 4 slices" in lead.post(retrain, follow=True).content.decode()
    inbox = make_campaign("Jailbreaks", lead=world.lead, kind="safety", options={"severity": False})
    begin = started(campaign, world.lead, weeks=3, inbox=inbox.pk)
    said = lead.post(retrain, follow=True).content.decode()
    assert "retrains the guard" in said and "retrains it now" in said
    bring_to_its_end(GuardWatch.objects.get(campaign=campaign).run)
    guard_prompts.send_in(
        campaign=campaign, rows=week(3, begin, labelled=True, attack="dear grandma"), actor=world.lead
    )
    bring_to_its_end(guard_retraining.retrain(campaign=campaign, actor=world.lead))
    html = lead.get(page).content.decode()
    assert "guard-0" in html and "No positive in slice 3" in html and "Drawn at random" in html and "Jailbreaks" in html
    assert "100%" in html and "of 10" in html and "of 60" in html  # all ten attacks of another kind were missed
    rows = lead.get(page, {"format": "csv"}).content.decode().splitlines()
    assert rows[0].startswith("slice,begins,ends,detector") and [row.split(",")[0] for row in rows[1:]] == ["3", "2"]
    told = rest(world.lead).get(reverse("api-guard", args=[campaign.pk])).json()
    assert [one["index"] for one in told["weeks"]] == [3, 2] and told["weeks"][0]["detector"] == "guard-0"
    assert told["weeks"][0]["misses"]["n"] == 10 and told["alarms"][0].startswith("No positive in slice 3")
    assert told["inbox"] == guard_inbox.counts(GuardWatch.objects.get(campaign=campaign))
    assert GuardWeek.objects.filter(campaign=campaign).count() == 2


def test_who_may_do_what(world: World, tmp_path) -> None:
    campaign = world.campaign
    behind_guard(campaign, tmp_path, world.lead)
    stranger, engineer = make_user(), make_user()
    Membership.objects.create(campaign=campaign, user=engineer, role=Role.ENGINEER)
    guard, retrain, prompts = (reverse(f"api-guard{name}", args=[campaign.pk]) for name in ("", "-retrain", "-prompts"))
    for person, expected in ((stranger, 404), (world.annotator, 403)):
        client = rest(person)
        assert client.get(guard).status_code == expected
        assert client.patch(guard, {"settings": {"keep": True}}, format="json").status_code == expected
        assert client.post(retrain).status_code == expected
        assert client.post(prompts, {"prompts": [{"text": "a"}]}, format="json").status_code == expected
    client = rest(engineer)
    assert client.get(guard).json()["settings"]["keep"] is False
    assert client.patch(guard, {"settings": {"keep": True}}, format="json").status_code == 403
    assert client.post(retrain).status_code == 403
    sent = {"prompts": [{"text": "a", "at": "2026-01-31T12:00:00Z", "jailbreak": False}, {"text": "a"}, {"text": "b"}]}
    refused = client.post(prompts, sent, format="json")
    assert refused.status_code == 422 and "keeps no prompts" in refused.json()["detail"]
    lead = rest(world.lead)
    assert lead.patch(guard, {"settings": {"keep": True}}, format="json").json()["settings"]["keep"] is True
    assert lead.patch(guard, {"settings": {"labels": "dice"}}, format="json").status_code == 422
    assert client.post(prompts, sent, format="json").json() == {"created": 2, "existing": 0}
    assert client.post(prompts, sent, format="json").json() == {"created": 0, "existing": 2}
    assert client.post(prompts, {"prompts": [{"text": "a", "at": "soon"}]}, format="json").status_code == 400
    few = lead.post(retrain)
    assert few.status_code == 409 and "takes 100 that people labelled" in few.json()["detail"]
    more = [{"text": f"b {n}", "at": "2026-01-31T12:00:00Z", "jailbreak": False} for n in range(60)]
    assert client.post(prompts, {"prompts": more}, format="json").json() == {"created": 60, "existing": 0}
    assert lead.patch(guard, {"settings": {"target_fpr": 0.5}}, format="json").status_code == 200
    assert [lead.post(retrain).status_code for _ in range(2)] == [201, 409]  # the second while the first is under way
    assert world.client("annotator").get(reverse("drift", args=[campaign.pk])).status_code == 403
    assert world.client("annotator").post(reverse("drift-retrain", args=[campaign.pk])).status_code == 403
