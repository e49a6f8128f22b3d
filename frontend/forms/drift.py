"""The settings of a guard's watch: what is kept, and how its detector is retrained."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext_lazy as _

from frontend.forms.knobs import KnobForm
from frontend.forms.loops import Group
from training.recipes.base import knobs_of
from training.recipes.drift import WatchSettings

GROUPS = (
    (_("What is kept"), ("keep", "keep_days", "keep_most")),
    (_("Retraining"), ("weekly", "serve", "slice_days", "startup_slices", "window_slices", "target_fpr")),
    (_("People's labels"), ("labels", "uncertain_share", "audit_prompts", "inbox")),
    (_("The monitor"), ("payloads", "monitor_prompts", "monitor_share")),
)


class WatchForm(KnobForm):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, knobs=knobs_of(WatchSettings()), **kwargs)

    @property
    def groups(self) -> list[Group]:
        return [Group(title, [self[name] for name in names]) for title, names in GROUPS]
