"""A text of several lines, whose length is counted as the browser counts it."""

from __future__ import annotations

from typing import Any

from django import forms


class LinesField(forms.CharField):
    """A browser counts the end of a line as one character and sends two: its limit would be refused here."""

    def to_python(self, value: Any) -> str:
        return str(super().to_python(value) or "").replace("\r\n", "\n")
