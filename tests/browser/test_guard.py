"""The line of a guard, moved by its slider: what the page tells while it moves, and the version that is made."""

from __future__ import annotations

from django.urls import reverse
from playwright.sync_api import expect

from tests.factories import make_campaign
from tests.training.guard_world import fitted_guard
from training.models import ModelVersion
from training.services import guard_versions, versions


def test_a_line_is_moved_by_its_slider_and_saved(open_context, sign_in, person, tmp_path) -> None:
    campaign = make_campaign("Guarded", lead=person)
    version = versions.register(campaign=campaign, kind="guard", path=str(fitted_guard(tmp_path)), actor=None)
    page = sign_in(open_context(), person, path=reverse("model-guard", args=[version.pk]))
    curve = guard_versions.shown(version).sides[0].curve
    side = page.locator("[data-guard-side=prompt]")
    said = side.get_by_role("status")
    before = said.inner_text()
    slider = side.get_by_role("slider")
    slider.press("End")
    expect(said).not_to_have_text(before)
    assert float(side.locator("[name=prompt_line]").input_value()) == curve[-1]["value"]
    side.locator("[name=prompt_line]").fill(str(curve[0]["value"]))
    assert slider.input_value() == "0"
    slider.press("End")
    page.get_by_role("button", name="Save as a new version").click()
    expect(page.get_by_role("heading", name="guard-1")).to_be_visible()
    assert guard_versions.shown(ModelVersion.objects.get(number=1)).sides[0].line["value"] == curve[-1]["value"]
