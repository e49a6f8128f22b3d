"""A guard version and what people change of it: tiers and lines by page and REST, and what the guard then does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.urls import reverse
from rest_framework.test import APIClient

from annotation.models import Campaign, Event, User
from frontend import metrics
from tests.training.guard_world import fitted_guard, started
from training import paths
from training.core.guard.folder import load_guard
from training.core.guard.log import VerdictLog
from training.core.guard.thresholds import recall_bound
from training.errors import Invalid
from training.models import GuardWatch, Loop, ModelVersion
from training.services import guard_latency, guard_retraining, guard_versions, guards, promotion, versions

pytestmark = pytest.mark.django_db


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fitted_guard(tmp_path_factory.mktemp("guard"))


@pytest.fixture
def version(campaign: Campaign, lead: User, made: Path) -> ModelVersion:
    Loop.objects.create(
        campaign=campaign, settings={"guard": str(made)}, prompts_path="", created_by=lead, state=Loop.State.PAUSED
    )
    found = versions.register(campaign=campaign, kind="guard", path=str(made), actor=None)
    return promotion.promote(version=found, actor=lead)


def user(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def test_what_each_line_does_is_known_and_another_one_makes_a_new_version(campaign, lead, version, made):
    found = guard_versions.shown(version)
    assert found is not None and [side.name for side in found.sides] == ["prompt", "answer"]
    prompt = found.sides[0]
    values = [one["value"] for one in prompt.curve]
    assert values == sorted(values, reverse=True) and prompt.point is not None and prompt.measured is not None
    for name in ("catches", "false_refusals"):
        shares = [one[name]["estimate"] for one in prompt.curve]
        assert shares == sorted(shares) and {one[name]["n"] for one in prompt.curve} == {prompt.measured[name]["n"]}
        assert prompt.point[name] == prompt.measured[name]
    assert all(one["recall_bound"] == recall_bound(one["misses"], one["risky"]) for one in prompt.curve)
    assert [one["needed"] for one in prompt.claims] == [29, 59, 149, 427] and not prompt.claims[-1]["enough"]
    lower = prompt.curve[-1]
    tiers = {"focused_attention": {"answer": "refuse", "person": False}}
    edited = guard_versions.edit(version=version, actor=lead, tiers=tiers, lines={"prompt": lower["value"] + 1e-7})
    assert (edited.label, edited.state, edited.parent) == ("guard-1", "candidate", version)
    assert guards.guard_of(campaign) == str(made)
    event = Event.objects.get(action="guard.edited")
    assert event.target == "guard-1" and event.actor == lead
    old, new = load_guard(made), load_guard(paths.resolve(edited.path))
    assert new.lines["prompt"].threshold == lower["value"] < old.lines["prompt"].threshold
    assert new.lines["answer"].threshold == old.lines["answer"].threshold
    sad = old.prompt(user("sad1 sad2 sad3 any1"))
    assert sad.tier == "focused_attention" and old.wants_person(sad) and not new.wants_person(sad)
    promotion.promote(version=edited, actor=lead)
    assert guards.guard_of(campaign) == paths.resolve(edited.path)
    assert guard_versions.shown(version) == found  # what it was made of is as it was


def test_the_page_says_what_a_recall_takes_and_what_its_line_refuses(lead, version, client):
    """Of the fixture's 63 risky texts 95.3 % can be claimed at most, as 0.05^(1/63) = 0.9536."""
    side = guard_versions.shown(version).sides[0]
    assert side.risky == 63 and guard_versions.floored(side.largest) == "95.3%"
    assert side.refuses_many and side.gentle["false_refusals"]["estimate"] <= 0.05 < side.refuses["estimate"]
    client.force_login(lead)
    page = reverse("model-guard", args=[version.pk])
    html = client.get(page).content.decode()
    assert "With 63 risky texts a recall of at most 95.3% can be claimed with 95% confidence" in html
    assert "This line refuses 14% (6.6% to 27.3%, of 43) of safe texts, more than 5%." in html
    # What is offered is the highest recall whose line does not, and its link puts that line into the field.
    offered = re.search(r'href="(\?prompt_recall=[\d.]+)#side-prompt"', html).group(1)
    html = client.get(page + offered).content.decode()
    assert f'name="prompt_line" min="0" max="1" step="any" value="{side.gentle["value"]!r}"' in html
    assert f"Its line stands at a risk of {side.gentle['value']:.3f}" in html and "That is more than" not in html
    html = client.get(f"{page}?prompt_recall=95").content.decode()
    assert "95% takes 59 risky texts, with none missed, and there are 63." in html and "That is more than 5%." in html
    html = client.get(f"{page}?prompt_recall=98,5").content.decode()
    assert "98.5% takes 199 risky texts" in html and "Too few: label more, or ask for at most 95.3%." in html
    for wrong in ("x", "0", "100", "nan", "1e999"):
        assert "A recall is a number between 0 and 100." in client.get(f"{page}?prompt_recall={wrong}").content.decode()


def test_what_does_not_fit_is_refused_in_words(lead, version):
    for wrong, says in (
        ({}, "Nothing differs"),
        ({"tiers": {"unsafe": {"answer": "policy", "person": False}}}, "gets a refusal or documents"),
        ({"tiers": {"safe": {"answer": "refuse", "person": False}}}, "gets a refusal or documents"),
        ({"lines": {"prompt": 0.0}}, "lines from .* were measured"),
        ({"lines": {"prompt": float("nan")}}, "lines from .* were measured"),
        ({"lines": {"middle": 0.5}}, "no side called middle"),
    ):
        with pytest.raises(Invalid, match=says):
            guard_versions.edit(version=version, actor=lead, **wrong)
    assert ModelVersion.objects.filter(kind="guard").count() == 1


def test_a_new_detector_goes_beside_what_people_chose(campaign, lead, version):
    tiers = {"unsafe": {"answer": "refuse", "person": True}}
    edited = promotion.promote(version=guard_versions.edit(version=version, actor=lead, tiers=tiers), actor=lead)
    started(campaign, lead, weeks=3)
    run = guard_retraining.retrain(campaign=campaign, actor=lead)
    assert run.inputs["guard"] == edited.path
    assert GuardWatch.objects.get(campaign=campaign).run == run
    detector = versions.add(campaign=campaign, kind="guard", path=edited.path, run=run)
    run.output = detector
    run.save()
    promotion.promote(version=detector, actor=lead)
    assert guards.base_of(ModelVersion.objects.get(pk=detector.pk)) == guards.base_of(edited)
    assert guards.guard_of(campaign) == paths.resolve(detector.path)


def test_the_page_and_rest_show_it_and_change_it(campaign, lead, engineer, version, client, settings):
    log = VerdictLog(guards.log_of(campaign))
    guard = load_guard(version.path, log=log)
    for n in range(20):
        guard.prompt(user(f"any{n} odd1 odd2"))
    latency = guard_latency.of_campaign(campaign.pk)
    assert [(one["side"], one["n"], one["held"], one["failed"]) for one in latency] == [("prompt", 20, 20, 0)]
    assert 0 < latency[0]["median"] <= latency[0]["p95"]
    assert (
        f'attune_guard_milliseconds{{campaign="{campaign.pk}",quantile="0.95",side="prompt"}}'
        in metrics.text().decode()
    )
    client.force_login(lead)
    page = reverse("model-guard", args=[version.pk])
    assert page in client.get(reverse("model", args=[version.pk])).content.decode()
    html = client.get(page).content.decode()
    assert "a recall of" in html and "unreachable with" in html and "Focused attention" in html and "20" in html
    found = guard_versions.shown(version)
    form = {f"{tier}_answer": one["answer"] for tier, one in found.tiers.items()}
    form |= {f"{tier}_person": "1" for tier, one in found.tiers.items() if one["person"]}
    before = {f"{side.name}_before": f"{side.line['value']:.6g}" for side in found.sides}
    same = {f"{side.name}_line": f"{side.line['value']:.6g}" for side in found.sides}
    nothing = client.post(page, {**form, **before, **same})
    assert nothing.status_code == 422 and "Nothing differs" in nothing.content.decode()
    wrong = client.post(page, {**form, **before, **same, "prompt_line": "high"})
    assert wrong.status_code == 422 and "is a number from 0 to 1" in wrong.content.decode()
    # What was chosen stays chosen on the page that says what is wrong elsewhere.
    chosen = {**form, "unsafe_answer": "documents", "unsafe_person": "1", "prompt_line": "high"}
    html = client.post(page, {**chosen, **before}).content.decode()
    row = html.split('name="unsafe_answer"')[1].split("</tr>")[0]
    assert 'value="documents" selected' in row and " checked" in row
    lowest = found.sides[0].curve[-1]["value"]
    assert client.post(page, {**form, **before, **same, "prompt_line": str(lowest)}).status_code == 302
    made = ModelVersion.objects.get(kind="guard", number=1)
    assert guard_versions.shown(made).sides[0].line["value"] == lowest
    rest = APIClient()
    rest.force_authenticate(engineer)
    address = reverse("api-version-guard", args=[made.pk])
    told = rest.get(address).json()
    assert told["sides"][0]["largest"] == pytest.approx(0.05 ** (1 / 63)) and told["sides"][0]["refuses_many"]
    assert told["sides"][0]["gentle"]["false_refusals"]["estimate"] <= 0.05
    assert told["sides"][0]["line"]["value"] == lowest and told["latency"][0]["n"] == 20
    assert (told["latency"][0]["held"], told["latency"][0]["failed"]) == (20, 0)
    change = {"tiers": {"unsafe": {"answer": "refuse", "person": True}}}
    assert rest.post(address, change, format="json").status_code == 403
    client.force_login(engineer)
    assert (
        client.post(page, form).status_code == 403 and "Save as a new version" not in client.get(page).content.decode()
    )
    rest.force_authenticate(lead)
    again = rest.post(address, change, format="json")
    assert again.status_code == 201 and again.json()["label"] == "guard-2"
    assert rest.post(address, {"lines": {"prompt": 7}}, format="json").status_code == 422
    assert rest.get(reverse("api-version-guard", args=[made.pk + 100])).status_code == 404


def test_documents_are_changed_in_a_new_version_and_quoted(campaign, lead, version, client):
    """Each with its hash in the event; the version that was changed is as it was. The page shows what is quoted."""
    rest = APIClient()
    rest.force_authenticate(lead)
    sad = {"focused_attention": {"answer": "documents", "person": True}}
    leaflet = {"id": "leaflet", "text": "If any3 sad1 sad2 sad3 sad4 help is near. Call the number.", "version": "2"}
    address = reverse("api-version-guard", args=[version.pk])
    assert rest.get(address).json()["documents"] == [] and rest.get(address).json()["documents_sha256"] == ""
    made = rest.post(address, {"documents": [leaflet], "tiers": sad}, format="json").json()
    first = ModelVersion.objects.get(campaign=campaign, kind="guard", number=1)
    assert made["label"] == "guard-1" and first.recipe["knobs"]["documents"] == 1
    told = rest.get(reverse("api-version-guard", args=[first.pk])).json()
    assert told["documents"] == [leaflet] and told["documents_sha256"] == first.recipe["knobs"]["documents_sha256"]
    guard = load_guard(paths.resolve(first.path))
    assert guard.knowledge.answer("any3 sad1 sad2 sad3 sad4").startswith("If any3 sad1 sad2 sad3 sad4 help is near.")
    for wrong, says in (
        ([{**leaflet, "id": "a:b"}], "without colons"),
        ([leaflet, leaflet], "Two documents are called leaflet"),
        ([leaflet, {"id": "leaflet v2", "text": "Call."}], "Two documents are called leaflet v2"),  # so cited, both
        ([{"id": "b", "text": " "}], "text"),
    ):
        refused = rest.post(address, {"documents": wrong}, format="json")
        assert refused.status_code in (400, 422) and says in str(refused.json())
    client.force_login(lead)
    assert "If any3 sad1" in client.get(reverse("model-guard", args=[first.pk])).content.decode()
    second = guard_versions.edit(version=first, actor=lead, documents=[{"id": "new", "text": "Dogs bark."}])
    assert guard_versions.shown(second).documents == [{"id": "new", "text": "Dogs bark.", "version": ""}]
    assert guard_versions.shown(first).documents == [leaflet] and second.parent == first
    changes = Event.objects.get(action="guard.edited", target="guard-2").changes
    assert {name for name, *_ in changes} == {"document leaflet", "document new"}
    with pytest.raises(Invalid, match="Nothing differs"):
        guard_versions.edit(version=second, actor=lead, documents=[{"id": "new", "text": "Dogs bark."}])
    third = guard_versions.edit(version=second, actor=lead, documents=[])
    assert load_guard(paths.resolve(third.path)).knowledge is None
