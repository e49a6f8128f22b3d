"""Model versions in the browser: the list, lineage, gate report, promoting and rolling back."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.urls import reverse

from annotation.models import Event, Task
from tests.frontend.lead_world import (
    World,
    finish_run,
    judge_all,
    make_loop,
    make_world,
    policy_of,
    start_run,
    to_end,
    to_labelling,
)
from training.models import ModelVersion
from training.services import promotion, versions

pytestmark = pytest.mark.django_db


@pytest.fixture
def world() -> World:
    world = make_world()
    judge_all(world)
    return world


def page(world: World, version: ModelVersion, who: str = "lead") -> str:
    return world.client(who).get(reverse("model", args=[version.pk])).content.decode()


def test_the_list_names_the_version_in_use(world: World) -> None:
    client = world.client("lead")
    address = reverse("models", args=[world.campaign.pk])
    assert "No model yet" in client.get(address).content.decode()
    make_loop(world)
    finish_run(start_run(world))
    html = client.get(address).content.decode()
    assert "policy-0" in html and "In use" in html and "reward-0" in html
    assert "60% to 80%" in html and "None is in use" in html


def test_lineage_goes_down_to_the_judgements(world: World) -> None:
    run = finish_run(start_run(world))
    assert run.output is not None and run.snapshot is not None
    html = page(world, run.output)
    assert "org/base" in html and run.snapshot.sha256 in html
    assert "6 by 1 person" in html and world.annotator.pseudonym in html
    assert "amir" not in html  # people appear under their pseudonyms


def test_a_reward_model_is_promoted_and_rolled_back(world: World) -> None:
    first = finish_run(start_run(world)).output
    second = finish_run(start_run(world)).output
    assert first is not None and second is not None
    client = world.client("lead")
    for version, before in ((first, False), (second, True)):
        said = client.post(reverse("model-promote", args=[version.pk]), follow=True).content.decode()
        assert f"{version.label} is in use now." in said
        assert ("The one before it is retired" in said) is before  # the first one takes nobody's place
    first.refresh_from_db()
    assert first.state == "retired" and "Roll back to reward-0" in page(world, first)
    client.post(reverse("model-roll-back", args=[first.pk]))
    first.refresh_from_db()
    second.refresh_from_db()
    assert (first.state, second.state) == ("promoted", "retired")
    html = client.post(reverse("model-roll-back", args=[first.pk]), follow=True).content.decode()
    assert "can be rolled back to" in html.replace("\n", " ")


def test_the_modes_of_a_policy_are_told_without_their_keys_and_chosen_where_it_is_served(
    world: World, tmp_path: Path
) -> None:
    """One policy with modes, served in one that it has not learned; one without, which offers no report on them."""
    (tmp_path / "modes.json").write_text('{"positive": "aaaaaaa1", "rejective": "bbbbbbb2"}')
    policy = versions.register(campaign=world.campaign, kind="policy", path=str(tmp_path), actor=None)
    html = page(world, policy)
    assert "rejective</dt><dd>refuses" in html and "answers safely" in html and "answers harmfully" not in html
    assert "aaaaaaa1" not in html and "bbbbbbb2" not in html
    report = reverse("run-new", args=[world.campaign.pk, "mode-report"])
    plain = versions.register(campaign=world.campaign, kind="policy", path="org/model", actor=None)
    assert report in html and report not in page(world, plain)
    promotion.promote(version=policy, actor=world.lead, reason="the first")
    with pytest.raises(CommandError, match="It has positive, rejective"):
        call_command("serve_policy", "--campaign", str(world.campaign.pk), "--mode", "negative")


def test_a_policy_without_a_gate_needs_a_reason(world: World) -> None:
    make_loop(world)
    candidate = finish_run(start_run(world, recipe="dpo")).output
    assert candidate is not None
    client, address = world.client("lead"), reverse("model-promote", args=[candidate.pk])
    assert "Nobody has compared it" in page(world, candidate)
    refused = client.post(address, {"reason": "   "})
    assert refused.status_code == 422 and "no gate report" in refused.content.decode()
    assert policy_of(world).label == "policy-0"
    assert client.post(address, {"reason": "Trying it out \x00 for a day."}).status_code == 302
    assert policy_of(world) == candidate
    event = Event.objects.get(action="policy.promoted_over_the_gate")
    assert event.detail["reason"].startswith("Trying it out")
    assert "Trying it out" in client.get(reverse("campaign", args=[world.campaign.pk])).content.decode()


def test_the_gate_report_shows_each_figure_with_its_limit(world: World) -> None:
    round = to_end(world, to_labelling(world, make_loop(world)), candidate_wins=False)
    assert round.candidate is not None
    html = page(world, round.candidate)
    assert "Human win rate" in html and "at least 50%" in html and "✗ failed" in html
    assert "7.3 nats per answer" in html and "at most 60" in html and "✓ passed" in html
    assert "Promote all the same" in html
    assert "Promote all the same" not in page(world, round.candidate, "engineer")
    client = world.client("lead")
    client.post(reverse("model-promote", args=[round.candidate.pk]), {"reason": "The loss is within what we accept."})
    whole = client.get(reverse("model-gate", args=[round.candidate.pk])).content.decode()
    assert "at least 50%" in whole and "The loss is within what we accept." in whole and "sha256" in whole
    assert Task.objects.filter(batch=f"{round.batch}-gate").last().external_id in whole  # type: ignore[union-attr]
    written = client.get(reverse("model-gate-pdf", args=[round.candidate.pk]))
    assert written.content.startswith(b"%PDF-") and "policy-1.pdf" in written.headers["Content-Disposition"]


def test_a_snapshot_whose_file_is_gone_is_said(world: World, attune_files: Path) -> None:
    run = finish_run(start_run(world))
    assert run.output is not None and run.snapshot is not None
    (attune_files / run.snapshot.path).unlink()
    assert "The file of its snapshot is gone" in page(world, run.output)
