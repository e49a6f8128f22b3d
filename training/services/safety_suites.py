"""Domain safety suites: a file of questions, kept as it was asked, and held against what a model learned from."""

from __future__ import annotations

import json
import shutil
import tempfile
import zlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

from django.db import transaction
from django.utils.translation import gettext as _

from annotation.access import Action
from annotation.errors import AnnotationError
from annotation.importing import attachments
from annotation.importing.albums import Album
from annotation.importing.attachments import Files, FolderFiles, NoFiles
from annotation.models import Campaign, User
from annotation.permissions import may
from annotation.services import events
from training import objections, paths, store
from training.errors import Invalid
from training.models import ModelVersion, Suite
from training.recipes import multiple_choice, scenarios
from training.recipes.multiple_choice import VIEW as QUESTIONS
from training.recipes.multiple_choice import Question
from training.recipes.note import note_of
from training.recipes.scenarios import VIEW as SCENARIOS
from training.recipes.scenarios import Open
from training.services import snapshots, suite_pictures
from training.services.near_duplicates import near

# What is kept of a row; its image is one of the campaign's, named by its hash.
Asked = list[Question] | list[Open]
KEPT = ("Question", "Explanation", "Correct Answer", "Category", "Topic", "Level", "Image Path")
KEPT_OF_SCENARIOS = ("Scenario", scenarios.ISSUES, "Decisions", "Topic", "SubCategory", "Subject")
LARGEST_FILE = 64 * 1024 * 1024
LARGEST_ARCHIVE = 512 * 1024 * 1024  # with the images beside the rows


def read(path: str, *, campaign: Campaign | None = None, actor: User | None = None) -> tuple[str, list[Question]]:
    """Keep a suite of questions as `kept` does; Invalid for one of open scenarios."""
    stored, asked = kept(path, view=QUESTIONS, campaign=campaign, actor=actor)
    return stored, [one for one in asked if isinstance(one, Question)]


def kept(path: str, *, view: str, campaign: Campaign | None = None, actor: User | None = None) -> tuple[str, Asked]:
    """Keep the rows of a suite below the files folder, under a name by their content; return the path and them.

    So a run can be repeated when the file has changed since. Images in the rows, beside their file or in one archive
    with them become images of `campaign`, where one is given. Invalid says what is wrong with the file, or, where
    somebody asks for it, that it lies where they may name none.
    """
    if not path.strip():
        raise invalid(_("Name the file of a suite."))
    if actor is not None and not _is_kept_for(actor, path) and (message := paths.objection(path, _("suites"))):
        raise invalid(message)
    file = Path(store.fetch(path))
    if not file.is_file():
        raise invalid(_("There is no suite at {path}.").format(path=path))
    lenders = [one.campaign for one in _suites_at(path, actor)]
    files = NoFiles() if lenders else FolderFiles([file.parent])
    stored, asked = _kept(file, name=file.name, campaign=campaign, files=files, lenders=lenders)
    if _view_of(asked) != view:
        message = _("{name} holds open scenarios. Put them to a policy by the recipe safety-scenarios.")
        if view == SCENARIOS:
            message = _("{name} holds questions with four options. Put them to a policy by the recipe safety-suite.")
        raise invalid(message.format(name=file.name))
    return stored, asked


def _view_of(asked: Asked) -> str:
    return QUESTIONS if isinstance(asked[0], Question) else SCENARIOS


def _kept(
    file: Path, *, name: str, campaign: Campaign | None, files: Files, lenders: Sequence[Campaign] = ()
) -> tuple[str, Asked]:
    packed = is_archive(file)
    with file.open("rb") as opened:
        most = LARGEST_ARCHIVE if packed else LARGEST_FILE
        if file.stat().st_size > most:
            raise invalid(_("{name} has more than {most} MiB.").format(name=name, most=most // 1024**2))
        try:
            if packed:
                rows, files = _archived(opened, name)
            else:
                rows = list(multiple_choice.rows_of(file))
            asked = _asked(rows, name)
            if campaign is not None and isinstance(asked[0], Question):
                with Album(campaign, files) as album:
                    rows = suite_pictures.with_images(rows, name=name, album=album, came_along=packed, lenders=lenders)
                asked = _asked(rows, name)
        except AnnotationError as error:
            raise invalid(str(error)) from None
        except (OSError, EOFError, zlib.error, ValueError) as error:
            raise invalid(objections.in_words(note_of(error))) from None
    names = KEPT if isinstance(asked[0], Question) else KEPT_OF_SCENARIOS
    text = "".join(
        json.dumps({name: row.get(name) for name in names}, ensure_ascii=False, sort_keys=True) + "\n"
        for _number, row in rows
    )
    return store.keep_text("suites", text), asked


def is_archive(file: Path) -> bool:
    """Return whether a file is a ZIP archive, which has the rows of a suite and its images."""
    with file.open("rb") as opened:
        return opened.read(len(attachments.ZIP_MAGIC)) == attachments.ZIP_MAGIC


def _asked(rows: suite_pictures.Numbered, name: str) -> Asked:
    open_ended = bool(rows) and scenarios.is_scenario(rows[0][1])
    return scenarios.questions(rows, name=name) if open_ended else multiple_choice.questions(rows, name=name)


def _archived(file: BinaryIO, name: str) -> tuple[suite_pictures.Numbered, Files]:
    """Return the rows of a ZIP archive and the files beside them; Invalid names the first that cannot be read."""
    found, files = attachments.opened(file, name="suite.zip", content_type=attachments.ZIP_TYPES[0])
    rows: suite_pictures.Numbered = []
    size = 0
    for row in found:
        size += row.size
        if size > LARGEST_FILE:
            raise invalid(_("{name} has more than {most} MiB.").format(name=name, most=LARGEST_FILE // 1024**2))
        if row.reason:
            why = {"number": row.line, "name": name, "why": row.reason}
            raise invalid(_("Row {number} of {name}: {why}").format(**why))
        if row.value is not None:
            rows.append((row.line, row.value))
    return rows, files


def _is_kept_for(actor: User, path: str) -> bool:
    """Return whether it is a suite of a campaign that this person may read: they need not name a file for that."""
    return bool(_suites_at(path, actor))


def _suites_at(path: str, actor: User | None) -> list[Suite]:
    """Return the suites of campaigns that are kept at a path, of those that this person may read."""
    suites = Suite.objects.filter(path=path).select_related("campaign")
    return [suite for suite in suites if actor is None or may(actor, suite.campaign, Action.READ)]


def add(*, campaign: Campaign, name: str, file: BinaryIO, actor: User | None) -> Suite:
    """Keep an uploaded suite for a campaign under `name`; the same questions again are the same suite, renamed.

    `file` is JSON Lines or a JSON list in LabSafety Bench's layout, packed by gzip or not, or a ZIP archive with that
    and the images that it names; they become images of the campaign. Raises `Invalid` that names the first bad row.
    """
    with tempfile.NamedTemporaryFile(suffix=".gz" if _is_packed(file) else ".jsonl") as copy:
        shutil.copyfileobj(file, copy)
        copy.flush()
        stored, asked = _kept(Path(copy.name), name=name, campaign=campaign, files=NoFiles())
    questions = [one for one in asked if isinstance(one, Question)]
    about = [one for one in asked if isinstance(one, Open)]
    counts = Counter(category for one in questions for category in one.categories)
    counts += Counter(one.subject for one in about if one.subject)
    facts = {
        "name": name,
        "view": _view_of(asked),
        "questions": len(asked),
        "with_image": sum(bool(one.image) for one in questions),
        "points": sum(len(one.points) for one in about),
        "categories": dict(sorted(counts.items())),
    }
    with transaction.atomic():
        suite, is_new = Suite.objects.update_or_create(
            campaign=campaign, path=stored, defaults=facts, create_defaults={**facts, "created_by": actor}
        )
        if is_new:
            events.record(campaign=campaign, actor=actor, action="suite.added", target=name, detail={"suite": stored})
    return suite


def _is_packed(file: BinaryIO) -> bool:
    magic = file.read(2)
    file.seek(0)
    return magic == b"\x1f\x8b"


def inputs_of(
    path: str, *, campaign: Campaign, view: str, parent: ModelVersion | None, actor: User | None
) -> dict[str, Any]:
    """Return what a run is given that puts the suite at `path` to a model: its data, and what of it is not new."""
    stored, asked = kept(path, view=view, campaign=campaign, actor=actor)
    questions = [one for one in asked if isinstance(one, Question)]
    return {"data": stored} | ({} if parent is None or not questions else {"seen": seen(questions, parent)})


def seen(questions: list[Question], version: ModelVersion) -> list[str]:
    """Return the ids of the questions that stand, or nearly, in what a model or its ancestors learned from.

    With their options or without: the same words, or near duplicates of them. Reads the files of its data sets.
    """
    texts: dict[str, str] = {}
    for one in questions:
        for what, text in (("whole", one.text), ("stem", one.stem), ("asked", one.messages()[0]["content"])):
            texts[f"{one.id} {what}"] = text
    known = near(snapshots.learned_texts(version).values(), texts)
    return sorted({name.rsplit(" ", 1)[0] for name in known})


def invalid(message: str) -> Invalid:
    return Invalid(message, {"suite": [message]})
