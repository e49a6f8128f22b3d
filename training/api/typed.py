"""Settings over REST: values that have the JSON type of their knob, as nothing else says what a slip was meant to be.

A form and a command have only text to give, and what they send is read leniently; here a number in quotes is none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from rest_framework.exceptions import ValidationError

from annotation.api.parsing import not_of_kind
from training.errors import Invalid
from training.recipes import engines, loop_told
from training.recipes.base import Knob, Recipe, knobs_of
from training.recipes.loop import LoopSettings
from training.recipes.ways import TOLD

KINDS = {bool: "boolean", int: "integer", float: "number", str: "string"}
OF_LOOP = {knob.name: knob for knob in knobs_of(LoopSettings())}
OF_ANOTHER_TYPE = "Some settings have values of another type; see errors."
A_TOLD = "This must be an object of settings and values, or a text with one a line."


def refuse_mistyped_knobs(recipe: Recipe, values: Mapping[str, Any]) -> None:
    """Raise Invalid where a value for a knob of `recipe` has another JSON type than the knob.

    Nothing is said of a name that nobody knows: whoever reads the values does that.
    """
    if wrong := _mistyped(loop_told.kinds_of(recipe), values):
        raise Invalid(OF_ANOTHER_TYPE, {name: [said] for name, said in wrong.items()})


def refuse_mistyped_engine(engine: str, values: Mapping[str, Any]) -> None:
    """Raise Invalid where a value for a setting of an engine has another JSON type than the setting."""
    if wrong := _mistyped(engines.free(engine), values):
        raise Invalid(OF_ANOTHER_TYPE, {"engine_settings": _with_names(wrong)})


def refuse_mistyped_settings(given: Mapping[str, Any], stored: Mapping[str, Any]) -> None:
    """Raise an error at each setting `given` to a loop, which has those `stored`, that has another type.

    What its recipes are told is held against the recipes that it then has. The document says of the loop's own
    settings which type each has, but no schema can say it of a recipe's: that is an Invalid.
    """
    own = {name: type(knob.default) for name, knob in OF_LOOP.items() if name not in TOLD}
    wrong = _mistyped(own, given)
    wrong |= {name: A_TOLD for name in TOLD if name in given and not isinstance(given[name], str | Mapping)}
    if wrong:
        raise ValidationError({name: [said] for name, said in wrong.items()})
    kinds = loop_told.kinds({**asdict(LoopSettings()), **stored, **given})
    told = {name: _mistyped(kinds[name], given[name]) for name in TOLD if isinstance(given.get(name), Mapping)}
    if errors := {name: _with_names(one) for name, one in told.items() if one}:
        raise Invalid(OF_ANOTHER_TYPE, errors)


def settings_out(stored: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a loop as REST gives them: all there are, and of the right type."""
    return loop_told.typed({**asdict(LoopSettings()), **stored})


def _mistyped(kinds: Mapping[str, type], values: Mapping[str, Any]) -> dict[str, str]:
    return {name: said for name, one in values.items() if name in kinds and (said := not_of_kind(kinds[name], one))}


def _with_names(wrong: Mapping[str, str]) -> list[str]:
    return [f"{name}: {said}" for name, said in wrong.items()]


# --- What the document says of them ------------------------------------------------------------------------------

_VALUE: dict[str, Any] = {"anyOf": [{"type": kind} for kind in ("string", "number", "boolean")]}
_OBJECT: dict[str, Any] = {"type": "object", "additionalProperties": _VALUE}


def settings_schema(*, sent: bool) -> dict[str, Any]:
    """Return the JSON schema of a loop's settings, as they are `sent` or as they are given."""
    found: dict[str, Any] = {"type": "object", "properties": {n: _schema(k, sent=sent) for n, k in OF_LOOP.items()}}
    return found | {"additionalProperties": False} if sent else found


def _schema(knob: Knob, *, sent: bool) -> dict[str, Any]:
    told: dict[str, Any] = {"description": knob.help, "default": knob.default}
    if knob.name in TOLD:
        told["default"] = {}
        as_text = {"type": "string", "description": "The same as text, one “name = value” a line."}
        return told | ({"anyOf": [_OBJECT, as_text]} if sent else _OBJECT)
    told["type"] = KINDS[type(knob.default)]
    if not sent:
        return told
    bounds = {"enum": list(knob.choices) or None, "minimum": knob.low, "maximum": knob.high}
    return told | {name: value for name, value in bounds.items() if value is not None}
