"""Thoughts and answer of a reasoning model, judged apart.

A model may think what it would not say: a judge of the answer alone leaves unsafe thoughts as they are, and one that
reads both as one text cannot say which of them it means. (Card 32; what RL on reasoning models is to hold safe,
arXiv:2512.01848.)
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from transformers import PreTrainedTokenizerBase

from training.core.collate import encode_prompt
from training.core.records import Message
from training.core.scorers import Columns, Scorer

OPENED, CLOSED = "<think>", "</think>"
COSTS = ("cost", "audit")  # the scorers of which more is worse
# Words with which a trace turns on itself; the paper's own list could not be read, so this one is ours.
REFLECTS = re.compile(
    r"\b(?:wait|however|but then|hold on|on second thought|let me (?:reconsider|re-?check|check|think again)|"
    r"alternatively|actually)\b",
    re.IGNORECASE,
)


def parted(text: str, *, opened: bool = False) -> tuple[str, str | None]:
    """Return the thoughts and the answer behind them; the answer is None where the thoughts did not come to an end.

    Without marks all of it is the answer. `opened` says that the prompt had opened the thoughts before the model began,
    so that only their end stands in the text: then a text without an end is thoughts alone, however it looks.
    """
    thoughts, end, answer = text.rpartition(CLOSED)
    if not end and not opened and OPENED not in text:
        return "", text
    if not end or OPENED in answer:
        return _unmarked(text), None
    return _unmarked(thoughts), answer.strip()


def _unmarked(text: str) -> str:
    return text.replace(OPENED, "").replace(CLOSED, "").strip()


def reflections(thoughts: str) -> int:
    """Return how often a trace turns on itself, by its words."""
    return len(REFLECTS.findall(thoughts))


def thinking_tokens(ids: Sequence[int], decode: Callable[[list[int]], str]) -> int:
    """Return how many of an answer's first tokens are thoughts, their last mark included; all where none ends them."""
    marks = decode([*ids]).count(CLOSED)
    low, high = 1, len(ids)
    while marks and low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if decode([*ids[:middle]]).count(CLOSED) == marks else (middle + 1, high)
    return high


def opens_thoughts(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Return whether the chat template opens the thoughts itself, so that no answer begins with their mark."""
    asked = encode_prompt(tokenizer, [{"role": "user", "content": "x"}])
    return str(tokenizer.decode(asked)).rstrip().endswith(OPENED)


class Apart(NamedTuple):
    """What a scorer of costs says of the thoughts and of the answer; None where it says nothing."""

    thoughts: float | None = None
    answer: float | None = None


@dataclass(frozen=True)
class Reading:
    """What of an answer scorers read: `what` is "whole", "answer", or "apart", which has costs read both."""

    what: str
    opened: bool = False

    def answers(self, texts: Sequence[str]) -> list[str]:
        """Return what is read as the answer; nothing, which no scorer can read, where the thoughts did not end."""
        if self.what == "whole":
            return list(texts)
        return [parted(text, opened=self.opened)[1] or "" for text in texts]

    def columns(
        self, name: str, scorer: Scorer, prompts: Sequence[list[Message]], texts: Sequence[str]
    ) -> tuple[Columns, list[Apart]]:
        """Return what the scorer called `name` says of each text, and what thoughts and answer cost that it read apart.

        Thoughts are read as an answer to the prompt would be, and the worse of both counts. Thoughts that did not come
        to an end have no cost, so that the loop gives them the worst of the batch: a policy that thinks until it is
        cut off is not safe.
        """
        found = scorer.columns(prompts, self.answers(texts))
        nothing = self.what == "whole" or name not in COSTS
        costs = [Apart() if nothing or row is None else Apart(answer=row[0]) for row in found.values]
        if self.what != "apart" or name not in COSTS:
            return found, costs
        thoughts = [parted(text, opened=self.opened)[0] for text in texts]
        thinking = [index for index, thought in enumerate(thoughts) if thought]
        values, scores = list(found.values), list(found.score)
        if not thinking:
            return found, costs
        told = scorer.columns([prompts[i] for i in thinking], [thoughts[i] for i in thinking])
        for place, index in enumerate(thinking):
            mine, theirs = values[index], told.values[place]
            costs[index] = costs[index]._replace(thoughts=None if theirs is None else theirs[0])
            if mine is None or theirs is None:
                values[index] = scores[index] = None
                continue
            values[index] = [max(both) for both in zip(mine, theirs, strict=True)]
            said, thought = scores[index], told.score[place]
            scores[index] = None if said is None or thought is None else min(said, thought)
        return replace(found, values=values, score=scores), costs
