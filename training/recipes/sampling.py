"""The recipe that draws answers from a policy and picks the pair worth a person's time."""

from __future__ import annotations

from training.recipes.base import Recipe, knob, part
from training.recipes.principles import HELP as PRINCIPLES_HELP

RULES = ("best_worst", "most_uncertain", "random", "disagreement", "bald", "k_center")
USER_HELP = "pseudonym of the person whom a policy that knows people answers; empty, or unknown to it, as anybody"
LABELLERS = ("human", "explicit", "implicit")  # who says which of two answers is better
OF_ENSEMBLES = ("disagreement", "bald")  # rules that need several opinions of each answer


@part("sample", "answers", target="training.core.generate:run_sample")
class Answers:
    """Completions drawn at a temperature alone, so that their log-probabilities are those of the policy."""

    samples_per_prompt: int = knob(4, "completions drawn per prompt", low=1, high=64)
    temperature: float = knob(1.0, "sampling temperature of the policy", low=0.05, high=5.0)
    max_new_tokens: int = knob(256, "longest completion, in tokens", low=1, high=8192)
    user: str = knob("", USER_HELP, advanced=True)
    rows_at_once: int = knob(
        64, "completions decoded side by side; lower it when memory runs out", low=1, advanced=True
    )


@part("select", "pair", target="training.core.selection:select")
class ChosenPair:
    """Which two completions a person is asked about. RLHF Workflow, arXiv:2405.07863, section 4."""

    selection: str = knob(
        "best_worst",
        "best against worst, closest to equal, random, what an ensemble disagrees on, or prompts unlike each other",
        choices=RULES,
    )
    asked_share: float = knob(
        1.0,
        "share of prompts that whoever labels is asked about: those the selection values most, and the audit",
        low=0.01,
        high=1.0,
    )
    principles: str = knob("", PRINCIPLES_HELP, advanced=True)
    audit_share: float = knob(
        0.1, "share of prompts whose pair is random whatever the rule, and never trained on", low=0.0, high=1.0
    )
    labeller: str = knob(
        "human",
        "who says which is better: people, the reward model, or the reward that the policy implies",
        choices=LABELLERS,
        advanced=True,
    )
    doubtful_share: float = knob(
        0.0,
        "where a model labels: share of the pairs asked about that are left to people, those it is least certain of",
        low=0.0,
        high=0.95,
        advanced=True,
    )
    doubtful_below: float = knob(
        1.0,
        "of that share, leave only pairs to people whose label is less probable than this; 1 is all of it",
        low=0.5,
        high=1.0,
        advanced=True,
    )
    beta: float = knob(
        0.1, "beta of the policy's training, where the reward that it implies labels", low=0.0001, advanced=True
    )


SAMPLE = Recipe(
    "sample",
    title="Sample answers",
    summary="Draws several answers per prompt from a policy, scores them, and picks the pair to ask people about.",
    kind="sample",
    view="prompts",
    parts=(Answers(), ChosenPair()),
    source="arXiv:2405.07863",
)
