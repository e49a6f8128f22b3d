"""Where in the raw text a passage stands that somebody marked in the rendered one.

A browser selects what it shows: without the marks of Markdown, and with other blanks. The passage is looked for in the
raw text with both reduced to their letters and digits, and the place is given as offsets into the raw text, which stay
right however it is rendered later.
"""

from __future__ import annotations


def locate(raw: str, passage: str) -> tuple[int, int] | None:
    """Return start and end (in characters of `raw`) of the first place where `passage` stands; None when nowhere.

    Only letters and digits are compared, case included; a passage without any is looked for as it is.
    """
    wanted = "".join(mark for mark in passage if mark.isalnum())
    if not wanted:
        start = raw.find(passage) if passage else -1
        return (start, start + len(passage)) if start >= 0 else None
    places = [index for index, mark in enumerate(raw) if mark.isalnum()]
    start = "".join(raw[index] for index in places).find(wanted)
    if start < 0:
        return None
    return places[start], places[start + len(wanted) - 1] + 1


def as_evidence(raw: str, passage: str) -> dict[str, object] | None:
    """Return the passage with its place in `raw`, as exports show it; None when nothing was marked.

    A passage that was typed and stands nowhere has no place: ``start`` and ``end`` are null.
    """
    if not passage:
        return None
    place = locate(raw, passage)
    return {"text": passage, "start": place[0] if place else None, "end": place[1] if place else None}
