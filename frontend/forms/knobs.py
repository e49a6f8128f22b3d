"""Form fields made from knobs: a form cannot know a setting that the recipe does not, nor another limit."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.forms.utils import ErrorDict
from django.utils.translation import gettext

from frontend import numerals, registered
from training.objections import in_words
from training.recipes.base import Knob
from training.recipes.note import note_of


class KnobField(forms.CharField):
    """A text or number input whose value the knob itself checks, so that form, REST and command say the same."""

    def __init__(self, knob: Knob, **kwargs: Any) -> None:
        self.knob = knob
        super().__init__(**kwargs)

    def clean(self, value: Any) -> Any:
        if value in (None, "") and self.knob.default != "":
            text = gettext("Enter a value; the usual one is {value}.")
            raise ValidationError(text.format(value=shown(self.knob.default)))
        if isinstance(self.knob.default, float) and isinstance(value, str):
            value = numerals.undecimal(value)
        try:
            return self.knob.check(value)
        except ValueError as error:
            raise ValidationError(in_words(note_of(error))) from None


def _digits(value: float) -> str:
    return numerals.decimal(f"{value:g}")


def limits(knob: Knob) -> str:
    """Return the range of a knob in words, or nothing."""
    if knob.choices or isinstance(knob.default, (bool, str)):
        return ""
    if knob.low is not None and knob.high is not None:
        return gettext("From {low} to {high}.").format(low=_digits(knob.low), high=_digits(knob.high))
    if knob.low is not None:
        return gettext("At least {low}.").format(low=_digits(knob.low))
    return gettext("At most {high}.").format(high=_digits(knob.high)) if knob.high is not None else ""


def shown(value: Any) -> Any:
    """Return a value as an input shows it: 1.0 as 1, no more digits than it has, and as the language writes it."""
    return numerals.decimal(f"{value:g}") if isinstance(value, float) else value


def described(knob: Knob) -> str:
    """Return in a line what a knob does, what it may be, as one types it, and what it usually is."""
    named = ", ".join(spelled(knob))
    choices = gettext("One of {names}.").format(names=named) if named else ""
    usually = gettext("Usual: {value}.").format(value=usual(knob)) if usual(knob) else ""
    return " ".join(filter(None, [registered.explanation(knob), limits(knob), choices, usually]))


def spelled(knob: Knob) -> list[str]:
    """Return what a knob may be where that can be named, as recipes and commands spell it."""
    return ["true", "false"] if isinstance(knob.default, bool) else [str(one) for one in knob.choices]


def usual(knob: Knob) -> str:
    """Return the default of a knob as it is typed."""
    return str(knob.default).lower() if isinstance(knob.default, bool) else str(shown(knob.default))


def field_of(knob: Knob) -> forms.Field:
    """Return the form field of one knob, with its explanation, range and default."""
    sentence = registered.explanation(knob)
    common: dict[str, Any] = {"label": registered.label(knob.name), "initial": shown(knob.default), "required": True}
    if isinstance(knob.default, bool):
        return forms.BooleanField(help_text=sentence, **{**common, "required": False})
    if knob.choices:
        choices = [(str(choice), registered.choice(choice)) for choice in knob.choices]
        widget: forms.Widget = forms.Select(choices=choices)
        return KnobField(knob, widget=widget, help_text=sentence, **common)
    if isinstance(knob.default, (int, float)):
        attrs: dict[str, Any] = {
            "inputmode": "numeric" if isinstance(knob.default, int) else "decimal",
            "autocomplete": "off",
        }
        usual = gettext("Usual: {value}.").format(value=_digits(knob.default))
        help_text = " ".join(filter(None, [sentence, limits(knob), usual]))
        return KnobField(knob, widget=forms.TextInput(attrs=attrs), help_text=help_text, **common)
    # A text that is empty unless somebody says otherwise, such as a folder that need not be named, may stay so.
    return KnobField(knob, help_text=sentence, **{**common, "required": bool(knob.default)})


class KnobForm(forms.Form):
    """A form with one field per knob; the everyday ones first, the advanced ones folded away by the template."""

    def __init__(self, *args: Any, knobs: Iterable[Knob], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.knob_names: list[str] = []
        self.advanced_names: list[str] = []
        for knob in knobs:
            self.fields[knob.name] = field_of(knob)
            (self.advanced_names if knob.advanced else self.knob_names).append(knob.name)

    @property
    def everyday(self) -> list[forms.BoundField]:
        return [self[name] for name in self.knob_names]

    @property
    def advanced(self) -> list[forms.BoundField]:
        return [self[name] for name in self.advanced_names]

    @property
    def advanced_is_open(self) -> bool:
        """Say whether a folded setting has an error, which must not stay hidden."""
        return any(name in self.errors for name in self.advanced_names)

    def forget_errors(self) -> None:
        """Say nothing of what does not fit yet: whoever adds a row or takes one away is not done."""
        self._errors = ErrorDict()

    def knob_values(self) -> dict[str, Any]:
        """Return the checked value of every knob; only after `is_valid`."""
        return {name: self.cleaned_data[name] for name in [*self.knob_names, *self.advanced_names]}
