"""Recipes that train reward models, and the one that measures them."""

from __future__ import annotations

from training.recipes.base import Recipe, knob, part
from training.recipes.heads import (
    AttributesHead,
    CostHead,
    CritiqueHead,
    EnsembleHead,
    GatedHead,
    GaussianHead,
    LatentHead,
    LogitHead,
    VerdictHead,
    YesNoHead,
)
from training.recipes.losses import (
    NLL,
    BradleyTerry,
    Cost,
    Critique,
    Discriminator,
    Entailment,
    Gaussian,
    Latent,
    PlackettLuce,
    Regression,
    Verdict,
)
from training.recipes.objectives import (
    Critiques,
    Imitation,
    MemberScores,
    MemberTargets,
    PairCosts,
    PairScores,
    People,
    Pointwise,
    Ranked,
    Verdicts,
    YesNo,
)
from training.recipes.offline import Fit
from training.recipes.records import AgainstSamples, Compared, Consensus, CriticisedPairs, Priorities, Rewrites, Traced


@part("evaluate", "reward-accuracy", target="training.core.evaluate.reward_model:reward_accuracy")
class RewardAccuracy:
    """Share of pairs whose chosen completion scores higher, by prompt. RewardBench, arXiv:2403.13787."""

    max_length: int = knob(1024, "tokens of prompt and completion; longer prompts lose their beginning", low=8)
    rows_at_once: int = knob(32, "pairs scored side by side; lower it when memory runs out", low=1, advanced=True)
    confidence: float = knob(0.95, "confidence of the intervals", low=0.5, high=0.999, advanced=True)


@part("evaluate", "reward-benchmark", target="training.core.evaluate.benchmarks:benchmark")
class RewardBenchmark:
    """A published benchmark in its own layout, with intervals. RM-Bench, arXiv:2410.16184."""

    layout: str = knob(
        "pairs",
        "how the file is laid out: as our own pairs, or as a benchmark is published",
        choices=(
            "pairs",
            "rm-bench",
            "reward-bench",
            "judge-bench",
            "llmbar",
            "hhh",
            "principles",
            "vl-rewardbench",
            "rlaif-v",
        ),
    )
    principles: str = knob("", "what a principle model is asked about; several with semicolons between them")
    rows_at_once: int = knob(32, "answers scored side by side; lower it when memory runs out", low=1, advanced=True)
    confidence: float = knob(0.95, "confidence of the intervals", low=0.5, high=0.999, advanced=True)


POINTS = 0.03  # by how much the implicit reward may fall further before it may not label: the paper's mean


@part("evaluate", "shift-report", target="training.core.evaluate.shift:shift_report")
class ShiftReport:
    """What an explicit and an implicit reward lose of their accuracy on other kinds of data. arXiv:2409.03650."""

    scorers = ("reward",)
    familiar: str = knob("", "domain of the pairs that are like those trained on; all others are a shift")
    beta: float = knob(0.1, "beta of the policy's training; it scales the implicit reward", low=0.0001)
    rows_at_once: int = knob(32, "answers scored side by side; lower it when memory runs out", low=1, advanced=True)
    confidence: float = knob(0.95, "confidence of the intervals", low=0.5, high=0.999, advanced=True)


@part("evaluate", "reward-explorer", target="training.core.evaluate.explore:explore")
class RewardExplorer:
    """What several reward models say about answers to one prompt, and what each score is made of. arXiv:2406.12845."""

    principles: str = knob("", "what a principle model is asked about; several with semicolons between them")
    rows_at_once: int = knob(32, "answers scored side by side; lower it when memory runs out", low=1, advanced=True)


@part("evaluate", "people-report", target="training.core.evaluate.people:people_report")
class PeopleReport:
    """Groups of people, how right the model is about those it knows, and a quiz for newcomers. arXiv:2408.10075."""

    questions: int = knob(
        4, "questions that a newcomer is asked at most; each one more doubles the work", low=1, high=8
    )
    confidence: float = knob(0.95, "confidence of the intervals", low=0.5, high=0.999, advanced=True)
    rows_at_once: int = knob(32, "answers read side by side; lower it when memory runs out", low=1, advanced=True)


BRADLEY_TERRY = Recipe(
    "bradley-terry",
    title="Reward model",
    summary="Learns a score from judged pairs, so that answers can be ranked without asking people each time.",
    kind="fit",
    view="pairs",
    makes="reward",
    parts=(PairScores(), BradleyTerry(), Fit(learning_rate=1e-5)),
    source="arXiv:2203.02155",
)

RANKINGS = Recipe(
    "ranking-reward",
    title="Reward model from rankings",
    summary="Learns a score from whole orders of several answers, ties included, and not only from who beats whom.",
    kind="fit",
    view="rankings",
    makes="reward",
    parts=(Ranked(), PlackettLuce(), Fit(learning_rate=1e-5)),
    source="arXiv:1909.07123",
)

COST_MODEL = Recipe(
    "cost-model",
    title="Cost model",
    summary="Learns how unsafe an answer is, with 0 as the border of safe, from pairs with a safety label each.",
    kind="fit",
    view="safer_pairs",
    makes="cost",
    parts=(CostHead(), PairCosts(), Cost(), Fit(learning_rate=1e-5)),
    source="arXiv:2310.12773",
)

ENSEMBLE = Recipe(
    "reward-ensemble",
    title="Ensemble of reward models",
    summary="Learns several scores at once from judged pairs; where they disagree, none of them can be trusted.",
    kind="fit",
    view="pairs",
    makes="reward",
    parts=(EnsembleHead(), MemberScores(), BradleyTerry(), Fit(learning_rate=1e-5)),
    source="arXiv:2310.02743",
)

MULTI_OBJECTIVE = Recipe(
    "multi-objective",
    title="Attribute model",
    summary="Learns to give points for each attribute as people do, also where they rated only some of them.",
    kind="fit",
    view="ratings",
    makes="reward",
    parts=(AttributesHead(), Pointwise(), Regression(), Fit(learning_rate=1e-5)),
    source="arXiv:2406.12845",
)

ROBUST = Recipe(
    "robust-reward",
    title="Robust reward model",
    summary="Puts several members on a trained reward model that disagree where it has not seen anything.",
    kind="fit",
    view="pairs",
    makes="reward",
    parts=(GaussianHead(), MemberTargets(), Gaussian(), Fit(learning_rate=1e-3)),
    source="arXiv:2409.15360",
)

GATED = Recipe(
    "gated-objectives",
    title="Gate over attributes",
    summary="Learns from judged pairs which attributes count for which prompts, and can say why an answer scores so.",
    kind="fit",
    view="pairs",
    makes="reward",
    parts=(GatedHead(), PairScores(), BradleyTerry(), Fit(learning_rate=1e-3)),
    source="arXiv:2406.12845",
)

PRINCIPLE = Recipe(
    "principle-reward",
    title="Principle model",
    summary="Learns whether an answer satisfies a principle; which principles count is chosen when it is used.",
    kind="fit",
    view="principles",
    makes="reward",
    parts=(Consensus(), YesNoHead(), YesNo(), Entailment(), Fit(learning_rate=1e-5)),
    source="arXiv:2509.21319",
)

PRIORITY = Recipe(
    "priority-reward",
    title="Reward model by priorities",
    summary="Learns from ratings which answer is better when one attribute matters more than all that come after it.",
    kind="fit",
    view="ratings",
    makes="reward",
    parts=(Priorities(), PairScores(), BradleyTerry(), Fit(learning_rate=1e-5)),
    source="arXiv:2309.02632",
)

DISCRIMINATOR = Recipe(
    "style-discriminator",
    title="Before or after a rewrite",
    summary="Learns from rewritten answers how likely a text is one that a person has already improved.",
    kind="fit",
    view="pairs",
    makes="reward",
    parts=(LogitHead(), PairScores(), Discriminator(), Fit(learning_rate=1e-5)),
    source="arXiv:2401.15043",
)

PAIRWISE = Recipe(
    "pairwise-generative",
    title="Pairwise judge",
    summary="Learns from judged pairs to name the better of two answers by reading both, whichever stands first.",
    kind="fit",
    view="pairs",
    makes="reward",
    parts=(Compared(), VerdictHead(), Verdicts(), Verdict(), Fit(learning_rate=1e-5)),
    source="arXiv:2504.04950",
)

JUDGE = Recipe(
    "reasoning-judge",
    title="Judge that reasons",
    summary="Teaches a policy to think about two answers before it names the better one, from traces that were right.",
    kind="fit",
    view="pairs",
    makes="policy",
    parts=(Traced(), Imitation(), NLL(), Fit(learning_rate=1e-5)),
    source="arXiv:2505.16265",
)

REWRITER = Recipe(
    "seq2seq-reward",
    title="Rewriting reward model",
    summary="Learns to turn worse answers into better ones, and rewards each word that it would have left as it is.",
    kind="fit",
    view="pairs",
    makes="reward",
    starts="policy",
    parts=(Rewrites(), Imitation(), NLL(), Fit(learning_rate=1e-5)),
    source="arXiv:2409.00162",
)

CRITIQUE = Recipe(
    "critique-reward",
    title="Reward model that criticises",
    summary="Learns to write what is good and bad about an answer before it scores it, from critiques with points.",
    kind="fit",
    view="critiques",
    makes="reward",
    parts=(CriticisedPairs(), CritiqueHead(), Critiques(), Critique(), Fit(learning_rate=1e-6)),
    source="arXiv:2502.10391",
)

IMITATED = Recipe(
    "demonstration-reward",
    title="Reward model from demonstrations",
    summary="Learns what people's own answers have that the policy's lack, without anybody comparing answers.",
    kind="fit",
    view="demonstrations",
    makes="reward",
    parts=(AgainstSamples(), PairScores(), BradleyTerry(), Fit(learning_rate=1e-5)),
    source="arXiv:2310.06147",
)

LATENT_USER = Recipe(
    "latent-user",
    title="Reward model for people",
    summary="Learns from a few choices of a person what that person wants, also of people it has not met before.",
    kind="fit",
    view="people",
    makes="reward",
    parts=(LatentHead(), People(), Latent(), Fit(learning_rate=1e-3)),
    source="arXiv:2408.10075",
)

REWARD_ACCURACY = Recipe(
    "reward-accuracy",
    title="Reward model accuracy",
    summary="Measures on judged pairs how often a reward model agrees with people, beside choosing by length alone.",
    kind="evaluate",
    view="pairs",
    parts=(RewardAccuracy(),),
    source="arXiv:2403.13787",
    starts="reward",
)

REWARD_BENCHMARK = Recipe(
    "reward-benchmark",
    title="Reward model benchmark",
    summary="Measures a reward model on a published benchmark: by domain and style, its calibration, its length bias.",
    kind="evaluate",
    view="pairs",
    parts=(RewardBenchmark(),),
    source="arXiv:2410.16184",
)

SHIFT_REPORT = Recipe(
    "shift-report",
    title="Explicit against implicit reward",
    summary="Measures what a reward model, and the one that a policy implies, lose where the data is of another kind.",
    kind="evaluate",
    view="pairs",
    parts=(ShiftReport(),),
    source="arXiv:2409.03650",
    starts="policy",
)

REWARD_EXPLORER = Recipe(
    "reward-explorer",
    title="Reward explorer",
    summary="Scores answers that somebody types or picks by every reward model, with spread, critique and attributes.",
    kind="evaluate",
    view="answers",
    parts=(RewardExplorer(),),
    source="arXiv:2406.12845",
)

PEOPLE_REPORT = Recipe(
    "people-report",
    title="People and groups",
    summary="Measures a reward model for people, finds groups among them, and makes a quiz for newcomers.",
    kind="evaluate",
    view="people",
    parts=(PeopleReport(),),
    source="arXiv:2408.10075",
    starts="reward",
)
