"""The registry of export formats: one module makes the rows, and one line here offers them."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping
from typing import Any

from annotation import dataset_views
from annotation.errors import Invalid
from annotation.export_formats.base import Format
from annotation.export_formats.critiques import CRITIQUES
from annotation.export_formats.preference import PREFERENCE
from annotation.export_formats.principles import HELPSTEER3_PRINCIPLES, PRINCIPLE_QUESTIONS
from annotation.export_formats.reward import REWARD
from annotation.export_formats.reward_bench import REWARD_BENCH
from annotation.export_formats.safe_rlhf import SAFE_RLHF
from annotation.export_formats.sft import SFT
from annotation.export_formats.stepwise import STEPWISE
from annotation.export_formats.turns import TURNS
from annotation.export_formats.unpaired import UNPAIRED
from annotation.feedback import FeedbackType


def _registry(*formats: Format) -> dict[str, Format]:
    table: dict[str, Format] = {}
    for one in formats:
        if one.name in table:
            raise ValueError(f"Two export formats are called {one.name!r}.")
        table[one.name] = one
    return table


FORMATS: dict[str, Format] = _registry(
    *(PREFERENCE, UNPAIRED, REWARD, SFT, STEPWISE, TURNS, REWARD_BENCH),
    *(SAFE_RLHF, HELPSTEER3_PRINCIPLES, PRINCIPLE_QUESTIONS, CRITIQUES),
)


def export_format(name: str) -> Format:
    """Return the format called `name`; raises `Invalid` that suggests the nearest one."""
    found = FORMATS.get(name)
    if found is None:
        near = difflib.get_close_matches(name, FORMATS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(FORMATS)}."
        message = f"There is no format {name!r}; {hint}"
        raise Invalid(message, {"format": [message]})
    return found


def source_of(found: Format, views: Collection[str], layouts: Collection[str] | None = None) -> str:
    """Return the view that the rows come from, of those a campaign has; raises `Invalid` when it has none of them.

    `layouts`: the formats that the campaign has rows for at all, where that is known.
    """
    for view in found.views:
        if view in views and (layouts is None or found.name in layouts):
            return view
    message = f"This campaign's judgements give no rows for {found.name!r}, which is made of: {', '.join(found.views)}."
    raise Invalid(message, {"format": [message]})


def formats_of(views: Collection[str]) -> list[Format]:
    """Return the formats that a campaign with these views has rows for."""
    return [one for one in FORMATS.values() if set(one.views) & set(views)]


def offered(feedback_kind: FeedbackType, options: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """Return the names of the views and formats that a campaign of this kind can have rows for under its options."""
    never = feedback_kind.never(options)
    views = [one.name for one in dataset_views.views_of(feedback_kind.views) if one.name not in never]
    return views, [one.name for one in formats_of(views) if one.name not in never]


__all__ = ["FORMATS", "Format", "export_format", "formats_of", "offered", "source_of"]
