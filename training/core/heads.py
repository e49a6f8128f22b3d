"""Heads: from a sequence's pooled hidden state (B, D) to named scores (B, K). And where that state is read.

A head has a `kind`, the `names` of its K outputs, `settings` from which it is built again, and the same few methods:
`forward` gives the outputs, `combined` one number of them that is higher for what is better, `spread` how unsure each
output is, and `calibrate` is told the outputs on rows that were not trained on, once training is over.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from training.core.job import RunError

SMALLEST_SPREAD = 1e-3
MIXED = "mixed"  # name of the column in which a gate puts its mixture of the others


@dataclass(frozen=True)
class Scores:
    """K named numbers of each of B sequences; `spread` (B, K) is a standard deviation, where a head has one."""

    values: Tensor
    names: tuple[str, ...]
    spread: Tensor | None = None

    def named(self, name: str) -> Tensor:
        """Return the column (B,) of that name."""
        return self.values[:, self.names.index(name)]


class Head(nn.Module):
    """What all heads have. A head without a calibration or a spread of its own takes these."""

    kind = ""
    reads_prompt = False  # whether `forward` wants the state at the prompt's end too
    wants_reference = False  # whether `prepare` is told the outputs on rows that are not trained on, before training

    def __init__(self, hidden_size: int, names: Sequence[str]) -> None:
        super().__init__()
        self.hidden_size = hidden_size
        self.names = tuple(names)

    @property
    def settings(self) -> dict[str, Any]:
        """Return what `HEADS[kind](hidden_size, **settings)` needs to build this head again, as JSON."""
        return {"names": list(self.names)}

    def combined(self, values: Tensor) -> Tensor:
        """Return one number a sequence, (B,), of its outputs (B, K): higher is better."""
        return values.mean(-1)

    @property
    def log_odds(self) -> Tensor | None:
        """Of an ensemble: how much a unit of each output is in the member's own log-odds, (M,). Else None."""
        return None

    def spread(self, pooled: Tensor) -> Tensor | None:
        """Return the standard deviation of each output as the head itself has it, (B, K), or None."""
        return None

    def prepare(self, values: Tensor) -> None:
        """Take note of the outputs (N, K) on rows that are not trained on, before training starts."""

    def calibrate(self, values: Tensor) -> None:
        """Take note of the outputs (N, K) on a common set of rows, when training is over."""


def _near_zero(layer: nn.Linear, generator: torch.Generator | None = None) -> nn.Linear:
    """Return `layer` with weights that give scores near 0, with a spread of about 0.1 on normalised states."""
    nn.init.normal_(layer.weight, std=0.1 * layer.in_features**-0.5, generator=generator)
    return layer


class ScalarHead(Head):
    """One score a sequence. It has no bias: only differences of scores are learned from, where a bias cancels."""

    kind = "scalar"

    def __init__(self, hidden_size: int, names: Sequence[str] = ("reward",)) -> None:
        super().__init__(hidden_size, names)
        # Scores start near 0 with a spread of about 0.1 on normalised states, so that the first losses are near ln 2.
        self.score = _near_zero(nn.Linear(hidden_size, 1, bias=False))

    def forward(self, pooled: Tensor) -> Tensor:
        """(B, D) → (B, 1) in float32."""
        return nn.functional.linear(pooled.float(), self.score.weight.float())

    def combined(self, values: Tensor) -> Tensor:
        return values.squeeze(-1)


class CostHead(Head):
    """One cost a sequence, higher for what is worse, 0 at the border of safe: so it has a bias. Its score is -cost."""

    kind = "cost"

    def __init__(self, hidden_size: int, names: Sequence[str] = ("cost",)) -> None:
        super().__init__(hidden_size, names)
        self.score = _near_zero(nn.Linear(hidden_size, 1))
        nn.init.zeros_(self.score.bias)

    def forward(self, pooled: Tensor) -> Tensor:
        """(B, D) → (B, 1) in float32."""
        return nn.functional.linear(pooled.float(), self.score.weight.float(), self.score.bias.float())

    def combined(self, values: Tensor) -> Tensor:
        return -values.squeeze(-1)


class EnsembleHead(Head):
    """M members over one backbone, each a small network with numbers of its own.

    A member's numbers come from a generator of its own, seeded from torch's global one: members that started alike
    would not disagree. Trained members are standardised on a common set: every Bradley-Terry score has an offset and
    a scale of its own, which cancel in training but not in a minimum or a variance over the members.
    """

    kind = "ensemble"
    seeds: Tensor  # (M,) what each member's numbers came from, and which rows it is shown how often
    mean: Tensor  # (M,)
    std: Tensor

    def __init__(self, hidden_size: int, names: Sequence[str], *, width: int) -> None:
        super().__init__(hidden_size, names)
        self.width = width
        seeds = torch.randint(2**31, (len(names),))
        self.members = nn.ModuleList(self._member(int(seed)) for seed in seeds)
        self.register_buffer("seeds", seeds)
        self.register_buffer("mean", torch.zeros(len(names)))
        self.register_buffer("std", torch.ones(len(names)))

    def _member(self, seed: int) -> nn.Module:
        generator = torch.Generator().manual_seed(seed)
        if not self.width:
            return _near_zero(nn.Linear(self.hidden_size, 1, bias=False), generator)
        first = nn.Linear(self.hidden_size, self.width)
        nn.init.normal_(first.weight, std=self.hidden_size**-0.5, generator=generator)
        nn.init.normal_(first.bias, std=0.1, generator=generator)
        return nn.Sequential(first, nn.Tanh(), _near_zero(nn.Linear(self.width, 1, bias=False), generator))

    @property
    def settings(self) -> dict[str, Any]:
        return {"names": list(self.names), "width": self.width}

    @property
    def log_odds(self) -> Tensor:
        return self.std

    def forward(self, pooled: Tensor) -> Tensor:
        """(B, D) → (B, M) in float32."""
        with torch.autocast(pooled.device.type, enabled=False):
            raw = torch.cat([member(pooled.float()) for member in self.members], dim=-1)
        return (raw - self.mean) / self.std

    @torch.no_grad()
    def calibrate(self, values: Tensor) -> None:
        """Standardise the members on their outputs (N, M): mean 0 and standard deviation 1 each."""
        self.mean += self.std * values.mean(0)
        self.std *= values.std(0, correction=0).clamp(min=1e-6)


class GaussianHead(Head):
    """M members that each give the mean and the standard deviation of a normal score. arXiv:2409.15360 (BRME).

    They learn from the score of `nominal`, the frozen head of the reward model that they stand on.
    """

    kind = "gaussian"

    def __init__(self, hidden_size: int, names: Sequence[str], *, width: int) -> None:
        super().__init__(hidden_size, names)
        self.width = width
        self.nominal = ScalarHead(hidden_size).requires_grad_(False)
        self.means = EnsembleHead(hidden_size, names, width=width)
        self.deviations = EnsembleHead(hidden_size, names, width=width)

    @property
    def settings(self) -> dict[str, Any]:
        return {"names": list(self.names), "width": self.width}

    @property
    def seeds(self) -> Tensor:
        return self.means.seeds

    @property
    def log_odds(self) -> Tensor:
        return self.means.std

    def forward(self, pooled: Tensor) -> Tensor:
        """(B, D) → the means (B, M) in float32."""
        return self.means(pooled)

    def spread(self, pooled: Tensor) -> Tensor:
        """(B, D) → the standard deviations (B, M), in the units of the means; at least `SMALLEST_SPREAD`."""
        raw = self.deviations(pooled)
        return nn.functional.softplus(raw) / self.means.std + SMALLEST_SPREAD

    def calibrate(self, values: Tensor) -> None:
        self.means.calibrate(values)


class AttributesHead(Head):
    """K attributes a sequence, each with weight and bias: absolute ratings have a zero of their own."""

    kind = "attributes"

    def __init__(self, hidden_size: int, names: Sequence[str]) -> None:
        super().__init__(hidden_size, names)
        self.rate = _near_zero(nn.Linear(hidden_size, len(names)))
        nn.init.zeros_(self.rate.bias)

    def forward(self, pooled: Tensor) -> Tensor:
        """(B, D) → (B, K) in float32."""
        return nn.functional.linear(pooled.float(), self.rate.weight.float(), self.rate.bias.float())


class LogitHead(AttributesHead):
    """One log-odds a sequence: σ of it is a probability, so it has a bias, and 0 means even chances."""

    kind = "logit"

    def __init__(self, hidden_size: int, names: Sequence[str] = ("log_odds",)) -> None:
        super().__init__(hidden_size, names)


class YesNoHead(Head):
    """Whether an answer satisfies a principle: log p(Yes) - log p(No), the difference of two rows of an output layer.

    The other rows cancel: log-softmax takes the same number from both. arXiv:2509.21319.
    """

    kind = "yes_no"

    def __init__(self, hidden_size: int, names: Sequence[str] = ("satisfied",)) -> None:
        super().__init__(hidden_size, names)
        self.answers = _near_zero(nn.Linear(hidden_size, 2, bias=False))

    def start_from(self, rows: Tensor) -> None:
        """Take the rows (2, D) of a language model's output layer for the tokens Yes and No."""
        with torch.no_grad():
            self.answers.weight.copy_(rows)

    def forward(self, pooled: Tensor) -> Tensor:
        """(B, D) → (B, 1) in float32."""
        yes, no = nn.functional.linear(pooled.float(), self.answers.weight.float()).unbind(-1)
        return (yes - no).unsqueeze(-1)


class GatedHead(Head):
    """K attributes, frozen, and a gate that mixes them by the prompt: Σ_j g_j(x) · r'_j(x, y). arXiv:2406.12845.

    r' = T·r is free of the nuisance: from each attribute so much of it is taken that their rank correlation on a
    reference set is within `debias_limit`, and its own column counts nothing. The gate's softmax is over the
    attributes; in the authors' training script it is over the two answers of a pair, which makes each weight ½.
    Outputs are the K debiased attributes and the mixture, which is the last.
    """

    kind = "gated"
    reads_prompt = True
    wants_reference = True
    transform: Tensor  # (K, K)

    def __init__(
        self, hidden_size: int, names: Sequence[str], *, width: int, temperature: float, nuisance: str, limit: float
    ) -> None:
        super().__init__(hidden_size, names)
        attributes = self.attribute_names
        if nuisance and nuisance not in attributes:
            raise RunError(f"There is no attribute called {nuisance}. There are: {', '.join(attributes)}.")
        self.width, self.temperature, self.nuisance, self.limit = width, temperature, nuisance, limit
        self.attributes = AttributesHead(hidden_size, attributes).requires_grad_(False)
        self.gate = nn.Sequential(
            nn.Linear(hidden_size, width),
            nn.ReLU(),
            nn.Linear(width, width),
            nn.ReLU(),
            nn.Linear(width, len(attributes)),
        )
        self.scale = nn.Parameter(torch.ones(()))
        self.register_buffer("transform", torch.eye(len(attributes)))

    @property
    def attribute_names(self) -> tuple[str, ...]:
        return tuple(name for name in self.names if name != MIXED)

    @property
    def settings(self) -> dict[str, Any]:
        told = {"width": self.width, "temperature": self.temperature, "nuisance": self.nuisance, "limit": self.limit}
        return {"names": list(self.names), **told}

    def prepare(self, values: Tensor) -> None:
        """Find T on the attributes (N, K), and the mixture behind them, of rows that are not trained on."""
        self.transform.copy_(debias(values[:, :-1], self.attribute_names, nuisance=self.nuisance, limit=self.limit))

    def weights(self, asked: Tensor) -> Tensor:
        """Return the gate's weights (B, K) for the states (B, D) at the ends of the prompts; they sum to 1."""
        with torch.autocast(asked.device.type, enabled=False):
            return (self.gate(asked.float()) / self.temperature).softmax(dim=-1)

    def debiased(self, pooled: Tensor) -> Tensor:
        return self.attributes(pooled) @ self.transform.T

    def contributions(self, pooled: Tensor, asked: Tensor) -> Tensor:
        """Return what each attribute adds to the mixture, (B, K): they sum to it."""
        return self.scale * self.weights(asked) * self.debiased(pooled)

    def forward(self, pooled: Tensor, asked: Tensor) -> Tensor:
        """(B, D) and (B, D) → (B, K + 1) in float32."""
        mixed = self.contributions(pooled, asked).sum(-1, keepdim=True)
        return torch.cat([self.debiased(pooled), mixed], dim=-1)

    def combined(self, values: Tensor) -> Tensor:
        return values[:, -1]


def debias(values: Tensor, names: Sequence[str], *, nuisance: str, limit: float) -> Tensor:
    """Return T (K, K) with r' = T·r: the least share of the nuisance taken from each attribute that frees it.

    Free means a Spearman correlation with the nuisance within ±`limit`. The authors look among eleven shares; we go up
    in steps of a hundredth of the two standard deviations' ratio, to where the correlation has turned.
    """
    transform = torch.eye(len(names), dtype=values.dtype)
    if not nuisance:
        return transform
    column = list(names).index(nuisance)
    ranks = _ranks(values[:, column])
    for j in range(len(names)):
        if j == column:
            transform[j, j] = 0.0
            continue
        unit = values[:, j].std() / values[:, column].std().clamp(min=1e-9) / 100
        start = _correlation(_ranks(values[:, j]), ranks)
        for step in range(201):
            share = step * unit * (1 if start >= 0 else -1)
            if _correlation(_ranks(values[:, j] - share * values[:, column]), ranks).abs() <= limit:
                transform[j, column] = -share
                break
        else:
            raise RunError(
                f"{names[j]} cannot be freed of {nuisance}: they are as good as one. Rate answers on which they differ."
            )
    return transform


def _ranks(values: Tensor) -> Tensor:
    return values.argsort().argsort().double()


def _correlation(one: Tensor, other: Tensor) -> Tensor:
    one, other = one - one.mean(), other - other.mean()
    return (one * other).sum() / (one.norm() * other.norm()).clamp(min=1e-12)


HEADS: dict[str, Callable[..., Head]] = {
    head.kind: head
    for head in (ScalarHead, CostHead, EnsembleHead, GaussianHead, AttributesHead, LogitHead, YesNoHead, GatedHead)
}


def scalar(hidden_size: int, names: Sequence[str], start: Head | None) -> Head:
    """Return the head to go on with: `start` if it is of this kind, else a new one."""
    return start if isinstance(start, ScalarHead) else ScalarHead(hidden_size)


def cost(hidden_size: int, names: Sequence[str], start: Head | None) -> Head:
    """Return a head for costs."""
    return start if isinstance(start, CostHead) else CostHead(hidden_size)


def ensemble(hidden_size: int, names: Sequence[str], start: Head | None, *, members: int, width: int) -> Head:
    """Return an ensemble; `width` is that of each member's hidden layer, 0 for none."""
    if isinstance(start, EnsembleHead) and (len(start.names), start.width) == (members, width):
        return start
    return EnsembleHead(hidden_size, _numbered(members), width=width)


def gaussian(hidden_size: int, names: Sequence[str], start: Head | None, *, members: int, width: int) -> Head:
    """Return an ensemble of Gaussian members that stands on a plain reward model's head."""
    if isinstance(start, GaussianHead) and (len(start.names), start.width) == (members, width):
        return start
    if not isinstance(start, ScalarHead):
        raise RunError("A robust reward model stands on a plain one. Train the recipe bradley-terry first.")
    head = GaussianHead(hidden_size, _numbered(members), width=width)
    head.nominal.load_state_dict(start.state_dict())
    return head


def attributes(hidden_size: int, names: Sequence[str], start: Head | None) -> Head:
    """Return a head with one output for each attribute that the data rates."""
    if isinstance(start, AttributesHead) and start.names == tuple(names):
        return start
    return AttributesHead(hidden_size, names)


def logit(hidden_size: int, names: Sequence[str], start: Head | None) -> Head:
    """Return a head for a probability."""
    return start if isinstance(start, LogitHead) else LogitHead(hidden_size)


def yes_no(hidden_size: int, names: Sequence[str], start: Head | None) -> Head:
    """Return a head that answers yes or no."""
    return start if isinstance(start, YesNoHead) else YesNoHead(hidden_size)


def gated(
    hidden_size: int,
    names: Sequence[str],
    start: Head | None,
    *,
    gate_width: int,
    gate_temperature: float,
    nuisance: str,
    debias_limit: float,
) -> Head:
    """Return a gate over the attributes of the model that there is."""
    if isinstance(start, GatedHead):
        return start
    if not isinstance(start, AttributesHead):
        raise RunError("A gate mixes attributes. Train the recipe multi-objective on ratings first.")
    head = GatedHead(
        hidden_size,
        [*start.names, MIXED],
        width=gate_width,
        temperature=gate_temperature,
        nuisance=nuisance.strip(),
        limit=debias_limit,
    )
    head.attributes.load_state_dict(start.state_dict())
    return head


def _numbered(members: int) -> list[str]:
    return [f"reward_{number}" for number in range(1, members + 1)]


def last_token(hidden: Tensor, attention_mask: Tensor) -> Tensor:
    """(B, T, D) → (B, D): the state at the last real token, on whichever side the padding is."""
    position = torch.arange(hidden.shape[1], device=hidden.device)
    last = (attention_mask * position).argmax(-1)  # (B,)
    return hidden[torch.arange(len(hidden), device=hidden.device), last]


def mean_token(hidden: Tensor, attention_mask: Tensor) -> Tensor:
    """(B, T, D) → (B, D): the mean state over the real tokens."""
    mask = attention_mask.unsqueeze(-1).float()
    return (hidden.float() * mask).sum(1) / mask.sum(1).clamp(min=1)


def prompt_end(hidden: Tensor, attention_mask: Tensor, completion_mask: Tensor) -> Tensor:
    """(B, T, D) → (B, D): the state at the last token of the prompt, which has seen nothing of the answer."""
    return last_token(hidden, attention_mask * ~completion_mask.bool())


POOLING = {"last": last_token, "mean": mean_token}
