"""The lead, the engineer, the annotator and a stranger meet every page of the lead, read and written."""

from __future__ import annotations

import pytest
from django.urls import reverse

from tests.frontend.lead_world import (
    World,
    finish_run,
    judge_all,
    make_loop,
    make_world,
    start_run,
    to_end,
    to_labelling,
)

pytestmark = pytest.mark.django_db

# name → (which id its address takes, who may read it besides the lead)
PAGES = {
    "campaign": ("campaign", "engineer"),
    "campaign-progress": ("campaign", "engineer"),
    "campaign-edit": ("campaign", ""),
    "campaign-import": ("campaign", "engineer"),
    "campaign-people": ("campaign", ""),
    "campaign-export": ("campaign", "engineer"),
    "runs": ("campaign", "engineer"),
    "models": ("campaign", "engineer"),
    "loop": ("campaign", "engineer"),
    "loop-edit": ("campaign", ""),
    "loop-status": ("campaign", "engineer"),
    "run": ("run", "engineer"),
    "run-progress": ("run", "engineer"),
    "run-log": ("run", "engineer"),
    "model": ("model", "engineer"),
    "round": ("round", "engineer"),
}
ACTIONS = {
    "campaign-state": ("campaign", ""),
    "loop-action": ("campaign", ""),
    "run-cancel": ("run", "engineer"),
    "run-retry": ("run", "engineer"),
    "model-promote": ("model", ""),
    "model-send": ("model", ""),
    "model-roll-back": ("model", ""),
}


@pytest.fixture
def world() -> World:
    world = make_world(tasks=2)
    judge_all(world)
    return world


@pytest.fixture
def ids(world: World) -> dict[str, int]:
    run = finish_run(start_run(world))
    loop = make_loop(world)
    round = to_end(world, to_labelling(world, loop), candidate_wins=True)
    assert run.output is not None
    return {"campaign": world.campaign.pk, "run": run.pk, "model": run.output.pk, "round": round.pk}


def test_every_page_knows_who_may_read_it(world: World, ids: dict[str, int]) -> None:
    for name, (of, others) in PAGES.items():
        address = reverse(name, args=[ids[of]])
        assert world.client("lead").get(address).status_code in (200, 286), name
        engineer = world.client("engineer").get(address).status_code
        assert engineer in ((200, 286) if others else (403,)), name
        assert world.client("annotator").get(address).status_code == 403, name
        assert world.client("stranger").get(address).status_code == 404, name
        anonymous = world.client("stranger").__class__().get(address)
        assert anonymous.status_code == 302 and anonymous.url.startswith("/login/"), name


def test_every_action_knows_who_may_do_it(world: World, ids: dict[str, int]) -> None:
    for name, (of, others) in ACTIONS.items():
        address = reverse(name, args=[ids[of]])
        assert world.client("stranger").post(address).status_code == 404, name
        assert world.client("annotator").post(address).status_code == 403, name
        if not others:
            assert world.client("engineer").post(address).status_code == 403, name
        assert world.client("lead").get(address).status_code == 405, name
        assert world.client("lead").post(address).status_code in (302, 422), name


def test_ids_that_do_not_exist_are_not_found(world: World) -> None:
    client = world.client("lead")
    for name, (_, _) in {**PAGES, **ACTIONS}.items():
        for number in (0, 999_999, 2**63, 10**30):
            address = reverse(name, args=[number])
            answer = client.post(address) if name in ACTIONS else client.get(address)
            assert answer.status_code == 404, (name, number)
    assert client.get(reverse("import-errors", args=[world.campaign.pk, 10**30])).status_code == 404
    assert client.get(reverse("run-new", args=[world.campaign.pk, "no-such-recipe"])).status_code == 404


def test_the_list_is_for_those_who_run_campaigns(world: World) -> None:
    assert b"Bread questions" in world.client("lead").get(reverse("campaigns")).content
    assert b"Bread questions" in world.client("engineer").get(reverse("campaigns")).content
    for name, status in (("annotator", 403), ("stranger", 404)):
        assert world.client(name).get(reverse("campaigns")).status_code == status
        assert world.client(name).get(reverse("campaign-new")).status_code == status
        assert world.client(name).post(reverse("campaign-preview")).status_code == status


def test_an_engineer_sees_no_buttons_of_the_lead(world: World, ids: dict[str, int]) -> None:
    for name in ("campaign", "loop"):
        html = world.client("engineer").get(reverse(name, args=[ids["campaign"]])).content.decode()
        assert reverse("campaign-state", args=[ids["campaign"]]) not in html
        assert reverse("loop-action", args=[ids["campaign"]]) not in html
        assert reverse("campaign-people", args=[ids["campaign"]]) not in html
    html = world.client("engineer").get(reverse("model", args=[ids["model"]])).content.decode()
    assert reverse("model-promote", args=[ids["model"]]) not in html


def test_no_page_breaks_the_content_policy(world: World, ids: dict[str, int]) -> None:
    """No inline style, script or handler: each of them would be blocked by the browser."""
    names = [*PAGES, "loop-new"]
    for name in names:
        of = PAGES.get(name, ("campaign", ""))[0]
        html = world.client("lead").get(reverse(name, args=[ids[of]])).content.decode()
        assert "{#" not in html and "{%" not in html, name  # a comment over two lines is shown as text
        assert " style=" not in html, name
        assert "<style" not in html, name
        assert " onclick=" not in html and "<script>" not in html, name


def test_statements_per_page_do_not_grow_with_what_is_shown(
    world: World, ids: dict[str, int], django_assert_max_num_queries
) -> None:
    # A model's page looks for merges behind it, and asks who may take it away; runs may start from runs that go on.
    limits = {"campaign": 20, "campaign-progress": 13, "loop": 14, "round": 20, "run": 8, "runs": 13, "model": 23}
    client = world.client("lead")
    for name, (of, _) in PAGES.items():
        with django_assert_max_num_queries(limits.get(name, 12), info=name):
            client.get(reverse(name, args=[ids[of]]))
