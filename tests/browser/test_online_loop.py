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


def pick_settings(page: Page) -> None:
    """Pick a part and a setting of the recipe that was just chosen, by keys; what is typed outlives each change."""
    rows, hint = page.locator("#policy_settings-rows"), page.locator("#policy_settings-0-told")
    names = rows.get_by_label("Setting", exact=True)
    summary = page.locator("#policy_settings summary")
    expect(summary).to_contain_text("leave one out")
    page.locator("#policy_parts summary").press("Enter")
    page.locator("#id_part-shape").select_option("normalised")
    expect(rows.locator("option[value=reward_limit]")).to_have_count(1)
    summary.press("Enter")
    names.focus()
    page.keyboard.type("LoRA")
    expect(hint).to_contain_text("Usual: 0.")
    expect(names).to_be_focused()
    expect(names).not_to_have_attribute("aria-invalid", "true")
    rows.get_by_label("Value").fill("4")
    rows.get_by_role("button", name="Add a setting").press("Enter")
    expect(page.locator("#id_policy_settings-1-name")).to_be_focused()
    expect(rows.get_by_label("Value").first).to_have_value("4")
    rows.get_by_role("button", name="Remove setting 2").press("Enter")
    expect(names).to_have_count(1)
    page.get_by_label("Policy recipe").select_option("dpo")
    expect(summary).not_to_contain_text("leave one out")
    page.get_by_label("Policy recipe").select_option("rloo")
    expect(summary).to_contain_text("leave one out")
    expect(page.locator("#id_part-shape")).to_have_value("normalised")


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
    pick_settings(page)
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
    assert now.recipe["knobs"]["lora_rank"] == 4 and now.recipe["parts"]["shape"] == "normalised"
    # The page looks by itself, and reloading it just then would break off one of the two.
    expect(page.get_by_role("main")).to_contain_text(now.label, timeout=20_000)
    go(Round.objects.get(index=2))
    judge(work, 1)
    task = campaign.tasks.filter(batch="round-2", state="complete").get()
    assert task.meta["policy"] == now.label, "the new policy's answers come back to the same people"
