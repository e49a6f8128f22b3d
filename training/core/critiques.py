"""Critique, then score: what is asked, which critiques make a pair, and how an answer is scored by its own critique.

MM-RLHF, arXiv:2502.10391, section 3.2.

``python -m training.core.critiques MODEL rows.jsonl out.jsonl`` puts what the model says beside rows of two answers
that are to be imported (`suggestion`): people see the verdict and the critiques after they have answered, never before.
"""

from __future__ import annotations

import itertools
import json
import math
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from training.core.backbone import RewardModel
from training.core.collate import encode_completion, encode_prompt, turn_of
from training.core.decode import generate
from training.core.heads import CritiqueHead
from training.core.job import RunError
from training.core.records import (
    Criticised,
    CriticisedPair,
    Message,
    Refused,
    Tally,
    critique_asked,
    messages_of,
    prompt_hash,
)
from training.core.scorers import Columns, Encoded, RewardScorer
from training.recipes.note import Note

MOST_TOKENS = 256  # of a critique


def criticised_pairs(
    records: Sequence[tuple[int, Criticised]], tally: Tally, *, one_person: bool
) -> list[tuple[int, CriticisedPair]]:
    """Return pairs of criticised answers to one prompt, the one with the higher score preferred.

    With `one_person` both scores are one annotator's: what is a 4 to one is a 3 to another. Equal scores say nothing of
    which is better. The strength is the gap over the widest there is, 4.
    """
    groups: dict[tuple[str, str], list[tuple[int, Criticised]]] = defaultdict(list)
    for line, record in records:
        groups[prompt_hash(record.prompt), record.annotator if one_person else ""].append((line, record))
    kept = []
    for group in groups.values():
        found = [
            (first, second) if first[1].score > second[1].score else (second, first)
            for first, second in itertools.combinations(group, 2)
            if first[1].score != second[1].score and first[1].completion.strip() != second[1].completion.strip()
        ]
        if not found:
            for line, _ in group:
                tally.refuse("no_rival", line)
        for (line, better), (_, worse) in found:
            kept.append(
                (
                    line,
                    CriticisedPair(
                        prompt=better.prompt,
                        chosen=better.completion,
                        rejected=worse.completion,
                        strength=(better.score - worse.score) / 4,
                        audit=better.audit or worse.audit,
                        domain=better.domain,
                        chosen_critique=better.critique,
                        rejected_critique=worse.critique,
                    ),
                )
            )
    return kept


class Writer(nn.Module):
    """A critique model as a language model: its backbone with the head's output layer, for `generate`."""

    def __init__(self, model: RewardModel) -> None:
        super().__init__()
        assert isinstance(model.head, CritiqueHead)
        self.backbone, self.head = model.backbone, model.head
        self.config: Any = model.backbone.config

    def forward(self, *, logits_to_keep: int = 0, **inputs: Tensor) -> SimpleNamespace:
        hidden = self.backbone(**inputs).last_hidden_state
        return SimpleNamespace(logits=self.head.words(hidden[:, -logits_to_keep:]))


class CritiqueScorer(RewardScorer):
    """Writes a critique of each answer, and scores the answer by it: never by one that somebody else wrote."""

    def __init__(self, path: str, *, max_new_tokens: int = MOST_TOKENS, **more: Any) -> None:
        super().__init__(path, **more)
        if not isinstance(self.model.head, CritiqueHead):
            raise RunError(Note("{path} writes no critiques. Train the recipe critique-reward.", path=path))
        self.max_new_tokens = max_new_tokens
        self.writer = Writer(self.model).to(self.device)

    @torch.inference_mode()
    def criticise(self, prompts: Sequence[list[Message]], texts: Sequence[str]) -> list[tuple[str, float] | None]:
        """Return the critique of each answer, most likely token by token, and the score it comes to.

        None where an answer cannot be read or leaves no room for a critique. A critique that did not come to its end
        is scored as if it had.
        """
        end = turn_of(self.tokenizer).end_id
        room = self.longest - self.max_new_tokens
        asked: dict[int, list[int]] = {}
        for index, (messages, text) in enumerate(zip(prompts, texts, strict=True)):
            try:
                encode_completion(self.tokenizer, text)
                ids = encode_prompt(self.tokenizer, critique_asked(messages, text))
            except Refused:
                continue
            if room > 0:
                asked[index] = ids[-room:]
        written: dict[int, str] = {}
        encoded: dict[int, Encoded] = {}
        order = sorted(asked, key=lambda index: len(asked[index]))
        for start in range(0, len(order), self.rows_at_once):
            indices = order[start : start + self.rows_at_once]
            draws = generate(
                self.writer,
                [asked[index] for index in indices],
                n=1,
                temperature=0,
                max_new_tokens=self.max_new_tokens,
                stop=frozenset((end,)),
                seeds=[0] * len(indices),
            )
            for index, (draw,) in zip(indices, draws, strict=True):
                ids = draw.ids[:-1] if draw.ended else draw.ids
                written[index] = str(self.tokenizer.decode(ids, skip_special_tokens=True))
                encoded[index] = Encoded(asked[index], [*ids, end])
        scores = self._read(encoded, len(texts)).score
        return [None if score is None else (written[index], score) for index, score in enumerate(scores)]

    def columns(self, prompts: Sequence[list[Message]], texts: Sequence[str]) -> Columns:
        """Return the scores by the model's own critiques as the one column there is."""
        scores = [None if told is None else told[1] for told in self.criticise(prompts, texts)]
        values = [None if score is None else [score] for score in scores]
        return Columns(self.model.head.names, values, [None] * len(texts), scores)


def suggested(scorer: CritiqueScorer, rows: Sequence[dict[str, Any]], *, by: str) -> list[dict[str, Any]]:
    """Return rows {"prompt", "completions": [one, other], …} with a `suggestion` each, as the importer reads it.

    The preference is on the form's scale, 1 the first answer much better to 7 the second one, by the probability that
    Bradley and Terry's model gives the first: over 0.9 much, over 0.75 better, over 0.5 slightly. A row of which an
    answer cannot be read comes back as it is.
    """
    texts = [[str(one) for one in row["completions"]] for row in rows]
    if any(len(pair) != 2 for pair in texts):
        raise RunError(Note("Every row needs two answers in its completions."))
    prompts = [messages_of(row["prompt"]) for row in rows]
    found = scorer.criticise([p for p in prompts for _ in (0, 1)], [text for pair in texts for text in pair])
    told = []
    for row, one, other in zip(rows, found[::2], found[1::2], strict=True):
        if one is None or other is None:
            told.append(row)
            continue
        gap = one[1] - other[1]
        said = {"answer": {"preference": str(preference(gap))}, "by": by, "score": gap, "critiques": [one[0], other[0]]}
        told.append({**row, "suggestion": said})
    return told


def preference(gap: float) -> int:
    """Return the place on the form's scale, 1 to 7, of the first answer's score less the other's."""
    sure = 1 / (1 + math.exp(-min(abs(gap), 50.0)))
    if sure <= 0.5:
        return 4
    degree = 1 if sure <= 0.75 else 2 if sure <= 0.9 else 3
    return 4 - degree if gap > 0 else 4 + degree


def main(model: str, rows: str, out: str) -> None:
    scorer = CritiqueScorer(model, device=torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    given = [json.loads(line) for line in Path(rows).read_text(encoding="utf-8").splitlines() if line.strip()]
    told = suggested(scorer, given, by=Path(model).resolve().parent.name)
    Path(out).write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in told), encoding="utf-8")


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit("Give three: the folder of a critique model, a file of rows, and the file to write.")
    main(*sys.argv[1:])
