"""A safety suite that is uploaded, and to whom its questions are put."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from annotation.models import Campaign
from frontend.forms.campaigns import StorableField

REFERENCE = ""


class SuiteForm(forms.Form):
    file = forms.FileField(
        label=_("File"),
        help_text=_(
            "Questions with four options, or open scenarios, in LabSafety Bench's layout: JSON Lines or a JSON list, "
            "also packed with gzip. With images: a ZIP archive of that file and all the images that it names."
        ),
        widget=forms.ClearableFileInput(attrs={"accept": ".jsonl,.ndjson,.json,.gz,.zip"}),
    )
    name = StorableField(
        label=_("Name"), max_length=120, required=False, help_text=_("Empty: what the file is called.")
    )

    def clean_name(self) -> str:
        file = self.cleaned_data.get("file")
        return self.cleaned_data["name"].strip() or (file.name[:120] if file is not None else "")


class AskForm(forms.Form):
    """Where people are asked: in a campaign that asks for a letter."""

    campaign = forms.TypedChoiceField(label=_("In which campaign"), coerce=int)
    purpose = forms.ChoiceField(
        label=_("What for"),
        required=False,
        choices=[
            (REFERENCE, _("What people know, as a line beside the policies")),
            ("test", _("A test that people pass before their first item")),
            ("practice", _("Practice before that test, told what was right")),
        ],
    )

    def __init__(self, *args: Any, campaigns: Sequence[Campaign], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.campaigns = {one.pk: one for one in campaigns}
        choice: forms.TypedChoiceField = self.fields["campaign"]  # type: ignore[assignment]
        choice.choices = [(one.pk, one.name) for one in campaigns]
