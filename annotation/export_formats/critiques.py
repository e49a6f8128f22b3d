"""Critiques as something to write: the conversation and the answer ask for it, the critique is the reply."""

from __future__ import annotations

from annotation.export_formats.base import FEEDBACK, MESSAGES, Format, Row, each, kept, text


def row(said: Row) -> Row | None:
    if not said["critique"].strip():
        return None
    asked = f"{text(said['prompt'])}\n\nThe answer:\n{text(said['completion'])}\n\nWrite a critique of the answer."
    score = "" if said["score"] is None else f"\n\nScore: {said['score']}"
    return {
        "prompt": [{"role": "user", "content": asked}],
        "completion": [{"role": "assistant", "content": said["critique"] + score}],
        "critique": said["critique"],
        "score": said["score"],
        **kept(said, *FEEDBACK),
    }


CRITIQUES = Format(
    "critiques",
    "Critiques to learn to write, for a reward model that explains itself",
    ("critiques",),
    {
        "prompt": f"{MESSAGES}: the conversation and the answer, and that a critique is asked for",
        "completion": f"{MESSAGES}: the critique, with the score at its end if there is one",
        "critique": "the critique alone",
        "score": "1 very bad to 5 very good, or null",
        **FEEDBACK,
    },
    each(row),
    reader="trl.SFTTrainer",
)
