"""The page that shows the REST interface, in a real browser and under the content policy of every other page."""

from __future__ import annotations

import os

import pytest
from playwright.sync_api import expect

# Whether the ground of the page, red, green and blue together, is that of a theme.
GROUND_IS = """theme => {
    const ground = getComputedStyle(document.documentElement).backgroundColor;
    const [red, green, blue, alpha] = ground.match(/[\\d.]+/g).map(Number);
    return (alpha === 0 || red + green + blue > 600 ? "light" : "dark") === theme;
}"""

pytestmark = pytest.mark.django_db(transaction=True)


def test_the_page_lists_the_interface_and_loosens_no_policy(open_context) -> None:
    page = open_context().new_page()
    page.set_default_timeout(60_000)  # the document of the whole interface is made on first use
    response = page.goto("/api/docs/")
    assert response is not None and response.status == 200
    assert "unsafe" not in response.headers["content-security-policy"]
    page.click("#operations-work-work_next .opblock-summary-control")
    page.wait_for_selector("text=Return the item you hold")
    # Of so large an interface the page draws what is in sight: it is all there for who goes down.
    page.wait_for_function("ui.getSystem().specSelectors.operations().size > 100")
    page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
    expect(page.locator("#operations-training-versions_roll_back")).to_be_visible()
    page.evaluate("scrollTo(0, 0)")
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme=theme)
        page.wait_for_function(GROUND_IS, arg=theme)
        if folder := os.environ.get("PICTURES"):
            page.screenshot(path=f"{folder}/api-docs-{theme}.png")
    page.evaluate("localStorage.setItem('attune:theme', 'light')")  # chosen in the product, so that the system's is not
    page.goto("/api/docs/")
    page.wait_for_function(GROUND_IS, arg="light")
