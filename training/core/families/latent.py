"""The head that scores as one person would, whom it knows by a few of that person's choices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from training.core.families.base import Head
from training.core.families.single import ScalarHead
from training.core.job import RunError
from training.recipes.note import Note

STRANGERS = 32  # draws from the prior, over which the score for somebody unknown is averaged


class LatentHead(Head):
    """Variational preference learning, arXiv:2408.10075, on a frozen backbone.

    Each of a person's known pairs (chosen state, rejected state) is encoded, the pairs see each other in one layer of
    attention, and their mean gives a normal q(z) = N(μ, s²) over what the person is like; a decoder scores [state ; z].
    As in the authors' code (WEIRDLabUW/vpl_llm) μ and log s² are kept within ±1 and z is scaled to the length √L; there
    only in training, here always, so that a score means the same in both. Somebody of whom nothing is known is scored
    by the mean over draws from the prior, and `spread` is how much these differ: where people want different things.
    """

    kind = "latent"
    strangers: Tensor  # (STRANGERS, L)

    def __init__(self, hidden_size: int, names: Sequence[str] = ("reward",), *, width: int, latent: int) -> None:
        super().__init__(hidden_size, names)
        self.width, self.latent = width, latent
        self.encoder = nn.Sequential(
            nn.Linear(2 * hidden_size, width), nn.LeakyReLU(0.2), nn.Linear(width, width), nn.LeakyReLU(0.2)
        )
        self.attention = nn.MultiheadAttention(width, 1, batch_first=True)
        self.mean, self.log_variance = nn.Linear(width, latent), nn.Linear(width, latent)
        self.decoder = nn.Sequential(
            nn.Linear(hidden_size + latent, width),
            nn.LeakyReLU(0.2),
            nn.Linear(width, width),
            nn.LeakyReLU(0.2),
            nn.Linear(width, 1, bias=False),
        )
        self.register_buffer("strangers", on_sphere(torch.randn(STRANGERS, latent)))
        self.person: Tensor | None = None  # (L,) for whom `forward` scores; None for somebody unknown

    @property
    def settings(self) -> dict[str, Any]:
        return {"names": list(self.names), "width": self.width, "latent": self.latent}

    def posterior(self, chosen: Tensor, rejected: Tensor, of: Tensor, people: int) -> tuple[Tensor, Tensor]:
        """Return μ and log s², (U, L) each, of `people` U by the states (C, D) of their pairs and whose each is, (C,).

        What comes out for a person depends on that person's pairs alone, in whatever order.
        """
        with torch.autocast(chosen.device.type, enabled=False):
            encoded = self.encoder(torch.cat([chosen.float(), rejected.float()], -1))  # (C, W)
            # Pairs of different people do not see each other.
            apart = of.unsqueeze(1) != of.unsqueeze(0)
            seen, _ = self.attention(encoded[None], encoded[None], encoded[None], attn_mask=apart, need_weights=False)
            sums = encoded.new_zeros(people, self.width).index_add(0, of, seen[0])
            means = sums / torch.bincount(of, minlength=people).clamp(min=1).unsqueeze(1)
            return self.mean(means).clamp(-1, 1), self.log_variance(means).clamp(-1, 1)

    def decode(self, pooled: Tensor, z: Tensor) -> Tensor:
        """Return the score of states (B, D) for people (B, L) as `on_sphere` gives them, (B,)."""
        with torch.autocast(pooled.device.type, enabled=False):
            return self.decoder(torch.cat([pooled.float(), z], -1)).squeeze(-1)

    def for_each(self, pooled: Tensor, people: Tensor) -> Tensor:
        """Return the score of each of B states for each of U people (U, L), (B, U)."""
        rows, count = len(pooled), len(people)
        return self.decode(pooled.repeat_interleave(count, 0), people.repeat(rows, 1)).view(rows, count)

    def forward(self, pooled: Tensor) -> Tensor:
        """(B, D) → (B, 1) in float32, for `person`, or for somebody unknown."""
        if self.person is None:
            return self.for_each(pooled, self.strangers).mean(1, keepdim=True)
        return self.for_each(pooled, self.person.unsqueeze(0))

    def spread(self, pooled: Tensor) -> Tensor | None:
        """(B, D) → (B, 1): the standard deviation over strangers; None for a known person."""
        if self.person is not None:
            return None
        return self.for_each(pooled, self.strangers).std(1, correction=0, keepdim=True)

    def combined(self, values: Tensor) -> Tensor:
        return values.squeeze(-1)


def on_sphere(z: Tensor) -> Tensor:
    """Return z (…, L) at the length √L."""
    return nn.functional.normalize(z, dim=-1) * z.shape[-1] ** 0.5


def latent(hidden_size: int, names: Sequence[str], start: Head | None, *, width: int, latent_size: int) -> Head:
    """Return a head for people on the backbone of a plain reward model."""
    if isinstance(start, LatentHead) and (start.width, start.latent) == (width, latent_size):
        return start
    if not isinstance(start, ScalarHead):
        raise RunError(Note("A reward model for people stands on a plain one. Train the recipe bradley-terry first."))
    return LatentHead(hidden_size, width=width, latent=latent_size)
