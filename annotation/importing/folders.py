"""The files of a data set that lies in a folder: as `datasets` saves it, or files of one format side by side."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from django.utils.translation import gettext as _

from annotation.importing import formats
from annotation.importing.rows import Row, Unreadable


def files_of(path: Path) -> list[Path]:
    """Return the files to read, in order: `path` itself, or those of a folder; raises `Unreadable` when unclear."""
    if not path.is_dir():
        return [path]
    splits = _listed(path / "dataset_dict.json", "splits")
    if splits:
        names = ", ".join(str(split) for split in splits)
        raise Unreadable(
            _("The folder {name} has several parts ({names}); give one: {name}/{first}."),
            name=path.name,
            names=names,
            first=splits[0],
        )
    saved = [part.get("filename") for part in _listed(path / "state.json", "_data_files") if isinstance(part, dict)]
    if saved:
        files = [path / Path(str(name)).name for name in saved]
        missing = next((file.name for file in files if not file.is_file()), None)
        if missing:
            raise Unreadable(
                _("The folder {name} should have {missing}, and has not; copy it again."),
                name=path.name,
                missing=missing,
            )
        return files
    # `datasets` keeps what it knows about the data beside it.
    files = sorted(
        file for file in path.iterdir() if formats.suffix_of(file.name) in formats.BY_SUFFIX and not _is_about(file)
    )
    kinds = {formats.suffix_of(file.name) for file in files}
    if not files:
        known = ", ".join(formats.BY_SUFFIX)
        raise Unreadable(
            _("The folder {name} has no file to import; their names end in one of {known}."),
            name=path.name,
            known=known,
        )
    if len(kinds) > 1:
        raise Unreadable(
            _("The folder {name} has files of several formats ({kinds}); name them."),
            name=path.name,
            kinds=", ".join(sorted(kinds)),
        )
    return files


def rows_of_files(paths: Iterable[Path]) -> Iterator[Row]:
    """Yield the rows of the files, one after the other, each with the name of its file when there are several."""
    files = [file for path in paths for file in files_of(path)]
    for path in files:
        with path.open("rb") as file:
            for row in formats.rows_of(file, name=path.name):
                yield replace(row, file=path.name) if len(files) > 1 else row


def _is_about(file: Path) -> bool:
    return file.name in ("dataset_info.json", "dataset_infos.json", "state.json") or file.name.startswith(".")


def _listed(path: Path, name: str) -> list[Any]:
    """Return a list that stands in one of the files of `datasets`; empty when there is none."""
    if not path.is_file():
        return []
    try:
        value = json.loads(path.read_text())
    except (ValueError, RecursionError):
        raise Unreadable(_("{name} is not valid JSON; save the data set again."), name=path.name) from None
    listed = value.get(name) if isinstance(value, dict) else None
    return listed if isinstance(listed, list) else []
