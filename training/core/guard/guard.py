"""The guard itself: prompt guard, answer guard, up to five more tries, and a safe answer at the end.

Safe RLHF-V (arXiv:2503.17682) filters prompts, then answers, and draws a blocked answer anew up to five times;
DeepKnown-Guard (card 40) has four tiers of prompts, of which the middle two get an answer grounded in documents. Here
both are one object. It fails closed: a check that raises, cannot read a text or gives no number blocks it, as does a
log that cannot be written.

Prompts may have images (`training.core.conversation`): each message is read with its own. A check that reads text alone
cannot read a message with an image, and so holds it back, whatever its words are.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, Protocol, TypeVar

from training.core.conversation import apart, marks, with_images
from training.core.guard.grounding import Knowledge
from training.core.guard.verdicts import ANSWER, PROMPT, SAFE, UNSAFE, Verdict
from training.core.records import Message
from training.recipes.tiers import DOCUMENTS, USUAL

T = TypeVar("T")

REGENERATIONS = 5
REFUSAL = "I cannot answer that here."
CAVEAT = "What the documents say, without a judgement of your case:"
NO_EYES = "There is an image, and the check cannot read it: make this guard of a cost model that reads images."
MODEL, GROUNDED, REFUSED = "model", "grounded", "refused"  # where a reply comes from


class Check(Protocol):
    """Whatever tells how risky texts are. Images of a text stand behind those of its prompt."""

    def probabilities(self, prompts: Sequence[list[Message]], texts: Sequence[str]) -> list[dict[str, float] | None]:
        """Return for each text, as the answer to its prompt, how likely each tier is; None where it cannot be read."""
        ...


@dataclass(frozen=True)
class Line:
    """A check and the risk from which on its texts are held back."""

    check: Check
    threshold: float


@dataclass(frozen=True)
class Reply(Generic[T]):
    """What leaves a guard. `drawn` is what the policy drew, where the text is its own."""

    text: str
    source: str
    drawn: T | None
    prompt: Verdict
    answers: tuple[Verdict, ...]  # of each try, in order
    needs_person: bool = False

    @property
    def blocked(self) -> bool:
        return self.source != MODEL


class Guard:
    """Reads prompts and answers by a line each. `log` gets every verdict before anything is done upon it."""

    def __init__(
        self,
        *,
        prompt: Line,
        answer: Line,
        jailbreaks: Line | None = None,
        knowledge: Knowledge | None = None,
        regenerations: int = REGENERATIONS,
        refusal: str = REFUSAL,
        caveat: str = CAVEAT,
        tiers: Mapping[str, Mapping[str, Any]] = USUAL,
        log: Callable[[Verdict], None] | None = None,
    ) -> None:
        """`jailbreaks` is a detector that reads prompts too, beside the check that tells their tier.

        `tiers` says what is done with each, as `training.recipes.tiers` has it.
        """
        self.lines = {PROMPT: prompt, ANSWER: answer}
        self.jailbreaks = jailbreaks
        self.knowledge = knowledge
        self.regenerations = regenerations
        self.refusal = refusal
        self.caveat = caveat
        self.tiers = tiers
        self.log = log

    def prompt(self, messages: list[Message]) -> Verdict:
        """Return what is to be said of a conversation that waits for an answer: of the worst of its parts.

        Each message is read for itself, and what the user said so far as one text: what is asked in pieces is asked.
        """
        spoken, images = apart(messages)
        # Plain words may have the character that marks an image, and then there is none.
        if images and marks(spoken) != len(images):
            return self._logged(_failure(PROMPT, self.lines[PROMPT], "Its images are not where it says."))
        rest, told = iter(images), []
        for message in spoken:
            own = tuple(itertools.islice(rest, marks([message]) if images else 0))
            told.append((message["role"], message["content"], own))
        read = [(text, own) for _, text, own in told if text.strip()]
        asked = [(text, own) for role, text, own in told if role == "user"]
        if len(asked) > 1:
            read.append(_as_one(asked))
        found = self._read(PROMPT, self.lines[PROMPT], *_with_their_images(read))
        if self.jailbreaks is not None and asked:
            found += self._read(PROMPT, self.jailbreaks, *_with_their_images([_as_one(asked)]))
        return self._logged(max(found, key=_worse) if found else _failure(PROMPT, self.lines[PROMPT], "It is empty."))

    def answers(self, messages: list[Message], texts: Sequence[str]) -> list[Verdict]:
        """Return what is to be said of each text as the answer to a conversation."""
        return [
            self._logged(verdict) for verdict in self._read(ANSWER, self.lines[ANSWER], [messages] * len(texts), texts)
        ]

    def passes(self, prompts: Sequence[list[Message]], texts: Sequence[str]) -> list[bool]:
        """Return whether each answer may be given: the guard as a judge of constraints."""
        return [self._logged(verdict).allowed for verdict in self._read(ANSWER, self.lines[ANSWER], prompts, texts)]

    def reply(self, messages: list[Message], draw: Callable[[int], tuple[str, T]]) -> Reply[T]:
        """Return what is said to a conversation.

        `draw` gives the n-th try, from 0, as its text and whatever goes along. Nothing is drawn for a prompt that is
        held back. An answer that is held back is drawn anew, so what comes out is a draw of the policy given that it
        passes, cut after the last try.
        """
        asked = self.prompt(messages)
        if not asked.allowed:
            return replace(self._safe(messages, asked), needs_person=self.wants_person(asked))
        told: list[Verdict] = []
        for attempt in range(1 + self.regenerations):
            text, drawn = draw(attempt)
            (verdict,) = self.answers(messages, [text])
            told.append(verdict)
            if verdict.allowed:
                return Reply(text, MODEL, drawn, asked, tuple(told))
        return Reply(self.refusal, REFUSED, None, asked, tuple(told))

    def wants_person(self, asked: Verdict) -> bool:
        """Return whether a person is to look at a prompt. Of one that could not be read nothing is known."""
        return not asked.allowed and not asked.failed and bool(self.tiers.get(asked.tier, {}).get("person"))

    def _safe(self, messages: list[Message], asked: Verdict) -> Reply[T]:
        """Return a grounded answer where the tier gets one, if there is one and it passes; else the refusal."""
        documents = not asked.failed and self.tiers.get(asked.tier, {}).get("answer") == DOCUMENTS
        if documents and self.knowledge is not None:
            question = next((one["content"] for one in reversed(messages) if one["role"] == "user"), "")
            found = self.knowledge.verified(self.knowledge.answer(question))
            if found:
                verdicts = tuple(self.answers(messages, [found]))
                if all(verdict.allowed for verdict in verdicts):
                    return Reply(f"{self.caveat} {found}", GROUNDED, None, asked, verdicts)
                return Reply(self.refusal, REFUSED, None, asked, verdicts)
        return Reply(self.refusal, REFUSED, None, asked, ())

    def margins(self, prompts: Sequence[list[Message]], texts: Sequence[str]) -> list[float | None]:
        """Return how far each answer is from being held back, in log-odds: above 0 it passes. None if unread."""
        found = self._read(ANSWER, self.lines[ANSWER], prompts, texts)
        return [None if one.failed else _log_odds(one.threshold) - _log_odds(one.risk) for one in found]

    def _read(self, side: str, line: Line, prompts: Sequence[list[Message]], texts: Sequence[str]) -> list[Verdict]:
        began = time.perf_counter()
        try:
            told = line.check.probabilities(prompts, texts)
            if len(told) != len(texts):
                raise ValueError(f"It gave {len(told)} opinions of {len(texts)} texts.")
            found = [
                _verdict(side, line, one, seen=apart(prompt)[1] != ())
                for one, prompt in zip(told, prompts, strict=True)
            ]
        except Exception as error:  # whatever a check dies of, what it was to read must not pass
            return [_failure(side, line, f"The check failed with {type(error).__name__}.")] * len(texts)
        took = 1000 * (time.perf_counter() - began) / max(1, len(texts))
        return [replace(verdict, milliseconds=took) for verdict in found]

    def _logged(self, verdict: Verdict) -> Verdict:
        if self.log is None:
            return verdict
        try:
            self.log(verdict)
        except OSError as error:
            return _failure(verdict.side, self.lines[verdict.side], f"The log cannot be written ({error.strerror}).")
        return verdict


Read = tuple[str, tuple[str, ...]]  # a text and its own images


def _as_one(several: Sequence[Read]) -> Read:
    return "\n".join(text for text, _ in several), tuple(image for _, own in several for image in own)


def _with_their_images(texts: Sequence[Read]) -> tuple[list[list[Message]], list[str]]:
    """Return texts that stand for themselves as a check is given them: no prompt but the images of each."""
    return [with_images([], own) for _, own in texts], [text for text, _ in texts]


def _verdict(side: str, line: Line, told: dict[str, float] | None, *, seen: bool) -> Verdict:
    if told is None:
        return _failure(side, line, NO_EYES if seen else "The check cannot read it.")
    known = all(math.isfinite(value) and value >= 0 for value in told.values()) and SAFE in told
    if not known or abs(sum(told.values()) - 1) > 1e-3 or not math.isfinite(line.threshold):
        return _failure(side, line, "The check gave no probabilities.")
    risk = 1 - told[SAFE]
    if risk < line.threshold:
        return Verdict(side, True, SAFE, risk, line.threshold, told)
    tier = max((name for name in told if name != SAFE), key=lambda name: told[name], default=UNSAFE)
    return Verdict(side, False, tier, risk, line.threshold, told, f"Its risk is {risk:.3f}.")


def _failure(side: str, line: Line, reason: str) -> Verdict:
    return Verdict(side, False, UNSAFE, math.nan, line.threshold, {}, reason)


def _worse(verdict: Verdict) -> tuple[bool, bool, float]:
    """Order verdicts so that the highest is the one to go by; one that failed is the worst.

    One that blocks goes before one that does not, as two checks have two lines.
    """
    return verdict.failed, not verdict.allowed, 0.0 if verdict.failed else verdict.risk


def _log_odds(p: float) -> float:
    p = min(max(p, 1e-6), 1 - 1e-6)
    return math.log(p / (1 - p))
