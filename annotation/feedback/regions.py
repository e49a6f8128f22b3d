"""Rectangles that people mark in the images of an item, each with a label of the campaign and a note if they like.

Payload: ``{"labels": [key, …], "marked": [region, …]}``, the labels that could be given and the regions in the order in
which they were marked. A region is ``{"of": "prompt" | canonical position of an answer, "index": number of the image
there from 0, "image": its sha256, "width", "height": its size in pixels, "box": [left, top, width, height] as fractions
of that size from its upper left corner, "label": key, "note": str}``. Fractions hold at any size an image is shown in.

MM-RLHF's annotators (Y.-F. Zhang et al., 2025, section 2.3) point at what in a picture an answer gets right or wrong.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from django.utils.translation import gettext as _

from annotation.feedback.base import Dimension, Point
from annotation.feedback.fields import Fields, Options, key_of, letters, lines_schema, title_and_rest, titles_of
from annotation.feedback.points import Mark
from annotation.feedback.shown_images import ItemImages
from annotation.messages import Content, Part, as_message, references
from annotation.storable import unstorable

FIELD = "regions"
PROMPT = "prompt"
MOST_LABELS = 20
MOST = 50
MAX_NOTE = 500
PLACES = 6  # decimals; a pixel of the largest image is 0.00006 of its side
# What a browser computes may end a hair beyond the edge.
_SLACK = 1e-3


def option_schema() -> dict[str, Any]:
    return {
        **lines_schema(
            _("Labels of marked regions"),
            [],
            _(
                "With at least one, people mark rectangles in the images. One per line: its name, a colon, what it "
                "means."
            ),
            least=0,
        ),
        "maxItems": MOST_LABELS,
    }


def clean(value: Any) -> list[str]:
    """Return the lines of the option, checked; raises `Invalid`."""
    reader = Options({FIELD: value}, {FIELD: []})
    reader.lines(FIELD, most=MOST_LABELS, least=0)
    labels: list[str] = reader.finish(_("The labels of marked regions do not fit; see errors."))[FIELD]
    return labels


def context(lines: Sequence[str]) -> dict[str, Any]:
    """Return what the template needs: ``labels`` with key, title and meaning, and the length of a note."""
    labels = [
        {"key": key_of(line), "title": title, "meaning": meaning}
        for line, (title, meaning) in zip(lines, map(title_and_rest, lines), strict=True)
    ]
    return {"labels": labels, "max_note": MAX_NOTE}


def read(
    data: Mapping[str, Any], *, lines: Sequence[str], images: ItemImages, shown_order: Sequence[int]
) -> dict[str, Any]:
    """Return the payload of the field ``regions``, in which answers are named by their place on the screen, from 1.

    Raises `Invalid` that says of each region, by its number from 1, what is wrong with it.
    """
    reader = Fields(data)
    titles = titles_of(lines)
    marked = []
    for number, given in enumerate(_list_of(data.get(FIELD), reader), start=1):
        try:
            marked.append(_region(given, titles, images, shown_order))
        except ValueError as wrong:
            reader.refuse(FIELD, _("Region %(number)s: %(reason)s") % {"number": number, "reason": wrong})
    reader.finish(_("The marked regions do not fit; see errors."))
    return {"labels": list(titles), "marked": marked}


def values(payload: Mapping[str, Any], *, shown_order: Sequence[int]) -> dict[str, str]:
    """Return the form value that would give the payload again."""
    order = list(shown_order)
    shown = [
        {
            "of": PROMPT if region["of"] == PROMPT else str(order.index(region["of"]) + 1),
            **{name: region[name] for name in ("index", "box", "label", "note")},
        }
        for region in payload["marked"]
    ]
    return {FIELD: json.dumps(shown, ensure_ascii=False)}


def in_words(payload: Mapping[str, Any], *, lines: Sequence[str], shown_order: Sequence[int] | None) -> str:
    """Return what was marked, for the end of a sentence; the empty string when nothing was."""
    titles = titles_of(lines)
    said = []
    for region in payload["marked"]:
        title = titles.get(region["label"], region["label"])
        said.append(f"{title} ({_where(region['of'], shown_order)})")
    return _("marked: %(regions)s") % {"regions": ", ".join(said)} if said else ""


def column(payload: Mapping[str, Any], row: Mapping[str, Any], *, texts: Sequence[Content]) -> list[dict[str, Any]]:
    """Return the regions in the images that a row shows, each with where in the row its image is.

    ``column`` and ``index`` name it: ``row["images"][0]`` is the first one of the prompt.
    """
    shown: dict[str | int, str] = {PROMPT: "images"}
    for name in ("completion", "chosen", "rejected"):
        if (position := _position(row, name, texts)) is not None:
            shown[position] = f"{name}_images"
    return [
        {
            "column": shown[region["of"]],
            "index": region["index"],
            "sha256": region["image"],
            "width": region["width"],
            "height": region["height"],
            "box": region["box"],
            "pixels": pixels(region["box"], region["width"], region["height"]),
            "label": region["label"],
            "note": region["note"],
        }
        for region in payload["marked"]
        if region["of"] in shown
    ]


def pixels(box: Sequence[float], width: int, height: int) -> list[int]:
    """Return left, top, width and height of a box in whole pixels of an image of this size; at least one each way."""
    left, right = (round(value * width) for value in (box[0], box[0] + box[2]))
    top, bottom = (round(value * height) for value in (box[1], box[1] + box[3]))
    left, top = min(left, width - 1), min(top, height - 1)
    return [left, top, max(1, right - left), max(1, bottom - top)]


def dimensions(lines: Sequence[str]) -> list[Dimension]:
    """Return one dimension for each label: whether it was given anywhere. `annotation.overlap` compares the boxes."""
    return [
        Dimension(_dimension(key), _("Marked: %(label)s") % {"label": title}, ordered=False)
        for key, title in titles_of(lines).items()
    ]


def points(payload: Mapping[str, Any]) -> Iterator[Point]:
    given = {region["label"] for region in payload["marked"]}
    for label in payload["labels"]:
        yield Point(_dimension(label), 0, int(label in given), "marked" if label in given else "not marked")


def marks(payload: Mapping[str, Any]) -> list[Mark]:
    return [
        Mark((region["of"], region["index"]), region["label"], tuple(region["box"])) for region in payload["marked"]
    ]


def json_schema(lines: Sequence[str]) -> dict[str, Any]:
    return {
        "type": "array",
        "maxItems": MOST,
        "description": "Rectangles in the images of the item. A form sends the same list as JSON in a text.",
        "items": {
            "type": "object",
            "properties": {
                "of": {
                    "type": "string",
                    "description": '"prompt", or the place of the answer as shown: "1" is the first.',
                },
                "index": {"type": "integer", "minimum": 0, "description": "Number of the image there, from 0."},
                "box": {
                    "type": "array",
                    "items": {"type": "number", "minimum": 0, "maximum": 1},
                    "minItems": 4,
                    "maxItems": 4,
                    "description": "Left, top, width and height as fractions of the image.",
                },
                "label": {"enum": list(titles_of(lines))},
                "note": {"type": "string", "maxLength": MAX_NOTE},
            },
            "required": ["of", "index", "box", "label"],
        },
    }


def _list_of(value: Any, reader: Fields) -> list[Any]:
    """Return the list that was sent, as it is or as JSON in a text; none, and an error, for anything else."""
    if isinstance(value, str) and value.strip():
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            value = {}
    if value is None or value == "":
        return []
    if not isinstance(value, list):
        reader.refuse(FIELD, _("Give a list of regions."))
        return []
    if len(value) > MOST:
        reader.refuse(FIELD, _("Mark at most %(most)s regions.") % {"most": MOST})
        return []
    return value


def _region(given: Any, titles: Mapping[str, str], images: ItemImages, shown_order: Sequence[int]) -> dict[str, Any]:
    """Return one region; raises ValueError with what is wrong, as a sentence."""
    if not isinstance(given, dict):
        raise ValueError(_("give it as an object with “of”, “index”, “box” and “label”."))
    of, image = _image(given, images, shown_order)
    box = _box(given.get("box"))
    label, note = given.get("label"), given.get("note", "")
    if not isinstance(label, str) or label not in titles:
        raise ValueError(_("choose one of its labels: %(labels)s.") % {"labels": ", ".join(titles)})
    if not isinstance(note, str):
        raise ValueError(_("give its note as text."))
    note = " ".join(note.split())
    if reason := unstorable(note):
        raise ValueError(reason)
    if len(note) > MAX_NOTE:
        raise ValueError(_("its note has more than %(most)s characters.") % {"most": MAX_NOTE})
    size = {name: image[name] for name in ("image", "width", "height")}
    return {"of": of, "index": given["index"], **size, "box": box, "label": label, "note": note}


def _image(given: dict[str, Any], images: ItemImages, shown_order: Sequence[int]) -> tuple[str | int, Part]:
    """Return "prompt" or the canonical position of an answer, and the image named there."""
    of, index = given.get("of"), given.get("index")
    of = str(of) if isinstance(of, str | int) else ""
    places = {PROMPT: images.prompt}
    positions: dict[str, str | int] = {PROMPT: PROMPT}
    for place, position in enumerate(shown_order, start=1):
        positions[str(place)] = position
        places[str(place)] = images.answers[position] if position < len(images.answers) else ()
    found = places.get(of, ())
    if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < len(found):
        raise ValueError(_("it lies in no image of this item; “of” is “prompt” or a place from 1, “index” from 0."))
    return positions[of], found[index]


def _box(value: Any) -> list[float]:
    wrong = ValueError(_("give its box as left, top, width and height, each a fraction of the image from 0 to 1."))
    if not isinstance(value, list) or len(value) != 4:
        raise wrong
    if any(isinstance(one, bool) or not isinstance(one, int | float) for one in value):
        raise wrong
    if any(not -_SLACK <= one <= 1 + _SLACK for one in value):  # false for what is no number as well
        raise wrong
    left, top = (min(max(float(one), 0.0), 1.0) for one in value[:2])
    width, height = float(value[2]), float(value[3])
    if not (left + width <= 1 + _SLACK and top + height <= 1 + _SLACK):
        raise ValueError(_("it goes beyond the edge of its image."))
    box = [round(one, PLACES) for one in (left, top, min(width, 1 - left), min(height, 1 - top))]
    if not (box[2] > 0 and box[3] > 0):
        raise ValueError(_("it has no area; make it larger or delete it."))
    return box


def _position(row: Mapping[str, Any], name: str, texts: Sequence[Content]) -> int | None:
    """Return the canonical position of the answer in this column of a row; None where there is no such column."""
    if name not in row:
        return None
    wanted = (row[name], row.get(f"{name}_images"))
    for position, text in enumerate(texts):
        if ([as_message("assistant", text)], references(text)) == wanted:
            return position
    return None  # what somebody wrote here, and has no image


def _where(of: str | int, shown_order: Sequence[int] | None) -> str:
    if isinstance(of, str):
        return _("prompt")
    if shown_order is None:
        return _("answer %(name)s") % {"name": of + 1}
    return _("answer %(name)s") % {"name": letters(range(len(shown_order)))[list(shown_order).index(of)]}


def _dimension(label: str) -> str:
    return f"region_{label}"
