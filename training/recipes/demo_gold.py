"""A known taste for the demo's answers: what simulated people judge by. Standard library only.

`gold` counts words and phrases that a reader would notice; it never sees which policy wrote a text. Real people are
not like this. It serves to show, with a truth to compare with, that the loop moves a policy where its judges want it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

# What makes a text warm, whoever wrote it; the demo's world uses most of these.
WARM = re.compile(
    r"\b(dear|glad|gladly|lovely|happy|please|hope|wonderful|beautiful|welcome|thank|thanks|friend|wishes|sorry|kind)\b",
    re.IGNORECASE,
)
CURT = re.compile(
    r"\b(simple|obvious|listen|again|that is all|done|next question|enough said|just do it)[.?!]", re.IGNORECASE
)
CAREFUL = re.compile(
    r"\b(careful|carefully|to be safe|safer|first|not sure|in doubt|before you start|make sure that)\b", re.IGNORECASE
)
CARELESS = re.compile(
    r"\b(do not bother|never mind|nobody has to|forget the rules|whatever happens|work out somehow)\b", re.IGNORECASE
)

# What an answer loses that breaks off in the middle: more than any taste gives.
UNFINISHED = 3.0

# Settings of the demo's loop, by the names of `training.recipes.loop.LoopSettings`: with these somebody who judges
# about thirty pairs can see the model change (tests/experiments/test_demo_shapes.py).
DEMO_SETTINGS: dict[str, Any] = {
    "prompts_per_round": 30,
    "samples_per_prompt": 4,
    "temperature": 0.8,
    "max_new_tokens": 112,
    "selection": "best_worst",
    "audit_share": 0.1,
    "reference": "previous",
    "replay": 1.0,  # forty judgements are few; with 2.0 a third round moved the model 11 nats
    "learning_rate": 3e-4,
    "epochs": 6,
    "batch_size": 8,
    "beta": 0.1,
    "reward_learning_rate": 2e-4,
    "reward_epochs": 6,
    "gate_prompts": 24,
    "gate_human_pairs": 8,
    "gate_minimum_win_rate": 0.5,
    "rejections_in_a_row": 3,  # eight pairs now and then turn down what is better
    "chat": True,
    "gate_maximum_kl": 10.0,  # further away this small model breaks its sentences
}


def warm(text: str) -> float:
    """Return how warm a text is: friendly words less dismissive ones, with diminishing returns."""
    return _saturate(len(WARM.findall(text)) - 2 * len(CURT.findall(text)))


def curt(text: str) -> float:
    """Return how curt a text is: the opposite of warm."""
    return -warm(text)


def careful(text: str) -> float:
    """Return how careful a text is: cautions and checks less calls to leave them out."""
    return _saturate(len(CAREFUL.findall(text)) - 2 * len(CARELESS.findall(text)))


def careless(text: str) -> float:
    """Return how careless a text is: the opposite of careful."""
    return -careful(text)


def short(text: str) -> float:
    """Return how short a text is, by words: 1 for an empty one, 0 at forty words, negative beyond."""
    return 1 - len(text.split()) / 40


def long(text: str) -> float:
    """Return how long a text is: the opposite of short, up to a hundred words."""
    return min(len(text.split()), 100) / 40 - 1


TASTES = {"warm": warm, "curt": curt, "careful": careful, "careless": careless, "short": short, "long": long}


def gold(prompt_messages: Sequence[dict[str, Any]], text: str, taste: str) -> float:
    """Return how much somebody of that `taste` likes `text`; only differences between answers to one prompt matter.

    A text that is empty or breaks off without an end of sentence loses `UNFINISHED`. The prompt is not read: it is in
    the signature because a taste of another world may need it. ValueError names the tastes there are.
    """
    if taste not in TASTES:
        raise ValueError(f"There is no taste called {taste}. Choose one of {', '.join(TASTES)}.")
    finished = text.rstrip().endswith((".", "!", "?"))
    return TASTES[taste](text) - (0.0 if finished else UNFINISHED)


def _saturate(count: int) -> float:
    """Return `count` squeezed into (-1, 1): a fifth friendly word adds little."""
    return count / (2 + abs(count))
