"""What an export is narrowed by, as a form whose values are those of the address."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django import forms
from django.utils.translation import gettext_lazy as _

from annotation.api.export_shapes import LARGEST_ROUND
from annotation.errors import Invalid
from annotation.models import Campaign
from annotation.services import batches

LARGEST_MENU = 200


class ExportForm(forms.Form):
    """Every field is optional; what is left empty keeps everything."""

    file = forms.ChoiceField(
        required=False,
        label=_("File"),
        choices=[("jsonl", "JSON Lines"), ("jsonl.gz", _("JSON Lines, compressed")), ("parquet", "Parquet")],
    )
    batch = forms.ChoiceField(required=False, label=_("Batch"))
    round = forms.IntegerField(required=False, label=_("Round"), min_value=0, max_value=LARGEST_ROUND)
    policy = forms.CharField(required=False, label=_("Policy"), max_length=120)
    language = forms.CharField(required=False, label=_("Language that items ask for, such as de"), max_length=35)
    since = forms.DateField(
        required=False, label=_("Judged on or after"), widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d")
    )
    until = forms.DateField(
        required=False, label=_("Judged before"), widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d")
    )
    min_agreement = forms.FloatField(
        required=False,
        label=_("Agreement at least"),
        min_value=0,
        max_value=1,
        help_text=_("0 to 1: the share of pairs of people who say the same of an item."),
        widget=forms.NumberInput(attrs={"step": "0.05"}),
    )
    min_severity = forms.TypedChoiceField(
        required=False,
        label=_("Severity at least"),
        choices=[("", _("Any")), ("1", _("Minor")), ("2", _("Moderate")), ("3", _("Severe"))],
    )
    min_weight = forms.FloatField(
        required=False,
        label=_("Weight of the person at least"),
        min_value=0,
        max_value=10,
        help_text=_("As the quality page has it: 1 is the mean, 0 tells nothing."),
        widget=forms.NumberInput(attrs={"step": "0.1"}),
    )
    adjudicated = forms.BooleanField(required=False, label=_("Where a reviewer decided, only what stands"))
    gold = forms.BooleanField(required=False, label=_("With items whose right answer is known"))
    without_audit = forms.BooleanField(required=False, label=_("Without the audit slice"))
    without_simulated = forms.BooleanField(required=False, label=_("Without simulated people"))

    def __init__(self, *args: Any, campaign: Campaign, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        found = batches.names(campaign, most=LARGEST_MENU)
        self.fields["batch"].choices = [("", _("All")), *((name, name) for name in found)]  # type: ignore[attr-defined]

    def query(self) -> dict[str, str]:
        """Return what is asked of the interface, of a valid form; raises `Invalid` of none."""
        if not self.is_valid():
            raise Invalid(str(_("Some values do not fit; see below.")))
        said = dict(self.cleaned_data)
        for name in ("audit", "simulated"):
            said[name] = "false" if said.pop(f"without_{name}") else None
        for name in ("adjudicated", "gold"):
            said[name] = "true" if said[name] else None
        if said["file"] == "jsonl":
            said["file"] = None
        return {name: str(value) for name, value in said.items() if value not in (None, "")}


def address(base: str, **asked: str) -> str:
    """Return an address with a query; of nothing asked, the address alone."""
    return f"{base}?{urlencode(asked)}" if asked else base
