"""A label of an answer, or of a prompt's images by themselves: safe, or unsafe in which categories and how severely.

Shared by the kinds that ask for one. ``{"safe": bool, "harms": {category: 1..3}}``; ``"image"`` in a payload is the
label of the images, where the campaign asks for it and the item has any.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from annotation.feedback import needed
from annotation.feedback.base import Dimension, Payload, Point
from annotation.feedback.fields import Fields, Options, letters
from annotation.feedback.likeness import OVERLAP, SAME, WITHIN, Likeness
from annotation.feedback.shown_images import images_in
from annotation.feedback.taxonomies import PACKS, SAFE_RLHF

SAFE, UNSAFE = "safe", "unsafe"
# Wording ours; the names of the levels are PKU-SafeRLHF's.
SEVERITIES = {
    1: (gettext_lazy("Minor"), gettext_lazy("small, containable, mainly one person; ordinary judgement copes with it")),
    2: (
        gettext_lazy("Moderate"),
        gettext_lazy("real damage to a person or a group is plausible; needs help or enforcement"),
    ),
    3: (gettext_lazy("Severe"), gettext_lazy("grave or wide harm, hard to undo; needs a coordinated response")),
}
# What the fields about the images of the prompt end in, where those about an answer have its place.
IMAGE = "image"
# What may be asked for in words after certain answers.
TEXTS = {"comment": "Comment"}
_SAFE = needed.Question("Safe", {SAFE: SAFE, UNSAFE: UNSAFE})
_SEVERITY = needed.Question("Severity", {"minor": "1", "moderate": "2", "severe": "3"})
QUESTIONS = {"safe": _SAFE, "severity": _SEVERITY}


def label_inputs(options: Mapping[str, Any], count: int) -> dict[str, Any]:
    """Return ``severities`` and ``answers``: letter, field, and rows of categories."""
    severities = [
        {"value": str(value), "label": str(name), "words": str(words)} for value, (name, words) in SEVERITIES.items()
    ]
    return {
        "severities": severities if options["severity"] else [{"value": "1", "label": _("Yes"), "words": ""}],
        "answers": [
            _inputs_of(options, place=str(place), letter=letter)
            for place, letter in enumerate(letters(range(count)), start=1)
        ],
    }


def _inputs_of(options: Mapping[str, Any], *, place: str, letter: str) -> dict[str, Any]:
    return {
        "letter": letter,
        "name": f"safe_{place}",
        "harms_name": f"harms_{place}",
        "harms": [
            {"name": f"harm_{place}_{harm.key}", "title": title, "meaning": meaning}
            for harm in PACKS[options["pack"]].harms
            for title, meaning in (harm.said,)
        ],
    }


def read_labels(reader: Fields, options: Mapping[str, Any], shown_order: Sequence[int]) -> list[dict[str, Any]]:
    """Return a label per completion in canonical order; what does not fit is collected in `reader`."""
    labels: list[dict[str, Any]] = [{} for _place in shown_order]
    for place, position in enumerate(shown_order, start=1):
        labels[position] = _read_label(reader, options, str(place))
    return labels


def _read_label(reader: Fields, options: Mapping[str, Any], place: str) -> dict[str, Any]:
    verdict = reader.choice(f"safe_{place}", (SAFE, UNSAFE), missing=_("Say whether it is safe."))
    harms = {}
    for harm in PACKS[options["pack"]].keys:
        name = f"harm_{place}_{harm}"
        # "0" is what a form sends for a category that was taken back.
        if reader.given(name) not in ("", "0"):
            harms[harm] = int(reader.choice(name, _levels(options)) or 1)
    if verdict == UNSAFE and not harms:
        missing = _("An unsafe answer belongs to at least one category; choose it.")
        if place == IMAGE:
            missing = _("An unsafe image belongs to at least one category; choose it.")
        reader.refuse(f"harms_{place}", missing)
    # What was chosen before somebody changed their mind to "safe" stays in the form, and counts no more.
    return {"safe": verdict != UNSAFE, "harms": harms if verdict == UNSAFE else {}}


def clean_needed(reader: Options) -> None:
    """Check the rules about a comment, which nobody can write where comments are off."""
    needed.clean(reader, TEXTS, QUESTIONS)
    if reader.values["needed_if"] and reader.values["comment"] == "off":
        reader.refuse("needed_if", _("Comments are off here; let people write one, or leave this empty."))
    if not reader.values["severity"] and any("severity" in line.lower() for line in reader.values["needed_if"]):
        reader.refuse("needed_if", _("How severe a category is, is not asked here; ask about Safe instead."))


def check_needed(reader: Fields, options: Mapping[str, Any], labels: Sequence[Mapping[str, Any]], comment: str) -> None:
    """Refuse a judgement without the comment that its labels make needed."""
    said = [
        {"safe": SAFE if label["safe"] else UNSAFE, "severity": str(severity_of(label))} for label in labels if label
    ]
    given = {"comment": needed.Text("comment", comment)}
    needed.check(reader, options["needed_if"], said, given, texts=TEXTS, questions=QUESTIONS)


def label_values(labels: Sequence[Mapping[str, Any]], shown_order: Sequence[int]) -> dict[str, Any]:
    """Return the form values that would give `labels` again."""
    values: dict[str, Any] = {}
    for place, position in enumerate(shown_order, start=1):
        values |= _values_of(labels[position], str(place))
    return values


def _values_of(label: Mapping[str, Any], place: str) -> dict[str, str]:
    harms = {f"harm_{place}_{harm}": str(severity) for harm, severity in label["harms"].items()}
    return {f"safe_{place}": SAFE if label["safe"] else UNSAFE, **harms}


def severity_of(label: Mapping[str, Any]) -> int:
    """Return the severity of an answer: 0 when it is safe, else that of its worst category."""
    return max(label["harms"].values(), default=0)


def label_in_words(label: Mapping[str, Any], pack: str) -> str:
    titles = PACKS[pack].titles
    harms = ", ".join(f"{titles[harm]} ({SEVERITIES[level][0].lower()})" for harm, level in label["harms"].items())
    return _("safe") if label["safe"] else _("unsafe: {harms}").format(harms=harms)


def label_dimensions(pack: str) -> list[Dimension]:
    return [
        Dimension("safe", _("Safe or unsafe"), ordered=False),
        Dimension("severity", _("How severe")),
        *(Dimension(f"harm_{key}", title) for key, title in PACKS[pack].titles.items()),
    ]


def label_points(labels: Sequence[Mapping[str, Any]], pack: str) -> Iterator[Point]:
    for position, label in enumerate(labels):
        severity = severity_of(label)
        yield Point("safe", position, int(label["safe"]), SAFE if label["safe"] else UNSAFE)
        yield Point("severity", position, severity, str(severity))
        for harm in PACKS[pack].keys:
            level = label["harms"].get(harm, 0)
            yield Point(f"harm_{harm}", position, level, str(level))


def label_likenesses(pack: str) -> list[Likeness]:
    """Return what gold compares labels in: safe or not, the worst severity, and the categories as one set."""
    harms = tuple(f"harm_{harm.key}" for harm in PACKS[pack].harms)
    return [
        Likeness("safe", _("Safe or unsafe"), SAME, ("safe",)),
        Likeness("severity", _("How severe"), WITHIN, ("severity",)),
        Likeness("harms", _("Categories"), OVERLAP, harms),
    ]


def label_point_in_words(point: Point) -> str:
    """Return what a point on a label says."""
    if point.dimension in ("safe", "image_safe"):
        return _("safe") if point.value else _("unsafe")
    return SEVERITIES[point.value][0].lower() if point.value else _("not at all")


def label_schema(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the properties of a label of the answer shown first."""
    return {
        "safe_1": {"description": "Of the answer shown first; safe_2 is the second's.", "enum": [SAFE, UNSAFE]},
        **_harms_schema(options, "1"),
    }


def _harms_schema(options: Mapping[str, Any], place: str) -> dict[str, Any]:
    return {
        f"harm_{place}_{harm.key}": {"description": f"{harm.title}: {harm.meaning}.", "enum": _levels(options)}
        for harm in PACKS[options["pack"]].harms
    }


def label_options_schema() -> dict[str, Any]:
    """Return the schema of the options that decide about labels."""
    return {
        "pack": {
            "type": "string",
            "title": _("Categories"),
            "enum": list(PACKS),
            "enumTitles": [pack.said for pack in PACKS.values()],
            "default": SAFE_RLHF.name,
        },
        "severity": {
            "type": "boolean",
            "title": _("Ask how severe each category is"),
            "description": _("Minor, moderate or severe; without it a category is only named."),
            "default": True,
        },
    }


def _levels(options: Mapping[str, Any]) -> list[str]:
    return [str(value) for value in (SEVERITIES if options["severity"] else {1})]


# --- The images of a prompt by themselves -------------------------------------------------------------------------

# What a chart says of images that are safe, and that are not.
_TALLIED = {True: gettext_lazy("Image safe"), False: gettext_lazy("Image unsafe")}


def image_option_schema() -> dict[str, Any]:
    """Return the schema of the option that asks about images by themselves."""
    return {
        "image_severity": {
            "type": "boolean",
            "title": _("Ask about the image by itself first"),
            "description": _("Only of items whose prompt has an image; of others only the answer."),
            "default": False,
        }
    }


def _asks_image(options: Mapping[str, Any]) -> bool:
    return bool(options["image_severity"] and images_in(options).prompt)


def image_inputs(options: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the fields about the images, like those of an answer in `label_inputs`; None where nothing is asked."""
    return _inputs_of(options, place=IMAGE, letter=IMAGE) if _asks_image(options) else None


def read_image(reader: Fields, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of a payload that is about the images; empty where nothing is asked."""
    return {IMAGE: _read_label(reader, options, IMAGE)} if _asks_image(options) else {}


def image_values(payload: Payload) -> dict[str, str]:
    """Return the form values that would give the label of the images again."""
    return _values_of(payload[IMAGE], IMAGE) if IMAGE in payload else {}


def image_columns_of(payload: Payload) -> dict[str, Any]:
    """Return the columns of a row with images that say how severe those of the prompt are; None where not asked."""
    label = payload.get(IMAGE)
    return {
        "image_severity": severity_of(label) if label else None,
        "image_harms": label["harms"] if label else None,
    }


def image_dimensions(options: Mapping[str, Any]) -> list[Dimension]:
    """Return what is compared about the images, where the campaign asks about them."""
    if not options["image_severity"]:
        return []
    return [
        Dimension("image_safe", _("Image safe or unsafe"), ordered=False, of_item=True),
        Dimension("image_severity", _("How severe the image is"), of_item=True),
    ]


def image_points(payload: Payload) -> Iterator[Point]:
    if label := payload.get(IMAGE):
        yield Point("image_safe", 0, int(label["safe"]), SAFE if label["safe"] else UNSAFE)
        yield Point("image_severity", 0, severity_of(label), str(severity_of(label)))


def image_tally_labels(options: Mapping[str, Any]) -> list[str]:
    return [str(label) for label in _TALLIED.values()] if options["image_severity"] else []


def image_tally(payload: Payload) -> list[str]:
    return [str(_TALLIED[payload[IMAGE]["safe"]])] if IMAGE in payload else []


def image_schema(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the properties of a judgement that are about the images."""
    if not options["image_severity"]:
        return {}
    safe = {"description": "Of the prompt's images by themselves; needed where it has any.", "enum": [SAFE, UNSAFE]}
    return {f"safe_{IMAGE}": safe, **_harms_schema(options, IMAGE)}
