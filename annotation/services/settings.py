"""What a lead sets of a campaign: one list for the services, the form, the REST interface and the file of settings."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, TypedDict, cast

from django.utils.translation import gettext as _

from annotation.errors import Invalid
from annotation.feedback import kind as feedback_kind
from annotation.importing.handed_on import gold_rows
from annotation.models import Campaign
from annotation.routing import read_tags
from annotation.storable import unstorable

FORMAT = 1


class Settings(TypedDict, total=False):
    """Settings by the name of their field in `Campaign`, which says what each means; its defaults are theirs."""

    description: str
    options: dict[str, Any]
    overlap: int
    cohort_percent: int
    cohort_overlap: int
    overlap_most: int
    reserve: int
    gold_percent: int
    check_warn: int
    check_pause: int
    test_tries: int
    test_items: int
    test_percent: int
    lease_seconds: int
    wellbeing: str
    support: str
    daily_limit: int
    weekly_limit: int
    rest_after: int
    batch_limit: int
    batch_share: int
    about: Sequence[str]
    requires: Sequence[str]


NAMES = tuple(Settings.__annotations__)
_TAGS = ("about", "requires")


def cleaned(kind: str, given: Settings) -> dict[str, Any]:
    """Return settings as a campaign of this kind stores them; raises `Invalid`.

    What a field of its own can say, such as its largest number, is checked when the campaign is saved.
    """
    values: dict[str, Any] = dict(given)
    if "options" in values:
        values["options"] = feedback_kind(kind).clean_options(values["options"])
    for name in _TAGS:
        if name in values:
            values[name] = _tags(name, values[name])
    return values


def settings_of(campaign: Campaign) -> dict[str, Any]:
    """Return a campaign's settings as `settings_from` reads them: all but its name, people, items and answers."""
    guideline = campaign.guidelines.filter(version=campaign.guideline_version).first()
    return {
        "attune_campaign": FORMAT,
        "kind": campaign.kind,
        **{name: getattr(campaign, name) for name in NAMES},
        "guideline": guideline.text if guideline else "",
    }


def whole_of(campaign: Campaign) -> dict[str, Any]:
    """Return a campaign as a file that makes another one: its settings, and its items with a right answer."""
    return {**settings_of(campaign), "gold": list(gold_rows(campaign))}


def settings_from(text: str | bytes) -> dict[str, Any]:
    """Return what `campaigns.create` takes, without a name, out of a file that `whole_of` made; raises `Invalid`.

    Only the file's form is checked here; what its values may be, `create` says.
    """
    wrong = _("This is no file of campaign settings. Such a file is JSON with “attune_campaign”: {format}.")
    wrong = wrong.format(format=FORMAT)
    try:
        read = json.loads(text)
    except (ValueError, RecursionError):
        raise Invalid(wrong) from None
    if not isinstance(read, dict) or "attune_campaign" not in read:
        raise Invalid(wrong)
    if read.pop("attune_campaign") != FORMAT:
        raise Invalid(_("These settings were written by a later version of Attune; update this one first."))
    shapes = {"kind": str, "guideline": str, "gold": list, **{name: _shape(name) for name in NAMES}}
    unknown = sorted(set(read) - set(shapes))
    if unknown:
        told = _("The file has settings that this version does not know: {names}.")
        raise Invalid(told.format(names=", ".join(unknown)))
    for name, shape in shapes.items():
        if name in read and (not isinstance(read[name], shape) or isinstance(read[name], bool)):
            raise Invalid(_("The setting {name} in the file has the wrong form.").format(name=name))
    if reason := unstorable(read):
        raise Invalid(_("The file cannot be read. {reason}").format(reason=reason))
    feedback_kind(read.get("kind", "pairwise"))
    return cast(dict[str, Any], read)


def _shape(name: str) -> type:
    """Return which of JSON's types a setting has, by the usual value of its field."""
    usual = getattr(Campaign(), name)
    return next(shape for shape in (str, int, list, dict) if isinstance(usual, shape))


def _tags(field: str, value: Sequence[str]) -> list[str]:
    try:
        return read_tags(value)
    except Invalid as error:
        raise Invalid(str(error), {field: [str(error)]}) from None
