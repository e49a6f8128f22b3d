"""Which guard a campaign has: where its folder lies, and where what it says is written down."""

from __future__ import annotations

from django.utils.translation import gettext as _

from annotation.models import Campaign
from training import paths, store
from training.errors import Invalid
from training.models import Loop, ModelVersion
from training.recipes.tiers import EDITED
from training.services import versions


def named(campaign: Campaign) -> str:
    """Return the guard that the campaign's loop names, as rows store a path; empty where there is none."""
    settings = Loop.objects.filter(campaign=campaign).values_list("settings", flat=True).first()
    given = (settings or {}).get("guard", "")
    return paths.stored(given) if given else ""


def guard_of(campaign: Campaign) -> str:
    """Return the absolute folder of the campaign's guard: with a detector that was trained for it, if one is in use."""
    found = in_use(campaign, named(campaign))
    return store.fetch(found) if found else ""


def in_use(campaign: Campaign, base: str) -> str:
    """Return the stored path of the version in use that was made from the guard `base`, or `base`, which may be empty.

    A detector that was put beside another guard's check is not this guard's.
    """
    version = versions.current(campaign, ModelVersion.Kind.GUARD) if base else None
    if version is None or base_of(version) not in ("", paths.stored(base)):
        return base
    return version.path


def base_of(version: ModelVersion) -> str:
    """Return the stored path of the guard that a version was made from; empty for one that came as it is."""
    if version.recipe.get("name") == EDITED:
        return str(version.recipe.get("guard", ""))
    run = version.made_by
    if run is None:
        return ""
    given = str(run.inputs.get("guard") or version.path)
    edited = ModelVersion.objects.filter(campaign=version.campaign_id, path=given, recipe__name=EDITED).first()
    return given if edited is None else base_of(edited)


def beneath(campaign: Campaign, base: str) -> str:
    """Return the guard beside whose checks a new detector is put: `base`, or as people changed it, where that serves.

    What they chose of tiers and lines is kept when the detector is trained anew.
    """
    version = versions.current(campaign, ModelVersion.Kind.GUARD) if base else None
    if version is None or base_of(version) not in ("", paths.stored(base)):
        return base
    if version.recipe.get("name") == EDITED:
        return version.path
    run = version.made_by
    return str(run.inputs.get("guard") or base) if run is not None else base


def voiced(campaign: Campaign, guard: str = "") -> dict[str, str]:
    """Return what a voice is told of the guard, `guard` before that of the loop; nothing where there is none."""
    found = store.fetch(guard) if guard else guard_of(campaign)
    return {"guard": found, "guard_log": log_of(campaign)} if found else {}


def log_of(campaign: Campaign) -> str:
    """Return the file that gets a line for each verdict on what is said in the campaign's chats and to its clients."""
    folder = paths.files() / "guards"
    folder.mkdir(parents=True, exist_ok=True)
    return str(folder / f"campaign-{campaign.pk}.jsonl")


def refuse_foreign(path: str, campaign: Campaign) -> None:
    """Raise Invalid when somebody names a guard that is neither the campaign's nor in a shared folder, or is none."""
    known = ModelVersion.objects.filter(campaign=campaign, kind=ModelVersion.Kind.GUARD, path=paths.stored(path))
    if not path or known.exists():
        return
    message = paths.objection(path, _("guards"))
    if not message and not store.exists(f"{path}/guard.json"):
        message = _("{path} holds no guard. Make one with python -m training.core.guard fit.").format(path=path)
    if message:
        raise Invalid(message, {"guard": [message]})
