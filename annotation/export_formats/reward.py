"""TRL's preference format with a margin, for reward models."""

from __future__ import annotations

from annotation.export_formats.base import FEEDBACK, MESSAGES, Format, Row, each, kept
from annotation.export_formats.preference import IMAGES


def row(pair: Row) -> Row:
    return {
        **kept(pair, "prompt", "chosen", "rejected", *IMAGES),
        "margin": float(pair["strength"]),
        **kept(pair, *FEEDBACK),
    }


REWARD = Format(
    "reward",
    "TRL preference with a margin, for reward models",
    ("pairs",),
    {
        "prompt": MESSAGES,
        "chosen": f"{MESSAGES}: the better answer",
        "rejected": f"{MESSAGES}: the worse answer",
        "margin": "how much better, 1/3 to 1",
        **FEEDBACK,
    },
    each(row),
    reader="trl.RewardTrainer",
)
