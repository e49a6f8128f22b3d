"""Freezing a data set, and looking for overlaps with evaluation suites."""

from __future__ import annotations

import re
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from annotation.export_formats import offered
from annotation.feedback import kind
from annotation.models import Campaign
from frontend.forms.exports import ExportForm

_SUITES = forms.CharField(
    required=False,
    label=_("Evaluation suites"),
    max_length=4000,
    widget=forms.Textarea(attrs={"rows": 3, "spellcheck": "false", "class": "mono"}),
    help_text=_(
        "One a line: a file or folder on the server, or snapshot:12. Rows that share a run of words with one of them "
        "are named, and left out of what is frozen with it."
    ),
)
_RUN = forms.TypedChoiceField(
    required=False,
    coerce=int,
    label=_("Words in a row that count as an overlap"),
    choices=[("13", "13"), ("8", "8")],
)


def suites_in(text: str) -> list[str]:
    """Return the suites that were named, one a line."""
    return [line.strip() for line in re.split(r"[\r\n]+", text) if line.strip()]


class FreezeForm(ExportForm):
    """What is frozen; narrowed as an export is."""

    file = None  # type: ignore[assignment]
    view = forms.ChoiceField(label=_("Rows"))
    split = forms.ChoiceField(
        required=False,
        label=_("Part"),
        choices=[("", _("Everything")), ("train", _("Training part")), ("test", _("Test part"))],
    )
    licence = forms.CharField(
        required=False, label=_("Licence"), max_length=60, help_text=_("For its card, such as cc-by-4.0.")
    )
    group_near_duplicates = forms.BooleanField(
        required=False, label=_("Keep prompts that are nearly the same on one side of the split")
    )
    suites = _SUITES
    n = _RUN
    field_order = ["view", "split", "licence"]

    def __init__(self, *args: Any, campaign: Campaign, **kwargs: Any) -> None:
        super().__init__(*args, campaign=campaign, **kwargs)
        views, _layouts = offered(kind(campaign.kind), campaign.options)
        self.fields["view"].choices = [(name, name) for name in views]  # type: ignore[attr-defined]

    def filters(self) -> dict[str, Any]:
        """Return the filters of a valid form as a snapshot stores them."""
        said = self.cleaned_data
        several = {"batches": said["batch"], "policies": said["policy"], "languages": said["language"]}
        found: dict[str, Any] = {name: [value] for name, value in several.items() if value}
        if said["round"] is not None:
            found["rounds"] = [said["round"]]
        for name in ("since", "until"):
            if said[name]:
                found[name] = said[name].isoformat()
        if said["split"]:
            found["split"] = said["split"]
        if said["min_agreement"] is not None:
            found["min_agreement"] = said["min_agreement"]
        if said["min_severity"]:
            found["min_severity"] = int(said["min_severity"])
        if said["min_weight"] is not None:
            found["min_weight"] = said["min_weight"]
        if said["adjudicated"]:
            found["adjudicated"] = True
        if said["gold"]:
            found["include_gold"] = True
        for name in ("audit", "simulated"):
            if said[f"without_{name}"]:
                found[f"include_{name}"] = False
        if said["group_near_duplicates"]:
            found["group_near_duplicates"] = True
        if suites := suites_in(said["suites"]):
            found["decontaminate"] = {"suites": suites, "n": said["n"] or 13}
        return found


class OverlapsForm(forms.Form):
    suites = _SUITES
    n = _RUN


class PushForm(forms.Form):
    repository = forms.CharField(
        label=_("Repository"), max_length=200, help_text=_("name, or organisation/name, such as team/helpful-pairs.")
    )
