"""Sentences that are stored now and read later, each time in the reader's language: a message and what stands in it.

A worker serves nobody in particular, so what it writes for people is no text yet. In the database a `Told` is text or
JSON, ``{"told": [["{n} pairs are judged.", {"n": 3}], …]}``; what is plain text there, such as the last words of a
process, is read as it is. `manage.py catalogues` finds the messages in the calls of `told` and `told_many`.
"""

from __future__ import annotations

import json
import string
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.db import models
from django.utils import translation
from django.utils.formats import get_format, number_format

_KEY = "told"


class _Places(string.Formatter):
    """Fills the places of a message as the language that is active writes numbers, also ``{share:.1%}``."""

    def format_field(self, value: Any, format_spec: str) -> str:
        if not format_spec or not isinstance(value, int | float):  # what is no number for JSON was stored as text
            return str(number_format(value)) if isinstance(value, float) else str(value)
        number = format(value, format_spec).replace(".", str(get_format("DECIMAL_SEPARATOR")))
        # Translators: a share, such as 85%.
        return translation.gettext("{number}%").format(number=number[:-1]) if format_spec.endswith("%") else number


_PLACES = _Places()


@dataclass(frozen=True)
class Sentence:
    """A message of the catalogue with what stands in its places; with a plural, `shown` has the number as ``n``."""

    message: str
    shown: Mapping[str, Any]
    plural: str = ""

    def __str__(self) -> str:
        if self.plural:
            text = translation.ngettext(self.message, self.plural, self.shown["n"])
        else:
            text = translation.gettext(self.message)
        return _PLACES.vformat(text, (), self.shown)


@dataclass(frozen=True)
class Told:
    """Sentences in their order, or text as it is. `str` says them in the language that is active then."""

    parts: tuple[Sentence | str, ...] = ()

    def __str__(self) -> str:
        return " ".join(str(part) for part in self.parts)

    def __bool__(self) -> bool:
        return any(self.parts)

    def __add__(self, more: Told) -> Told:
        return Told((*self.parts, *more.parts))

    def as_json(self) -> dict[str, Any]:
        """Return the sentences as they are stored in JSON; `of` reads them."""
        return {_KEY: [part if isinstance(part, str) else _sentence_json(part) for part in self.parts]}


def told(message: str, **shown: Any) -> Told:
    """Return one sentence. In its places stand text, numbers, or what was `told`."""
    return Told((Sentence(message, shown),))


def told_many(message: str, plural: str, n: int, **shown: Any) -> Told:
    """Return one sentence about `n` of something."""
    return Told((Sentence(message, {"n": n, **shown}, plural),))


def share(value: float, *, places: int = 0) -> Told:
    """Return a share of 1 as per cent, as it may stand in a sentence, with at most so many places."""
    number = f"{100 * value:.{places}f}"
    # Translators: a share, such as 85%.
    return told("{number}%", number=number.rstrip("0").rstrip(".") if places else number)


def of(value: object) -> Told:
    """Return what was told: by stored text or JSON, or by an error, whose sentence may be one."""
    if isinstance(value, Told):
        return value
    if isinstance(value, BaseException):
        return value.args[0] if value.args and isinstance(value.args[0], Told) else of(str(value))
    if isinstance(value, str) and value.startswith(f'{{"{_KEY}":'):
        try:
            return _read(json.loads(value))
        except (ValueError, TypeError, KeyError):
            pass
    elif isinstance(value, dict):
        return _read(value)
    return Told((str(value),)) if value else Told()


def stored(value: Told | str) -> str:
    """Return the text that the database keeps."""
    if isinstance(value, str):
        value = of(value)
    if all(isinstance(part, str) for part in value.parts):
        return str(value)
    return json.dumps(value.as_json(), ensure_ascii=False)


if TYPE_CHECKING:
    _Field = models.TextField[Told | str, Told]
else:
    _Field = models.TextField


class ToldField(_Field):
    """Text that is told: a column of text, and a `Told` when it is read."""

    def from_db_value(self, value: str, expression: Any, connection: Any) -> Told:
        return of(value)

    def to_python(self, value: Any) -> Told:
        return of(value)

    def get_prep_value(self, value: Any) -> Any:
        return stored(value) if isinstance(value, Told | str) else super().get_prep_value(value)

    def value_to_string(self, obj: models.Model) -> str:
        return stored(self.value_from_object(obj))


def _sentence_json(sentence: Sentence) -> list[Any]:
    shown = {name: value.as_json() if isinstance(value, Told) else value for name, value in sentence.shown.items()}
    return [sentence.message, sentence.plural, shown] if sentence.plural else [sentence.message, shown]


def _read(value: Mapping[str, Any]) -> Told:
    parts: list[Sentence | str] = []
    for part in value[_KEY]:
        if isinstance(part, str):
            parts.append(part)
            continue
        message, *plural, shown = part
        parts.append(Sentence(message, {name: _shown(one) for name, one in shown.items()}, *plural))
    return Told(tuple(parts))


def _shown(value: Any) -> Any:
    return _read(value) if isinstance(value, dict) else value
