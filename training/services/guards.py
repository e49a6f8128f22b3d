"""Which guard a campaign has: where its folder lies, and where what it says is written down."""

from __future__ import annotations

from django.utils.translation import gettext as _

from annotation.models import Campaign
from training import paths, store
from training.errors import Invalid
from training.models import Loop


def guard_of(campaign: Campaign) -> str:
    """Return the absolute folder of the guard that the campaign's loop names; empty where there is none."""
    settings = Loop.objects.filter(campaign=campaign).values_list("settings", flat=True).first()
    named = (settings or {}).get("guard", "")
    return store.fetch(named) if named else ""


def voiced(campaign: Campaign, guard: str = "") -> dict[str, str]:
    """Return what a voice is told of the guard, `guard` before that of the loop; nothing where there is none."""
    found = store.fetch(guard) if guard else guard_of(campaign)
    return {"guard": found, "guard_log": log_of(campaign)} if found else {}


def log_of(campaign: Campaign) -> str:
    """Return the file that gets a line for each verdict on what is said in the campaign's chats and to its clients."""
    folder = paths.files() / "guards"
    folder.mkdir(parents=True, exist_ok=True)
    return str(folder / f"campaign-{campaign.pk}.jsonl")


def refuse_foreign(path: str) -> None:
    """Raise Invalid when somebody names a guard that is not in a shared folder, or is none."""
    if not path:
        return
    message = paths.objection(path, _("guards"))
    if not message and not store.exists(f"{path}/guard.json"):
        message = _("{path} holds no guard. Make one with python -m training.core.guard fit.").format(path=path)
    if message:
        raise Invalid(message, {"guard": [message]})
