"""Parts: what is learned from a row (objective), and the formula that says so (loss).

An objective part says with `needs` what it wants besides model and batch: "reference" is the frozen policy's
log-probabilities, "reward_margins" how much better a reward model finds each pair's chosen answer.
"""

from __future__ import annotations

from typing import Any, ClassVar

from training.recipes.base import RecipeError, knob, part
from training.recipes.note import Note
from training.recipes.principles import HELP as PRINCIPLES_HELP


@part("objective", "pair-scores", target="training.core.objectives:pair_scores")
class PairScores:
    """Scores of the chosen and the rejected completion. arXiv:1706.03741."""

    needs: ClassVar[tuple[str, ...]] = ()
    annotator_weights: bool = knob(
        False, "count each pair as much as who judged it is reliable; rows without a weight count once"
    )


@part("objective", "pair-logratios", target="training.core.objectives:pair_logratios")
class PairLogratios:
    """Log-ratios of both completions against a frozen reference policy. arXiv:2305.18290."""

    needs: ClassVar[tuple[str, ...]] = ("reference",)
    annotator_weights: bool = knob(
        False, "count each pair as much as who judged it is reliable; rows without a weight count once"
    )
    per_token: bool = knob(
        False, "compare means over an answer's tokens and no sums, so that its length says nothing", advanced=True
    )
    likelihood_weight: float = knob(
        0.0,
        "weight of the preferred answer's own likelihood beside it (RPO), which else may fall with that of both",
        low=0.0,
        advanced=True,
    )


@part("objective", "personal-pairs", target="training.core.objectives:personal_pairs")
class PersonalPairs:
    """Log-ratios of pairs answered to who judged them, and of the same answered to anybody. arXiv:2402.05133."""

    needs: ClassVar[tuple[str, ...]] = ("reference",)
    alpha: float = knob(
        0.5, "weight of answering the person who judged; 0 learns to answer anybody alone", low=0.0, high=1.0
    )
    user_penalty: float = knob(
        0.01, "pull of each person to what all have in common; the fewer their pairs, the stronger", low=0.0
    )
    annotator_weights: bool = knob(
        False, "count each pair as much as who judged it is reliable; rows without a weight count once"
    )


@part("users", "soft-prompts", target="training.core.personal:seat")
class SoftPrompts:
    """A soft prompt for each person, between the opening of a text and its prompt. P-RLHF, arXiv:2402.05133."""

    user_tokens: int = knob(10, "tokens of each person's soft prompt", low=1, high=256)
    user_model: str = knob(
        "individual",
        "a soft prompt for each person on one that all share, or a mixture of a few for each",
        choices=("individual", "clusters"),
    )
    user_clusters: int = knob(10, "soft prompts to mix, where each person is a mixture", low=2, high=256)
    user_rate: float = knob(1e-3, "learning rate of the soft prompts, which move further than weights", low=0.0)


@part("objective", "pair-margins", target="training.core.objectives:pair_margins")
class PairMargins:
    """Log-ratios against a frozen reference, and how far apart a reward model sees both answers. arXiv:2502.10391."""

    scorers: ClassVar[tuple[str, ...]] = ("reward",)
    needs: ClassVar[tuple[str, ...]] = ("reference", "reward_margins")
    annotator_weights: bool = knob(
        False, "count each pair as much as who judged it is reliable; rows without a weight count once"
    )
    principles: str = knob("", PRINCIPLES_HELP, advanced=True)


@part("objective", "pair-gaps", target="training.core.objectives:pair_gaps")
class PairGaps:
    """Log-ratios against the policy that wrote both, and how clearly one was preferred. arXiv:2410.04612."""

    needs: ClassVar[tuple[str, ...]] = ("reference",)
    annotator_weights: bool = knob(
        False, "count each pair as much as who judged it is reliable; rows without a weight count once"
    )


@part("objective", "pair-likelihoods", target="training.core.objectives:pair_likelihoods")
class PairLikelihoods:
    """Log-probabilities of both completions, with no reference. arXiv:2310.13639."""

    needs: ClassVar[tuple[str, ...]] = ()
    annotator_weights: bool = knob(
        False, "count each pair as much as who judged it is reliable; rows without a weight count once"
    )


@part("objective", "pair-averages", target="training.core.objectives:pair_averages")
class PairAverages:
    """What a token of each completion is worth on average, with no reference. arXiv:2405.14734."""

    needs: ClassVar[tuple[str, ...]] = ()
    annotator_weights: bool = knob(
        False, "count each pair as much as who judged it is reliable; rows without a weight count once"
    )


@part("objective", "intuition", target="training.core.objectives:intuition")
class Intuition:
    """Log-probabilities of a completion's tokens behind a text mixed with the model's own guesses. arXiv:2405.11870."""

    needs: ClassVar[tuple[str, ...]] = ()
    mix: float = knob(0.2, "share of the model's own guess in what it reads", low=0.0, high=1.0)


@part("objective", "leftover", target="training.core.objectives:leftover")
class Leftover:
    """Log-probabilities of completions that were better than expected, and by how much. arXiv:2305.14718."""

    needs: ClassVar[tuple[str, ...]] = ("reference",)


@part("baseline", "prompt-value", target="training.core.leftover:prompt_value")
class PromptValue:
    """How good an answer to a prompt is expected to be, from its prompt alone. A-LoL, arXiv:2305.14718."""

    reward_as: str = knob(
        "as_is",
        "rewards between 0 and 1 as they are, or those of a reward model through a sigmoid",
        choices=("as_is", "sigmoid"),
    )
    value_rate: float = knob(1e-3, "learning rate of what is expected", low=0.0, high=1.0, advanced=True)
    value_epochs: int = knob(10, "times the held-out answers are gone through for it", low=1, high=1000, advanced=True)
    priority: bool = knob(True, "draw answers in proportion to how much better they were than expected")


@part("loss", "a-lol", target="training.core.losses.a_lol:a_lol")
class ALoL:
    """Policy gradient on answers that are there, each one action. A-LoL, arXiv:2305.14718, eq. 4."""

    importance: str = knob(
        "sequence",
        "weigh by how much likelier the policy now is to say it than the start was, or not at all",
        choices=("sequence", "none"),
    )
    ratio_clip: float = knob(0.9, "how far that weight may go from 1", low=0.0, high=10.0)


@part("objective", "imitation", target="training.core.objectives:imitation")
class Imitation:
    """Log-probabilities of a completion's tokens. arXiv:2203.02155."""

    needs: ClassVar[tuple[str, ...]] = ()


@part("objective", "rankings", target="training.core.objectives:rankings")
class Ranked:
    """Scores of all answers that somebody put in an order. arXiv:1909.07123."""

    needs: ClassVar[tuple[str, ...]] = ()


@part("loss", "plackett-luce", target="training.core.losses.plackett_luce:plackett_luce")
class PlackettLuce:
    """Likelihood of a whole order, in which several may be called equal. arXiv:1909.07123."""

    tie_rate: float = knob(
        0.2,
        "chance that two equally good answers are called equal; at 0 ties say nothing of each other",
        low=0.0,
        high=0.95,
    )


@part("objective", "pair-costs", target="training.core.objectives:pair_costs")
class PairCosts:
    """Costs of the safer and the less safe completion, with their labels. arXiv:2310.12773."""

    needs: ClassVar[tuple[str, ...]] = ()


@part("objective", "member-scores", target="training.core.objectives:member_scores")
class MemberScores:
    """Scores of both completions by each member of an ensemble. arXiv:2310.02743."""

    needs: ClassVar[tuple[str, ...]] = ()
    resample: bool = knob(True, "let each member draw its own data, with replacement, so that members differ more")


@part("objective", "pointwise", target="training.core.objectives:pointwise")
class Pointwise:
    """Outputs of single completions and the labels people gave them, where they gave any. arXiv:2406.12845."""

    needs: ClassVar[tuple[str, ...]] = ()


@part("objective", "member-targets", target="training.core.objectives:member_targets")
class MemberTargets:
    """Means and deviations of the members, against the score of the model they stand on. arXiv:2409.15360."""

    needs: ClassVar[tuple[str, ...]] = ()


@part("objective", "yes-no", target="training.core.objectives:yes_no")
class YesNo:
    """How much likelier yes is than no, and what people said. arXiv:2509.21319."""

    needs: ClassVar[tuple[str, ...]] = ()


@part("objective", "verdicts", target="training.core.objectives:verdicts")
class Verdicts:
    """How much likelier one answer is called the better one than the other, in both orders. arXiv:2504.04950."""

    needs: ClassVar[tuple[str, ...]] = ()


@part("objective", "critiques", target="training.core.objectives:critiques")
class Critiques:
    """Scores read behind a critique, and the critique's own words. arXiv:2502.10391."""

    needs: ClassVar[tuple[str, ...]] = ()


@part("records", "criticised-pairs", target="training.core.critiques:criticised_pairs")
class CriticisedPairs:
    """Pairs out of single answers with a critique and points each. arXiv:2502.10391."""

    gives: ClassVar[str] = "criticised_pairs"
    one_person: bool = knob(True, "pair answers only by the points of one and the same person")


@part("objective", "people", target="training.core.objectives:people")
class People:
    """Gaps between the answers of each person's pairs, given other choices of the person. arXiv:2408.10075."""

    needs: ClassVar[tuple[str, ...]] = ()


@part("records", "compared", target="training.core.judging:compared")
class Compared:
    """Pairs read as one text, in both orders or as people saw them. arXiv:2504.04950."""

    gives: ClassVar[str] = "comparisons"
    orders: str = knob(
        "both",
        "learn from a pair in both orders, or only in the one in which it was seen, with people's own leaning",
        choices=("both", "as_seen"),
    )


@part("records", "traced", target="training.core.judging:traced")
class Traced:
    """Reasoning about pairs that comes to what the person said. arXiv:2505.16265."""

    gives: ClassVar[str] = "demonstrations"
    traces: str = knob(
        "longest", "which of a pair's right traces are imitated: the longest, or all", choices=("longest", "all")
    )
    thoughts: bool = knob(True, "imitate the thoughts too; without them the judge only names the better answer")


@part("records", "asked-pairs", target="training.core.verdicts:asked_pairs")
class AskedPairs:
    """Pairs as questions to a judge, with what people said as the right verdict. arXiv:2505.16265."""

    gives: ClassVar[str] = "prompts"
    supplies: ClassVar[tuple[str, ...]] = ("reward",)
    ask_orders: str = knob(
        "both", "ask about a pair in both orders, or only in the one in which it was seen", choices=("both", "as_seen")
    )


@part("records", "against-samples", target="training.core.imitation:against_samples")
class AgainstSamples:
    """Demonstrations, each preferred to what the policy answers now. arXiv:2310.06147, section 3."""

    gives: ClassVar[str] = "pairs"
    samples: int = knob(4, "answers of the policy that each demonstration is held against", low=1, high=64)


@part("records", "rewrites", target="training.core.rewriting:rewrites")
class Rewrites:
    """Rejected answers to be rewritten into chosen ones, and chosen ones to be left alone. arXiv:2409.00162."""

    gives: ClassVar[str] = "demonstrations"
    identity: bool = knob(True, "learn to leave a good answer as it is; without it every answer is changed")
    most_changed: float = knob(
        1.0, "share of words by which the two answers of a pair may differ; 1 takes every pair", low=0.0, high=1.0
    )


@part("records", "modes", target="training.core.modes:switched")
class Modes:
    """Answers in several behaviours, each behind a key of its own, from labels of what is safe. arXiv:2508.14904."""

    gives: ClassVar[str] = "demonstrations"
    keyed: ClassVar[bool] = True
    refusal: str = knob("I cannot help with that.", "what the rejective mode answers")
    fallback: bool = knob(True, "answer safely without a key and behind a wrong one too; else anything may come")
    negative: bool = knob(False, "learn the unsafe answers too, behind a key; for red teams only")


@part("records", "priorities", target="training.core.priorities:hierarchical")
class Priorities:
    """Pairs out of ratings, by the order in which the attributes matter. HERON, arXiv:2309.02632."""

    gives: ClassVar[str] = "pairs"
    priorities: str = knob("", "attributes, the most important first, with a minus where less is better; empty: a to z")
    margins: str = knob("0, 0.5", "gap that is still a tie, in standard deviations, one a level; the last one goes on")


@part("records", "consensus", target="training.core.principles:consensus")
class Consensus:
    """Judgements that everybody who judged the answer agrees with. arXiv:2509.21319."""

    gives: ClassVar[str] = "principles"
    min_annotators: int = knob(
        0, "people who have to have judged an answer and agree; 0 takes every judgement", low=0, high=100
    )


@part("loss", "bradley-terry", target="training.core.losses.bradley_terry:bradley_terry")
class BradleyTerry:
    """Pairwise ranking, with the strength of the preference as margin or weight. arXiv:2307.09288, eq. 2."""

    strength_as: str = knob(
        "none",
        "what a strong preference changes: nothing, the margin to win by, or how hard the pair pulls",
        choices=("none", "margin", "weight"),
    )
    margin_scale: float = knob(1.0, "margin of a pair of full strength, when strength is the margin", low=0.0)


@part("loss", "cost", target="training.core.losses.cost:cost")
class Cost:
    """Ranking of costs, with a term for each answer that holds its cost to its side of 0. arXiv:2310.12773, eq. 6."""

    sign_weight: float = knob(1.0, "how hard each answer is held to its side of 0; 0 only ranks", low=0.0)
    severity_as: str = knob(
        "margin",
        "what a severe answer changes: nothing, how far above 0 it has to come, or how hard its term pulls",
        choices=("none", "margin", "weight"),
    )
    margin_scale: float = knob(1.0, "cost that one step of severity asks for, when severity is the margin", low=0.0)
    regularization: float = knob(0.001, "pull of all costs to 0, by their mean square", low=0.0, advanced=True)


@part("loss", "regression", target="training.core.losses.regression:regression")
class Regression:
    """Squared error of an output against its label. arXiv:2406.12845, eq. 1."""


@part("loss", "gaussian", target="training.core.losses.gaussian:gaussian")
class Gaussian:
    """Expected squared error of a score that is drawn from a member's normal. arXiv:2409.15360, section 4.2."""


@part("loss", "entailment", target="training.core.losses.entailment:entailment")
class Entailment:
    """Cross-entropy of yes and no. arXiv:2509.21319."""

    balance: float = knob(1.0, "weight of a no; above 1 where most answers are yes", low=0.0)


@part("loss", "verdict", target="training.core.losses.verdict:verdict")
class Verdict:
    """Cross-entropy of the verdict in each order, and what the orders must agree on. arXiv:2504.04950."""

    consistency: float = knob(0.0, "weight of the squared disagreement between the two orders", low=0.0)


@part("loss", "critique", target="training.core.losses.critique:critique")
class Critique:
    """Ranking behind critiques, and the likelihood of the critiques. arXiv:2502.10391, eq. 2 and 3."""

    critique_weight: float = knob(1.0, "weight of writing the critique beside ranking by it", low=0.0)
    center: float = knob(0.01, "pull of the scores of a pair to 0", low=0.0, advanced=True)


@part("loss", "latent", target="training.core.losses.latent:latent")
class Latent:
    """Ranking given what a person is like, and how far that may be from anybody. arXiv:2408.10075, eq. 4."""

    kl_weight: float = knob(0.001, "pull of each person to the average one; too high, and all are alike", low=0.0)


@part("loss", "discriminator", target="training.core.losses.discriminator:discriminator")
class Discriminator:
    """Cross-entropy of each answer of a pair by itself: was it written before or after? arXiv:2401.15043."""


@part("loss", "dpo", target="training.core.losses.dpo:preference")
class DPO:
    """Direct preference optimisation, arXiv:2305.18290, eq. 7, or one of its relatives."""

    SMOOTHED: ClassVar[tuple[str, ...]] = ("sigmoid", "robust", "exo")
    loss_type: str = knob(
        "sigmoid",
        "formula: sigmoid is DPO; the others are its relatives, by the names that papers and TRL have for them",
        choices=(
            *("sigmoid", "hinge", "ipo", "robust", "exo", "nca", "bco", "sppo", "apo-zero", "apo-down", "discopop"),
        ),
    )
    beta: float = knob(0.1, "pull back to the reference: higher changes the policy less", low=0.0001)
    label_smoothing: float = knob(0.0, "share of judgements believed to be the wrong way round", low=0.0, high=0.5)

    @classmethod
    def check(cls, knobs: dict[str, Any]) -> None:
        """Refuse a smoothing that the formula does not read, or at which it is no number."""
        kind, smoothing = knobs["loss_type"], knobs["label_smoothing"]
        said = None
        if smoothing and kind not in cls.SMOOTHED:
            said = Note("{kind} reads no label smoothing: enter 0, or choose sigmoid, robust or exo.", kind=kind)
        elif kind == "exo" and smoothing == 0:
            said = Note("exo needs a label smoothing above 0, such as 0.001.")
        elif kind == "robust" and smoothing == 0.5:
            said = Note("robust needs a label smoothing below 0.5: at 0.5 judgements say nothing.")
        if said is not None:
            raise RecipeError(said, {"label_smoothing": [said]})


@part("loss", "margin-dpo", target="training.core.losses.dpo:margin_dpo")
class MarginDPO:
    """DPO that learns the harder from a pair the surer a reward model is of it. MM-DPO, arXiv:2502.10391, eq. 5."""

    beta: float = knob(0.1, "pull back to the reference, of a pair that the reward model is not sure of", low=0.0001)
    margin_weight: float = knob(0.5, "what a margin can add to beta at most, as a share of it", low=0.0)
    margin_steepness: float = knob(0.5, "how fast a margin adds to beta, per unit of reward", low=0.0)
    label_smoothing: float = knob(0.0, "share of judgements believed to be the wrong way round", low=0.0, high=0.5)


@part("loss", "cpl", target="training.core.losses.cpl:cpl")
class CPL:
    """Contrastive preference learning. arXiv:2310.13639."""

    alpha: float = knob(0.1, "what a nat between two answers says: higher changes the policy less", low=0.0001)
    bias: float = knob(
        0.5,
        "weight of the rejected answer; below 1 keeps probability on what is in the data",
        low=0.0,
        high=1.0,
    )


@part("loss", "simpo", target="training.core.losses.reference_free:simpo")
class SimPO:
    """Preference by mean log-probability, ahead by a margin. SimPO, arXiv:2405.14734, eq. 6."""

    beta: float = knob(2.0, "reward of a nat a token; far above DPO's, as a mean is far below a sum", low=0.0001)
    target_margin: float = knob(1.0, "by how much the better answer's reward is to be ahead", low=0.0)


@part("loss", "orpo", target="training.core.losses.reference_free:orpo")
class ORPO:
    """Likelihood of the better answer and its odds against the worse one's. ORPO, arXiv:2403.07691, eq. 6."""

    odds_weight: float = knob(0.1, "weight of the odds beside the likelihood; 0 only imitates", low=0.0)


@part("loss", "cpo", target="training.core.losses.reference_free:cpo")
class CPO:
    """DPO without a reference, and the likelihood of the better answer. CPO, arXiv:2401.08417, eq. 5."""

    beta: float = knob(0.1, "what a nat between two answers says: higher changes the policy less", low=0.0001)
    likelihood_weight: float = knob(1.0, "weight of the better answer's likelihood, which holds the policy", low=0.0)
    label_smoothing: float = knob(0.0, "share of judgements believed to be the wrong way round", low=0.0, high=0.5)


@part("loss", "refuel", target="training.core.losses.refuel:refuel")
class Refuel:
    """Regression of log-ratios on how much better one answer was found. arXiv:2410.04612."""

    eta: float = knob(1.0, "nats by which a clear preference is to part two answers", low=0.0)


@part("loss", "ift", target="training.core.losses.ift:ift")
class IFT:
    """Likelihood, each token weighed by what goes wrong behind it. arXiv:2405.11870."""

    decay: float = knob(0.95, "how far ahead a token is answerable; 0 is supervised fine-tuning", low=0.0, high=1.0)


@part("loss", "nll", target="training.core.losses.sft:nll")
class NLL:
    """Negative log-likelihood of a completion's tokens. arXiv:2203.02155."""
