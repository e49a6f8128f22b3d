"""People as a reward model for people sees them: one person's scores, the next question to a newcomer, groups."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from sklearn.cluster import KMeans
from sklearn.metrics import silhouette_score
from torch import Tensor

from training.core.backbone import pad_id_of
from training.core.collate import encode_completion, encode_prompt, pad
from training.core.heads import LatentHead, on_sphere
from training.core.job import RunError
from training.core.records import Message, Pair
from training.core.scorers import Columns, RewardScorer
from training.core.selection import bald
from training.recipes.note import Note

DRAWS = 64  # of z, over which the worth of a question is counted


class PersonalScorer(RewardScorer):
    """A reward model for people. Without `meet` it scores as for somebody unknown."""

    def __init__(self, path: str, **more: Any) -> None:
        super().__init__(path, **more)
        if not isinstance(self.model.head, LatentHead):
            raise RunError(Note("{path} does not know people. Train the recipe latent-user.", path=path))
        self.head = self.model.head

    def _states(self, shown: Sequence[tuple[list[Message], str]]) -> Tensor:
        """Return the states (N, D) of answers to prompts; prompts that are too long lose their beginning."""
        found = []
        for start in range(0, len(shown), self.rows_at_once):
            rows = []
            for messages, text in shown[start : start + self.rows_at_once]:
                completion = encode_completion(self.tokenizer, text)
                before = encode_prompt(self.tokenizer, messages)
                rows.append((before[-max(self.longest - len(completion), 1) :], completion))
            tokens = pad(rows, pad_id_of(self.tokenizer)).to(self.device)
            found.append(self.model.states(tokens.input_ids, tokens.attention_mask)[0])
        return torch.cat(found)

    @torch.inference_mode()
    def posterior(self, context: Sequence[Pair]) -> tuple[Tensor, Tensor]:
        """Return μ and log s² (L,) of the person who made these choices; the prior where there is none."""
        if not context:
            return (zero := torch.zeros(self.head.latent, device=self.device)), zero
        states = self._states([(p.prompt, p.chosen) for p in context] + [(p.prompt, p.rejected) for p in context])
        chosen, rejected = states.chunk(2)
        mean, log_variance = self.head.posterior(chosen, rejected, torch.zeros(len(context), dtype=torch.long), 1)
        return mean[0], log_variance[0]

    @torch.inference_mode()
    def meet(self, context: Sequence[Pair], prompts: Sequence[list[Message]], texts: Sequence[str]) -> Columns:
        """Return the scores of answers as the person of these choices would give them."""
        self.head.person = on_sphere(self.posterior(context)[0]) if context else None
        try:
            return self.columns(prompts, texts)
        finally:
            self.head.person = None

    @torch.inference_mode()
    def next_question(
        self, context: Sequence[Pair], candidates: Sequence[tuple[list[Message], str, str]], *, seed: int = 0
    ) -> int:
        """Return which of the candidates (prompt, one answer, another) tells most about the person.

        The mutual information of the choice and z given the choices so far, H(E p) - E H(p) over draws of z (BALD,
        arXiv:1112.5745), as in arXiv:2408.10075, section 5.3. A question on which all people agree tells nothing.
        """
        mean, log_variance = self.posterior(context)
        noise = torch.randn(DRAWS, len(mean), generator=torch.Generator().manual_seed(seed)).to(mean.device)
        people = on_sphere(mean + (log_variance / 2).exp() * noise)
        states = self._states([(m, a) for m, a, _ in candidates] + [(m, b) for m, _, b in candidates])
        one, other = self.head.for_each(states, people).chunk(2)
        return most_telling((one - other).sigmoid())


def most_telling(believed: Tensor) -> int:
    """Return the question (of Q) whose answer tells most about which of D draws is right, of probabilities (Q, D)."""
    return int(np.argmax([bald(row) for row in believed.double().tolist()]))


def groups(means: Tensor, *, most: int = 6, seed: int = 0) -> list[int]:
    """Return the group of each of N people by their posterior means (N, L): as many groups as part them best.

    k-means with the number that has the highest silhouette; all are one group where none reaches 0.25, the usual sign
    of no structure (Kaufman and Rousseeuw, 1990).
    """
    points = means.double().cpu().numpy()
    best, found = 0.25, [0] * len(points)
    for count in range(2, min(most, len(points) - 1) + 1):
        labels = KMeans(count, n_init=10, random_state=seed).fit_predict(points)
        if len(set(labels)) == count and (score := float(silhouette_score(points, labels))) > best:
            best, found = score, [int(label) for label in labels]
    return found
