"""A judge that thinks aloud about two answers before it names the better one, as a scorer. Think-RM, arXiv:2505.16265.

It is a language model, whose verdict is read in what it writes (`judging.verdict`). Each pair is asked about in both
orders; the authors' code asks in one, by which a judge's leaning to a place becomes part of the reward.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from training.core.backbone import load_pictures, load_policy
from training.core.collate import encode_completion, encode_shown
from training.core.decode import generate, prompt_seed, stop_ids
from training.core.judging import VERDICTS, question, verdict
from training.core.pictures import Album
from training.core.records import Message, Refused, canonical
from training.core.sampler import text_of
from training.core.scorers import Columns, Judge
from training.core.thinking import OPENED, opens_thoughts

REMEMBERED = 100_000  # verdicts, each a few bytes


@dataclass(frozen=True)
class Thoughts:
    """How a judge thinks. A verdict depends on these, on the judge and on what it is asked, and on nothing else."""

    max_new_tokens: int = 1024
    temperature: float = 0.6
    seed: int = 0


@dataclass(frozen=True)
class _Asked:
    seed: int  # of its random numbers; a digest of the question, so that it names it too
    ids: list[int]
    shown: Mapping[str, Tensor]


class ReasoningJudge(Judge):
    """The judge in a folder of the recipe `reasoning-judge` or `reasoning-judge-rl`.

    A pair of which either verdict cannot be read is a tie, as is one of which both name the same place: thoughts that
    were cut off say nothing of the answers. How many could not be read is counted. Of a pair it does not read (an empty
    answer, or two that are too long together) it says nothing, as every judge.
    """

    def __init__(
        self,
        path: str,
        *,
        device: torch.device,
        rows_at_once: int = 32,
        trust_remote_code: bool = False,
        album: Album | None = None,
        thoughts: Thoughts | None = None,
    ) -> None:
        model, self.tokenizer = load_policy(path, trust_remote_code=trust_remote_code)
        self.model = model.to(device)  # type: ignore[arg-type]
        self.pictures = load_pictures(path, album or Album(), trust_remote_code=trust_remote_code)
        self.rows_at_once = rows_at_once
        self.thoughts = thoughts or Thoughts()
        self.stop = stop_ids(self.model, self.tokenizer)
        self.opened = opens_thoughts(self.tokenizer)
        # Half of what it reads at most is left to its thoughts, so that there is room for the question.
        context = getattr(self.model.config.get_text_config(), "max_position_embeddings", None)
        self.at_most = self.thoughts.max_new_tokens
        self.longest: int | None = None
        if context is not None:
            self.at_most = min(self.at_most, int(context) // 2)
            self.longest = int(context) - self.at_most
        self.said: dict[int, str | None] = {}
        self._counted = [0, 0, 0]

    def score(self, prompts: Sequence[list[Message]], texts: Sequence[str]) -> list[float | None]:
        """Return how often each text is better than another one of its prompt; None where it stands alone."""
        return self.columns(prompts, texts).score

    def columns(self, prompts: Sequence[list[Message]], texts: Sequence[str]) -> Columns:
        """Return the one column there is: the share of wins among rivals."""
        return self.among_rivals(prompts, texts)

    def in_both_orders(
        self, prompts: Sequence[list[Message]], firsts: Sequence[str], seconds: Sequence[str]
    ) -> list[tuple[float, float] | None]:
        """Return whether each pair's first answer is named where it stands first, and whether the second one is there.

        1 and 0 by verdict; ½ and ½, a tie, where one of the two verdicts cannot be read.
        """
        asked: list[tuple[_Asked, _Asked] | None] = []
        for messages, one, other in zip(prompts, firsts, seconds, strict=True):
            try:
                for text in (one, other):
                    encode_completion(self.tokenizer, text)
                asked.append((self._question(messages, one, other), self._question(messages, other, one)))
            except Refused:
                asked.append(None)
        self._think([question for both in asked if both is not None for question in both])
        return [None if both is None else self._told(*both) for both in asked]

    def count(self) -> tuple[int, int, int]:
        """Return how many verdicts were asked for since this was called last, how many are unread, how many name A."""
        asked, unread, first = self._counted
        self._counted = [0, 0, 0]
        return asked, unread, first

    def _told(self, straight: _Asked, turned: _Asked) -> tuple[float, float]:
        said = [self.said[one.seed] for one in (straight, turned)]
        self._counted[0] += 2
        self._counted[1] += said.count(None)
        self._counted[2] += said.count(VERDICTS[0])
        if None in said:
            return 0.5, 0.5
        return float(said[0] == VERDICTS[0]), float(said[1] == VERDICTS[0])

    def _question(self, messages: list[Message], first: str, second: str) -> _Asked:
        asked = question(messages, first, second, reasoned=True)
        ids, shown = encode_shown(self.tokenizer, self.pictures, asked)
        if self.longest is not None and len(ids) > self.longest:
            raise Refused("too_long")
        return _Asked(prompt_seed(self.thoughts.seed, canonical(asked), "judge"), ids, shown)

    def _think(self, questions: Sequence[_Asked]) -> None:
        """Have the verdicts of all questions in `said`; of one that was asked before it is the same."""
        if len(self.said) > REMEMBERED:
            self.said.clear()
        fresh = list({one.seed: one for one in questions if one.seed not in self.said}.values())
        fresh.sort(key=lambda one: len(one.ids))
        for start in range(0, len(fresh), self.rows_at_once):
            some = fresh[start : start + self.rows_at_once]
            for one, text in zip(some, self._judgements(some), strict=True):
                self.said[one.seed] = verdict(text)

    def _judgements(self, questions: Sequence[_Asked]) -> list[str]:
        """Return what the judge writes to each question, thoughts and all."""
        draws = generate(
            self.model,
            [one.ids for one in questions],
            n=1,
            temperature=self.thoughts.temperature,
            max_new_tokens=self.at_most,
            stop=self.stop,
            seeds=[one.seed for one in questions],
            pictures=[one.shown for one in questions],
        )
        texts = [text_of(self.tokenizer, one.ids[:-1] if one.ended else one.ids) for (one,) in draws]
        # Where the template has opened the thoughts already, what is written before their end is not the verdict.
        return [OPENED + text if self.opened else text for text in texts]
