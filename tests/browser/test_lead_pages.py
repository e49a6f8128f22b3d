"""Every page of a lead, from the narrowest phone to the widest desk: accessible by axe's rules, nothing sticks out."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.urls import reverse
from playwright.sync_api import BrowserContext, Page, expect

from annotation.feedback import KINDS
from annotation.models import Task
from frontend.lead_urls import urlpatterns as lead_pages
from tests.browser.looks import COLOURS, OUTERMOST, everywhere, unfold
from tests.frontend.lead_world import (
    World,
    finish_run,
    judge_all,
    keep_suite,
    make_loop,
    make_world,
    set_running,
    start_run,
    to_end,
    to_labelling,
)
from tests.training.guard_world import guard_in_use
from training.models import ModelVersion, Snapshot


@pytest.fixture
def world(transactional_db) -> World:
    """Return a campaign with agreement, runs in each state, one round decided on and one in which people judge."""
    made = make_world(tasks=8, overlap=2)
    judge_all(made)
    loop = make_loop(made)
    to_end(made, to_labelling(made, loop), candidate_wins=True)
    to_labelling(made, loop)
    guard_in_use(made.campaign, made.lead)
    finish_run(start_run(made))
    set_running(start_run(made))
    return made


def pages_of(world: World) -> list[str]:
    """Return the address of everything that a lead can open and that answers with a whole page."""
    round = world.campaign.loop.rounds.first()
    known = {
        "campaign_id": world.campaign.pk,
        "recipe_name": "bradley-terry",
        "run_id": world.campaign.runs.order_by("pk").last().pk,
        "version_id": ModelVersion.objects.filter(kind="policy").last().pk,
        "round_id": round.pk,
        "snapshot_id": Snapshot.objects.filter(campaign=world.campaign).last().pk,
        "suite_id": keep_suite(world).pk,
        "task_id": Task.objects.filter(campaign=world.campaign).first().pk,
        "part": "agreement",
        "event_id": 1,
        "token": "unknown",
    }
    others = {"model-guard": {"version_id": ModelVersion.objects.filter(kind="guard").last().pk}}
    found = [
        reverse(
            pattern.name,
            kwargs={key: {**known, **others.get(pattern.name, {})}[key] for key in pattern.pattern.converters},
        )
        for pattern in lead_pages
        if getattr(pattern, "name", None)
    ]
    found.append(f"{reverse('knowledge', args=[world.campaign.pk])}?document=leaflet")
    asked = world.client("lead")
    answers = {path: asked.get(path) for path in found}
    shown = {path: answer for path, answer in answers.items() if answer.status_code == 200 and not answer.streaming}
    whole = [path for path, answer in shown.items() if b"<html" in answer.content]
    return [*whole, *(f"/campaigns/new/?kind={kind}" for kind in sorted(KINDS)), "/campaigns/new/?template=safe-rlhf"]


def test_pages_are_accessible(
    open_context: Callable[..., BrowserContext],
    sign_in: Callable[..., Page],
    world: World,
) -> None:
    page = sign_in(open_context(), world.lead)
    found: list[str] = []
    paths = pages_of(world)
    assert len(paths) > 30 and f"/campaigns/{world.campaign.pk}/quality/" in paths
    assert any(path.endswith("/guard/") and path.startswith("/models/") for path in paths)
    assert any(path.endswith("?document=leaflet") for path in paths)
    for path in paths:
        page.goto(path)
        unfold(page)
        # What is wrong with a page's structure is wrong at every width.
        found += everywhere(page, path, looks=OUTERMOST, again=COLOURS)
    assert found == []
    templates_are_looked_at_by_arrows(page)


def templates_are_looked_at_by_arrows(page: Page) -> None:
    """The arrow puts the next template's facts beside the list, and Enter begins with the one that stands there."""
    page.goto("/campaigns/new/")
    first = page.locator("#chosen-title").inner_text()
    page.locator("#choose input:checked").focus()
    page.keyboard.press("ArrowDown")
    expect(page.locator("#chosen-title")).not_to_have_text(first)
    second = page.locator("#choose input:checked")
    assert page.locator("#choose label:has(:checked) .pick__title").inner_text() == page.inner_text("#chosen-title")
    name = second.get_attribute("value")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/campaigns/new/?template={name}*")
    assert f"began as {name}" in page.locator(".began").inner_text()
