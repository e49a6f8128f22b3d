"""TRL's prompt and completion format, for supervised fine-tuning."""

from __future__ import annotations

from annotation.export_formats.base import FEEDBACK, MESSAGES, Format, Row, each, kept


def row(demonstration: Row) -> Row:
    return kept(demonstration, "prompt", "completion", "images", "completion_images", *FEEDBACK)


SFT = Format(
    "sft",
    "TRL prompt and completion: answers worth imitating",
    ("demonstrations",),
    {"prompt": MESSAGES, "completion": f"{MESSAGES}: the answer", **FEEDBACK},
    each(row),
    reader="trl.SFTTrainer",
)
