"""A stand-in for `training.core.chat` that keeps its contract and needs no model.

``python toy_speaker.py [--mode M] [--pause S] VOICE``. It answers a message in capitals, with a seed, a word at a time.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from pathlib import Path

from training.recipes.chat import Question, Voice

UNASKED = {"tokens": 0, "ended": True, "logp": 0.0, "asked": 0}  # of what a guard gives in place of an answer


def tell(event: dict) -> None:
    sys.stdout.write(json.dumps(event) + "\n")
    sys.stdout.flush()


def main() -> int:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--mode", default="good")
    arguments.add_argument("--pause", type=float, default=0.0)
    arguments.add_argument("voice")
    given = arguments.parse_args()
    voice = Voice.from_line(given.voice)
    starts = Path(voice.model) / "starts.txt"
    if starts.parent.is_dir():
        with starts.open("a") as file:
            file.write(f"{os.getpid()}\n")
    if given.mode == "no-model":
        tell({"error": "The model could not be loaded."})
        return 1
    tell({"ready": True})
    for line in sys.stdin:
        question = Question.from_line(line)
        if given.mode == "fails":
            tell({"id": question.id, "error": "The toy refuses."})
            continue
        if question.messages[-1]["content"] == "too much":
            tell({"id": question.id, "error": "This message is longer than the model can read.", "refused": True})
            continue
        if voice.guard and "bomb" in question.messages[-1]["content"]:
            held = {"text": "That is not answered here.", **UNASKED, "source": "refused"}
            tell({"id": question.id, "answers": [{**held, "seed": question.seeds[0]}]})
            continue
        if voice.guard and "hurting myself" in question.messages[-1]["content"]:
            held = {"text": "Talk to somebody.", **UNASKED, "source": "grounded"}
            attended = {"tier": "focused_attention", "risk": 0.75}
            tell({"id": question.id, "answers": [{**held, "seed": question.seeds[0]}], "attended": attended})
            continue
        said = question.messages[-1]["content"].upper()
        shown = [str(seed) if given.mode != "same" else "" for seed in question.seeds]
        ends = [" ".join(filter(None, (said, seed, voice.mode, question.user, question.profile))) for seed in shown]
        for length in (1, len(said)):
            tell({"id": question.id, "texts": [text[:length] for text in ends]})
            if given.mode == "is-killed":
                os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(given.pause)
        answers = [
            {"text": text, "tokens": 3, "ended": True, "logp": -1.5, "seed": seed, "asked": 5}
            for text, seed in zip(ends, question.seeds, strict=True)
        ]
        tell({"id": question.id, "answers": answers})
    return 0


if __name__ == "__main__":
    sys.exit(main())
