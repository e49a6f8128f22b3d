"""A frozen data set as a folder that hubs and `datasets` read: its parts, its card, its facts; and pushed to a hub."""

from __future__ import annotations

import json
import re
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from annotation import datasets
from annotation.models import User
from annotation.services import events
from training.errors import Invalid, WrongState
from training.models import Snapshot
from training.services import cards, snapshots

_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]{0,95}(?:/[A-Za-z0-9][\w.-]{0,95})?")


def write_folder(snapshot: Snapshot, folder: Path) -> dict[str, int]:
    """Write README.md, snapshot.json and data/<split>.jsonl into `folder`; return the rows of each split there is."""
    data = folder / "data"
    data.mkdir(parents=True, exist_ok=True)
    only = snapshot.filters.get("split")
    counts: dict[str, int] = {}
    files: dict[str, Any] = {}
    try:
        for row, side in snapshots.with_sides(snapshot):
            side = only or side
            if side not in files:
                files[side] = (data / f"{side}.jsonl").open("w", encoding="utf-8")
            files[side].writelines(datasets.lines([row]))
            counts[side] = counts.get(side, 0) + 1
    finally:
        for file in files.values():
            file.close()
    if not counts:
        (data / "train.jsonl").touch()
        counts["train"] = 0
    told = {
        "id": snapshot.pk,
        "view": snapshot.view,
        "rows": snapshot.rows,
        "sha256": snapshot.sha256,
        "filters": snapshot.filters,
        "licence": snapshot.licence,
        "created": snapshot.created_at.isoformat(),
        "card": {name: value for name, value in snapshot.card.items() if name != "annotators"},
    }
    (folder / "snapshot.json").write_text(json.dumps(told, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    counts = dict(sorted(counts.items(), reverse=True))  # train before test
    (folder / "README.md").write_text(cards.readme(snapshot, counts), encoding="utf-8")
    return counts


def packed(snapshot: Snapshot) -> Iterator[bytes]:
    """Return the folder as a ZIP archive, in pieces; it is made whole in a temporary file first."""
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as file:
        write_folder(snapshot, Path(folder))
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            for path in sorted(Path(folder).rglob("*")):
                if path.is_file():
                    archive.write(path, str(path.relative_to(folder)))
        file.seek(0)
        while piece := file.read(256 * 1024):
            yield piece


def target() -> str:
    """Return where data sets are pushed to, in words; empty when whoever runs the server named no place."""
    return settings.ATTUNE_HUB_FOLDER or settings.ATTUNE_HUB_ENDPOINT


def push(*, snapshot: Snapshot, repository: str, actor: User | None) -> dict[str, str]:
    """Push the folder to `repository` ("name" or "organisation/name") of the hub, or below the folder in its place.

    Returns ``{"to", "at", "commit"}``, which the snapshot keeps. Raises `Invalid` for a name that is none, and
    `WrongState` where no hub is set, or it refuses. Private on a hub unless the setting says otherwise.
    """
    if not _REPOSITORY.fullmatch(repository) or ".." in repository or "--" in repository:
        message = _("{name} is no name of a repository; give one such as team/helpful-pairs.").format(
            name=repr(repository)
        )
        raise Invalid(message, {"repository": [message]})
    if not target():
        told = _("No hub is set. Whoever runs the server names one in HUB_ENDPOINT, or a folder in HUB_FOLDER.")
        raise WrongState(told)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_folder(snapshot, folder)
        if settings.ATTUNE_HUB_FOLDER:
            commit = _into_folder(folder, Path(settings.ATTUNE_HUB_FOLDER) / repository)
            to = str(Path(settings.ATTUNE_HUB_FOLDER) / repository)
        else:
            to, commit = _onto_hub(folder, repository, f"Snapshot {snapshot.pk}, sha256 {snapshot.sha256}")
    pushed = {"to": to, "at": timezone.now().isoformat(), "commit": commit}
    with transaction.atomic():
        locked = Snapshot.objects.select_for_update().get(pk=snapshot.pk)
        locked.pushed = [*locked.pushed, pushed]
        locked.save(update_fields=["pushed"])
        events.record(
            campaign=locked.campaign,
            actor=actor,
            action="snapshot.pushed",
            target=f"snapshot {locked.pk}",
            detail=pushed,
        )
    snapshot.pushed = locked.pushed
    return pushed


def _into_folder(made: Path, wanted: Path) -> str:
    """Put every file under its name at once, the card last, and return no commit."""
    for path in sorted(made.rglob("*"), key=lambda one: one.name == "README.md"):
        if path.is_file():
            place = wanted / path.relative_to(made)
            place.parent.mkdir(parents=True, exist_ok=True)
            part = place.with_name(place.name + ".part")
            part.write_bytes(path.read_bytes())
            part.replace(place)
    for old in {path for path in wanted.glob("data/*.jsonl") if not (made / "data" / path.name).exists()}:
        old.unlink()
    return ""


def _onto_hub(folder: Path, repository: str, message: str) -> tuple[str, str]:
    try:
        from huggingface_hub import HfApi
    except ImportError:
        told = _("Pushing needs the package huggingface_hub: install Attune with the extra hub.")
        raise WrongState(told) from None
    hub = HfApi(endpoint=settings.ATTUNE_HUB_ENDPOINT, token=settings.ATTUNE_HUB_TOKEN or False)
    try:
        hub.create_repo(repository, repo_type="dataset", private=settings.ATTUNE_HUB_PRIVATE, exist_ok=True)
        done = hub.upload_folder(
            folder_path=str(folder), repo_id=repository, repo_type="dataset", commit_message=message
        )
    except Exception as error:
        # Whatever its libraries raise, from a name they do not like to a line that is down, is the hub's answer.
        reason = (str(error) or type(error).__name__).splitlines()[0][:300]
        raise WrongState(_("The hub refused: {reason}").format(reason=reason)) from None
    return f"{settings.ATTUNE_HUB_ENDPOINT.rstrip('/')}/datasets/{repository}", done.oid
