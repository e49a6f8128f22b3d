"""A better and a worse next turn with the gap between them, as REFUEL learns from (Z. Gao et al., arXiv:2410.04612)."""

from __future__ import annotations

from annotation.export_formats.base import FEEDBACK, MESSAGES, Format, Row, each, kept


def row(turn: Row) -> Row:
    return {
        **kept(turn, "prompt", "chosen", "rejected", "images", "chosen_images", "rejected_images"),
        "gap": float(turn["gap"]),
        "turn": turn["number"],
        **kept(turn, *FEEDBACK),
    }


TURNS = Format(
    "turns",
    "Turns: a better and a worse next turn with the gap between them (REFUEL)",
    ("turns",),
    {
        "prompt": f"{MESSAGES}: the conversation before the turn",
        "chosen": f"{MESSAGES}: the better turn",
        "rejected": f"{MESSAGES}: the worse one",
        "gap": "how much better it was called, 1/3 to 1",
        "turn": "which turn of the assistant it is, from 1",
        **FEEDBACK,
    },
    each(row),
    reader="trl.DPOTrainer",
)
