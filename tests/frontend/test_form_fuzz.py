"""Every form of every page, filled with whatever hypothesis thinks of: no page fails, no text is lost, none is run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape, unescape
from html.parser import HTMLParser
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from annotation.feedback import KINDS
from annotation.models import Campaign
from frontend.lead_urls import urlpatterns as lead_pages
from frontend.page_urls import urlpatterns as pages
from tests.factories import make_campaign, make_task
from tests.frontend.lead_world import World, judge_all, keep_suite, make_loop, make_world, start_run, to_labelling
from tests.training.guard_world import guard_in_use

pytestmark = pytest.mark.django_db(transaction=True)

EVIL = "<script>evil()</script>"
NASTY = (
    *(
        "",
        " ",
        EVIL,
        f"{EVIL}: {EVIL} | {EVIL}",
        "\x00",
        "a\x00b",
        "💥 ‮ right to left",
        "'; --",
        "{{ 7|add:7 }}",
        "%s %(n)s",
    ),
    *(
        "-1",
        "0",
        "1",
        "3",
        "7",
        "1e999",
        "NaN",
        "9" * 400,
        "null",
        "[]",
        "[" * 900,
        '{"a":' * 300,
        "x" * 12_000,
        "a, b;c",
    ),
    *(
        "safe",
        "unsafe",
        "yes",
        "both_bad",
        "on",
        "lang:de",
        "Complexity if Helpfulness is 3",
        "\r\n\r\n",
        "../../etc/passwd",
    ),
)
TEXT = st.sampled_from(NASTY) | st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
FILES = st.sampled_from(
    [b"", b"{", b"\xff\xfe\x00", b'{"prompt": "a", "completions": ["b", "c"]}\n', b"a,b\n1,2\n", b"PK\x03\x04"]
)
# After these there is nothing left to try.
LAST = ("/logout/", "/leave/")
LAST_ACTIONS = ("close", "stop", "cancel")


@dataclass
class Form:
    action: str
    fields: dict[str, str] = field(default_factory=dict)
    texts: set[str] = field(default_factory=set)
    files: set[str] = field(default_factory=set)
    buttons: list[tuple[str, str]] = field(default_factory=list)


class Forms(HTMLParser):
    """Collects the forms of a page that are sent by POST, with what a browser would send."""

    def __init__(self, path: str, html: str) -> None:
        super().__init__(convert_charrefs=False)
        self.path, self.found = path, list[Form]()
        self._open: Form | None = None
        self._select = self._text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: unescape(value or "") for name, value in attrs}
        if tag == "form":
            self._open = Form(given.get("action") or self.path) if given.get("method", "").lower() == "post" else None
            if self._open:
                self.found.append(self._open)
        form, name = self._open, given.get("name", "")
        if form is None:
            return
        if tag == "button" and given.get("type", "submit") == "submit":
            form.buttons.append((name, given.get("value", "")))
        elif tag == "textarea" and name:
            form.texts.add(name)
            form.fields.setdefault(name, "")
        elif tag == "select":
            self._select = name
        elif tag == "option" and self._select and ("selected" in given or self._select not in form.fields):
            form.fields[self._select] = given.get("value", "")
        elif tag == "input" and name:
            self._input(form, name, given)

    def _input(self, form: Form, name: str, given: dict[str, str]) -> None:
        kind = given.get("type", "text")
        if kind == "file":
            form.files.add(name)
        elif kind not in ("radio", "checkbox") or "checked" in given:
            form.fields[name] = given.get("value", "on")
        else:
            form.fields.setdefault(name, "")

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._open = None
        elif tag == "select":
            self._select = ""


@dataclass
class Tried:
    world: World
    paths: dict[str, list[str]]  # by who goes there


@pytest.fixture
def tried() -> Tried:
    """Return a campaign with a loop in the middle of a round, and one of each kind of feedback with items to judge."""
    world = make_world()
    judge_all(world)
    round = to_labelling(world, make_loop(world))
    known = {
        "campaign_id": world.campaign.pk,
        "recipe_name": "bradley-terry",
        "run_id": start_run(world).pk,
        "version_id": round.policy_id,
        "round_id": round.pk,
        "event_id": 1,
        "token": "unknown",
        "secret": "unknown",
        "uidb64": "MQ",
        "pseudonym": world.annotator.pseudonym,
        "part": "agreement",
        "task_id": world.campaign.tasks.earliest("id").pk,
        "snapshot_id": 1,
        "suite_id": keep_suite(world).pk,
    }
    others = {"model-guard": {"version_id": guard_in_use(world.campaign, world.lead).pk}}
    found = [
        reverse(
            pattern.name,
            kwargs={key: {**known, **others.get(pattern.name, {})}[key] for key in pattern.pattern.converters},
        )
        for pattern in [*pages, *lead_pages]
        if getattr(pattern, "name", None)
    ]
    found.append(f"{reverse('knowledge', args=[world.campaign.pk])}?document=leaflet")
    work = [f"/work/{campaign_with_work(world, kind).pk}/" for kind in sorted(KINDS)]
    found += [f"/campaigns/new/?kind={kind}" for kind in sorted(KINDS)]
    paths = {"lead": found, "annotator": [*work, f"{work[0]}wellbeing/"]}
    return Tried(world, {who: [path for path in paths[who] if forms_of(world.client(who), path)] for who in paths})


def forms_of(client: Client, path: str) -> list[Form]:
    """Return the forms of a page that may be sent again and again; none of an address that answers with no page."""
    page = client.get(path)
    assert page.status_code < 500, path
    if page.status_code != 200 or "html" not in page["Content-Type"]:
        return []
    return [form for form in Forms(path, page.content.decode()).found if not form.action.endswith(LAST)]


def campaign_with_work(world: World, kind: str) -> Campaign:
    campaign = make_campaign(f"Fuzz {kind}", kind=kind, lead=world.lead, annotators=[world.annotator])
    count = min(2, KINDS[kind].completions[1])
    for number in range(60):
        make_task(campaign, number=number, completions=["A plain answer.", "Another one."][:count])
    return campaign


PLACE = st.sampled_from(range(210))  # in whatever there is to choose from, which depends on what was done before


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    who=st.sampled_from(["lead", "annotator"]),
    place=PLACE,
    which=PLACE,
    pressed=PLACE,
    typed=st.lists(st.tuples(PLACE, TEXT), max_size=6),
    file=st.tuples(st.sampled_from(["a.jsonl", "a.csv", "a.zip"]), FILES),
)
def test_every_form_takes_or_refuses_whatever_is_typed(
    tried: Tried,
    who: str,
    place: int,
    which: int,
    pressed: int,
    typed: list[tuple[int, str]],
    file: tuple[str, bytes],
) -> None:
    client = tried.world.client(who)
    path = chosen(tried.paths[who], place)
    forms = forms_of(client, path)
    if not forms:
        return
    form = chosen(forms, which)
    sent: dict[str, Any] = {name: value for name, value in form.fields.items() if value}
    for name, text in typed:
        sent[chosen(sorted(form.fields) or ["x"], name)] = text
    for name in form.files:
        sent[name] = SimpleUploadedFile(*file)
    if form.buttons and (button := chosen(form.buttons, pressed))[0]:
        sent[button[0]] = button[1]
    if sent.get("action") in LAST_ACTIONS:
        return
    check_answer(client, form, sent)


def check_answer(client: Client, form: Form, sent: dict[str, Any]) -> None:
    """Send the form; the answer is no failure, runs nothing that was typed, and still has the texts it refuses."""
    answer = client.post(form.action, sent)
    assert answer.status_code < 500, (form.action, sent)
    if answer.status_code in (301, 302):
        after = client.get(answer.url)
        assert after.status_code < 500, (form.action, sent, answer.url)
        assert EVIL.encode() not in after.content, (form.action, sent, answer.url)
        return
    if answer.streaming or "html" not in answer.get("Content-Type", ""):
        return
    html = answer.content.decode()
    assert EVIL not in html, (form.action, sent)
    if answer.status_code in (200, 422):
        for name in form.texts & set(sent):
            kept = sent[name].replace("\r\n", "\n").strip()
            assert escape(kept) in html.replace("\r\n", "\n"), (form.action, name, sent)


def chosen(there: Sequence[Any], place: int) -> Any:
    return there[place % len(there)]
