"""Inviting somebody, and taking an invitation."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from annotation.models import Role
from annotation.services.invitations import DAYS, MOST_DAYS, MOST_USES
from frontend.forms.campaigns import ROLE_WORDS, StorableField


class InvitationForm(forms.Form):
    role = forms.ChoiceField(
        label=_("Role"), choices=[(role.value, words) for role, words in ROLE_WORDS.items()], initial=Role.ANNOTATOR
    )
    most_uses = forms.IntegerField(label=_("For how many people"), min_value=1, max_value=MOST_USES, initial=1)
    days = forms.IntegerField(label=_("Days until it ends"), min_value=1, max_value=MOST_DAYS, initial=DAYS)
    email = forms.EmailField(
        label=_("E-mail"), required=False, help_text=_("The link is sent there. Without one, hand it over yourself.")
    )

    def __init__(self, *args: Any, can_send: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not can_send:
            del self.fields["email"]


class JoinForm(forms.Form):
    """An account for somebody who has none."""

    username = StorableField(
        label=_("Username"), max_length=150, widget=forms.TextInput(attrs={"autocomplete": "username"})
    )
    password = forms.CharField(
        label=_("Password"),
        max_length=4096,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
        help_text=_("At least ten characters."),
        strip=False,
    )
