"""A reward from a model that rewrites: what it is asked, what it learns from, and its opinion of every token.

Seq2seq reward modelling, arXiv:2409.00162, as told by a review of its figure 2 (the paper itself was not to be had):
the model learns the correction of a rejected answer into the chosen one and the identity of a chosen answer. Its reward
is positive on the tokens up to where an answer departs from the rewrite, and negative on those that depart. The sizes
are ours, and so is reading the answer through the model instead of decoding: position by position against a decoded
rewrite, one inserted word would turn all that follows wrong.
"""

from __future__ import annotations

import bisect
import difflib
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from training.core.backbone import load_policy, longest_input, pad_id_of
from training.core.collate import encode_completion, encode_prompt, pad
from training.core.decode import generate, stop_ids
from training.core.records import Demonstration, Message, Pair, Refused, Tally
from training.core.scorers import Columns

MOST_LONGER = 32  # tokens by which a rewrite may be longer than twice its answer
REQUEST = "Rewrite your answer so that it is better. If it cannot be better, repeat it word for word."


def asked(prompt: Sequence[Message], answer: str) -> list[Message]:
    """Return the conversation at whose end the model writes a better answer."""
    return [*prompt, {"role": "assistant", "content": answer}, {"role": "user", "content": REQUEST}]


def rewrites(
    records: Sequence[tuple[int, Pair]], tally: Tally, *, identity: bool, most_changed: float
) -> list[tuple[int, Demonstration]]:
    """Return (x, y_l) → y_w, and with `identity` (x, y_w) → y_w, of pairs whose answers are alike enough.

    Without the identity a model learns that every answer is to be changed. Two answers that say different things are
    no correction of each other: where more than `most_changed` of the words differ, the pair is left out.
    """
    kept = []
    for line, pair in records:
        same = difflib.SequenceMatcher(None, pair.rejected.split(), pair.chosen.split(), autojunk=False).ratio()
        if 1 - same > most_changed:
            tally.refuse("unlike", line)
            continue
        for before in (pair.rejected, pair.chosen) if identity else (pair.rejected,):
            told = {"audit": pair.audit, "domain": pair.domain}
            kept.append((line, Demonstration(asked(pair.prompt, before), pair.chosen, **told)))  # type: ignore[arg-type]
    return kept


@dataclass(frozen=True)
class Credit:
    """What the rewriting model thinks of each of T tokens of an answer, its end included.

    `hard` is 1/T for a token that it would have written itself, as long as it would have written all before; -1/T for
    one that it would not; 0 for one on which it agrees again. `soft` is log p(token) - max log p, at most 0, in nats.
    """

    tokens: tuple[str, ...]
    preferred: tuple[str, ...]  # what it would have written there
    hard: tuple[float, ...]
    soft: tuple[float, ...]

    @property
    def score(self) -> float:
        """The sum of the hard credit, from -1 to 1: a longer answer does not get more."""
        return math.fsum(self.hard)


def credit_of(agrees: Sequence[bool]) -> list[float]:
    """Return the hard credit of tokens of which the model would have written those that it agrees with."""
    share, departed, found = 1 / max(len(agrees), 1), False, []
    for one in agrees:
        departed = departed or not one
        found.append(-share if not one else 0.0 if departed else share)
    return found


def spread_over(credit: Credit, tokens: Sequence[str]) -> list[float]:
    """Return the hard credit of each of `tokens`, which may be cut otherwise than the model's own: the sum is the same.

    What a token of the model's has earned goes to the one in whose characters it ends, and the end's to the last one:
    an answer that was cut off is blamed at its end for not having come to one.
    """
    found = [0.0] * len(tokens)
    ends = list(itertools.accumulate(map(len, tokens)))
    own = itertools.accumulate(map(len, credit.tokens[:-1]))
    for end, value in zip(own, credit.hard[:-1], strict=True):
        found[min(bisect.bisect_left(ends, end), len(found) - 1)] += value
    found[-1] += credit.hard[-1]
    return found


class RewriteScorer:
    """A rewriting model as a source of rewards, with one number an answer as any scorer and one a token besides."""

    def __init__(
        self, path: str, *, device: torch.device, rows_at_once: int = 32, trust_remote_code: bool = False
    ) -> None:
        model, self.tokenizer = load_policy(path, trust_remote_code=trust_remote_code)
        self.model = model.to(device)  # type: ignore[arg-type]
        self.device = device
        self.rows_at_once = rows_at_once
        self.longest = longest_input(self.model)

    def score(self, prompts: Sequence[list[Message]], texts: Sequence[str]) -> list[float | None]:
        """Return the summed credit of each answer; None where the model cannot read it."""
        return [None if one is None else one.score for one in self.credit(prompts, texts)]

    def columns(self, prompts: Sequence[list[Message]], texts: Sequence[str]) -> Columns:
        """Return the scores as the one column that there is, with what each token adds to them."""
        credit = self.credit(prompts, texts)
        scores = [None if one is None else one.score for one in credit]
        values = [None if score is None else [score] for score in scores]
        return Columns(("rewrite",), values, [None] * len(texts), scores, credit=credit)

    @torch.inference_mode()
    def credit(self, prompts: Sequence[list[Message]], texts: Sequence[str]) -> list[Credit | None]:
        """Return what the model thinks of each token of each answer, which it reads after having read the answer."""
        encoded = {}
        for index, (messages, text) in enumerate(zip(prompts, texts, strict=True)):
            try:
                completion = encode_completion(self.tokenizer, text)
                before = encode_prompt(self.tokenizer, asked(messages, text))
            except Refused:  # an empty answer, or one with the end of a turn inside
                continue
            if len(completion) < self.longest:
                encoded[index] = (before[-(self.longest - len(completion)) :], completion)
        found: list[Credit | None] = [None] * len(texts)
        order = sorted(encoded, key=lambda index: sum(map(len, encoded[index])))
        for start in range(0, len(order), self.rows_at_once):
            indices = order[start : start + self.rows_at_once]
            tokens = pad([encoded[index] for index in indices], pad_id_of(self.tokenizer)).to(self.device)
            logits = self.model(input_ids=tokens.input_ids, attention_mask=tokens.attention_mask).logits
            for row, index in enumerate(indices):
                before, completion = encoded[index]
                said = logits[row, len(before) - 1 : len(before) - 1 + len(completion)].float().log_softmax(-1)
                best, wanted = said.max(-1)
                own = said[torch.arange(len(completion)), torch.tensor(completion, device=said.device)]
                found[index] = Credit(
                    tokens=tuple(str(self.tokenizer.decode([one])) for one in completion),
                    preferred=tuple(str(self.tokenizer.decode([one])) for one in wanted.tolist()),
                    hard=tuple(credit_of([w == c for w, c in zip(wanted.tolist(), completion, strict=True)])),
                    soft=tuple((own - best).tolist()),
                )
        return found

    def rewrite(self, prompts: Sequence[list[Message]], texts: Sequence[str]) -> list[str | None]:
        """Return each answer as the model would have written it, most likely token by token.

        None where it cannot read the answer or its rewrite comes to no end: half an answer corrects nothing. One at a
        time, as a person looks at a few.
        """
        stop, found = stop_ids(self.model, self.tokenizer), list[str | None]()
        for messages, text in zip(prompts, texts, strict=True):
            found.append(None)
            try:
                most = 2 * len(encode_completion(self.tokenizer, text)) + MOST_LONGER
                before = encode_prompt(self.tokenizer, asked(messages, text))
            except Refused:
                continue
            most = min(most, self.longest - len(before))
            if most < 1:
                continue
            [[draw]] = generate(self.model, [before], n=1, temperature=0, max_new_tokens=most, stop=stop, seeds=[0])
            if draw.ended:
                found[-1] = str(self.tokenizer.decode(draw.ids[:-1], skip_special_tokens=True)).strip()
        return found
