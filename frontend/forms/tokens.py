"""What an API token is made with."""

from __future__ import annotations

from django import forms
from django.utils.translation import gettext_lazy as _

from annotation.access import SCOPES
from annotation.services.tokens import DAYS
from frontend.forms.campaigns import StorableField

NEVER = "never"


class TokenForm(forms.Form):
    name = StorableField(
        label=_("Name"),
        max_length=80,
        required=False,
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
        help_text=_("What it is for, such as the program that uses it."),
    )
    scopes = forms.MultipleChoiceField(
        label=_("It may be used to"),
        choices=list(SCOPES.items()),
        initial=list(SCOPES),
        widget=forms.CheckboxSelectMultiple,
        error_messages={"required": _("Choose at least one.")},
    )
    days = forms.TypedChoiceField(
        label=_("It ends after"),
        choices=[
            ("7", _("7 days")),
            ("30", _("30 days")),
            ("90", _("90 days")),
            ("365", _("a year")),
            (NEVER, _("never")),
        ],
        initial=str(DAYS),
        coerce=lambda value: None if value == NEVER else int(value),
        empty_value=None,
    )
