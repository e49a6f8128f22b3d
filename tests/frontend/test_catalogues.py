"""The catalogues are whole: every message translated, in the same words everywhere, and compiled from what is there."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from pathlib import Path

import polib
import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.utils import translation

from frontend import registered

APPS = ("annotation", "training", "frontend")
LANGUAGES = [code for code, _name in settings.LANGUAGES if code != settings.LANGUAGE_CODE]
PLACEHOLDER = re.compile(r"%\((\w+)\)[sd]|\{(\w*)(?::[^{}]+)?\}|%%")


def catalogue(app: str, language: str, suffix: str = "po") -> Path:
    return settings.BASE_DIR / app / "locale" / language / "LC_MESSAGES" / f"django.{suffix}"


def translations(entry: polib.POEntry) -> list[str]:
    return list(entry.msgstr_plural.values()) if entry.msgid_plural else [entry.msgstr]


def placeholders(text: str) -> set[str]:
    return {match.group(0) for match in PLACEHOLDER.finditer(text)}


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("app", APPS)
def test_every_message_is_translated(app: str, language: str) -> None:
    found = polib.pofile(str(catalogue(app, language)))
    assert len(found) > 10
    assert [entry.msgid for entry in found if not all(translations(entry))] == []
    assert [entry.msgid for entry in found if entry.fuzzy or entry.obsolete] == []


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("app", APPS)
def test_a_translation_has_the_placeholders_and_the_tags_of_its_message(app: str, language: str) -> None:
    for entry in polib.pofile(str(catalogue(app, language))):
        expected = placeholders(entry.msgid) | placeholders(entry.msgid_plural or "")
        for text in translations(entry):
            # One of several forms may say "one" in words, but none may ask for what the code does not give.
            assert placeholders(text) <= expected, entry.msgid
            if not entry.msgid_plural:
                assert placeholders(text) == expected, entry.msgid
            assert re.findall(r"</?\w+", text) == re.findall(r"</?\w+", entry.msgid), entry.msgid
            assert (text[:1].isspace(), text[-1:].isspace()) == (entry.msgid[:1].isspace(), entry.msgid[-1:].isspace())


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("app", APPS)
def test_what_is_compiled_is_what_is_written(app: str, language: str) -> None:
    """The compiled catalogue is committed, because whoever runs Attune need not have the gettext tools."""
    written = {
        (entry.msgctxt, entry.msgid, entry.msgid_plural or None): tuple(translations(entry))
        for entry in polib.pofile(str(catalogue(app, language)))
    }
    compiled = {
        (entry.msgctxt, entry.msgid, entry.msgid_plural or None): tuple(translations(entry))
        for entry in polib.mofile(str(catalogue(app, language, "mo")))
    }
    assert compiled == written, "Run `manage.py catalogues`."


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_same_words_are_translated_alike_everywhere(language: str) -> None:
    """Django merges the catalogues, and the first app wins: two translations of one message would hide one of them."""
    found: dict[tuple[str | None, str], set[tuple[str, ...]]] = defaultdict(set)
    for app in APPS:
        for entry in polib.pofile(str(catalogue(app, language))):
            found[entry.msgctxt, entry.msgid].add(tuple(translations(entry)))
    assert {key: texts for key, texts in found.items() if len(texts) > 1} == {}


# Which argument of a marking function is the context, and which the message.
MARKS = {
    **dict.fromkeys(("_", "gettext", "gettext_lazy", "ngettext", "ngettext_lazy"), (None, 0)),
    **dict.fromkeys(("told", "told_many", "Note"), (None, 0)),
    **dict.fromkeys(("pgettext", "pgettext_lazy", "npgettext"), (0, 1)),
}


def marked_in_python(app: str) -> set[tuple[str | None, str]]:
    """Return what is marked in an app as (context, message), read without the gettext tools."""
    found = set()
    for path in (settings.BASE_DIR / app).rglob("*.py"):
        source = path.read_text(encoding="utf-8")
        if not any(name in source for name in ("django.utils.translation", "annotation.told", "recipes.note")):
            continue
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in MARKS:
                context, message = MARKS[node.func.id]
                words = ast.literal_eval(node.args[message])  # fails for what no tool could extract either
                found.add((None if context is None else ast.literal_eval(node.args[context]), words))
    return found


def marked_in_templates(app: str) -> set[tuple[str | None, str]]:
    found = set()
    for path in (settings.BASE_DIR / app).rglob("*.html"):
        source = path.read_text(encoding="utf-8")
        found |= {a or b for a, b in re.findall(r"""{% translate (?:"([^"]+)"|'([^']+)')(?: as \w+)? %}""", source)}
    return {(None, text.replace("%", "%%")) for text in found}


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("app", APPS)
def test_what_is_marked_is_in_the_catalogue(app: str, language: str) -> None:
    known = {(entry.msgctxt, entry.msgid) for entry in polib.pofile(str(catalogue(app, language)))}
    missing = (marked_in_python(app) | marked_in_templates(app)) - known
    assert missing == set(), "Run `manage.py catalogues`, and translate what is new."


# Whose message is for a person who did something, wherever it is raised.
ERRORS = {"Refused", "Unreadable", "Invalid", "NotAgreed", "TooMany", "LeaseLost", "CampaignClosed", "PermissionDenied"}
ERRORS |= {
    "Http404",
    "Stuck",
    "WrongState",
    "TrainingError",
    "GateClosed",
    "SpeakerGone",
    "FolderBusy",
    "ValidationError",
}
SENTENCE = re.compile(r"[A-Za-z]{2,}[^A-Za-z]+[A-Za-z]{2,}")


def unmarked_errors(path: Path) -> list[str]:
    """Return the sentences in a module that errors are raised with and that no catalogue can have."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ERRORS:
            for argument in node.args:
                written = [one for one in ast.walk(argument) if isinstance(one, ast.Constant)]
                is_plain = isinstance(argument, ast.Constant | ast.JoinedStr)
                found += [one.value for one in written if is_plain and SENTENCE.search(str(one.value))]
    return found


@pytest.mark.parametrize("app", APPS)
def test_whatever_is_refused_can_be_said_in_every_language(app: str) -> None:
    sources = [path for path in (settings.BASE_DIR / app).rglob("*.py") if not {"core", "api"} & set(path.parts)]
    found = {str(path): unmarked_errors(path) for path in sources}
    assert {path: words for path, words in found.items() if words} == {}


# Sentences of the core that nobody reads on a page of theirs.
APART = {
    "demo_sentences.py": "what the demo's models learn from",
    "demo_world.py": "what the demo's models learn from",
    "tiny.py": "what a tiny model learns from",
    "guard.py": "what a guard answers is the campaign's, and why it did stands in its log",
    "imitation.py": "a command line",
    "real_data.py": "a command line",
    "__main__.py": "a command line",
}
# Calls whose words are for who wrote the code, or runs a command.
FOR_NOBODY = {"TypeError", "ValueError", "AssertionError", "NotImplementedError", "ArgumentParser", "print"}
FOR_NOBODY |= {"knob", "add_argument", "exit", "info", "warning", "exception", "error", "debug", "compile", "Note"}
TOLD = re.compile(r"[^a-z\s].*[.!?]\s*", re.DOTALL)


def untold(tree: ast.AST) -> list[str]:
    """Return the sentences in a module of the core that are no `Note`, so that no catalogue can have them."""
    found: list[str] = []

    def look(node: ast.AST, *, outside: bool) -> None:
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if name in FOR_NOBODY:
                return
        if isinstance(node, ast.Assert) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)):
            return  # a docstring
        if outside and isinstance(node, ast.Assign | ast.AnnAssign):
            return  # constants are what models are asked; what people read is made in functions
        if isinstance(node, ast.JoinedStr | ast.Constant):
            parts = node.values if isinstance(node, ast.JoinedStr) else [node]
            text = "".join(str(one.value) if isinstance(one, ast.Constant) else "0" for one in parts)
            if text.count(" ") > 2 and TOLD.fullmatch(text):
                found.append(text)
            return
        for child in ast.iter_child_nodes(node):
            look(child, outside=outside and not isinstance(node, ast.FunctionDef))

    look(tree, outside=True)
    return found


TRAINING = settings.BASE_DIR / "training"
# And of the recipes what refuses, and of the engines the one to choose; what they say of themselves is registered.
TELLING = ("alarms", "assembled", "base", "loop", "slots", "tasks", "engines/verl", "engines/__init__")
RECIPES = [TRAINING / "recipes" / f"{name}.py" for name in TELLING]
CORE = sorted([*(TRAINING / "core").rglob("*.py"), *RECIPES])


def test_whatever_the_core_says_can_be_said_in_every_language() -> None:
    """The core knows no catalogue: its sentences are notes, which remember what they were made of."""
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in CORE if path.name not in APART}
    assert {str(path): found for path, tree in trees.items() if (found := untold(tree))} == {}
    raised = {f"{path}:{line}" for path, tree in trees.items() for line in raised_without_a_note(tree)}
    assert raised == set()


def raised_without_a_note(tree: ast.AST) -> list[int]:
    """Return the lines that raise an error for people with words that are plainly no note."""
    return [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in ("RunError", "TrainingError", "RecipeError", "Unreachable", "Nothing", "_wrong")
        and node.args
        and isinstance(node.args[0], ast.Constant | ast.JoinedStr | ast.BinOp)
    ]


def test_a_sentence_of_the_core_that_is_no_note_is_found() -> None:
    source = "def f(n):\n    notes.append(f'Only {n} rows were read.')\n    raise RunError('too long')\n"
    assert untold(ast.parse(source)) == ["Only 0 rows were read."]
    assert raised_without_a_note(ast.parse(source)) == [3]


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_registries_say_is_in_the_catalogue(language: str) -> None:
    known = {(entry.msgctxt, entry.msgid) for entry in polib.pofile(str(catalogue("frontend", language)))}
    assert set(registered.messages()) - known == set(), "Run `manage.py catalogues`, and translate what is new."


def test_a_plural_follows_its_number() -> None:
    with translation.override("de"):
        text = translation.ngettext("{n} item was imported", "{n} items were imported", 2)
    assert text.format(n=2) == "2 Aufgaben wurden importiert"


def test_catalogues_are_made_only_for_languages_that_are_offered() -> None:
    with pytest.raises(CommandError, match="Add fr to LANGUAGES"):
        call_command("catalogues", "fr")
