"""The settings by which a campaign's guard keeps what comes through it and is retrained."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from annotation.models import Campaign, User
from annotation.services import events
from annotation.storable import unstorable
from training import objections, paths, store
from training.errors import Invalid
from training.models import GuardWatch
from training.recipes.base import RecipeError
from training.recipes.drift import watch_settings
from training.services import guard_inbox


def settings_of(campaign: Campaign) -> dict[str, Any]:
    """Return the settings of a campaign's watch; the usual ones, by which nothing is kept, where it has none."""
    watch = GuardWatch.objects.filter(campaign=campaign).first()
    return watch_settings(watch.settings if watch else {})


@transaction.atomic
def configure(*, campaign: Campaign, settings: dict[str, Any], actor: User | None) -> GuardWatch:
    """Return the watch with `settings` changed; Invalid says what does not fit. What was kept stays till it is old."""
    watch, _is_new = GuardWatch.objects.get_or_create(campaign=campaign)
    try:
        values = watch_settings({**watch.settings, **settings})
    except RecipeError as error:
        raise objections.invalid(error) from None
    before = watch_settings(watch.settings)
    if values["inbox"] != before["inbox"]:
        guard_inbox.refuse(values["inbox"], actor)
    if values["payloads"] != before["payloads"]:
        _refuse_payloads(values["payloads"], actor)
    if watch.state and values["slice_days"] != before["slice_days"]:
        message = _("Slices have been judged already, so their length stays as it is.")
        raise Invalid(message, {"slice_days": [message]})
    watch.settings = values
    watch.save(update_fields=["settings"])
    changes = events.changed(before, values)
    events.record(campaign=campaign, actor=actor, action="guard.configured", target="guard", changes=changes)
    return watch


def _refuse_payloads(path: str, actor: User | None) -> None:
    message = unstorable(path)
    if path and not message and actor is not None:
        message = paths.objection(path, _("requests"))
    if path and not message and not store.exists(path):
        message = _("There is no file {path}.").format(path=path)
    if message:
        raise Invalid(message, {"payloads": [message]})
