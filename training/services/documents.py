"""Texts of a domain that a run reads: a file that somebody names, kept as it was read."""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

from django.utils.translation import gettext as _

from annotation.models import User
from training import objections, paths, store
from training.errors import Invalid
from training.recipes import documents
from training.recipes.note import note_of

LARGEST_FILE = 256 * 1024 * 1024  # unpacked


def inputs_of(path: str, *, actor: User | None) -> dict[str, Any]:
    """Return what a run is given that reads the texts at `path`, after keeping them under a name by their content.

    So the run can be repeated when the file has changed since. Invalid says what is wrong with the file, or that it
    lies where `actor` may name none.
    """
    if not path.strip():
        raise _invalid(_("Name a file of texts."))
    if actor is not None and (message := paths.objection(path, _("texts"))):
        raise _invalid(message)
    file = Path(store.fetch(path))
    if not file.is_file():
        raise _invalid(_("There is no file at {path}.").format(path=path))
    too_large = _("{name} has more than {most} MiB.").format(name=file.name, most=LARGEST_FILE // 1024**2)
    lines, size = [], 0
    try:
        for row in documents.rows_of(file):
            # Half a surrogate pair is no character, and cannot be written.
            line = json.dumps(row, ensure_ascii=False, sort_keys=True).encode("utf-8", "replace") + b"\n"
            size += len(line)
            if size > LARGEST_FILE:  # packed, it may have been small
                raise _invalid(too_large)
            lines.append(line)
    except UnicodeDecodeError:
        raise _invalid(_("{name} is not text in UTF-8.").format(name=file.name)) from None
    except RecursionError:
        raise _invalid(_("{name} has brackets without end.").format(name=file.name)) from None
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise _invalid(objections.in_words(note_of(error))) from None
    if not lines:
        raise _invalid(_("{name} holds no text.").format(name=file.name))
    return {"data": store.keep_text("documents", b"".join(lines).decode())}


def _invalid(message: str) -> Invalid:
    return Invalid(message, {"documents": [message]})
