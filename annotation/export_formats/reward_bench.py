"""RewardBench's columns (N. Lambert et al., arXiv:2403.13787): what reward models are compared on."""

from __future__ import annotations

from annotation.export_formats.base import Format, Row, each, kept, text


def row(pair: Row) -> Row:
    return {
        "id": pair["feedback"],
        "prompt": text(pair["prompt"]),
        "chosen": text(pair["chosen"]),
        "chosen_model": pair["chosen_origin"],
        "rejected": text(pair["rejected"]),
        "rejected_model": pair["rejected_origin"],
        "subset": pair["campaign"],
        **kept(pair, "annotator"),
    }


REWARD_BENCH = Format(
    "reward_bench",
    "RewardBench: plain texts with who wrote them",
    ("pairs",),
    {
        "id": "id of the judgement",
        "prompt": "the prompt as one text",
        "chosen": "the better answer",
        "chosen_model": "who wrote it",
        "rejected": "the worse answer",
        "rejected_model": "who wrote it",
        "subset": "name of the campaign",
        "annotator": "pseudonym of the person",
    },
    each(row),
    reader="trl.RewardTrainer",
)
