"""A lead uploads a table, names its columns by keyboard and looks at the items; and an upload breaks off."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from playwright.sync_api import BrowserContext, Page, Route, expect

from annotation.importing import partial
from annotation.models import Task, User
from tests.browser.looks import everywhere
from tests.factories import make_campaign

CSV = (
    "question,answer of the first model,b,topic\n"
    'Why is the sky blue?,"Because of **scattering**.\n\n- short waves\n- long waves",It reflects the sea.,physics\n'
    "How?,same,same,art\n" + "x" * 300 + "," + "y" * 300 + ",z,long\n"
)


def test_a_table_is_looked_at_and_imported(
    open_context: Callable[..., BrowserContext],
    sign_in: Callable[..., Page],
    person: User,
) -> None:
    campaign = make_campaign("Helpfulness", lead=person)
    page = sign_in(open_context(), person, path=f"/campaigns/{campaign.pk}/import/")
    assert everywhere(page, "import-form") == []
    file = {"name": "pairs with a name.csv", "mimeType": "text/csv", "buffer": CSV.encode()}
    page.get_by_label("A file").set_input_files(files=[file])
    page.get_by_role("button", name="Look at it first").press("Enter")
    expect(page.get_by_role("heading", name="What the columns are")).to_be_visible()
    expect(page.get_by_text("No item yet.")).to_be_visible()
    page.get_by_label("Prompt").select_option("question")
    page.get_by_label("Answer 1").select_option("answer of the first model")
    page.get_by_label("Answer 2").select_option("b")
    page.get_by_label("Domain").select_option("topic")
    page.get_by_role("button", name="Show the items").press("Enter")
    expect(page.get_by_role("article")).to_have_count(2)
    expect(page.get_by_text("so that nobody could prefer one")).to_be_visible()
    assert everywhere(page, "import-preview") == []
    page.get_by_role("button", name="Import all").press("Enter")
    expect(page.get_by_role("heading", name="1 line could not be taken")).to_be_visible()
    assert everywhere(page, "import-report") == []
    with page.expect_download() as download:
        page.get_by_role("link", name="Download the refused lines").click()
    assert '"question": "How?"' in download.value.path().read_text()
    assert Task.objects.filter(campaign=campaign).count() == 2


def test_a_broken_upload_goes_on_by_itself(
    open_context: Callable[..., BrowserContext],
    sign_in: Callable[..., Page],
    person: User,
    faults: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(partial, "PART_BYTES", 2000)
    campaign = make_campaign("Helpfulness", lead=person)
    page = sign_in(open_context(), person, path=f"/campaigns/{campaign.pk}/import/")
    rows = [{"id": f"q{n}", "prompt": f"Question {n}?", "completions": ["yes", "no"]} for n in range(100)]
    buffer = "".join(json.dumps(row) + "\n" for row in rows).encode()
    file = {"name": "pairs.jsonl", "mimeType": "application/json", "buffer": buffer}
    sent: list[str] = []

    def broken(route: Route) -> None:
        if route.request.method == "PUT":
            sent.append(route.request.url.rpartition("=")[2])
        if len(sent) < 3:
            route.continue_()
        else:
            route.abort()

    page.route("**/upload/**", broken)
    page.get_by_label("A file").set_input_files(files=[file])
    page.get_by_role("button", name="Import at once").press("Enter")
    expect(page.get_by_text("The connection is gone at")).to_be_visible()
    page.on("dialog", lambda dialog: dialog.accept())
    page.unroute("**/upload/**")
    expect(page.get_by_text("New items: 100.")).to_be_visible()
    assert Task.objects.filter(campaign=campaign).count() == 100
    assert sent[:2] == ["0", "2000"], "each part was sent once"
    faults.clear()  # the requests that were broken off
