"""What a policy has just written, and all that is found out about it before it learns from that.

Legend: B completions, T tokens (prompt and completion, padded), K named scores, R reference completions a prompt. A row
of a tensor is a completion; what is about tokens is 0 outside the completion. Log-probabilities are nats under the
distribution that was sampled from, so they have its temperature in them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from typing import Any

import torch
from peft import PeftModel
from torch import Tensor, nn

from training.core.batch import Tokens
from training.core.heads import Scores
from training.core.job import RunError
from training.core.records import Message
from training.recipes.note import Note


@dataclass(frozen=True)
class Rollout:
    """B completions of the policy. A stage returns it with more in it; `needs` and `gives` of its part say what."""

    prompts: tuple[list[Message], ...]
    texts: tuple[str, ...]
    tokens: Tokens
    group: Tensor  # (B,) completions of one prompt have one number
    ended: Tensor  # (B,) whether the completion came to its end token
    logps: Tensor  # (B, T) under the policy that wrote it, as the trainer computes it
    entropy: Tensor  # (B, T) of the distribution each token was drawn from, in nats
    reference_logps: Tensor | None = None  # (B, T)
    values: Tensor | None = None  # (B, T) at t: what the critic expects before token t is written
    scores: Scores | None = None  # (B, K)
    reference_rewards: Tensor | None = None  # (B, R) rewards of what the reference answers to the same prompt
    unreadable: Tensor | None = None  # (B,) whether a scorer could not read it, and it got that scorer's worst
    reward: Tensor | None = None  # (B,)
    credit: Tensor | None = None  # (B, T) which part of the reward each token has earned, of a scorer that knows
    # (B, n, 2) how much likelier a judge prefers the row to each answer to its prompt than the contrary, in [-1, 1], as
    # it reads the row first and as it reads it second; NaN: unknown
    comparisons: Tensor | None = None
    passes: Tensor | None = None  # (B,) whether every judge lets it pass
    merit: Tensor | None = None  # (B,) the reward before judges took any away
    rival: Tokens | None = None  # one completion a row that this row's is to be preferred to
    rival_reference_logps: Tensor | None = None  # (B, T)
    token_reward: Tensor | None = None  # (B, T)
    segments: Tensor | None = None  # (B, T) number of the macro action each token belongs to, -1 outside
    advantages: Tensor | None = None  # (B, T)
    returns: Tensor | None = None  # (B, T) what the critic should have said
    kl_weight: Tensor | None = None  # (B,) weight of KL(π ‖ π_ref) in the loss, one number for all
    step_scale: Tensor | None = None  # (B,) by how much the policy's own step is shortened, one number for all
    task: Tensor | None = None  # (B,) which task of the run it belongs to, where there are several
    weight: Tensor | None = None  # (B,) how much it counts in its step, where there are several tasks
    metrics: dict[str, float] = field(default_factory=dict)  # figures of the stages, for the run's chart

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def mask(self) -> Tensor:
        """(B, T): the completions' tokens."""
        return self.tokens.completion_mask

    def told(self, **metrics: float) -> Rollout:
        """Return the same with more figures."""
        return replace(self, metrics=self.metrics | metrics)

    def rows(self, chosen: Sequence[int] | Tensor) -> Rollout:
        """Return the completions of these rows, in this order; a row may come twice."""
        index = torch.as_tensor(chosen, dtype=torch.long)
        places = index.tolist()
        found: dict[str, Any] = {}
        for f in fields(self):
            value = getattr(self, f.name)
            if isinstance(value, Tensor):
                found[f.name] = value[index.to(value.device)]
            elif isinstance(value, tuple):
                found[f.name] = tuple(value[i] for i in places)
        found["tokens"] = self.tokens.rows(places)
        if self.rival is not None:
            found["rival"] = self.rival.rows(places)
        if self.scores is not None:
            spread = None if self.scores.spread is None else self.scores.spread[index]
            found["scores"] = Scores(self.scores.values[index], self.scores.names, spread)
        return replace(self, **found)

    def to(self, device: torch.device) -> Rollout:
        """Return it with its tensors on `device`."""
        moved: dict[str, Any] = {}
        for f in fields(self):
            value = getattr(self, f.name)
            if isinstance(value, Tensor | Tokens):
                moved[f.name] = value.to(device)
        return replace(self, **moved)


class Models(nn.Module):
    """Those who take part in an update: the policy, the critic that learns beside it, and the frozen reference.

    The reference is a model of its own or, where a new adapter is trained, the policy with its adapter switched off.
    """

    def __init__(
        self,
        policy: nn.Module,
        *,
        critic: nn.Module | None = None,
        reference: nn.Module | None = None,
        temperature: float = 1.0,
    ) -> None:
        super().__init__()
        self.policy = policy
        self.critic = critic
        self.temperature = temperature  # of the sampling, and so of every log-probability
        self._reference = (reference,)  # in a tuple, so that it is no part of this module and in no checkpoint

    @contextmanager
    def at_reference(self) -> Iterator[nn.Module]:
        """Within it, what is given answers as the reference does."""
        (reference,) = self._reference
        if reference is not None:
            yield reference
        elif isinstance(self.policy, PeftModel):
            with self.policy.disable_adapter():
                yield self.policy
        else:
            raise RunError(Note("This update holds the policy to a reference, and there is none."))


def last_token(mask: Tensor) -> Tensor:
    """Return (B, T): True at the last token of each completion."""
    after = torch.cat([mask[:, 1:], torch.zeros_like(mask[:, :1])], 1)
    return mask & ~after


def group_sums(values: Tensor, group: Tensor) -> tuple[Tensor, Tensor]:
    """Return, for each row of `values` (B, …), the sum over its group, and the group's size (B,)."""
    _, index = torch.unique(group, return_inverse=True)
    count = int(index.max()) + 1 if len(index) else 0
    sums = torch.zeros(count, *values.shape[1:], dtype=values.dtype, device=values.device).index_add_(0, index, values)
    sizes = torch.bincount(index, minlength=count).to(values.dtype)
    return sums[index], sizes[index]
