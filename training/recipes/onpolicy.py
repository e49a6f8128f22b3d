"""Recipes that improve a policy on its own answers: which parts each paper puts into the slots."""

from __future__ import annotations

from typing import Any

from training.recipes.base import Recipe
from training.recipes.combine import First, MeanMinusVar, Min, Robust
from training.recipes.records import AskedPairs
from training.recipes.slots import check_slots
from training.recipes.stages import (
    GAE,
    AdaptiveKL,
    BatchMean,
    Best,
    BestAndRandom,
    BestPassing,
    Braked,
    Budget,
    Clipped,
    FixedKL,
    GroupNorm,
    GroupNormEach,
    Imitate,
    Improve,
    JudgedPairs,
    Judges,
    Lagrangian,
    LeaveOneOut,
    Ngram,
    Normalised,
    Paired,
    PairwiseAdvantage,
    Pessimistic,
    PIDLagrangian,
    PlainReward,
    PPOUpdate,
    PredictiveKL,
    Preference,
    Reinforce,
    Rules,
)
from training.recipes.tasks import TaskMix


def _recipe(name: str, title: str, summary: str, *parts: Any, source: str) -> Recipe:
    check_slots({p.slot: p for p in parts})
    return Recipe(
        name, title=title, summary=summary, kind="fit", view="prompts", makes="policy", parts=parts, source=source
    )


PPO = _recipe(
    "ppo",
    "Proximal policy optimisation",
    "Improves a policy on its own answers by a reward model, with a critic and a price on leaving the start.",
    First(),
    FixedKL(),
    GAE(),
    PPOUpdate(),
    Improve(),
    source="arXiv:1707.06347",
)

PPO_MAX = _recipe(
    "ppo-max",
    "PPO with its stabilisers",
    "As PPO, with rewards on one scale, a critic that learns first, and a price that follows how far the policy went.",
    First(),
    Normalised(),
    AdaptiveKL(),
    GAE(),
    PPOUpdate(),
    Improve(critic_warmup=5),
    source="arXiv:2307.04964",
)

PPO_PREFERENCE = _recipe(
    "ppo-preference",
    "PPO with preference as reward",
    "As PPO, rewarded by the chance of being preferred to the start's answers, which cannot be driven up without end.",
    First(),
    Preference(),
    FixedKL(kl=0.005),
    GAE(),
    PPOUpdate(),
    Improve(),
    source="arXiv:2502.18770",
)

PF_PPO = _recipe(
    "pf-ppo",
    "PPO with policy filtration",
    "As PPO, learning only from the best answer to a prompt and one other, where reward models are most reliable.",
    First(),
    BestAndRandom(),
    FixedKL(),
    GAE(),
    PPOUpdate(),
    Improve(samples_per_prompt=5),
    source="arXiv:2409.06957",
)

MACRO_PPO = _recipe(
    "macro-ppo",
    "PPO with macro actions",
    "As PPO, with several tokens as one action, so that the reward at the end reaches the beginning sooner.",
    First(),
    FixedKL(),
    Ngram(),
    GAE(),
    PPOUpdate(),
    Improve(),
    source="arXiv:2410.02743",
)

PPO_WORST = _recipe(
    "ppo-worst-case",
    "PPO by the worst member",
    "As PPO, rewarded by the member of an ensemble that likes the answer least, so that no one model can be fooled.",
    Min(),
    FixedKL(kl=0.01),
    GAE(),
    PPOUpdate(),
    Improve(),
    source="arXiv:2310.02743",
)

PPO_UNCERTAINTY = _recipe(
    "ppo-uncertainty",
    "PPO less uncertainty",
    "As PPO, rewarded by an ensemble's mean less its disagreement.",
    MeanMinusVar(variance_weight=0.1),
    FixedKL(kl=0.01),
    GAE(),
    PPOUpdate(),
    Improve(),
    source="arXiv:2310.02743",
)

PPO_ROBUST = _recipe(
    "ppo-robust",
    "PPO with a robust reward",
    "As PPO, rewarded by the usual score and the worst that a robust reward model holds possible.",
    Robust(),
    FixedKL(kl=0.01),
    GAE(),
    PPOUpdate(),
    Improve(),
    source="arXiv:2409.15360",
)

SAFE_RLHF = _recipe(
    "safe-rlhf",
    "Safe RLHF",
    "Raises the reward while a cost model's mean stays below a limit; the balance is found while it runs.",
    First(),
    Lagrangian(),
    FixedKL(kl=0.1),  # the authors'; charged less, λ and the policy swing about the limit (card 5)
    GAE(),
    PPOUpdate(),
    Improve(),
    source="arXiv:2310.12773",
)

SAFE_RLHF_PID = _recipe(
    "safe-rlhf-pid",
    "Safe RLHF for tight limits",
    "As Safe RLHF, with a controller that does not swing where the limit is hard to keep.",
    First(),
    PIDLagrangian(),
    FixedKL(),
    GAE(),
    PPOUpdate(),
    Improve(),
    source="arXiv:2007.03964",
)

HC_RLHF = _recipe(
    "hc-rlhf",
    "RLHF that is to pass the safety test",
    "As Safe RLHF, held so far below the limit that a test on fresh prompts, such as the gate's, will say so.",
    First(),
    Pessimistic(window_weight=2.0, test_weight=2.0),  # with 1 and 1 it is safe, and mostly not found so (card 4)
    FixedKL(kl=0.1),
    LeaveOneOut(),
    Reinforce(),
    Improve(),
    source="arXiv:2506.08266",
)

PPO_PREDICTIVE = _recipe(
    "ppo-predictive",
    "PPO with a predictive brake",
    "As PPO, free up to a distance from the start; beyond it a brake pulls, harder where answers stop varying.",
    First(),
    Preference(),
    PredictiveKL(),
    GAE(whiten=False),  # the brake is weighed against rewards between 0 and 1; in units of their spread they outgrow it
    Braked(),
    Improve(critic_heads="double"),
    source="arXiv:2602.04651",
)

RLOO = _recipe(
    "rloo",
    "REINFORCE, leave one out",
    "Improves a policy by comparing each answer with the others to its prompt; no critic to train.",
    First(),
    FixedKL(),
    LeaveOneOut(),
    Reinforce(),
    Improve(),
    source="arXiv:2402.14740",
)

GRPO = _recipe(
    "grpo",
    "Group relative policy optimisation",
    "Improves a policy by comparing the answers to a prompt in units of their spread; no critic to train.",
    First(),
    GroupNorm(),
    Clipped(),
    Improve(samples_per_prompt=8),
    source="arXiv:2402.03300",
)

SAFE_REASONING = _recipe(
    "safe-reasoning",
    "Safe thoughts and safe answers",
    "As GRPO for policies that think aloud: an answer earns its reward only if it is safe and so are its thoughts.",
    First(),
    Preference(),
    Judges(),
    GroupNorm(),
    Clipped(kl_weight=0.01),
    Improve(samples_per_prompt=8, thinking="apart"),
    source="arXiv:2512.01848",
)

GRPO_OBJECTIVES = _recipe(
    "grpo-objectives",
    "GRPO on several objectives",
    "As GRPO, with each score brought to one scale before they are weighed, so that no large one drowns the others.",
    First(),
    GroupNormEach(),
    Clipped(),
    Improve(samples_per_prompt=8),
    source="arXiv:2601.05242",
)

SUPERHF = _recipe(
    "superhf",
    "Imitating its own best answers",
    "Draws several answers, imitates the best by the reward model, and stays near its start; the simplest online way.",
    First(),
    Best(),
    Imitate(),
    Improve(samples_per_prompt=16),
    source="arXiv:2310.16763",
)

# The three compare with four answers of the reference and not with one, as the paper does: where that one breaks a rule
# and is overpaid, it leaves next to nothing for those that keep it (card 16).
CRPG = _recipe(
    "cgpo-crpg",
    "Policy gradient under judges",
    "Climbs a reward that only answers have which pass all judges and stay near the start; no weight to be found.",
    First(),
    Preference(),
    Rules(),
    Budget(),
    BatchMean(),
    Reinforce(),
    Improve(),
    source="arXiv:2409.20370",
)

CODPO = _recipe(
    "cgpo-codpo",
    "Preferences under judges",
    "Prefers the best of its own answers that pass all judges to the worst that fail.",
    First(),
    Preference(),
    Rules(),
    JudgedPairs(),
    Paired(),
    Improve(samples_per_prompt=8),
    source="arXiv:2409.20370",
)

CRRAFT = _recipe(
    "cgpo-crraft",
    "Imitation under judges",
    "Imitates the best of its own answers that pass all judges and stay near the start, as much as they are worth.",
    First(),
    Preference(),
    Rules(),
    BestPassing(),
    PlainReward(),
    Reinforce(),
    Improve(samples_per_prompt=8),
    source="arXiv:2409.20370",
)

PAIRWISE_GRPO = _recipe(
    "grpo-pairwise",
    "GRPO by comparing its own answers",
    "As GRPO, with a pairwise judge that compares the answers to a prompt with each other; no score in between.",
    First(),
    PairwiseAdvantage(),
    Clipped(kl_weight=1e-3),
    Improve(samples_per_prompt=4),
    source="arXiv:2505.16265",
)

JUDGE_BY_REWARD = Recipe(
    "reasoning-judge-rl",
    title="Judge that reasons, by reward",
    summary="Has a judge think about pairs on its own and rewards the verdict that people gave; after reasoning-judge.",
    kind="fit",
    view="pairs",
    makes="policy",
    parts=(AskedPairs(), First(), GroupNorm(), Clipped(kl_weight=1e-4), Improve(samples_per_prompt=8)),
    source="arXiv:2505.16265",
)

TASK_MIX = Recipe(
    "task-mix",
    title="Several tasks at once",
    summary="Teaches each kind of prompt by a recipe, judges and a reward of its own, all in one policy.",
    kind="fit",
    view="prompts",
    makes="policy",
    parts=(TaskMix(), Improve()),
    source="arXiv:2409.20370",
)
