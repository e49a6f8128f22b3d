"""Bringing items in: a file, or lines typed or pasted."""

from __future__ import annotations

from typing import Any

from django import forms


class ImportForm(forms.Form):
    file = forms.FileField(
        required=False,
        label="A file",
        help_text="JSON Lines: one JSON object per line, UTF-8.",
        widget=forms.ClearableFileInput(attrs={"accept": ".jsonl,.json,.ndjson,.txt,application/jsonl"}),
    )
    text = forms.CharField(
        required=False,
        label="Or paste lines",
        strip=False,
        widget=forms.Textarea(attrs={"rows": 8, "spellcheck": "false", "class": "mono"}),
        help_text="The same, for trying a few.",
    )

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if not self.errors and not cleaned.get("file") and not (cleaned.get("text") or "").strip():
            raise forms.ValidationError("Choose a file or paste at least one line.")
        return cleaned
