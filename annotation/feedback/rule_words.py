"""The words of a lead's rules: stored in English, so that a file of settings means the same everywhere, but shown in
the reader's language, and read in it as well as in English.

Titles that a lead gave to questions are nobody's to translate; they stand in rules as they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from django.utils.translation import pgettext_lazy

_LOCAL = {
    "if": pgettext_lazy("rule", "if"),
    "and": pgettext_lazy("rule", "and"),
    "is": pgettext_lazy("rule", "is"),
    "or": pgettext_lazy("rule", "or"),
    # What may be answered.
    "safe": pgettext_lazy("rule", "safe"),
    "unsafe": pgettext_lazy("rule", "unsafe"),
    "minor": pgettext_lazy("rule", "minor"),
    "moderate": pgettext_lazy("rule", "moderate"),
    "severe": pgettext_lazy("rule", "severe"),
    "yes": pgettext_lazy("rule", "yes"),
    "no": pgettext_lazy("rule", "no"),
    "partly": pgettext_lazy("rule", "partly"),
    "does not apply": pgettext_lazy("rule", "does not apply"),
    # Questions and texts that every campaign of a kind has.
    "Safe": pgettext_lazy("rule", "Safe"),
    "Severity": pgettext_lazy("rule", "Severity"),
    "Score": pgettext_lazy("rule", "Score"),
    "Comment": pgettext_lazy("rule", "Comment"),
    "Strengths": pgettext_lazy("rule", "Strengths"),
    "Weaknesses": pgettext_lazy("rule", "Weaknesses"),
}
JOINING = ("if", "and", "is", "or")


def english(word: str) -> str:
    """Return the word as it is stored."""
    return word


def local(word: str) -> str:
    """Return the word as the reader calls it; one that is none of a rule's own as it is."""
    return str(_LOCAL.get(word, word))


def joining() -> dict[str, list[str]]:
    """Return what joins the parts of a rule, each as the reader calls it and in English, for a script."""
    return {word: list(dict.fromkeys((local(word), word))) for word in JOINING}


def places(word: str, text: str) -> Iterator[re.Match[str]]:
    """Yield where a joining word stands in a text, in either language."""
    return re.finditer(rf"\b(?:{_either(word)})\b", text, re.I)


def listed(text: str) -> list[str]:
    """Return the answers that a text lists, in lower case."""
    return [part.strip().lower() for part in re.split(rf",|\b(?:{_either('or')})\b", text, flags=re.I)]


def read_in_both(answers: Mapping[str, str]) -> dict[str, str]:
    """Return the value of each word for an answer, in either language, in lower case."""
    return {local(word).lower(): value for word, value in answers.items()} | dict(answers)


def _either(word: str) -> str:
    return "|".join(map(re.escape, joining()[word]))
