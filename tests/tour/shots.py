"""Who opens which page and does what there before its picture is taken."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
from django.conf import settings
from django.test import Client
from PIL import Image
from playwright.sync_api import Error as PlaywrightError
from playwright.sync_api import Page, sync_playwright

from annotation.models import Campaign, User
from tests.browser.conftest import ARGUMENTS, CHROMIUM
from tests.browser.looks import ALL, AT_REST, SCREENS
from tests.tour import acts
from tests.tour.scenes import all_scenes

# Told apart from all colours by nobody at this size, and a third of the bytes. The most frequent ones stay as they are:
# grounds that come out tinted are seen at once.
COLOURS, EXACT = 160, 64


@dataclass(frozen=True)
class Shot:
    name: str
    person: str
    path: str
    act: acts.Act
    screen: str = "desk"
    theme: str = "light"


def tour(url: str, campaigns: dict[str, Campaign], *, into: Path, only: Sequence[str] | None = None) -> int:
    """Write the pictures of the README, and return how many."""
    shots = [shot for shot in _shots(campaigns) if not only or shot.name in only]
    into.mkdir(parents=True, exist_ok=True)
    for shot in shots:
        with _page(url, shot.person, screen=shot.screen, theme=shot.theme) as page:
            page.goto(shot.path)
            page.wait_for_load_state("networkidle")
            shot.act(page)
            page.wait_for_timeout(700)  # until a draft is stored and nothing moves any more
            _write(page.screenshot(), into / f"{shot.name}.png")
    return len(shots)


def every(
    url: str, campaigns: dict[str, Campaign], *, into: Path, only: Sequence[str] | None = None, language: str = "en-GB"
) -> int:
    """Write each page of each person in every look, from its head to its foot, and return how many pictures that is."""
    into.mkdir(parents=True, exist_ok=True)
    found = [one for one in all_scenes(campaigns) if not only or any(one.name.startswith(name) for name in only)]
    missed = []
    for person, scenes in groupby(found, key=lambda one: one.person):
        with _page(url, person, language=language) as page:
            for scene in scenes:
                page.set_viewport_size(SCREENS["desk"])  # type: ignore[arg-type]
                page.emulate_media(color_scheme="light")
                page.goto(scene.path)
                page.wait_for_load_state("networkidle")
                try:
                    scene.act(page)
                except PlaywrightError as error:
                    missed.append(f"{scene.name}: {error.message.splitlines()[0]}")
                for screen, theme in ALL:
                    page.set_viewport_size(SCREENS[screen])  # type: ignore[arg-type]
                    page.emulate_media(color_scheme=theme)  # type: ignore[arg-type]
                    page.wait_for_timeout(150)
                    page.evaluate(AT_REST)
                    page.screenshot(full_page=True, path=into / f"{scene.name}-{screen}-{theme}.png")
    if missed:
        raise SystemExit("What was to be done first could not be done in these:\n" + "\n".join(missed))
    return len(found) * len(ALL)


@contextmanager
def _page(
    url: str, person: str, *, screen: str = "desk", theme: str = "light", language: str = "en-GB"
) -> Iterator[Page]:
    """Yield a page in which this person, if any, is signed in."""
    with sync_playwright() as playwright:
        path = CHROMIUM if CHROMIUM.exists() else None
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        context = browser.new_context(
            base_url=url, locale=language, viewport=SCREENS[screen], color_scheme=theme, reduced_motion="reduce"
        )
        if person:
            client = Client()
            client.force_login(User.objects.get(username=person))
            cookie = client.cookies[settings.SESSION_COOKIE_NAME].value
            context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": cookie, "url": url}])
        page = context.new_page()
        yield page
        browser.close()


def _write(png: bytes, path: Path) -> None:
    """Write the picture with few colours: the most frequent as they are, each other one as the nearest there is."""
    image = Image.open(io.BytesIO(png)).convert("RGB")
    there, places, counts = np.unique(np.asarray(image).reshape(-1, 3), axis=0, return_inverse=True, return_counts=True)
    spread = image.quantize(COLOURS - EXACT, method=Image.Quantize.MEDIANCUT).getpalette() or []
    exact = there[np.argsort(-counts, kind="stable")[:EXACT]]
    palette = np.concatenate([exact, np.array(spread[: 3 * (COLOURS - EXACT)], np.uint8).reshape(-1, 3)]).astype(
        np.int32
    )
    nearest = [np.abs(palette - colour).sum(axis=1).argmin() for colour in there.astype(np.int32)]
    few = Image.fromarray(np.array(nearest, np.uint8)[places].reshape(image.height, image.width), mode="P")
    few.putpalette(palette.astype(np.uint8).tobytes())
    few.save(path, optimize=True)


def _shots(campaigns: dict[str, Campaign]) -> list[Shot]:
    real = Campaign.objects.get(name="Real answers")
    shape = Campaign.objects.get(name="Shape a small model")
    work = {name: f"/work/{one.pk}/" for name, one in campaigns.items()}
    kitchen = campaigns["quality"]
    return [
        Shot("judge", "ann", f"/work/{real.pk}/", acts.keys("6")),
        Shot("differences", "ann", work["code"], acts.keys("1", "d"), theme="dark"),
        Shot("phone", "ann", work["code"], acts.keys("1"), screen="phone", theme="dark"),
        Shot("chat", "ann", f"/work/{shape.pk}/chat/", acts.chat),
        Shot("safety", "ann", work["safety"], acts.keys("x", "/", "c", "r", "u", "e", "l", "Enter", "2")),
        Shot("ranking", "ann", work["ranking"], acts.keys("1", "4", "3", "2")),
        Shot("critique", "ann", work["critique"], acts.critique),
        Shot("turns", "ann", work["turns"], acts.keys("y", ".", "x")),
        Shot("regions", "ann", work["regions"], acts.region),
        Shot("setup", "lead", "/campaigns/new/?template=safe-rlhf", acts.nothing),
        Shot("quality", "lead", f"/campaigns/{kitchen.pk}/quality/", acts.nothing),
        Shot("review", "lead", f"/campaigns/{kitchen.pk}/reviews/", acts.first_conflict),
        Shot("loop", "lead", f"/campaigns/{shape.pk}/loop/", acts.nothing),
        Shot("runs", "lead", f"/campaigns/{shape.pk}/runs/", acts.nothing),
    ]
