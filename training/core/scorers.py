"""Scores for completions: a number each, higher is better, by the name under which the run's spec lists the scorer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from training.core.backbone import load_reward, load_tokenizer, pad_id_of
from training.core.collate import encode_conversation, pad
from training.core.job import RunError
from training.core.records import Message, Refused


class RewardScorer:
    """A reward model that reads a conversation and its answer as text, with its own tokenizer."""

    def __init__(
        self, path: str, *, device: torch.device, rows_at_once: int = 32, trust_remote_code: bool = False
    ) -> None:
        self.model = load_reward(path, trust_remote_code=trust_remote_code).to(device)
        self.tokenizer = load_tokenizer(path, trust_remote_code=trust_remote_code)
        self.device = device
        self.rows_at_once = rows_at_once
        self.longest: int = self.model.backbone.config.get_text_config().max_position_embeddings  # type: ignore

    @torch.inference_mode()
    def score(self, prompts: Sequence[list[Message]], texts: Sequence[str]) -> list[float | None]:
        """Return the reward of each text as the answer to its prompt; None where the model cannot read it.

        Rows of about one length share a batch. A prompt that is too long for the reward model loses its beginning.
        """
        encoded: dict[int, list[int]] = {}
        for index, (messages, text) in enumerate(zip(prompts, texts, strict=True)):
            try:
                encoded[index] = encode_conversation(self.tokenizer, messages, text)[-self.longest :]
            except Refused:  # an empty answer, or one with the end of a turn inside
                continue
        scores: list[float | None] = [None] * len(texts)
        order = sorted(encoded, key=lambda index: len(encoded[index]))
        for start in range(0, len(order), self.rows_at_once):
            indices = order[start : start + self.rows_at_once]
            tokens = pad([(encoded[index], []) for index in indices], pad_id_of(self.tokenizer)).to(self.device)
            values = self.model.scores(tokens.input_ids, tokens.attention_mask).float().tolist()
            for index, value in zip(indices, values, strict=True):
                if value != value or abs(value) == float("inf"):
                    raise RunError("The reward model gives scores that are not numbers. Train it anew.")
                scores[index] = value
        return scores


def load_scorers(
    paths: Mapping[str, str], *, device: torch.device, trust_remote_code: bool = False
) -> dict[str, RewardScorer]:
    """Return the scorers of a spec, by name."""
    return {
        name: RewardScorer(path, device=device, trust_remote_code=trust_remote_code) for name, path in paths.items()
    }
