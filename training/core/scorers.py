"""Scores for completions: a number each, higher is better, by the name under which the run's spec lists the scorer."""

from __future__ import annotations

import copy
import math
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import TYPE_CHECKING, Any, Protocol, TypeGuard

import torch
from torch import Tensor

from training.core.backbone import load_pictures, load_reward, load_tokenizer, pad_id_of
from training.core.batch import Tokens
from training.core.collate import encode_answer, encode_completion, encode_shown, pad
from training.core.heads import GatedHead, VerdictHead, YesNoHead
from training.core.job import RunError
from training.core.judging import question
from training.core.pictures import Album
from training.core.principles import asked
from training.core.records import Message, Refused, canonical
from training.recipes.note import Note

if TYPE_CHECKING:
    from training.core.rewriting import Credit


PRINCIPLE = "principle"  # the scorer that judges whether principles are kept, and that no reward is made of


def columns_of(scorer: str, names: Sequence[str]) -> list[str]:
    """Return what the columns of a scorer are called among those of others: one alone as the scorer itself."""
    if len(names) == 1:
        return [scorer]
    return [f"{scorer}: {name}" for name in names] if scorer == PRINCIPLE else list(names)


@dataclass(frozen=True)
class Columns:
    """Named scores of N answers; None where an answer cannot be read."""

    names: tuple[str, ...]
    values: list[list[float] | None]  # N rows of K numbers
    spread: list[list[float] | None]  # how unsure a head says each number is; None where it has no opinion
    score: list[float | None]  # one number an answer, as the head combines its columns
    scale: list[float] | None = None  # of an ensemble: how much a column's unit is in the member's own log-odds
    credit: Sequence[Credit | None] = ()  # what each token adds to the score, of a scorer that knows

    @property
    def members(self) -> list[list[float]]:
        """What each member of an ensemble says of each answer, in log-odds; empty lists where there is no ensemble."""
        if self.scale is None:
            return [[] for _ in self.values]
        return [[v * s for v, s in zip(row, self.scale, strict=True)] if row else [] for row in self.values]


@dataclass(frozen=True)
class Encoded:
    """What a model reads of an answer: the ids before it, its own, and the images of both as tensors."""

    before: list[int]
    answer: list[int]
    shown: Mapping[str, Tensor] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.before) + len(self.answer)


class Scorer(Protocol):
    """Whatever gives answers scores. A prompt may have images with it (`training.core.conversation`)."""

    def score(self, prompts: Sequence[list[Message]], texts: Sequence[str]) -> list[float | None]:
        """Return one number for each text, higher is better; None where it cannot be read."""
        ...

    def columns(self, prompts: Sequence[list[Message]], texts: Sequence[str]) -> Columns:
        """Return every named score of each text, and the one that they come to."""
        ...


class Judge(ABC):
    """Whatever says which of two answers is better, and so has no score for an answer alone."""

    judges = True  # not so of a model that may have another head

    @abstractmethod
    def in_both_orders(
        self, prompts: Sequence[list[Message]], firsts: Sequence[str], seconds: Sequence[str]
    ) -> list[tuple[float, float] | None]:
        """Return p(A | first, second) and p(A | second, first) of each pair; None where it cannot be read."""

    def compare(
        self, prompts: Sequence[list[Message]], firsts: Sequence[str], seconds: Sequence[str]
    ) -> list[tuple[float, float] | None]:
        """Return for each pair how likely the first answer is the better one, and how much the order said of it.

        The former is ½ [p(A | first, second) + 1 - p(A | second, first)]; the latter is
        |p(A | first, second) + p(A | second, first) - 1|, 0 for a judge that does not mind the order. None where an
        answer cannot be read or both are too long together. `seconds` may be anchors: answers known to be good.
        """
        told = self.in_both_orders(prompts, firsts, seconds)
        return [None if both is None else (_ahead(*both), abs(sum(both) - 1)) for both in told]

    def against(self, prompts: Sequence[list[Message]], texts: Sequence[str], anchors: Sequence[str]) -> Columns:
        """Return a judge's score of each text: how likely it is better than its anchor. arXiv:2504.04950."""
        return _win_shares([told and told[0] for told in self.compare(prompts, texts, anchors)])

    def among_rivals(self, prompts: Sequence[list[Message]], texts: Sequence[str]) -> Columns:
        """Score each answer by how likely it is better than another one of its prompt, on average; alone it has none.

        An answer is not held against one of the same words.
        """
        shares: dict[int, list[float]] = defaultdict(list)
        for i, j, *both in self.duels(prompts, texts):
            chance = _ahead(*both)
            shares[i].append(chance)
            shares[j].append(1 - chance)
        return _win_shares([fmean(shares[index]) if shares[index] else None for index in range(len(texts))])

    def duels(self, prompts: Sequence[list[Message]], texts: Sequence[str]) -> list[tuple[int, int, float, float]]:
        """Return (i, j, p(A | i, j), p(A | j, i)) of all answers to one prompt that can be compared, i < j."""
        groups: dict[str, list[int]] = defaultdict(list)
        for index, messages in enumerate(prompts):
            groups[canonical(messages)].append(index)
        pairs = [
            (i, j)
            for group in groups.values()
            for place, i in enumerate(group)
            for j in group[place + 1 :]
            if texts[i].strip() != texts[j].strip()
        ]
        asked = [prompts[i] for i, _ in pairs]
        found = self.in_both_orders(asked, [texts[i] for i, _ in pairs], [texts[j] for _, j in pairs])
        return [(i, j, *told) for (i, j), told in zip(pairs, found, strict=True) if told is not None]


class RewardScorer(Judge):
    """A reward model that reads a conversation and its answer, with its own tokenizer.

    One that was trained on images reads those of a conversation, which it finds in the `album`; to every other one a
    conversation with images is one that cannot be read.

    A model that judges by principles is asked about each of `principles`, which become its columns; their mean is the
    score. Nothing of a principle reaches the policy whose answers are scored.
    """

    def __init__(
        self,
        path: str,
        *,
        device: torch.device,
        rows_at_once: int = 32,
        trust_remote_code: bool = False,
        principles: Sequence[str] = (),
        album: Album | None = None,
    ) -> None:
        self.model = load_reward(path, trust_remote_code=trust_remote_code).to(device)
        self.tokenizer = load_tokenizer(path, trust_remote_code=trust_remote_code)
        self.pictures = load_pictures(path, album or Album(), answers=True, trust_remote_code=trust_remote_code)
        self.device = device
        self.rows_at_once = rows_at_once
        self.principles = tuple(principles)
        self.longest: int = self.model.backbone.config.get_text_config().max_position_embeddings  # type: ignore
        self.judges = isinstance(self.model.head, VerdictHead)
        self.by_principle = isinstance(self.model.head, YesNoHead) and not self.judges
        if self.by_principle and not self.principles:
            raise RunError(Note("This model judges by principles. Name at least one that it is to judge by."))

    def asking(self, principles: Sequence[str]) -> RewardScorer:
        """Return the same model, asked about other principles; RunError where it judges by none."""
        if not self.by_principle:
            raise RunError(Note("Only a principle model judges by principles. Train the recipe principle-reward."))
        twin = copy.copy(self)
        twin.principles = tuple(principles)
        return twin

    def score(self, prompts: Sequence[list[Message]], texts: Sequence[str]) -> list[float | None]:
        """Return the reward of each text as the answer to its prompt; None where the model cannot read it.

        Rows of about one length share a batch. A prompt that is too long for the reward model loses its beginning.
        """
        return self.columns(prompts, texts).score

    @torch.inference_mode()
    def columns(self, prompts: Sequence[list[Message]], texts: Sequence[str]) -> Columns:
        """Return every named score of each text, its spread, and the one score that they come to."""
        if self.by_principle:
            return self._by_principle(prompts, texts)
        if self.judges:
            return self.among_rivals(prompts, texts)
        encoded = {}
        for index, (messages, text) in enumerate(zip(prompts, texts, strict=True)):
            try:
                encoded[index] = self._fitting(messages, text)
            except Refused:  # an empty answer, or one with the end of a turn inside
                continue
        return self._read(encoded, len(texts))

    def _by_principle(self, prompts: Sequence[list[Message]], texts: Sequence[str]) -> Columns:
        found: list[list[float] | None] = [[] for _ in texts]
        for principle in self.principles:
            for index, value in enumerate(self.satisfied(prompts, texts, [principle] * len(texts))):
                row = found[index]
                found[index] = None if value is None or row is None else [*row, value]
        scores = [None if row is None else fmean(row) for row in found]
        return Columns(self.principles, found, [None] * len(texts), scores)

    @torch.inference_mode()
    def satisfied(
        self, prompts: Sequence[list[Message]], texts: Sequence[str], principles: Sequence[str]
    ) -> list[float | None]:
        """Return the log-odds that each answer satisfies its own principle; None where it cannot be read."""
        encoded: dict[int, Encoded] = {}
        for index, (messages, text, principle) in enumerate(zip(prompts, texts, principles, strict=True)):
            try:
                encode_completion(self.tokenizer, text)
                encoded[index] = self._question(asked(messages, text, principle))
            except Refused:
                continue
        return self._read(encoded, len(texts)).score

    @torch.inference_mode()
    def in_both_orders(
        self, prompts: Sequence[list[Message]], firsts: Sequence[str], seconds: Sequence[str]
    ) -> list[tuple[float, float] | None]:
        """Return p(A | first, second) and p(A | second, first) of each pair."""
        if not self.judges:
            raise RunError(Note("Only a pairwise judge compares two answers. Train the recipe pairwise-generative."))
        encoded: dict[int, Encoded] = {}
        for index, (messages, one, other) in enumerate(zip(prompts, firsts, seconds, strict=True)):
            try:
                for text in (one, other):
                    encode_completion(self.tokenizer, text)
                for side, both in enumerate(((one, other), (other, one))):
                    asked_now = question(messages, *both, reasoned=False)
                    encoded[2 * index + side] = self._question(asked_now, cut=False)
            except Refused:
                encoded.pop(2 * index, None)
        logits = self._read(encoded, 2 * len(firsts)).score
        return [
            None if ahead is None or behind is None else (_sigmoid(ahead), _sigmoid(behind))
            for ahead, behind in zip(logits[::2], logits[1::2], strict=True)
        ]

    def _fitting(self, messages: list[Message], text: str) -> Encoded:
        prompt, completion, shown = encode_answer(self.tokenizer, self.pictures, messages, text)
        whole = [*prompt, *completion]
        if shown and len(whole) > self.longest:
            raise Refused("too_long")  # half an image is none
        whole = whole[-self.longest :]
        cut = max(len(whole) - len(completion), 0)
        return Encoded(whole[:cut], whole[cut:], shown)

    def _question(self, messages: list[Message], *, cut: bool = True) -> Encoded:
        """Return a question that the head answers at its end; one that is too long loses its beginning.

        It is Refused instead where it is not to be `cut`, or has images.
        """
        ids, shown = encode_shown(self.tokenizer, self.pictures, messages)
        if (shown or not cut) and len(ids) > self.longest:
            raise Refused("too_long")
        return Encoded(ids[-self.longest :], [], shown)

    def _tokens(self, readings: Sequence[Encoded]) -> Tokens:
        sequences = [(one.before, one.answer) for one in readings]
        return pad(sequences, pad_id_of(self.tokenizer), [one.shown for one in readings]).to(self.device)

    def _read(self, encoded: Mapping[int, Encoded], count: int) -> Columns:
        head = self.model.head
        values: list[list[float] | None] = [None] * count
        spread: list[list[float] | None] = [None] * count
        scores: list[float | None] = [None] * count
        order = sorted(encoded, key=lambda index: len(encoded[index]))
        for start in range(0, len(order), self.rows_at_once):
            indices = order[start : start + self.rows_at_once]
            tokens = self._tokens([encoded[index] for index in indices])
            found = self.model.read(tokens.input_ids, tokens.attention_mask, tokens.completion_mask, tokens.images)
            if not torch.isfinite(found.values).all():
                raise RunError(Note("The reward model gives scores that are not numbers. Train it anew."))
            one = head.combined(found.values).float().tolist()
            for place, index in enumerate(indices):
                values[index], scores[index] = found.values[place].float().tolist(), one[place]
                if found.spread is not None:
                    spread[index] = found.spread[place].float().tolist()
        scale = head.log_odds
        return Columns(head.names, values, spread, scores, None if scale is None else scale.tolist())

    @torch.inference_mode()
    def why(self, messages: list[Message], text: str) -> list[dict[str, Any]]:
        """Return what a gated model's score is made of: each attribute's points, weight and contribution.

        The contributions sum to the score; the largest comes first.
        """
        head = self.model.head
        if not isinstance(head, GatedHead):
            raise RunError(Note("Only a gate over attributes can say why. Train the recipe gated-objectives."))
        tokens = self._tokens([self._fitting(messages, text)])
        masks = tokens.attention_mask, tokens.completion_mask
        pooled, prompt = self.model.states(tokens.input_ids, *masks, tokens.images)
        points, weights = head.debiased(pooled)[0].tolist(), head.weights(prompt)[0].tolist()
        contributions = head.contributions(pooled, prompt)[0].tolist()
        parts = zip(head.attribute_names, points, weights, contributions, strict=True)
        told = [{"attribute": n, "points": p, "weight": w, "contribution": c} for n, p, w, c in parts]
        return sorted(told, key=lambda part: -abs(part["contribution"]))


def is_judge(scorer: Scorer) -> TypeGuard[Judge]:
    """Return whether it says which of two answers is better, and so has no score for an answer alone."""
    return isinstance(scorer, Judge) and scorer.judges


def _ahead(p: float, q: float) -> float:
    """Return how likely the first is better: p says so where it stands first, q that the other is where that does."""
    return (p + 1 - q) / 2


def _win_shares(shares: list[float | None]) -> Columns:
    values = [None if share is None else [share] for share in shares]
    return Columns(("win_share",), values, [None] * len(shares), shares)


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x > -700 else 0.0
