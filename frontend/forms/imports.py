"""Bringing items in: a file, or lines typed or pasted, and what their columns are."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext, pgettext
from django.utils.translation import gettext_lazy as _

from annotation.importing.mapping import Columns, of_object

BY_THE_LAYOUT = _("As the columns are named")
SUFFIXES = ".jsonl,.ndjson,.json,.csv,.tsv,.parquet,.arrow,.feather,.gz,.zip,.txt"
MAX_ANSWERS = 6


class ImportForm(forms.Form):
    file = forms.FileField(
        required=False,
        label=_("A file"),
        help_text=_(
            "JSON Lines, JSON, CSV, TSV, Parquet or Arrow; also packed with gzip, or in a ZIP archive with the images "
            "that its rows name. Text in UTF-8."
        ),
        widget=forms.ClearableFileInput(attrs={"accept": SUFFIXES}),
    )
    text = forms.CharField(
        required=False,
        label=_("Or paste lines"),
        strip=False,
        widget=forms.Textarea(attrs={"rows": 8, "spellcheck": "false", "class": "mono"}),
        help_text=_("JSON Lines, or a table with its header, for trying a few."),
    )

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if not self.errors and not cleaned.get("file") and not (cleaned.get("text") or "").strip():
            raise forms.ValidationError(gettext("Choose a file or paste at least one line."))
        return cleaned


class ColumnsForm(forms.Form):
    """Which columns are what. `answers` is how many answers an item may have in the campaign."""

    per_item = forms.TypedChoiceField(
        required=False,
        label=_("Answers per item"),
        choices=[
            ("", _("All that there are")),
            ("1", _("One: each judged alone")),
            ("2", _("Two: every pair of them")),
        ],
    )

    def __init__(self, *args: Any, names: list[str], answers: int, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        choices = [("", BY_THE_LAYOUT), *((name, name) for name in names)]
        # At least two: with every pair of them judged, a campaign of pairs takes more answers than two.
        self.answer_names = [f"answer_{place}" for place in range(1, min(max(answers, 4), MAX_ANSWERS) + 1)]
        fields = {
            "prompt": gettext("Prompt"),
            **{
                name: gettext("Answer {number}").format(number=place)
                for place, name in enumerate(self.answer_names, start=1)
            },
            "id": gettext("Id"),
            "domain": gettext("Domain"),
            "batch": gettext("Batch"),
            "language": gettext("Language that people must read, such as de"),
            "requires": gettext("What people must be able to do"),
            "about": gettext("What it is about, for people who decline that"),
            "priority": gettext("Priority: higher comes first"),
            "wanted": gettext("How many people judge it"),
            "together": gettext("Rows with the same value here are one item"),
        }
        none_by_layout = {*self.answer_names[1:], "together", "language"}
        for name, label in fields.items():
            none = [("", pgettext("no column", "None")), *choices[1:]]
            shown = none if name in none_by_layout else choices
            self.fields[name] = forms.ChoiceField(required=False, label=label, choices=shown)
        self.order_fields([*(name for name in fields if name != "together"), "per_item", "together"])

    def columns(self) -> Columns:
        """Return the mapping that was chosen, of a valid form."""
        chosen = dict(self.cleaned_data)
        answers = [chosen.pop(name) for name in self.answer_names]
        return of_object({**chosen, "completions": [name for name in answers if name]})

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        answers = [cleaned[name] for name in self.answer_names if cleaned.get(name)]
        if len(set(answers)) < len(answers):
            raise forms.ValidationError(gettext("Two answers are the same column; choose another one for one of them."))
        return cleaned
