"""How answers cite the documents that they quote, such as ``[leaflet v2:0-41]``: which one, and where in its text."""

from __future__ import annotations

import re

CITATION = re.compile(r"\s*\[([^\[\]:]+):(\d+)-(\d+)\]")
MARKS = re.compile(r"[][:\s]+")  # what would end a citation


def cited(document: str, version: str) -> str:
    """Return what a document is called in citations: its id, and the version where it has one, such as “leaflet v2”."""
    return f"{document} v{MARKS.sub('-', version)}" if version else document
