"""The reward that a policy implies: how much likelier it makes an answer than its reference did."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from training.core.backbone import load_policy, longest_input, pad_id_of
from training.core.collate import encode_completion, encode_prompt, pad
from training.core.job import RunError
from training.core.policy import logps
from training.core.records import Message, Refused
from training.core.scorers import Columns
from training.recipes.note import Note


class ImplicitScorer:
    """r(x, y) = β [log π(y|x) - log π_ref(y|x)] of a policy trained by DPO. arXiv:2305.18290, eq. 5, but for log Z(x).

    What depends on the prompt alone is left out: these scores compare answers to one prompt, and no others. They sum
    over the answer with its end; a mean would be another reward. Without the reference it would be one more: how likely
    an answer is, long or short.
    """

    def __init__(
        self,
        path: str,
        *,
        reference: str,
        beta: float,
        device: torch.device,
        rows_at_once: int = 32,
        trust_remote_code: bool = False,
    ) -> None:
        policy, self.tokenizer = load_policy(path, trust_remote_code=trust_remote_code)
        before, other = load_policy(reference, trust_remote_code=trust_remote_code)
        if self.tokenizer.get_vocab() != other.get_vocab():
            raise RunError(
                Note("The policy and its reference have different tokenizers. Name the policy it was trained from.")
            )
        self.policy, self.reference = policy.to(device), before.to(device)  # type: ignore[arg-type]
        self.beta, self.device, self.rows_at_once = beta, device, rows_at_once
        self.longest = min(longest_input(policy), longest_input(before))

    def score(self, prompts: Sequence[list[Message]], texts: Sequence[str]) -> list[float | None]:
        """Return the implied reward of each text; None where it cannot be read."""
        return self.columns(prompts, texts).score

    @torch.inference_mode()
    def columns(self, prompts: Sequence[list[Message]], texts: Sequence[str]) -> Columns:
        """Return the implied rewards as the one column there is. A prompt that is too long loses its beginning."""
        encoded = {}
        for index, (messages, text) in enumerate(zip(prompts, texts, strict=True)):
            try:
                completion, before = encode_completion(self.tokenizer, text), encode_prompt(self.tokenizer, messages)
            except Refused:
                continue
            if len(completion) < self.longest:
                encoded[index] = (before[-(self.longest - len(completion)) :], completion)
        scores: list[float | None] = [None] * len(texts)
        order = sorted(encoded, key=lambda index: sum(map(len, encoded[index])))
        for start in range(0, len(order), self.rows_at_once):
            indices = order[start : start + self.rows_at_once]
            tokens = pad([encoded[index] for index in indices], pad_id_of(self.tokenizer)).to(self.device)
            gained = self.beta * (logps(self.policy, tokens) - logps(self.reference, tokens))
            for index, value in zip(indices, gained.tolist(), strict=True):
                scores[index] = value
        values = [None if score is None else [score] for score in scores]
        return Columns(("implicit",), values, [None] * len(texts), scores)
