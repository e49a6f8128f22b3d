"""Whether a page, as it stands, can be used by anybody: axe's rules, and nothing wider than the window it is in."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
# What a theme can change.
COLOURS = {"runOnly": ["color-contrast", "link-in-text-block"]}
# Colours that are still on their way from one theme to the other are in neither.
AT_REST = """() => document.getAnimations()
    .filter(one => one.effect.getComputedTiming().endTime !== Infinity).forEach(one => one.finish())"""
# A table that is wider than a telephone is shown row by row there.
SIDEWAYS = """() => [...document.querySelectorAll('.table-wrap')]
    .filter(one => one.scrollWidth > one.clientWidth).map(one => one.outerHTML.slice(0, 160))"""
SCREENS = {"desk": {"width": 1440, "height": 900}, "phone": {"width": 390, "height": 844}}
SIZES = {"narrow": {"width": 360, "height": 740}, **SCREENS, "wide": {"width": 2560, "height": 1440}}


# Every screen in every theme; and each theme once, on the outermost of all screens.
ALL = tuple((screen, theme) for screen in SCREENS for theme in ("light", "dark"))
OUTERMOST = (("narrow", "dark"), ("wide", "light"))


def everywhere(
    page: Page, name: str = "page", *, looks: Sequence[tuple[str, str]] = ALL, again: dict[str, Any] = RULES
) -> list[str]:
    """Return what is wrong with the page as it stands, on each screen in each theme; it is left as it was found.

    One page is looked at several times, instead of several pages once: what was clicked and typed need not be done
    again. `again` are the rules of every screen but the first. With PICTURES, a folder, in the environment a picture of
    each look is left there as name-screen-theme.png.
    """
    found: list[str] = []
    seen = ""
    with _looked_at(page):
        for screen, theme in looks:
            page.set_viewport_size(SIZES[screen])  # type: ignore[arg-type]
            page.emulate_media(color_scheme=theme)  # type: ignore[arg-type]
            page.evaluate(AT_REST)
            if folder := os.environ.get("PICTURES"):
                page.screenshot(path=f"{folder}/{name.strip('/').replace('/', '-')}-{screen}-{theme}.png")
            told = complaints(page, rules=COLOURS if screen == seen else again if seen else RULES)
            if screen != seen and sticks_out(page):
                told.append(f"wider than its window: {widest(page)}")
            if screen in ("narrow", "phone"):
                told += [f"is to be read sideways: {one}" for one in page.evaluate(SIDEWAYS)]
            found += [f"{name}, {screen}, {theme}: {one}" for one in told]
            seen = screen
    return found


def unfold(page: Page) -> None:
    """Open everything that is folded away, and stay at the top."""
    page.evaluate("document.querySelectorAll('main details').forEach(one => one.open = true); scrollTo(0, 0)")


@contextmanager
def _looked_at(page: Page) -> Iterator[None]:
    size = page.viewport_size
    dark = page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
    yield
    page.emulate_media(color_scheme="dark" if dark else "light")
    if size:
        page.set_viewport_size(size)


def complaints(page: Page, *, rules: dict[str, Any] = RULES) -> list[str]:
    """Return the violations of `rules` by axe-core, each with its element and how to mend it."""
    result = Axe("" if page.evaluate("'axe' in window") else Axe().axe_script).run(page, options=rules)
    return [
        f"{violation['id']}: {node['html'][:160]} — {node['failureSummary']}"
        for violation in result.response["violations"]
        for node in violation["nodes"]
    ]


def sticks_out(page: Page) -> bool:
    return page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")


def widest(page: Page) -> str:
    """Return the element that reaches furthest to the right, to be named in a failure."""
    return page.evaluate(
        "[...document.querySelectorAll('main *')].map(one => [one.getBoundingClientRect().right, one.outerHTML])"
        ".sort((one, other) => other[0] - one[0])[0][1].slice(0, 200)"
    )
