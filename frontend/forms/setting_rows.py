"""What a loop tells a recipe besides its own settings, as rows: a knob and its value. REST and commands take JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from frontend import numerals, registered
from frontend.forms.knobs import described, spelled, usual
from frontend.forms.sent_rows import sent_rows
from training.objections import in_words
from training.recipes import loop_knobs
from training.recipes.base import Knob, Recipe, RecipeError
from training.recipes.note import note_of

MOST = 60
SHOW = "loop-show"  # what a form is sent with that only asks what there is to choose from
LONGEST = 4000


class SettingRow(forms.Form):
    use_required_attribute = False  # one that nobody filled in is none
    name = forms.ChoiceField(label=_("Setting"), required=False)
    value = forms.CharField(label=_("Value"), required=False, max_length=LONGEST)

    def __init__(self, *args: Any, knobs: Mapping[str, Knob], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.knob = knobs.get(self.name_given)
        offered = [(name, _offered(knob)) for name, knob in knobs.items()]
        if self.name_given and self.knob is None:  # chosen for another recipe, and not to be lost
            offered.append((self.name_given, gettext("{name} (not of this recipe)").format(name=self.name_given)))
        self.fields["name"].choices = [("", gettext("none")), *offered]  # type: ignore[attr-defined]
        self.fields["name"].widget.attrs |= {
            "hx-post": "",
            "hx-vals": f'{{"{SHOW}": ""}}',
            "hx-target": f"#{self.prefix}-told",
            "hx-select": f"#{self.prefix}-told",
            "hx-select-oob": f"#{self.prefix}-values",
            "hx-swap": "outerHTML",
            "hx-sync": "this:replace",
        }
        attrs = {"autocomplete": "off", "spellcheck": "false", "dir": "ltr", "list": f"{self.prefix}-values"}
        self.fields["value"].widget.attrs |= attrs

    @property
    def name_given(self) -> str:
        return str(self["name"].value() or "")

    @property
    def is_blank(self) -> bool:
        return not self.name_given and not str(self["value"].value() or "").strip()

    @property
    def values(self) -> list[str]:
        """Return what the knob may be, where that can be named."""
        return [] if self.knob is None else spelled(self.knob)

    @property
    def described(self) -> str:
        """Return what the setting does that is chosen in this row."""
        if self.knob is not None:
            return described(self.knob)
        if self.name_given:
            return gettext("The recipe that is chosen has no such setting. Choose another one, or remove it.")
        return gettext("Choose a setting; what it does then stands here. One without a setting and value is left out.")

    def clean_value(self) -> str:
        value = str(self.cleaned_data["value"])
        if len(value.splitlines()) > 1:
            raise ValidationError(gettext("Write the value on one line."))
        return numerals.undecimal(value) if self.knob is not None and isinstance(self.knob.default, float) else value

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if not self.name_given and not self.is_blank:
            self.add_error("name", gettext("Choose the setting whose value this is."))
        return cleaned


def _offered(knob: Knob) -> str:
    label, value = registered.label(knob.name), usual(knob)
    return gettext("{name} (usually {value})").format(name=label, value=value) if value else label


class SettingRows:
    """The rows of one setting of a loop: those that were sent, or else `stored`; there is always one to fill in.

    `recipe` is the one that is told them, None where none is chosen; `decided` are those of its knobs for which the
    loop has settings of its own. A row is added and taken away as one of `TaskRows` is. Of whoever is not done yet, but
    adds a row or looks at something, nothing is checked.
    """

    def __init__(
        self,
        data: Mapping[str, Any] | None,
        *,
        name: str,
        recipe: Recipe | None,
        decided: Mapping[str, str],
        stored: str,
        is_done: bool = True,
    ) -> None:
        self.name, self.recipe, self.decided, self.stored = name, recipe, decided, stored
        self.knobs = {one.name: one for one in (recipe.knobs() if recipe else ()) if one.name not in decided}
        self.errors: list[str] = []
        sent = sent_rows(data, name=name, row=name, most=MOST)
        self.is_bound, self.changes_rows = sent.is_bound, sent.changes_rows
        self.is_looked_at = data is not None and data.get(SHOW) == name
        if sent.is_bound:
            typed = [self._typed(number, sent.data or {}) for number in range(sent.count)]
            self.rows = [self._row(n, sent.data if is_done else None, initial=one) for n, one in enumerate(typed)]
        else:
            said = loop_knobs.read(stored).items()
            self.rows = [self._row(n, initial=self._initial(*one)) for n, one in enumerate(said)]
        if (sent.asks_another or not self.rows) and self.may_grow:
            self.rows.append(self._row(len(self.rows)))
        if self.changes_rows:
            last = self.rows[-1 if sent.removed is None else min(sent.removed, len(self.rows) - 1)]
            last.fields["name"].widget.attrs["autofocus"] = True

    def _row(self, number: int, data: Mapping[str, Any] | None = None, **initial: Any) -> SettingRow:
        return SettingRow(data, prefix=f"{self.name}-{number}", knobs=self.knobs, **initial)

    def _typed(self, number: int, data: Mapping[str, Any]) -> dict[str, str]:
        return {name: str(data.get(f"{self.name}-{number}-{name}", "")) for name in ("name", "value")}

    def _initial(self, name: str, value: str) -> dict[str, str]:
        knob = self.knobs.get(name)
        is_number = knob is not None and isinstance(knob.default, float)
        return {"name": name, "value": numerals.decimal(value) if is_number else value}

    def __iter__(self) -> Iterator[SettingRow]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def title(self) -> str:
        return self.recipe.title if self.recipe else ""

    @property
    def may_grow(self) -> bool:
        return len(self.rows) < MOST

    @property
    def filled(self) -> list[SettingRow]:
        return [row for row in self.rows if not row.is_blank]

    @property
    def is_open(self) -> bool:
        return bool(self.filled or self.errors or self.changes_rows or self.is_looked_at)

    def fit(self) -> bool:
        """Return whether what was filled in fits the recipe; what does not is said beside it."""
        if not self.is_bound or self.recipe is None:
            return True
        fitting = [row.is_valid() for row in self.filled]  # of every row, so that each says what is wrong with it
        if not all(fitting):
            return False
        by_name: dict[str, SettingRow] = {}
        for row in self.filled:
            if row.name_given in by_name:
                row.add_error("name", gettext("This is set above already. Leave one of them out."))
            by_name.setdefault(row.name_given, row)
        for name, text in self._against({name: row.cleaned_data["value"] for name, row in by_name.items()}):
            if name in by_name:
                by_name[name].add_error("value" if by_name[name].knob else "name", in_words(text))
            else:
                self.errors.append(in_words(text))
        return not self.errors and not any(row.errors for row in self.filled)

    def _against(self, values: Mapping[str, str]) -> Iterator[tuple[str, str]]:
        """Yield what stands against these values of knobs, with the knob; without one what is said of several."""
        assert self.recipe is not None
        if said := loop_knobs.taken(values, self.decided):
            yield from said.items()
            return
        try:
            self.recipe.fill(dict(values))
        except RecipeError as error:
            yield from ((name, text) for name, texts in error.errors.items() for text in texts)
            if not error.errors:
                yield "", note_of(error)

    @property
    def text(self) -> str:
        """Return the rows as the loop's setting has them; only after they fit."""
        if not self.is_bound:
            return self.stored
        return "\n".join(f"{row.cleaned_data['name']} = {row.cleaned_data['value']}" for row in self.filled)
