"""The world that the experiments share: words of known kinds, a gold reward, annotators of stated noise, bandits.

A prompt names a kind of thing, and an answer is the better the larger the share of its words that are of this kind.
Nobody has to be asked what is right: `gold` says it. `Annotator` judges by Bradley and Terry on it, as noisily as it
is told. `Bandit` is small enough for everything to be computed exactly.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from scipy.optimize import linprog
from torch import Tensor, nn
from transformers import AutoModelForCausalLM

from tests.core.worlds import make_spec
from training.core.backbone import RewardModel, load_policy
from training.core.batch import LossOutput, Pairs, Tokens
from training.core.collate import encode_prompt
from training.core.decode import generate, prompt_seed, stop_ids
from training.core.heads import Head
from training.core.principles import QUESTION
from training.core.run import KINDS as RUN_KINDS
from training.core.run import open_job
from training.core.sampler import text_of
from training.core.tiny import save_tiny
from training.recipes.assembled import assembled, to_json
from training.recipes.spec import RunResult, RunSpec

KINDS = {
    "colour": ["red", "blue", "green", "white", "black", "pink"],
    "animal": ["cat", "dog", "horse", "fish", "mouse", "goat"],
    "food": ["bread", "rice", "soup", "cake", "apple", "salt"],
    "tool": ["saw", "nail", "rope", "axe", "pen", "key"],
}
PLAIN = ["the", "old", "one", "and", "with", "near", "very", "some"]
WORDS = [*PLAIN, *(word for words in KINDS.values() for word in words)]


def gold(prompt: str, answer: str) -> float:
    """Return the share of the answer's words that are of the kind its prompt names, from 0 to 1."""
    wanted = next(set(words) for kind, words in KINDS.items() if kind in prompt.split())
    words = answer.split()
    return sum(word in wanted for word in words) / max(len(words), 1)


def prompt(draw: random.Random) -> str:
    """Return a prompt that names one kind among other words."""
    words = [draw.choice(PLAIN) for _ in range(draw.randint(2, 5))]
    words.insert(draw.randint(0, len(words)), draw.choice(list(KINDS)))
    return " ".join(words)


def answer(draw: random.Random, *, share: float | None = None, asked: str = "", length: int = 0) -> str:
    """Return an answer of random words; with `share`, about that share of them of the kind that `asked` names."""
    length = length or draw.randint(3, 8)
    wanted = [word for kind, words in KINDS.items() if kind in asked.split() for word in words]
    return " ".join(
        draw.choice(wanted) if share is not None and draw.random() < share else draw.choice(WORDS)
        for _ in range(length)
    )


@dataclass
class Annotator:
    """Prefers by Bradley and Terry on gold: P(first) = σ(gap / temperature), then turned round `flips` of the time."""

    temperature: float = 0.1
    flips: float = 0.0
    seed: int = 0
    draw: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self.draw = random.Random(f"annotator {self.seed}")

    def prefers_first(self, gap: float) -> bool:
        """Return whether the first of two is preferred whose gold is `gap` above the other's."""
        z = gap / self.temperature
        p = 1 / (1 + math.exp(-z)) if z > -700 else 0.0
        return (self.draw.random() < p) != (self.draw.random() < self.flips)


def pair_rows(count: int, *, seed: int, annotator: Annotator | None = None) -> list[dict[str, Any]]:
    """Return rows of the view `pairs`; without an annotator the better one by gold is always chosen, ties left out."""
    draw = random.Random(f"pairs {seed}")
    rows: list[dict[str, Any]] = []
    while len(rows) < count:
        asked = prompt(draw)
        texts = [answer(draw, share=draw.random(), asked=asked) for _ in range(2)]
        gap = gold(asked, texts[0]) - gold(asked, texts[1])
        if gap == 0:
            continue
        first = gap > 0 if annotator is None else annotator.prefers_first(gap)
        chosen, rejected = texts if first else texts[::-1]
        rows.append({"prompt": asked, "chosen": chosen, "rejected": rejected, "strength": 1.0})
    return rows


def word_policy(folder: Path, *, seed: int = 0) -> Path:
    """Write a tiny Llama that reads a word of this world as one token, and return its folder."""
    every = [f" {word}" for word in WORDS] + WORDS + [f" {kind}" for kind in KINDS] + list(KINDS)
    return save_tiny(folder, texts=[*every, *([QUESTION] * 2)] * 20, vocab_size=261 + 600, seed=seed)


def lively(folder: Path, *, texts: Sequence[str] = (), seed: int = 0) -> Path:
    """Write a tiny Llama of this world with weights of the size that lets attention tell words apart from the start.

    Its own start at 0.02, right for wide models, leaves all keys of so narrow a one alike: after 1400 steps nothing was
    learned that takes a comparison of two words. A pretrained model, which is what the papers start from, has no such
    start. `texts` are sentences besides the words that are to be few tokens.
    """
    every = [f"{blank}{word}" for word in [*WORDS, *KINDS] for blank in ("", " ")]
    save_tiny(folder, texts=[*every, *([QUESTION, *texts] * 2)] * 20, vocab_size=261 + 600, seed=seed)
    model = AutoModelForCausalLM.from_pretrained(folder)
    torch.manual_seed(seed)
    for weight in model.parameters():
        if weight.dim() == 2:
            torch.nn.init.normal_(weight, std=weight.shape[1] ** -0.5)
    model.save_pretrained(folder)
    return folder


def sampled(folder: Path, prompts: Sequence[str], *, longest: int, seed: int = 0) -> list[str]:
    """Return an answer to each prompt, drawn from the policy in a folder at temperature 1."""
    model, tokenizer = load_policy(str(folder))
    drawn = generate(
        model,
        [encode_prompt(tokenizer, [{"role": "user", "content": one}]) for one in prompts],
        n=1,
        temperature=1.0,
        max_new_tokens=longest,
        stop=stop_ids(model, tokenizer),
        seeds=[prompt_seed(seed, str(number)) for number in range(len(prompts))],
    )
    return [text_of(tokenizer, one.ids[: len(one.ids) - one.ended]) for (one,) in drawn]


def do(folder: Path, name: str, *, parts: Mapping[str, str] | None = None, **more: Any) -> tuple[RunSpec, RunResult]:
    """Do a run of a recipe in this process, as the worker's child would, and return its spec and result.

    `parts` are others than the recipe's own (slot → name).
    """
    chosen = {k.name for k in assembled(name, parts).knobs()} & {*more} if parts else set()
    given = {knob: more.pop(knob) for knob in chosen}
    spec = make_spec(folder, name, **more)
    if parts:
        spec = replace(spec, recipe=to_json(name, given, parts))
        spec.write()
    result = RUN_KINDS[spec.kind](open_job(spec))
    result.write(spec.output)
    return spec, result


def fitted(folder: Path, name: str, *, batch: int, **more: Any) -> Path:
    """Do a run of a recipe, which holds nothing out unless it is told to, and return the model that it leaves."""
    do(folder, name, batch_size=batch, micro_batch=batch, checkpoint_every=2000, **{"eval_share": 0.0, **more})
    return folder / "model"


@dataclass(frozen=True)
class Bandit:
    """X prompts with Y answers each: rewards, costs and the reference policy are tables (X, Y)."""

    rewards: np.ndarray
    costs: np.ndarray
    reference: np.ndarray

    @classmethod
    def drawn(cls, prompts: int, answers: int, *, seed: int, correlation: float = 0.0) -> Bandit:
        """Return standard normal rewards, and costs that correlate so much with them; the reference is uniform."""
        draw = np.random.default_rng(seed)
        rewards = draw.normal(size=(prompts, answers))
        other = draw.normal(size=(prompts, answers))
        costs = correlation * rewards + math.sqrt(1 - correlation**2) * other
        return cls(rewards, costs, np.full((prompts, answers), 1 / answers))

    def optimum(self, beta: float) -> np.ndarray:
        """Return π* ∝ π_ref · e^{r/β}, the policy that maximises E[r] - β KL(π‖π_ref), (X, Y)."""
        logits = np.log(self.reference) + self.rewards / beta
        weights = np.exp(logits - logits.max(axis=1, keepdims=True))
        return weights / weights.sum(axis=1, keepdims=True)

    def value(self, policy: np.ndarray, table: np.ndarray | None = None) -> float:
        """Return the expected reward (or entry of another table) under a policy, prompts equally likely."""
        return float((policy * (self.rewards if table is None else table)).sum(1).mean())

    def best_within(self, limit: float) -> float:
        """Return the highest expected reward of any policy whose expected cost is at most `limit`; NaN if none is."""
        x, y = self.rewards.shape
        once = np.kron(np.eye(x), np.ones(y))
        found = linprog(
            -self.rewards.ravel() / x,
            A_ub=self.costs.ravel()[None] / x,
            b_ub=[limit],
            A_eq=once,
            b_eq=np.ones(x),
            bounds=(0, 1),
        )
        return float(-found.fun) if found.success else math.nan


class Points(nn.Module):
    """In place of a language model: token i is point i of a table (N, D), and the states are the points themselves.

    A sequence is the prompt's point and then the answer's, so that heads, lifts and losses run as they do on a model.
    """

    def __init__(self, table: np.ndarray) -> None:
        super().__init__()
        self.register_buffer("table", torch.tensor(table, dtype=torch.float32))

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> SimpleNamespace:
        return SimpleNamespace(last_hidden_state=self.table[input_ids])


def reward_on(table: np.ndarray, head: Head) -> RewardModel:
    """Return a reward model on points: the real one, with `Points` for its backbone."""
    return RewardModel(Points(table), head, pooling="last", base="points")


def sequences(prompts: Sequence[int] | np.ndarray, answers: Sequence[int] | np.ndarray) -> Tokens:
    """Return sequences of a prompt's and an answer's point as tokens (B, 2)."""
    ids = torch.tensor(np.stack([prompts, answers], axis=1), dtype=torch.long)
    completed = torch.tensor([False, True]).expand(len(ids), 2)
    return Tokens(ids, torch.ones_like(ids), completed)


def pairs_of(prompts: np.ndarray, chosen: np.ndarray, rejected: np.ndarray, rows: np.ndarray) -> Pairs:
    """Return pairs of answers' points, chosen ones first; `rows` are their lines in the data."""
    tokens = sequences(np.concatenate([prompts, prompts]), np.concatenate([chosen, rejected]))
    return Pairs(tokens, torch.ones(len(chosen)), extra={"row": torch.tensor(rows)})


def learn(
    model: RewardModel,
    objective: Callable[..., LossOutput],
    loss: Callable[..., Tensor],
    batch: Callable[[np.ndarray], Any],
    count: int,
    *,
    epochs: int,
    rate: float,
    seed: int,
    size: int = 50,
) -> None:
    """Train what can be trained in `model` on `batch(rows)` of `count` rows, shuffled anew in each epoch."""
    draw = np.random.default_rng(seed)
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=rate, weight_decay=0.0)
    for _ in range(epochs):
        for rows in np.array_split(draw.permutation(count), max(count // size, 1)):
            optimizer.zero_grad()
            out = objective(model, batch(rows), loss)
            ((out.loss * out.weight).sum() / out.weight.sum()).backward()
            optimizer.step()
