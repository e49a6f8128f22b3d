"""Who opens which page and does what there before its picture is taken."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from django.conf import settings
from django.test import Client
from django.urls import reverse
from PIL import Image
from playwright.sync_api import Page, sync_playwright

from annotation.feedback import KINDS
from annotation.models import Campaign, Task, User
from frontend.lead_urls import urlpatterns as lead_pages
from tests.browser.conftest import ARGUMENTS, CHROMIUM
from tests.browser.looks import ALL, AT_REST, SCREENS
from training.models import ModelVersion, Run, Snapshot

Act = Callable[[Page], None]
# Told apart from all colours by nobody at this size, and a third of the bytes. The most frequent ones stay as they are:
# grounds that come out tinted are seen at once.
COLOURS, EXACT = 160, 64


@dataclass(frozen=True)
class Shot:
    name: str
    person: str
    path: str
    act: Act
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


def every(url: str, campaigns: dict[str, Campaign], *, into: Path, only: Sequence[str] | None = None) -> int:
    """Write each page of an annotator and of a lead in every look, and return how many pictures that are."""
    into.mkdir(parents=True, exist_ok=True)
    shape = Campaign.objects.get(name="Shape a small model")
    pages = [("ann", f"work-{name}", f"/work/{one.pk}/", _uncover) for name, one in campaigns.items()]
    pages += [("ann", f"history-{name}", f"/work/{one.pk}/history/", _nothing) for name, one in campaigns.items()]
    pages += [
        ("ann", name, path, _nothing)
        for name, path in {
            "home": "/",
            "profile": "/profile/",
            "password": "/profile/password/",
            "factor": "/profile/second-factor/",
            "personal": "/profile/data/",
            "missing": "/no/such/page/",
            "chat": f"/work/{shape.pk}/chat/",
            "wellbeing": f"/work/{campaigns['safety'].pk}/wellbeing/",
            "docs": "/api/docs/",
        }.items()
    ]
    pages += [("lead", name, path, _nothing) for name, path in lead_paths(shape, "shape")]
    pages += [("lead", name, path, _nothing) for name, path in lead_paths(campaigns["quality"], "kitchen")]
    pages += [("lead", f"new-{kind}", f"/campaigns/new/?kind={kind}", _nothing) for kind in sorted(KINDS)]
    count = 0
    for person in ("ann", "lead"):
        with _page(url, person) as page:
            for who, name, path, act in pages:
                if who != person or (only and not any(name.startswith(one) for one in only)):
                    continue
                page.goto(path)
                page.wait_for_load_state("networkidle")
                act(page)
                for screen, theme in ALL:
                    page.set_viewport_size(SCREENS[screen])  # type: ignore[arg-type]
                    page.emulate_media(color_scheme=theme)  # type: ignore[arg-type]
                    page.wait_for_timeout(150)
                    page.evaluate(AT_REST)
                    _write(page.screenshot(full_page=screen == "phone"), into / f"{name}-{screen}-{theme}.png")
                    count += 1
    return count


def lead_paths(campaign: Campaign, prefix: str) -> Iterator[tuple[str, str]]:
    """Yield name and address of every page of a lead that there is something for in this campaign."""
    loop = getattr(campaign, "loop", None)
    known = {
        "campaign_id": campaign.pk,
        "recipe_name": "bradley-terry",
        "run_id": _last(Run.objects.filter(campaign=campaign)),
        "version_id": _last(ModelVersion.objects.filter(campaign=campaign)),
        "round_id": _last(loop.rounds.all()) if loop else None,
        "snapshot_id": _last(Snapshot.objects.filter(campaign=campaign)),
        "task_id": _last(Task.objects.filter(campaign=campaign)),
    }
    lead = Client(SERVER_NAME="localhost")
    lead.force_login(User.objects.get(username="lead"))
    for pattern in lead_pages:
        wanted = pattern.pattern.converters
        if not getattr(pattern, "name", None) or any(known.get(name) is None for name in wanted):
            continue
        path = reverse(pattern.name, kwargs={name: known[name] for name in wanted})
        answer = lead.get(path)
        if answer.status_code == 200 and not answer.streaming and b"<html" in answer.content:
            yield f"{prefix}-{pattern.name}", path


def _last(rows) -> int | None:  # type: ignore[no-untyped-def]
    return rows.order_by("-pk").values_list("pk", flat=True).first()


@contextmanager
def _page(url: str, person: str, *, screen: str = "desk", theme: str = "light") -> Iterator[Page]:
    """Yield a page in which this person is signed in."""
    client = Client()
    client.force_login(User.objects.get(username=person))
    cookie = client.cookies[settings.SESSION_COOKIE_NAME].value
    with sync_playwright() as playwright:
        path = CHROMIUM if CHROMIUM.exists() else None
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        context = browser.new_context(
            base_url=url, locale="en-GB", viewport=SCREENS[screen], color_scheme=theme, reduced_motion="reduce"
        )
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


def _nothing(page: Page) -> None:
    return


def _uncover(page: Page) -> None:
    """Say yes to what is asked before the first item, and look at what is covered."""
    agree = page.locator("button[form=agree]")
    if agree.count():
        agree.click()
        page.wait_for_load_state("networkidle")
    for cover in page.locator("[data-cover], [data-unblur]").all():
        cover.check(force=True)


def _keys(*keys: str) -> Act:
    def press(page: Page) -> None:
        _uncover(page)
        for key in keys:
            page.keyboard.press(key)

    return press


def _critique(page: Page) -> None:
    page.keyboard.press("n")
    page.keyboard.insert_text(
        "It answers what was asked in its first sentence, with an amount and a time of day, and says how to tell that "
        "the soil is dry. The second paragraph is simply wrong: ten litres is what a plant in a greenhouse takes, and "
        "it contradicts the first, which is the right one."
    )
    page.keyboard.press("Escape")
    page.keyboard.press("o")
    page.locator("[data-proposal], .question").first.wait_for()
    page.wait_for_timeout(1500)
    page.keyboard.press("y")


def _region(page: Page) -> None:
    _uncover(page)
    stage = page.locator("[data-stage]").first
    box = stage.bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] * 0.43, box["y"] + box["height"] * 0.2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + box["width"] * 0.16, y + box["height"] * 0.45, steps=4)
    page.mouse.up()
    page.keyboard.press("1")
    page.keyboard.press("Escape")


def _chat(page: Page) -> None:
    for words in ("The kitchen tap drips. What should I do?", "I have no spanner. What else can I use?"):
        page.locator("textarea").first.fill(words)
        page.keyboard.press("Control+Enter")
        page.locator("[data-judge], .segment").first.wait_for(timeout=60_000)
        if words.startswith("The"):
            page.keyboard.press("2")
            page.keyboard.press("Enter")
            page.get_by_label("Your next message").wait_for(timeout=60_000)
    page.keyboard.press("6")


def _first_conflict(page: Page) -> None:
    page.locator("[aria-labelledby=conflicts-title] a").first.click()
    page.wait_for_load_state("networkidle")
    page.keyboard.press("d")


def _shots(campaigns: dict[str, Campaign]) -> list[Shot]:
    real = Campaign.objects.get(name="Real answers")
    shape = Campaign.objects.get(name="Shape a small model")
    work = {name: f"/work/{one.pk}/" for name, one in campaigns.items()}
    kitchen = campaigns["quality"]
    return [
        Shot("judge", "ann", f"/work/{real.pk}/", _keys("6")),
        Shot("differences", "ann", work["code"], _keys("1", "d"), theme="dark"),
        Shot("phone", "ann", work["code"], _keys("1"), screen="phone", theme="dark"),
        Shot("chat", "ann", f"/work/{shape.pk}/chat/", _chat),
        Shot("safety", "ann", work["safety"], _keys("x", "/", "c", "r", "u", "e", "l", "Enter", "2")),
        Shot("ranking", "ann", work["ranking"], _keys("1", "4", "3", "2")),
        Shot("critique", "ann", work["critique"], _critique),
        Shot("turns", "ann", work["turns"], _keys("y", ".", "x")),
        Shot("regions", "ann", work["regions"], _region),
        Shot("setup", "lead", "/campaigns/new/?template=safe-rlhf", _nothing),
        Shot("quality", "lead", f"/campaigns/{kitchen.pk}/quality/", _nothing),
        Shot("review", "lead", f"/campaigns/{kitchen.pk}/reviews/", _first_conflict),
        Shot("loop", "lead", f"/campaigns/{shape.pk}/loop/", _nothing),
        Shot("runs", "lead", f"/campaigns/{shape.pk}/runs/", _nothing),
    ]
