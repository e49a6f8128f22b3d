"""How long an annotator looks at an item they have answered: from Enter to the next item on screen, in a Chromium."""

from __future__ import annotations

import time
from pathlib import Path
from statistics import median, quantiles

from playwright.sync_api import Browser, Page, sync_playwright

from tests.bench.servers import Web

CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-dev-shm-usage"]
READING = 1.0  # seconds before each answer; nobody judges faster, and the next item is fetched meanwhile
# From the key to the second frame after the item was replaced: then it is painted.
WATCH = """
() => {
  window.waits = [];
  let pressed = 0;
  let shown = document.getElementById("item");
  addEventListener("keydown", (event) => { if (event.key === "Enter") pressed = performance.now(); }, true);
  new MutationObserver(() => {
    const item = document.getElementById("item");
    if (!pressed || item === shown || !item?.querySelector("[data-judge]")) return;
    shown = item;
    const since = pressed;
    pressed = 0;
    requestAnimationFrame(() => requestAnimationFrame(() => window.waits.push(performance.now() - since)));
  }).observe(document.getElementById("work"), { childList: true });
}
"""


def submit_to_next(
    server: Web, campaign_id: int, cookies: list[str], *, latency: int, judgements: int
) -> dict[str, float]:
    """Return milliseconds of our page, and of the same page without its script; `latency`: added to each round trip.

    One person judges with the page as it is and another with scripts blocked, where a submit loads the next page.
    """
    path = CHROMIUM if CHROMIUM.exists() else None
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        ours = _waits(browser, server, campaign_id, cookies[0], latency, judgements)
        plain = _loads(browser, server, campaign_id, cookies[1], latency, max(10, judgements // 3))
        browser.close()
    return {
        "median": median(ours),
        "p95": quantiles(ours, n=20)[-1],
        "plain_median": median(plain),
        "plain_p95": quantiles(plain, n=20)[-1],
    }


def _waits(browser: Browser, server: Web, campaign_id: int, cookie: str, latency: int, judgements: int) -> list[float]:
    page = _open(browser, server, campaign_id, cookie, latency)
    page.wait_for_load_state("networkidle")
    page.evaluate(WATCH)
    for number in range(judgements):
        time.sleep(READING)
        page.keyboard.press("3")
        page.keyboard.press("Enter")
        page.wait_for_function("count => window.waits.length === count", arg=number + 1)
    waits: list[float] = page.evaluate("window.waits")
    page.context.close()
    return waits


def _loads(browser: Browser, server: Web, campaign_id: int, cookie: str, latency: int, judgements: int) -> list[float]:
    page = _open(browser, server, campaign_id, cookie, latency, java_script_enabled=False)
    loads = []
    for _ in range(judgements):
        page.locator("[name=preference][value='3']").check(force=True)
        started = time.perf_counter()
        with page.expect_navigation():
            page.locator("[data-submit]").click()
        loads.append((time.perf_counter() - started) * 1e3)
    page.context.close()
    return loads


def _open(browser: Browser, server: Web, campaign_id: int, cookie: str, latency: int, **options: bool) -> Page:
    context = browser.new_context(viewport={"width": 1440, "height": 900}, **options)
    name, _, value = cookie.partition("=")
    context.add_cookies([{"name": name, "value": value, "url": server.url}])
    page = context.new_page()
    session = context.new_cdp_session(page)
    session.send("Network.enable")
    conditions = {"offline": False, "latency": latency, "downloadThroughput": -1, "uploadThroughput": -1}
    session.send("Network.emulateNetworkConditions", conditions)
    page.goto(f"{server.url}/work/{campaign_id}/")
    return page
