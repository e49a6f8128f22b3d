"""The online loop in a browser, with candidates that learn on their own answers: set up, judged, promoted, again."""

from __future__ import annotations

from collections.abc import Callable

from django.urls import reverse
from playwright.sync_api import BrowserContext, Page, expect

from annotation.models import User
from tests.factories import make_campaign, make_user
from tests.frontend.lead_world import write_prompts
from tests.training.round_world import go
from training import paths
from training.models import ModelVersion, Round

PAIRS, GATE_PAIRS = 3, 2


def judge(page: Page, count: int) -> None:
    """Prefer the first answer of the next items, by keys."""
    page.reload()
    for _ in range(count):
        expect(page.locator("#item")).to_be_visible()
        shown = page.locator("#item").get_attribute("data-key-of-item")
        page.keyboard.press("2")
        page.keyboard.press("Enter")
        expect(page.locator(f'#item[data-key-of-item="{shown}"]')).to_have_count(0)
    page.wait_for_load_state("networkidle")


def test_a_round_of_an_on_policy_loop_goes_all_the_way_round(
    open_context: Callable[..., BrowserContext], sign_in: Callable[..., Page], person: User
) -> None:
    lead = make_user("lena")
    campaign = make_campaign("Shape it", lead=lead, annotators=[person])
    base = paths.files() / "models" / "base"
    base.mkdir(parents=True)
    page = sign_in(open_context(), lead, path=reverse("loop-new", args=[campaign.pk]))
    for name, value in {
        "policy": str(base),
        "prompts_path": write_prompts(paths.files()),
        "prompts_per_round": str(PAIRS),
        "iterations": "2",
        "gate_prompts": "4",
        "gate_human_pairs": str(GATE_PAIRS),
        "gate_minimum_win_rate": "0",
    }.items():
        page.locator(f"[name={name}]").fill(value)
    page.get_by_label("Policy recipe").select_option("rloo")
    page.get_by_role("button", name="Create the loop").click()
    page.wait_for_url(f"**{reverse('loop', args=[campaign.pk])}")
    if not Round.objects.exists():
        page.get_by_role("button", name="Start the first round").click()
        page.wait_for_load_state("networkidle")
    first = Round.objects.get()
    go(first)
    work = sign_in(open_context(), person, path=reverse("work", args=[campaign.pk]))
    judge(work, PAIRS)
    go(first)
    page.reload()
    expect(page.get_by_role("main")).to_contain_text("blind")
    judge(work, GATE_PAIRS)
    go(first)
    first.refresh_from_db()
    assert first.state == Round.State.PROMOTED, str(first.note)
    now = ModelVersion.objects.get(campaign=campaign, kind="policy", state="promoted")
    assert now.recipe["name"] == "rloo" and now.recipe["knobs"]["iterations"] == 2
    page.reload()
    expect(page.get_by_role("main")).to_contain_text(now.label)
    go(Round.objects.get(index=2))
    judge(work, 1)
    task = campaign.tasks.filter(batch="round-2", state="complete").get()
    assert task.meta["policy"] == now.label, "the new policy's answers come back to the same people"
