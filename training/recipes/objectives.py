"""Parts: what is learned from a row (objective), with what two objectives ask besides: users and a baseline.

A part says with `needs` what it wants besides model and batch: "reference" is the frozen policy's log-probabilities,
"reward_margins" how much better a reward model finds each pair's chosen answer, "parted_dialogues" that of a pair of
whole dialogues the turn where they part is learned.
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
    text_alone: float = knob(
        0.5,
        "where people say what they like: share of that weight learned from the text without the soft prompt",
        low=0.0,
        high=1.0,
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
    profile_tokens: int = knob(
        200, "tokens read of what people say they like, where rows have it (profile); 0 reads none", low=0, high=2000
    )


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

    needs: ClassVar[tuple[str, ...]] = ("reference", "parted_dialogues")
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

    def check(self, values: dict[str, Any]) -> None:
        """RecipeError where nothing is held out, on which it is learned."""
        if not values.get("eval_share", 1.0):
            said = Note("How good an answer is to be expected is learned on held-out prompts. Set eval_share above 0.")
            raise RecipeError(said, {"eval_share": [said]})


@part("objective", "imitation", target="training.core.objectives:imitation")
class Imitation:
    """Log-probabilities of a completion's tokens. arXiv:2203.02155."""

    needs: ClassVar[tuple[str, ...]] = ()


@part("objective", "rankings", target="training.core.objectives:rankings")
class Ranked:
    """Scores of all answers that somebody put in an order. arXiv:1909.07123."""

    needs: ClassVar[tuple[str, ...]] = ()


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


@part("objective", "people", target="training.core.objectives:people")
class People:
    """Gaps between the answers of each person's pairs, given other choices of the person. arXiv:2408.10075."""

    needs: ClassVar[tuple[str, ...]] = ()
