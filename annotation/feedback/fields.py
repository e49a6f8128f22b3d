"""What the kinds share: reading inputs and options with care, so that each says in one voice what does not fit.

An input is a flat field, the same in a form and over REST. A field about one answer ends in its place on the screen:
``helpfulness_1`` is about the answer shown first.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import pgettext

from annotation.errors import Invalid
from annotation.messages import Content, as_message, image_columns
from annotation.storable import unstorable

COMMENT_MODES = ("optional", "required", "off")
MAX_QUESTION = 500
MAX_COMMENT = 10_000


class Fields:
    """Reads fields of `data` and collects what does not fit; `finish` raises it as one `Invalid`."""

    def __init__(self, data: Mapping[str, Any]) -> None:
        self._data = data
        self.errors: dict[str, list[str]] = {}

    def refuse(self, name: str, reason: str) -> None:
        self.errors.setdefault(name, []).append(reason)

    def given(self, name: str) -> str:
        """Return a field as text; empty when it is missing or no plain value."""
        value = self._data.get(name)
        return "" if value is None or isinstance(value, bool | dict | list) else str(value).strip()

    def choice(self, name: str, choices: Collection[str], *, required: bool = True, missing: str = "") -> str:
        """Return one of `choices`; the empty string, and an error, when it is none of them."""
        text = self.given(name)
        if text in choices:
            return text
        if text or required:
            wanted = _("Choose one of: {choices}.").format(choices=", ".join(choices))
            self.refuse(name, wanted if text or not missing else missing)
        return ""

    def text(self, name: str, *, most: int, least: int = 0, missing: str = "") -> str:
        """Return a text without surrounding blanks, between `least` and `most` characters long."""
        value = self._data.get(name)
        if value is None:
            value = ""
        if not isinstance(value, str):
            self.refuse(name, _("Give this as text."))
            return ""
        # A browser sends line ends as \r\n whatever was typed.
        value = value.replace("\r\n", "\n").strip()
        if reason := unstorable(value):
            self.refuse(name, reason)
        elif len(value) > most:
            told = _("This has {n} characters; at most {most} are kept.")
            self.refuse(name, told.format(n=len(value), most=most))
        elif least and not value:
            self.refuse(name, missing or _("Write something here."))
        elif len(value) < least:
            told = _("This has {n} characters; at least {least} are asked for.")
            self.refuse(name, told.format(n=len(value), least=least))
        return value

    def comment(self, mode: str, *, name: str = "comment") -> str:
        """Return the comment under a campaign's comment mode; nothing when comments are off."""
        if mode == "off":
            return ""
        return self.text(name, most=MAX_COMMENT, least=mode == "required", missing=_("Say in a few words why."))

    def finish(self, sentence: str = "") -> None:
        if self.errors:
            raise Invalid(sentence or _("The judgement is not complete; see errors."), self.errors)


class Options:
    """Checks a campaign's options against their defaults; the checked ones are in `values`."""

    def __init__(self, given: Mapping[str, Any], defaults: Mapping[str, Any]) -> None:
        self.errors: dict[str, list[str]] = {}
        for name in given:
            if name not in defaults:
                told = _("There is no option {name}; there are: {known}.")
                self.refuse(str(name), told.format(name=repr(name), known=", ".join(defaults)))
        self.values: dict[str, Any] = {**defaults, **{name: given[name] for name in given if name in defaults}}

    def refuse(self, name: str, reason: str) -> None:
        self.errors.setdefault(name, []).append(reason)

    def flag(self, *names: str) -> None:
        for name in names:
            if not isinstance(self.values[name], bool):
                self.refuse(name, _("Give true or false."))

    def choice(self, name: str, choices: Collection[str]) -> None:
        if self.values[name] not in choices:
            self.refuse(name, _("Give one of: {choices}.").format(choices=", ".join(choices)))

    def question(self, name: str = "question") -> None:
        text = self.values[name]
        if not isinstance(text, str) or not text.strip() or len(text) > MAX_QUESTION:
            self.refuse(name, _("Give the question in 1 to {most} characters.").format(most=MAX_QUESTION))
        elif reason := unstorable(text):
            self.refuse(name, reason)

    def whole(self, name: str, least: int, most: int) -> None:
        value = self.values[name]
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            self.refuse(name, _("Give a whole number from {least} to {most}.").format(least=least, most=most))

    def lines(self, name: str, *, most: int, least: int = 1, longest: int = MAX_QUESTION) -> None:
        """Take a list of texts, or one text with a line for each; empty lines are left out."""
        value = self.values[name]
        parts: Sequence[Any] = (
            value.splitlines() if isinstance(value, str) else value if isinstance(value, list) else ()
        )
        lines = [part.strip() for part in parts if isinstance(part, str) and part.strip()]
        self.values[name] = lines
        if not isinstance(value, str | list) or any(not isinstance(part, str) for part in parts):
            self.refuse(name, _("Give a list of texts."))
        elif not least <= len(lines) <= most:
            self.refuse(name, _("Give {least} to {most} lines.").format(least=least, most=most))
        elif any(len(line) > longest for line in lines):
            self.refuse(name, _("A line has at most {most} characters.").format(most=longest))
        elif reason := unstorable(lines):
            self.refuse(name, reason)
        else:
            keys = [key_of(line) for line in lines]
            for key in keys:
                if not key:
                    self.refuse(name, _("Begin each line with a name of letters or digits."))
                elif keys.count(key) > 1:
                    self.refuse(name, _("Two lines have the name {name}.").format(name=repr(key)))
                    break

    def finish(self, sentence: str) -> dict[str, Any]:
        if self.errors:
            raise Invalid(sentence, self.errors)
        return self.values


def shortened(text: str, *, most: int = 80) -> str:
    """Return a text, or its beginning when it has more than `most` characters."""
    return text if len(text) <= most else f"{text[: most - 1].rstrip()}…"


def quoted(text: str) -> str:
    """Return a text between the quotation marks of the reader's language."""
    return _("“{text}”").format(text=text)


def key_of(line: str) -> str:
    """Return the name under which a line "Title: the rest" is known in fields, payloads and exports."""
    title = line.partition(":")[0]
    kept = "".join(mark if mark.isalnum() else " " for mark in title.lower())
    return "_".join(kept.split())


def title_and_rest(line: str) -> tuple[str, str]:
    """Return the title before the first colon, and what stands after it."""
    title, _colon, rest = line.partition(":")
    return title.strip(), rest.strip()


def titles_of(lines: Iterable[str]) -> dict[str, str]:
    """Return the title of each line by the name under which it is known."""
    return {key_of(line): title_and_rest(line)[0] for line in lines}


def letters(places: Iterable[int]) -> list[str]:
    """Return the letters under which answers are shown, by place from 0."""
    return [chr(ord("A") + place) for place in places]


def named_answers(count: int, shown_order: Sequence[int] | None) -> list[tuple[str, int]]:
    """Return how answers are called and their positions: by letter as shown, else by number in canonical order."""
    if shown_order is None:
        return [(_("Answer {n}").format(n=position + 1), position) for position in range(count)]
    return list(zip(letters(range(count)), shown_order, strict=True))


def answer_columns(
    position: int, *, texts: Sequence[Content], origins: Sequence[str], shown_order: Sequence[int]
) -> dict[str, Any]:
    """Return the columns that every row about one answer has."""
    return {
        "completion": [as_message("assistant", texts[position])],
        **image_columns(completion_images=texts[position]),
        "position": list(shown_order).index(position),
        "completion_origin": origins[position],
    }


def demonstration_columns(content: Content, origin: str, *, weight: float, comment: str) -> dict[str, Any]:
    """Return a row of "demonstrations": an answer worth imitating, and who wrote it.

    How it reads is told only where somebody wrote it anew; see `annotation.feedback.rewrite`.
    """
    return {
        "completion": [as_message("assistant", content)],
        **image_columns(completion_images=content),
        "weight": weight,
        "completion_origin": origin,
        "readability": None,
        "readability_before": None,
        "comment": comment,
    }


def pair_columns(
    chosen: int, rejected: int, *, texts: Sequence[Content], origins: Sequence[str], shown_order: Sequence[int]
) -> dict[str, Any]:
    """Return the columns that every row about a better and a worse answer has."""
    order = list(shown_order)
    return {
        "chosen": [as_message("assistant", texts[chosen])],
        "rejected": [as_message("assistant", texts[rejected])],
        **image_columns(chosen_images=texts[chosen], rejected_images=texts[rejected]),
        # Whether the better one stood after the other on the screen.
        "position": int(order.index(chosen) > order.index(rejected)),
        "chosen_origin": origins[chosen],
        "rejected_origin": origins[rejected],
    }


def question_schema(default: str) -> dict[str, Any]:
    return {"type": "string", "title": _("Question"), "minLength": 1, "maxLength": MAX_QUESTION, "default": default}


def comment_schema() -> dict[str, Any]:
    return {"type": "string", "title": _("Comment"), **comment_modes(), "default": "optional"}


def comment_modes() -> dict[str, Any]:
    """Return the part of a schema that says whether a text is asked for."""
    return {"enum": list(COMMENT_MODES), "enumTitles": [_("Optional"), _("Required"), pgettext("comment", "Off")]}


def review_schema() -> dict[str, Any]:
    """Return the schema of the option of kinds whose answer is a text."""
    return {
        "type": "boolean",
        "title": _("Show the text once more before it is sent"),
        "description": _("With what it changes, and a warning when it changes nothing."),
        "default": True,
    }


def lines_schema(
    title: str, default: Sequence[str], description: str, *, least: int = 1, longest: int = MAX_QUESTION
) -> dict[str, Any]:
    """Return the schema of an option with one line for each of several things; a form shows it as a text area."""
    return {
        "type": "array",
        "items": {"type": "string", "maxLength": longest},
        "minItems": least,
        "title": title,
        "description": description,
        "default": list(default),
    }
