"""TRL's preference format, for DPO and its relatives."""

from __future__ import annotations

from annotation.export_formats.base import FEEDBACK, MESSAGES, Format, Row, each, kept

IMAGES = ("images", "chosen_images", "rejected_images")


def row(pair: Row) -> Row:
    return kept(pair, "prompt", "chosen", "rejected", *IMAGES, *FEEDBACK)


PREFERENCE = Format(
    "preference",
    "TRL preference: a better and a worse answer, nothing else",
    ("pairs",),
    {
        "prompt": MESSAGES,
        "chosen": f"{MESSAGES}: the better answer",
        "rejected": f"{MESSAGES}: the worse answer",
        **FEEDBACK,
    },
    each(row),
    reader="trl.DPOTrainer",
)
