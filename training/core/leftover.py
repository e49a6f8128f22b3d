"""How good an answer to a prompt is expected to be, and what is left to learn from once that is taken away.

A-LoL, arXiv:2305.14718. Legend: N prompts, T tokens, D width of the model's states.
"""

from __future__ import annotations

import json
import math
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from training.core.collate import Example
from training.core.job import Job, RunError
from training.core.policy import logps
from training.recipes.note import Note
from training.recipes.spec import write_json

if TYPE_CHECKING:
    from training.core.trainers.learner import Learner
    from training.core.trainers.offline import Rows

HEADS = 8
ROWS_AT_ONCE = 16
FILE = "leftover.json"  # the histograms of a run, for its page
BARS = 12  # of a histogram, at most about so many
WEIGHED_ROWS = 1000  # more would not make a histogram say more


class PromptValue(nn.Module):
    """V(x) between 0 and 1: attention of one learned query over the prompt's states, then a linear layer.

    As in the authors' code it sees the prompt alone: a value that knows the answer is no baseline for it.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        heads = next(n for n in range(HEADS, 0, -1) if width % n == 0)
        self.query = nn.Parameter(torch.randn(1, 1, width) / width**0.5)
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.value = nn.Linear(width, 1)

    def forward(self, states: Tensor, mask: Tensor) -> Tensor:
        """Return (N,) from states (N, T, D) and which of them are there (N, T)."""
        query = self.query.expand(len(states), -1, -1)
        pooled, _ = self.attention(query, states, states, key_padding_mask=~mask, need_weights=False)
        expected: Tensor = self.value(pooled[:, 0]).squeeze(-1).sigmoid()
        return expected


def prompt_value(
    job: Job,
    model: nn.Module,
    rows: Rows,
    pad_id: int,
    epochs: int,
    *,
    reward_as: str,
    value_rate: float,
    value_epochs: int,
    priority: bool,
) -> tuple[Rows, dict[str, float], list[Note]]:
    """Return the rows with A = R - V(x) as their value, those that are left in the order to learn from, and figures.

    V is learned from the logged answers to the held-out prompts, on the frozen states of the model as it is at the
    start: on answers that are trained on, it would come to know them, and every advantage to 0. The paper has the model
    answer these prompts anew and scores that, which is the same where the model was tuned on the log; here nothing is
    sampled and no scorer is needed. So bad answers added to the log lower V, and what is left rises. Rows with A ≤ 0
    are thrown away. With `priority` each step's rows are drawn in proportion to A, as the authors do; the loss weighs
    them by A besides. All of it is drawn from the run's seed, so a resumed run finds the same.
    """
    if not rows.held:
        raise RunError(
            Note("How good an answer is to be expected is learned on held-out prompts. Set eval_share above 0.")
        )
    rewards = torch.tensor([example.value for example in rows.examples])
    if reward_as == "sigmoid":
        rewards = rewards.sigmoid()
    elif bool(((rewards < 0) | (rewards > 1)).any()):
        raise RunError(Note("Rewards here are between 0 and 1. Set reward_as to sigmoid for those of a reward model."))
    with torch.random.fork_rng():
        torch.manual_seed(job.spec.seed)
        value, error = _learned(job, model, rows, rewards, pad_id, rate=value_rate, epochs=value_epochs)
    wanted = sorted({*rows.train, *rows.held})
    expected = torch.zeros(len(rows.examples))
    with torch.no_grad():
        for start in range(0, len(wanted), ROWS_AT_ONCE):
            some = wanted[start : start + ROWS_AT_ONCE]
            expected[some] = value(*_states(job, model, [rows.examples[i] for i in some], pad_id)).float().cpu()
    advantage = rewards - expected
    kept = [i for i in rows.train if float(advantage[i]) > 0]
    if not kept:
        raise RunError(
            Note("No answer was better than expected. Give more answers, or raise value_epochs or value_rate.")
        )
    draw = random.Random(f"leftover {job.spec.seed}")
    weights = [float(advantage[i]) for i in kept] if priority else None
    drawn = draw.choices(kept, weights=weights, k=len(kept) * epochs) if priority else kept * epochs
    if job.is_main:  # before training, so that it can be seen meanwhile what is thrown away
        told_of = advantage[rows.train].tolist()
        write_json(job.folder / FILE, {"advantages": advantage_bars(told_of), "kept": len(kept), "n": len(rows.train)})
    examples = [replace(example, value=float(a)) for example, a in zip(rows.examples, advantage, strict=True)]
    low, half, high = advantage[rows.train].quantile(torch.tensor([0.1, 0.5, 0.9])).tolist()
    told = {
        "kept_share": len(kept) / len(rows.train),
        "value_error": error,
        "advantage_low": low,
        "advantage_median": half,
        "advantage_high": high,
    }
    rows.tally.counts["thrown_away"] = len(rows.train) - len(kept)
    note = Note(
        "{n} of {of} answers were better than expected and are learned from. Advantages: a tenth "
        "below {low:.2f}, half below {half:.2f}, a tenth above {high:.2f}.",
        n=len(kept),
        of=len(rows.train),
        low=low,
        half=half,
        high=high,
    )
    return replace(rows, examples=examples, train=kept, drawn=drawn), told, [note]


def advantage_bars(advantages: Sequence[float]) -> list[dict[str, float]]:
    """Return how many advantages lie in each of some steps (low, high] of equal, round width; one ends at 0.

    So what is thrown away, A ≤ 0, and what is kept share no step.
    """
    span = max(max(advantages), 0.0) - min(min(advantages), 0.0) or 1.0
    scale = 10.0 ** math.floor(math.log10(span / BARS))
    step = next(scale * m for m in (1, 2, 5, 10) if scale * m >= span / BARS)
    counts = Counter(math.ceil(a / step) - 1 for a in advantages)
    return [
        {"low": round(i * step, 12), "high": round((i + 1) * step, 12), "n": counts[i]}
        for i in range(min(counts), max(counts) + 1)
    ]


def weight_report(job: Job, learner: Learner, kept: Sequence[int], *, ratio_clip: float) -> dict[str, float]:
    """Add to the run's file how much likelier each answer is now than under the reference, and return figures.

    The weights π(y|x) / π_ref(y|x) as the loss has them after the last step, so clipped; the share that the clip has
    hold of, and quantiles of what they would be without it, as logarithms: clipped ones hide that they mean nothing any
    more. Of more than `WEIGHED_ROWS` answers an even selection is read, by every process.
    """
    assert learner.reference is not None
    # Which of them chance never drew has not been read by the reference.
    kept = [i for i in kept if bool(torch.isfinite(learner.reference[i]).all())]
    count = min(len(kept), WEIGHED_ROWS)
    some = sorted((kept[i * len(kept) // count] for i in range(count)), key=lambda i: learner.examples[i].length)
    gaps: list[float] = []
    with learner.whole(), torch.no_grad():
        for start in range(0, count, learner.progress.micro_batch):
            batch = learner.batch(some[start : start + learner.progress.micro_batch])
            with torch.autocast(job.device.type, dtype=torch.bfloat16, enabled=learner.bf16):
                gaps += (logps(learner.model, batch.tokens).float() - batch.reference_logps).tolist()
    bars = weight_bars(gaps, ratio_clip=ratio_clip)
    clipped = sum(int(bar["n"]) for bar in bars if bar["low"] == bar["high"]) / count
    low, half, high = torch.tensor(gaps).quantile(torch.tensor([0.1, 0.5, 0.9])).tolist()
    told = {"weight_clipped_share": clipped, "logratio_low": low, "logratio_median": half, "logratio_high": high}
    if job.is_main:
        known: dict[str, Any] = json.loads((job.folder / FILE).read_text())
        write_json(job.folder / FILE, {**known, "weights": bars})
    return told


def weight_bars(gaps: Sequence[float], *, ratio_clip: float) -> list[dict[str, float]]:
    """Return how many clipped ratios lie in each of some steps between both ends of the clip, from log-ratios.

    Those that the clip has hold of are apart, in steps without width at its ends.
    """
    low, high = max(0.0, 1 - ratio_clip), 1 + ratio_clip
    inner = 9  # so that one of them has 1 in its middle
    step = (high - low) / inner
    counts = Counter[int]()
    for gap in gaps:
        # Beyond the upper end before it is raised, which could overflow.
        ratio = math.exp(gap) if gap <= math.log(high) else math.inf
        counts[-1 if ratio < low else inner if ratio > high else min(inner - 1, int((ratio - low) / step))] += 1
    edges = [round(low + i * step, 6) for i in range(inner + 1)]
    return [
        {"low": low, "high": low, "n": counts[-1]},
        *({"low": edges[i], "high": edges[i + 1], "n": counts[i]} for i in range(inner)),
        {"low": high, "high": high, "n": counts[inner]},
    ]


def _learned(
    job: Job, model: nn.Module, rows: Rows, rewards: Tensor, pad_id: int, *, rate: float, epochs: int
) -> tuple[PromptValue, float]:
    """Return V as it was in its best epoch on the held-out rows, and its mean squared error there."""
    states, _ = _states(job, model, [rows.examples[rows.held[0]]], pad_id)
    value = PromptValue(states.shape[-1]).to(job.device)
    optimizer = torch.optim.AdamW(value.parameters(), lr=rate)
    best, kept = float("inf"), value.state_dict()
    for epoch in range(epochs):
        order = list(rows.held)
        random.Random(f"value {job.spec.seed} {epoch}").shuffle(order)
        total = 0.0
        for start in range(0, len(order), ROWS_AT_ONCE):
            some = order[start : start + ROWS_AT_ONCE]
            found = value(*_states(job, model, [rows.examples[i] for i in some], pad_id))
            loss = (found - rewards[some].to(job.device)).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += float(loss.detach()) * len(some)
        if total / len(order) < best:
            best = total / len(order)
            kept = {name: tensor.clone() for name, tensor in value.state_dict().items()}
    value.load_state_dict(kept)
    return value, best


@torch.no_grad()
def _states(job: Job, model: nn.Module, examples: Sequence[Example], pad_id: int) -> tuple[Tensor, Tensor]:
    """Return the model's last states of the prompts (N, T, D), and which tokens are there (N, T)."""
    longest = max(len(example.prompt) for example in examples)
    ids = torch.full((len(examples), longest), pad_id, dtype=torch.long)
    mask = torch.zeros(ids.shape, dtype=torch.bool)
    for row, example in enumerate(examples):
        ids[row, : len(example.prompt)] = torch.tensor(example.prompt, dtype=torch.long)
        mask[row, : len(example.prompt)] = True
    ids, mask = ids.to(job.device), mask.to(job.device)
    training = model.training
    model.eval()
    found = model(input_ids=ids, attention_mask=mask.long(), output_hidden_states=True, use_cache=False)
    model.train(training)
    return found.hidden_states[-1].float(), mask
