"""Which language a page comes in, and that nothing on it is left out of the translation."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse
from django.utils import translation

from annotation.errors import Invalid
from annotation.feedback import KINDS
from annotation.importing import mapping
from annotation.models import Campaign, User
from annotation.services.intake import import_lines
from annotation.told import told
from frontend import figures, numerals
from frontend.forms.knobs import KnobForm, shown
from tests.annotation.feedback.examples import asked_for_all
from tests.annotation.pictures import data_uri, picture
from tests.factories import make_assignment, make_campaign, make_task
from tests.frontend.lead_world import (
    World,
    finish_run,
    judge_all,
    make_loop,
    make_world,
    set_running,
    start_run,
    to_end,
    to_labelling,
)
from tests.training.chat_world import answered, make_chat_loop, say
from training.models import ChatTurn
from training.recipes.base import knobs_of
from training.recipes.loop import LoopSettings
from training.services import answering, rounds, runs

pytestmark = pytest.mark.django_db

GERMAN = {"HTTP_ACCEPT_LANGUAGE": "de-AT,de;q=0.9,en;q=0.5"}


@pytest.fixture(autouse=True)
def english() -> Iterator[None]:
    """Come back to English: a request leaves its language behind in this thread, up to the next one."""
    with translation.override("en"):
        yield


def test_the_browser_says_the_language_until_a_person_chooses() -> None:
    client = Client()
    assert '<html lang="en"' in client.get("/login/").content.decode()
    answer = client.get("/login/", **GERMAN)
    assert '<html lang="de"' in answer.content.decode()
    assert "Bei Attune anmelden" in answer.content.decode()
    assert {"Accept-Language", "Cookie"} <= set(re.split(r",\s*", answer["Vary"]))
    assert client.post("/language/", {"language": "en", "next": "/login/"}).url == "/login/"
    assert "Sign in to Attune" in client.get("/login/", **GERMAN).content.decode()


def test_a_language_that_is_not_there_falls_back_to_english() -> None:
    assert '<html lang="en"' in Client().get("/login/", HTTP_ACCEPT_LANGUAGE="fr").content.decode()
    client = Client()
    client.post("/language/", {"language": "fr"})
    assert '<html lang="en"' in client.get("/login/").content.decode()


def test_the_choice_leads_nowhere_else() -> None:
    assert Client().post("/language/", {"language": "de", "next": "https://evil.example/"}).url == "/"


def test_error_pages_speak_the_readers_language() -> None:
    html = Client().get("/no/such/page/", **GERMAN).content.decode()
    assert '<html lang="de"' in html and "Unter dieser Adresse gibt es nichts" in html


def test_one_persons_language_does_not_reach_another(lead: User) -> None:
    """Modules and templates are loaded once per process: nothing of theirs may stay in the first reader's language."""
    campaign = make_campaign("Bread", lead=lead, tasks=2)
    german, english = Client(**GERMAN), Client()
    for client in (german, english):
        client.force_login(lead)
    pages = {f"/campaigns/{campaign.pk}/edit/": "Leitfaden", f"/work/{campaign.pk}/": "Abgeben", "/": "Weitermachen"}
    for path, word in {f"/campaigns/{campaign.pk}/": "Als Nächstes", **pages}.items():
        first, second, third = german.get(path), english.get(path), german.get(path)
        assert '<html lang="de"' in first.content.decode() and '<html lang="de"' in third.content.decode()
        assert '<html lang="en"' in second.content.decode()
        assert word in first.content.decode() and word not in second.content.decode()


def test_the_scripts_speak_it_too(annotator: User) -> None:
    client = Client(**GERMAN)
    client.force_login(annotator)
    html = client.get(f"/work/{make_campaign('Bread', annotators=[annotator], tasks=1).pk}/").content.decode()
    assert "Alles gespeichert" in html.encode().decode("unicode_escape", errors="ignore")
    assert '"saved": "All saved"' not in html


def test_numbers_and_dates_are_written_as_the_language_writes_them() -> None:
    with translation.override("de"):
        assert numerals.percent(0.85) == "85\N{NO-BREAK SPACE}%"
        assert figures.number(0.1234) == "0,123" and figures.number(12345) == "12.345"
    assert numerals.percent(0.85) == "85%"
    assert figures.number(0.1234) == "0.123" and figures.number(12345) == "12,345"


def test_a_setting_is_read_as_the_language_writes_it() -> None:
    def cleaned(typed: str) -> float:
        form = KnobForm(
            {"temperature": typed}, knobs=[one for one in knobs_of(LoopSettings()) if one.name == "temperature"]
        )
        assert form.is_valid(), form.errors
        return form.cleaned_data["temperature"]

    assert cleaned("0.5") == 0.5
    with translation.override("de"):
        assert cleaned("0,5") == 0.5 and cleaned("0.5") == 0.5
        assert shown(0.25) == "0,25"


def test_coordinates_keep_their_point(lead: User) -> None:
    world = make_world()
    judge_all(world)
    client = Client(**GERMAN)
    client.force_login(world.lead)
    html = client.get(f"/campaigns/{world.campaign.pk}/").content.decode()
    drawn = re.findall(r'\b(?:x|y|x1|x2|y1|y2|cx|cy|width|height)="([^"]+)"', html)
    assert drawn and not [one for one in drawn if "," in one]


# --- Every string translatable -----------------------------------------------------------------------------------
# With a language in which every message stands in brackets, words outside of them are words nobody can translate.

MESSAGE = re.compile("⟦[^⟦⟧]*⟧")
SPOKEN = ("aria-label", "title", "placeholder", "alt")
# Of programs, of data files and of people: not the pages' own words.
SILENT = {"script", "style", "code", "kbd", "pre", "datalist", "textarea", "cite"}
DATA = re.compile(
    # names that are the same in every language, what this test makes up, and names that exports go by
    r"Attune|English|Deutsch|arXiv:\S+|Bread questions|lena|amir|erin|rosa|mallory|JSON Lines|Parquet|nats|simulated"
    r"|[a-z]+(?:[-_][a-z0-9]+)+|α|κ|[A-Z]\b"
)
VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}


@pytest.fixture
def brackets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answer every message with itself in brackets."""

    def one(message: Any) -> str:
        return f"⟦{message}⟧" if message else ""

    def counted(singular: Any, plural: Any, number: int) -> str:
        return one(singular if number == 1 else plural)

    speak = {
        "gettext": one,
        "pgettext": lambda context, message: one(message),
        "ngettext": counted,
        "npgettext": lambda context, singular, plural, number: counted(singular, plural, number),
    }
    for name, function in speak.items():
        monkeypatch.setattr(translation._trans, name, function, raising=False)


class Words(HTMLParser):
    """Collects what a page says to eyes and to screen readers."""

    def __init__(self) -> None:
        super().__init__()
        self.silent: list[bool] = [False]
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if not self.silent[-1]:
            self.found += [values.get(name) or "" for name in SPOKEN]
        classes = (values.get("class") or "").split()
        data = tag in SILENT or "mono" in classes or "prose" in classes or values.get("dir") == "auto"
        if tag not in VOID:
            self.silent.append(self.silent[-1] or data)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take nothing: `<path/>` and the like of a drawing."""

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            self.silent.pop()

    def handle_data(self, data: str) -> None:
        if not self.silent[-1]:
            self.found.append(data)


def unmarked(html: str) -> list[str]:
    """Return the words of a page in brackets that stand outside of them."""
    while MESSAGE.search(html):
        html = MESSAGE.sub(" ", html)
    words = Words()
    words.feed(html)
    words.close()
    return sorted({text.strip() for text in words.found if re.search("[A-Za-z]{2}", DATA.sub(" ", text))})


def test_words_outside_of_brackets_are_found() -> None:
    html = '<p title="A title">⟦One⟧ two <b>⟦three <i>⟦four⟧</i>⟧</b><code>five</code><img alt="six"></p>'
    assert unmarked(html) == ["A title", "six", "two"]


def world_of_pages() -> tuple[World, dict[str, str]]:
    """Return people and their campaign with something of everything in it, and the addresses of its pages."""
    world = make_world()
    judge_all(world)
    finished, running = finish_run(start_run(world)), set_running(start_run(world))
    loop = make_loop(world)
    round = rounds.start_round(loop=loop, actor=world.lead)
    campaign = {"campaign_id": world.campaign.pk}
    pages = {
        **{name: reverse(name, kwargs=campaign) for name in LEAD_PAGES},
        "campaigns": reverse("campaigns"),
        "campaign-new": reverse("campaign-new"),
        "run-new": reverse("run-new", kwargs={**campaign, "recipe_name": "bradley-terry"}),
        "run finished": reverse("run", args=[finished.pk]),
        "run running": reverse("run", args=[running.pk]),
        "model reward": reverse("model", args=[finished.output.pk]),
        "model policy": reverse("model", args=[round.policy.pk]),
        "round": reverse("round", args=[round.pk]),
        "home": reverse("home"),
        "profile": reverse("profile"),
        "no such page": "/no/such/page/",
        **{name: reverse(name, kwargs=campaign) for name in ("work", "work-history", "work-pile", "work-wellbeing")},
    }
    return world, pages


LEAD_PAGES = (
    *("campaign", "campaign-edit", "campaign-import", "campaign-people", "campaign-export"),
    *("runs", "models", "loop", "loop-edit"),
)


def from_leads() -> set[str]:
    """Return what a campaign's lead writes, or leaves as it came: questions, attributes, principles."""
    said = {"Two rows were cut."}
    for one in KINDS.values():
        asked, _said = asked_for_all(one)
        for value in [*one.defaults.values(), *asked.values()]:
            lines = [value] if isinstance(value, str) else value if isinstance(value, list) else []
            for line in lines:
                title, _colon, meaning = line.partition(":")
                said |= {line, title.strip(), meaning.strip(), *(words.strip() for words in meaning.split("|"))}
    return said


def screens_of_kinds(world: World) -> dict[str, str]:
    """Return the addresses of a work screen of each kind that asks for all it can, with an image where it may."""
    pages = {}
    for name, one in KINDS.items():
        options, _said = asked_for_all(one)
        campaign = make_campaign(f"Bread questions {len(pages)}", lead=world.lead, kind=name, options=options)
        row: dict[str, Any] = {"prompt": "Bread?", "completions": ["Loaf.", "Rolls."][: one.completions[1]]}
        if "regions" in one.defaults:
            row |= {"image": data_uri(picture())}
            Campaign.objects.filter(pk=campaign.pk).update(options={**options, "regions": ["Bread questions"]})
            campaign.refresh_from_db()
        assert import_lines(campaign=campaign, lines=[json.dumps(row)], actor=None).errors == []
        pages[f"work {name}"] = reverse("work", args=[campaign.pk])
        pages[f"new {name}"] = f"{reverse('campaign-new')}?kind={name}"
    return pages


def test_every_word_of_the_pages_can_be_translated(brackets: None) -> None:
    world, pages = world_of_pages()
    client = world.client("lead")
    found = {name: unmarked(client.get(path).content.decode()) for name, path in pages.items()}
    found["login"] = unmarked(Client().get("/login/").content.decode())
    theirs = from_leads()
    found = {name: [text for text in words if text not in theirs] for name, words in found.items()}
    assert {name: words for name, words in found.items() if words} == {}


def test_every_word_of_the_kinds_can_be_translated(brackets: None) -> None:
    world = make_world()
    client = world.client("lead")
    theirs = from_leads()
    for name, path in screens_of_kinds(world).items():
        html = client.get(path).content.decode()
        assert "⟦Answer⟧" in html or "⟦Comment" in html or name.startswith("new"), name
        words = unmarked(html)
        assert [text for text in words if text not in theirs] == [], name


def test_every_word_of_a_chat_can_be_translated(brackets: None, annotator: User) -> None:
    campaign = make_campaign("Bread questions", annotators=[annotator])
    make_chat_loop(campaign)
    client = Client()
    client.force_login(annotator)
    path, theirs = reverse("chat", args=[campaign.pk]), from_leads()

    def said() -> list[str]:
        return [text for text in unmarked(client.get(path).content.decode()) if text not in theirs]

    assert said() == []
    turn = say(campaign, annotator, "Bread?")
    assert said() == []
    answered(turn, "Loaf.", "Rolls.")
    assert said() == []
    ChatTurn.objects.filter(pk=turn.pk).update(state="answering", claim="a worker", attempts=3)
    turn.refresh_from_db()
    answering.requeue(turn, reason=told("The worker that had the model answer was lost."))
    assert said() == [] and "⟦It was tried 3 times." in client.get(path).content.decode()


def test_what_workers_said_is_said_in_the_readers_language(brackets: None) -> None:
    """They store sentences as a message and what stands in it, so that each reader is told in their own words."""
    world = make_world()
    client = world.client("lead")
    loop = make_loop(world, auto_continue=False)
    round = to_labelling(world, loop)
    names = from_leads() | {"Bread questions"}

    def said(path: str, *expected: str) -> None:
        html = client.get(path).content.decode()
        words = [text for text in unmarked(html) if text not in names and not text.startswith("How do I bake")]
        assert words == []
        assert all(f"⟦{words}" in html for words in expected), path

    page = reverse("round", args=[round.pk])
    said(page, "6 pairs wait for judgements, 1 of them")
    round = to_end(world, round, candidate_wins=False)
    assert round.state == "rejected" and round.candidate is not None
    said(
        page,
        f"{round.candidate.label} was turned down.",
        "People preferred the candidate in",
        "At least",
        "The loop is paused.",
    )
    said(reverse("model", args=[round.candidate.pk]), "The candidate moved 7.3 nats", "People preferred")
    run = runs.claim(start_run(world).pk, "a worker")
    assert run is not None
    runs.requeue(run, reason=told("Its worker was lost."))
    said(reverse("run", args=[run.pk]), "Its worker was lost.")
    run = runs.claim(run.pk, "another worker")
    assert run is not None
    runs.fail(run, told("The process ended with code {code} and no result.", code=2))
    said(reverse("run", args=[run.pk]), "The process ended with code 2")
    said(reverse("runs", args=[world.campaign.pk]), "The process ended with code 2")


# Rows that no import takes, each for another reason.
REFUSED: list[Any] = [
    *(
        "{",
        "[]",
        '"text"',
        "[1]",
        "{}",
        '{"prompt": 1, "completions": ["a", "b"]}',
        '{"prompt": "Bread?"}',
        '{"a": NaN}',
    ),
    {"prompt": [{"role": "user"}], "completions": ["a", "b"]},
    {"prompt": [{"role": "cook", "content": "x"}], "completions": ["a", "b"]},
    {"prompt": [{"role": "assistant", "content": "x"}], "completions": ["a", "b"]},
    {"prompt": " ", "completions": ["a", "b"]},
    {"prompt": "Bread?", "completions": "a"},
    {"prompt": "Bread?", "completions": ["a", "a"]},
    {"prompt": "Bread?", "completions": ["a"]},
    {"prompt": "Bread?", "completions": ["a", "b", "c"]},
    {"prompt": "Bread?", "completions": ["a", 1]},
    {"prompt": "Bread?", "completions": ["a", {"text": "b", "origin": 1}]},
    {"prompt": "Bread?", "completions": ["a", {"text": "b", "origin": "o" * 121}]},
    {"prompt": "Bread?", "completions": ["a", "b"], "wanted": "two"},
    {"prompt": "Bread?", "completions": ["a", "b"], "wanted": 99},
    {"prompt": "Bread?", "completions": ["a", "b"], "priority": 2**40},
    {"prompt": "Bread?", "completions": ["a", "b"], "batch": "b" * 61},
    {"prompt": "Bread?", "completions": ["a", "b"], "meta": 1},
    {"prompt": "Bread?", "completions": ["a", "b"], "id": 1.5},
    {"prompt": "Bread?", "completions": ["a", "b"], "id": "i" * 201},
    {"prompt": "Bread?", "completions": ["a", "b"], "gold": 1},
    {"prompt": "Bread?", "completions": ["a", "b"], "gold": {"answer": {}}},
    {"prompt": "Bread?", "completions": ["a", "b"], "suggestion": {"answer": {}}},
    {"prompt": "Bread?", "completions": ["a", "b"], "requires": ["no tag!"]},
    {"prompt": "Bread?", "completions": ["a\x00", "b"]},
    {"prompt": "Bread?", "image": "https://bread.example/a.png", "completions": ["a", "b"]},
    {"prompt": "Bread?", "image": "data:image/png,no", "completions": ["a", "b"]},
    {"prompt": "Bread?", "image": "a.png", "completions": ["a", "b"]},
    {"prompt": "Bread?", "images": [data_uri(b"GIF89a")], "completions": ["a", "b"]},
    {"chosen": "\n\nHuman: x\n\nAssistant: a", "rejected": "\n\nHuman: y\n\nAssistant: b"},
    {"chosen": "no transcript", "rejected": "none"},
    {"message_id": 1, "parent_id": 2, "text": "x", "role": "prompter"},
    {"dialogues": 1},
    {"dialogues": [{"messages": []}, {"messages": []}]},
]
UNREADABLE = {
    "a.pdf": b"%PDF-1.7",
    "a.jsonl": b"BZh91AY",
    "a.csv": b"",
    "b.csv": b"a,a\n1,2\n",
    "c.csv": b"prompt,completions\n1\n",
    "a.json": b'[{"prompt": "x"}',
    "b.json": b'[{"prompt": "x"} {}]',
    "c.json": "{}".encode("utf-16"),
    "a.parquet": b"PAR1 and no more PAR1",
    "b.jsonl": b"PAR1",
}


def whole(reason: str) -> bool:
    """Return whether a reason is messages in brackets from end to end, with others in them or not."""
    while MESSAGE.search(reason):
        reason = MESSAGE.sub("", reason)
    return not reason.strip()


def test_every_reason_of_an_import_can_be_translated(brackets: None, lead: User) -> None:
    campaign = make_campaign("Bread questions", lead=lead)
    lines = [row if isinstance(row, str) else json.dumps(row) for row in REFUSED]
    report = import_lines(campaign=campaign, lines=lines, actor=None)
    assert report.created == 0 and report.failed == len(REFUSED)
    assert [error.reason for error in report.errors if not whole(error.reason)] == []
    client = Client()
    client.force_login(lead)
    path = reverse("campaign-import", args=[campaign.pk])
    for name, content in UNREADABLE.items():
        html = client.post(path, {"file": SimpleUploadedFile(name, content)}, follow=True).content.decode()
        assert [text for text in unmarked(html) if name not in text and text != lead.username] == [], name
    for given in ("{", "[]", '{"prompts": "a"}', '{"prompt": 1}', '{"per_item": 9}', '{"completions": ["a", "a"]}'):
        with pytest.raises(Invalid) as raised:
            mapping.of_json(given)
        assert all(whole(reason) for reason in raised.value.errors["mapping"]), given


def test_every_word_about_proposals_can_be_translated(brackets: None, annotator: User) -> None:
    campaign = make_campaign("Bread questions", annotators=[annotator], kind="principled_critique")
    make_task(campaign, completions=["An answer."])
    held = make_assignment(annotator, campaign)
    client = Client()
    client.force_login(annotator)
    path, theirs = reverse("work-propose", args=[campaign.pk]), from_leads()
    for critique in (" ", "It is clear, but the last figure is wrong."):
        html = client.post(path, {"assignment": held.key, "critique": critique}).content.decode()
        assert [text for text in unmarked(html) if text not in theirs] == []
