"""Parts of the loop on the policy's own answers: what is done with a rollout, and the loop itself."""

from __future__ import annotations

import re
from typing import Any, ClassVar

from training.recipes.anchors import ANCHORS
from training.recipes.base import RecipeError, knob, part
from training.recipes.note import Note
from training.recipes.principles import HELP as PRINCIPLES_HELP
from training.recipes.principles import listed


def check_rules(values: dict[str, Any]) -> None:
    """RecipeError where a judge's regular expression cannot be read, or no answer has so many words, by knob."""
    errors: dict[str, list[str]] = {}
    for name in ("must_match", "must_not_match"):
        try:
            re.compile(values[name])
        except re.error as error:
            errors[name] = [Note("This is no regular expression: {error}. Write it as in Python.", error=error)]
    low, high = values["min_words"], values["max_words"]
    if high and low > high:
        errors["max_words"] = [
            Note(
                "No answer has at least {low} and at most {high} words. Change min_words or max_words.",
                low=low,
                high=high,
            )
        ]
    if errors:
        raise RecipeError(Note.together(text for texts in errors.values() for text in texts), errors)


class Stage:
    """What the parts of these slots read and write, where they do not say otherwise."""

    needs: ClassVar[tuple[str, ...]] = ("reward",)
    gives: ClassVar[tuple[str, ...]] = ("reward",)


@part("shape", "preference", target="training.core.stages.shape:preference")
class Preference(Stage):
    """The chance of being preferred to what the reference answers (PAR). arXiv:2502.18770."""

    needs: ClassVar[tuple[str, ...]] = ("reward", "reference_rewards")
    gives: ClassVar[tuple[str, ...]] = ("reward", "calibrated")  # between 0 and 1
    reward_scale: float = knob(1.0, "how steep the reward is around the reference's answers", low=0.0)


@part("shape", "centred-log-sigmoid", target="training.core.stages.shape:centred_log_sigmoid")
class CentredLogSigmoid(Stage):
    """The logarithm of the chance to beat the reference's better answers. arXiv:2402.00742."""

    needs: ClassVar[tuple[str, ...]] = ("reward", "reference_rewards")


@part("shape", "length-penalty", target="training.core.stages.shape:length_penalty")
class LengthPenalty(Stage):
    """A price on each token beyond a number that is free. arXiv:2405.07863, section 4."""

    free_tokens: int = knob(300, "tokens that cost nothing", low=0)
    token_price: float = knob(0.01, "reward that each further token costs", low=0.0)


@part("shape", "normalised", target="training.core.stages.shape:Normalised")
class Normalised(Stage):
    """Rewards on one scale for the whole run, cut off far out. PPO-max, arXiv:2307.04964, section 5.3."""

    centre: bool = knob(True, "take the running mean away as well; else only the scale changes")
    reward_limit: float = knob(10.0, "standard deviations beyond which a reward counts no more", low=0.0)


@part("constrain", "lagrangian", target="training.core.stages.constrain:climbing")
class Lagrangian(Stage):
    """Reward less λ times cost, where λ rises while the cost is above its limit. Safe RLHF, arXiv:2310.12773, eq. 9."""

    scorers: ClassVar[tuple[str, ...]] = ("cost",)
    needs: ClassVar[tuple[str, ...]] = ("reward", "scores")
    cost_limit: float = knob(0.0, "mean cost to stay below; 0 is the border of safe")
    multiplier: float = knob(1.0, "weight λ of the cost at the start", low=0.0001)
    multiplier_rate: float = knob(0.1, "how fast λ follows the cost", low=0.0)
    multiplier_limit: float = knob(20.0, "highest weight λ of the cost", low=0.0001)
    cost_window: int = knob(128, "answers whose mean cost is held against the limit", low=1)


@part("constrain", "pid-lagrangian", target="training.core.stages.constrain:pid")
class PIDLagrangian(Stage):
    """As Lagrangian, with a controller that does not swing about tight limits. arXiv:2007.03964."""

    scorers: ClassVar[tuple[str, ...]] = ("cost",)
    needs: ClassVar[tuple[str, ...]] = ("reward", "scores")
    cost_limit: float = knob(0.0, "mean cost to stay below; 0 is the border of safe")
    proportional: float = knob(0.5, "weight λ for each unit of cost above the limit now", low=0.0)
    integral: float = knob(0.01, "what λ gains in a step for each unit of cost above the limit", low=0.0)
    multiplier_limit: float = knob(20.0, "highest weight λ of the cost", low=0.0001)
    cost_window: int = knob(128, "answers whose mean cost is held against the limit", low=1)


@part("constrain", "pessimistic", target="training.core.stages.constrain:pessimistic")
class Pessimistic(Stage):
    """As Lagrangian, held to what a safety test on fresh prompts would say. HC-RLHF, arXiv:2506.08266."""

    scorers: ClassVar[tuple[str, ...]] = ("cost",)
    needs: ClassVar[tuple[str, ...]] = ("reward", "scores")
    cost_limit: float = knob(0.0, "mean cost that the test will be held against; 0 is the border of safe")
    delta: float = knob(0.1, "probability that the test lets an unsafe policy pass", low=1e-9, high=0.5)
    test_prompts: int = knob(200, "prompts that the test will have", low=2)
    window_weight: float = knob(1.0, "how far to stay off for what the window does not tell", low=0.0)
    test_weight: float = knob(1.0, "how far to stay off for what the test will not tell", low=0.0)
    proportional: float = knob(0.5, "weight λ for each unit of cost above the limit now", low=0.0)
    integral: float = knob(0.01, "what λ gains in a step for each unit of cost above the limit", low=0.0)
    multiplier_limit: float = knob(20.0, "highest weight λ of the cost", low=0.0001)
    cost_window: int = knob(256, "answers whose costs are held against the limit", low=2)


@part("constrain", "rules", target="training.core.stages.judges:rules")
class Rules(Stage):
    """No reward for an answer that breaks a rule about its words. CGPO, arXiv:2409.20370, eq. 8."""

    needs: ClassVar[tuple[str, ...]] = ("reward", "calibrated")
    gives: ClassVar[tuple[str, ...]] = ("reward", "passes")
    min_words: int = knob(1, "fewest words an answer may have", low=0)
    max_words: int = knob(0, "most words an answer may have; 0 is no limit", low=0)
    must_match: str = knob("", "regular expression that has to be found in an answer; empty: none")
    must_not_match: str = knob("", "regular expression that must not be found in an answer; empty: none")
    refusals: str = knob(
        "pass", "whether an answer may, must or must not refuse", choices=("pass", "wanted", "unwanted")
    )

    def check(self, values: dict[str, Any]) -> None:
        """RecipeError where no answer could pass."""
        check_rules(values)


@part("constrain", "judges", target="training.core.stages.judges:judges")
class Judges(Stage):
    """No reward for an answer that breaks a rule or costs too much, by a cost model. CGPO, arXiv:2409.20370, eq. 8."""

    scorers: ClassVar[tuple[str, ...]] = ("cost",)
    needs: ClassVar[tuple[str, ...]] = ("reward", "calibrated", "scores")
    gives: ClassVar[tuple[str, ...]] = ("reward", "passes")
    judged_cost: float = knob(0.0, "highest cost of an answer that passes; 0 is the border of safe")
    min_words: int = knob(1, "fewest words an answer may have", low=0)
    max_words: int = knob(0, "most words an answer may have; 0 is no limit", low=0)
    must_match: str = knob("", "regular expression that has to be found in an answer; empty: none")
    must_not_match: str = knob("", "regular expression that must not be found in an answer; empty: none")
    refusals: str = knob(
        "pass", "whether an answer may, must or must not refuse", choices=("pass", "wanted", "unwanted")
    )

    def check(self, values: dict[str, Any]) -> None:
        """RecipeError where no answer could pass."""
        check_rules(values)


@part("constrain", "audited-judges", target="training.core.stages.judges:audited")
class AuditedJudges(Judges):
    """As judges, with a second cost model that only watches what they let pass. CGPO, arXiv:2409.20370."""

    scorers: ClassVar[tuple[str, ...]] = ("cost", "audit")


@part("constrain", "principled-judges", target="training.core.stages.judges:principled")
class PrincipledJudges(Rules):
    """No reward for an answer that breaks a rule or a principle, by a principle model. CGPO, arXiv:2409.20370."""

    scorers: ClassVar[tuple[str, ...]] = ("principle",)
    needs: ClassVar[tuple[str, ...]] = ("reward", "calibrated", "scores")
    judged_principles: str = knob("harmlessness", "principles that an answer has to keep, with semicolons between them")
    judged_chance: float = knob(
        0.5, "lowest chance, by the principle model, that an answer that passes keeps each of them", low=0.0, high=1.0
    )

    def check(self, values: dict[str, Any]) -> None:
        """RecipeError where an expression cannot be read or no principle is named."""
        check_rules(values)
        if not listed(values["judged_principles"]):
            said = Note("Name at least one principle that an answer has to keep.")
            raise RecipeError(said, {"judged_principles": [said]})


@part("filter", "best", target="training.core.stages.filter:best")
class Best(Stage):
    """The best answer to each prompt. arXiv:2304.06767."""

    leaves: ClassVar[int] = 1


@part("filter", "best-and-random", target="training.core.stages.filter:best_and_random")
class BestAndRandom(Stage):
    """The best answer to each prompt and one of the others. PF-PPO, arXiv:2409.06957."""


@part("filter", "best-and-worst", target="training.core.stages.filter:best_and_worst")
class BestAndWorst(Stage):
    """The best answer to each prompt and the worst. PF-PPO, arXiv:2409.06957."""


@part("filter", "best-passing", target="training.core.stages.filter:best_passing")
class BestPassing(Stage):
    """The best answer to each prompt that passes all judges, near the reference. CRRAFT, arXiv:2409.20370."""

    needs: ClassVar[tuple[str, ...]] = ("reward", "passes", "reference_logps")
    leaves: ClassVar[int] = 1
    kl_at_most: float = knob(20.0, "nats by which an answer may be likelier than under the reference", low=0.0001)


@part("filter", "judged-pairs", target="training.core.stages.filter:judged_pairs")
class JudgedPairs(Stage):
    """The best answer that passes all judges, held against the worst that fails. CODPO, arXiv:2409.20370."""

    needs: ClassVar[tuple[str, ...]] = ("reward", "passes", "reference_logps")
    gives: ClassVar[tuple[str, ...]] = ("reward", "rival")
    leaves: ClassVar[int] = 1


@part("kl", "fixed", target="training.core.stages.kl:fixed")
class FixedKL(Stage):
    """A price on each nat by which a token is likelier than under the reference. arXiv:1909.08593."""

    needs: ClassVar[tuple[str, ...]] = ("reward", "reference_logps")
    gives: ClassVar[tuple[str, ...]] = ("token_reward",)
    kl: float = knob(0.05, "reward that one nat away from the reference costs", low=0.0)


@part("kl", "adaptive", target="training.core.stages.kl:Adaptive")
class AdaptiveKL(Stage):
    """A price on leaving the reference that follows a target. arXiv:1909.08593, section 2.2."""

    needs: ClassVar[tuple[str, ...]] = ("reward", "reference_logps")
    gives: ClassVar[tuple[str, ...]] = ("token_reward",)
    kl: float = knob(0.05, "reward that one nat away from the reference costs at first", low=0.0001)
    kl_target: float = knob(6.0, "nats a completion that the policy is to be away from the reference", low=0.0001)
    kl_horizon: int = knob(10_000, "answers in which the price may change by a fifth", low=1)


@part("kl", "budget", target="training.core.stages.kl:budget")
class Budget(Stage):
    """A reward that shrinks to nothing as an answer comes to so many nats from the reference. arXiv:2409.20370."""

    needs: ClassVar[tuple[str, ...]] = ("reward", "calibrated", "reference_logps")
    gives: ClassVar[tuple[str, ...]] = ("token_reward",)
    kl_budget: float = knob(20.0, "nats of an answer from the reference at which it is worth nothing", low=0.0001)


@part("kl", "predictive", target="training.core.stages.brake:Predictive")
class PredictiveKL(Stage):
    """A brake in the loss beyond a distance that follows reward and entropy. arXiv:2602.04651."""

    needs: ClassVar[tuple[str, ...]] = ("reward", "calibrated", "reference_logps")
    gives: ClassVar[tuple[str, ...]] = ("token_reward", "kl_weight")
    threshold: float = knob(0.3, "nats a token from the reference beyond which it brakes", low=0.0)
    threshold_low: float = knob(0.1, "lowest that this may become while the reward falls", low=0.0, advanced=True)
    threshold_high: float = knob(0.6, "highest that this may become while the reward rises", low=0.0, advanced=True)
    penalty: float = knob(0.1, "how hard it brakes, for each nat beyond", low=0.0)
    preview: float = knob(0.5, "nats a token to be expected soon, beyond which steps are shortened", low=0.0001)


class Segment(Stage):
    """What the parts of this slot read and write."""

    needs: ClassVar[tuple[str, ...]] = ("token_reward",)
    gives: ClassVar[tuple[str, ...]] = ("segments",)


@part("segment", "ngram", target="training.core.stages.segment:ngram")
class Ngram(Segment):
    """Macro actions of so many tokens. MA-RLHF, arXiv:2410.02743."""

    tokens_each: int = knob(5, "tokens of a macro action; 1 is PPO on tokens", low=1)


@part("segment", "whole", target="training.core.stages.segment:whole")
class Whole(Segment):
    """The whole answer as one action. MA-RLHF, arXiv:2410.02743."""


@part("segment", "perplexity", target="training.core.stages.segment:perplexity")
class Perplexity(Segment):
    """Macro actions that end where the reference begins to be surprised. MA-RLHF, arXiv:2410.02743."""

    needs: ClassVar[tuple[str, ...]] = ("token_reward", "reference_logps")


class Advantage(Stage):
    """What the parts of this slot read and write."""

    needs: ClassVar[tuple[str, ...]] = ("token_reward",)
    gives: ClassVar[tuple[str, ...]] = ("advantages",)
    compares_in_groups: ClassVar[bool] = False
    name: ClassVar[str]

    def check(self, values: dict[str, Any]) -> None:
        """RecipeError where an answer would have no other one beside it."""
        if self.compares_in_groups and values.get("samples_per_prompt", 2) < 2:
            said = Note("{part} compares the answers to a prompt: have two drawn or more.", part=self.name)
            raise RecipeError(said, {"samples_per_prompt": [said]})


@part("advantage", "gae", target="training.core.stages.advantage:gae")
class GAE(Advantage):
    """Against what a critic expected, over tokens or macro actions. arXiv:1506.02438."""

    needs: ClassVar[tuple[str, ...]] = ("token_reward", "values")
    gives: ClassVar[tuple[str, ...]] = ("advantages", "returns")
    gamma: float = knob(1.0, "what a reward one action later is worth", low=0.0, high=1.0, advanced=True)
    gae_lambda: float = knob(0.95, "1 trusts the rewards alone, 0 the critic alone", low=0.0, high=1.0)
    whiten: bool = knob(True, "bring the advantages of a step to mean 0 and deviation 1")


@part("advantage", "leave-one-out", target="training.core.stages.advantage:leave_one_out")
class LeaveOneOut(Advantage):
    """Against the mean of the other answers to the prompt. RLOO, arXiv:2402.14740."""

    compares_in_groups: ClassVar[bool] = True


@part("advantage", "group-norm", target="training.core.stages.advantage:group_norm")
class GroupNorm(Advantage):
    """Against the answers to the same prompt, in units of their spread. GRPO, arXiv:2402.03300."""

    compares_in_groups: ClassVar[bool] = True
    scale_by_group: bool = knob(True, "divide by the spread of the prompt's rewards; off is Dr. GRPO")


@part("advantage", "group-norm-steps", target="training.core.stages.advantage:group_norm_steps")
class GroupNormSteps(Advantage):
    """What each token, or macro action, and those after it earned, against the answers to the same prompt.

    GRPO with process supervision, arXiv:2402.03300, section 4.1.3.
    """

    needs: ClassVar[tuple[str, ...]] = ("token_reward", "credit")
    compares_in_groups: ClassVar[bool] = True


@part("advantage", "pairwise", target="training.core.stages.advantage:pairwise")
class PairwiseAdvantage(Advantage):
    """Against the answers to the same prompt, as a pairwise judge compares them. Think-RM, arXiv:2505.16265."""

    needs: ClassVar[tuple[str, ...]] = ("token_reward", "comparisons")
    compares_in_groups: ClassVar[bool] = True
    verdicts: str = knob(
        "hard",
        "count a comparison as won, lost or, where the place decides it, as a tie; or by how sure the judge is",
        choices=("hard", "graded"),
    )


@part("advantage", "group-norm-each", target="training.core.stages.advantage:group_norm_each")
class GroupNormEach(Advantage):
    """Each score against the answers to the same prompt, then their weighted sum. GDPO, arXiv:2601.05242."""

    needs: ClassVar[tuple[str, ...]] = ("token_reward", "scores")
    compares_in_groups: ClassVar[bool] = True
    score_weights: str = knob("reward=1", "each score that counts as name=weight, with commas between them")


@part("advantage", "batch-mean", target="training.core.stages.advantage:batch_mean")
class BatchMean(Advantage):
    """Against the mean of all answers of the step. CGPO, arXiv:2409.20370, eq. 12."""


@part("advantage", "plain", target="training.core.stages.advantage:plain")
class PlainReward(Advantage):
    """The reward itself, against nothing. CRRAFT, arXiv:2409.20370, eq. 18."""


class Update(Stage):
    """What the parts of this slot read."""

    needs: ClassVar[tuple[str, ...]] = ("advantages",)
    gives: ClassVar[tuple[str, ...]] = ()


@part("update", "ppo", target="training.core.updates:ppo")
class PPOUpdate(Update):
    """Clipped policy and value losses. PPO, arXiv:1707.06347."""

    needs: ClassVar[tuple[str, ...]] = ("advantages", "returns", "values")
    clip: float = knob(0.2, "how far a token's probability may change in one step, as a share", low=0.0, high=1.0)
    value_clip: float = knob(0.2, "how far the critic may change its mind in one step", low=0.0, advanced=True)
    value_weight: float = knob(0.5, "weight of the critic's loss", low=0.0, advanced=True)


@part("update", "braked", target="training.core.updates:braked")
class Braked(Update):
    """PPO with the divergence in its loss, as a brake weighs it, and a price on lost entropy. arXiv:2602.04651."""

    needs: ClassVar[tuple[str, ...]] = ("advantages", "returns", "values", "kl_weight", "reference")
    clip: float = knob(0.2, "how far a token's probability may change in one step, as a share", low=0.0, high=1.0)
    value_weight: float = knob(0.5, "weight of the critic's loss", low=0.0, advanced=True)
    entropy_weight: float = knob(0.01, "reward for each nat of entropy a token", low=0.0)


@part("update", "clipped", target="training.core.updates:clipped")
class Clipped(Update):
    """Clipped policy loss without a critic, with a KL term in the loss. GRPO, arXiv:2402.03300."""

    needs: ClassVar[tuple[str, ...]] = ("advantages", "reference_logps")
    clip: float = knob(0.2, "how far a token's probability may change in one step, as a share", low=0.0, high=1.0)
    kl_weight: float = knob(0.04, "weight of the KL term in the loss", low=0.0)
    kl_estimate: str = knob(
        "k3",
        "the KL term: k3 as in the paper, or k2, whose gradient is that of the reward-side price",
        choices=("k3", "k2"),
    )


@part("update", "reinforce", target="training.core.updates:reinforce")
class Reinforce(Update):
    """The policy gradient with the answer as one action. arXiv:2402.14740."""


@part("update", "paired", target="training.core.updates:paired")
class Paired(Update):
    """Makes an answer likelier than its rival, and likely by itself. CODPO, arXiv:2409.20370, eq. 14."""

    needs: ClassVar[tuple[str, ...]] = ("rival", "reference_logps")
    pair_beta: float = knob(0.1, "how far from the reference a pair may pull; lower goes further", low=0.0001)
    imitation_weight: float = knob(1.0, "weight of writing the better answer beside preferring it", low=0.0)


@part("update", "imitate", target="training.core.updates:imitate")
class Imitate(Update):
    """Imitates the answers that were kept, held to the start by a KL term. SuperHF, arXiv:2310.16763."""

    needs: ClassVar[tuple[str, ...]] = ("reference",)
    prior_weight: float = knob(0.35, "weight of KL(start ‖ policy)", low=0.0)


@part("trainer", "on-policy", target="training.core.trainers.onpolicy:improve")
class Improve:
    """Samples, scores, learns, and samples again. InstructGPT, arXiv:2203.02155."""

    scorers: ClassVar[tuple[str, ...]] = ("reward",)
    iterations: int = knob(100, "times the policy answers prompts and learns from its answers", low=1)
    prompts_per_iteration: int = knob(32, "prompts answered each time", low=1, high=65_536)
    samples_per_prompt: int = knob(4, "answers drawn to each prompt", low=1, high=256)
    temperature: float = knob(1.0, "sampling temperature; every log-probability is under it", low=0.05, high=5.0)
    max_new_tokens: int = knob(256, "longest answer, in tokens", low=1, high=8192)
    passes: int = knob(1, "times the answers are gone through before new ones are drawn", low=1, high=64)
    batch_size: int = knob(64, "answers that make one step, over all devices", low=1, high=65_536)
    micro_batch: int = knob(8, "answers computed at once; changes memory and speed, not the result", low=1)
    learning_rate: float = knob(1e-6, "highest learning rate of the policy", low=0.0, high=1.0)
    critic_learning_rate: float = knob(1e-5, "highest learning rate of the critic", low=0.0, high=1.0)
    critic_warmup: int = knob(0, "iterations in which only the critic learns", low=0)
    critic_heads: str = knob(
        "single",
        "one head of the critic, or the soft minimum of two, which expects too much less often",
        choices=("single", "double"),
        advanced=True,
    )
    critic_softness: float = knob(
        0.3, "how soft the minimum of two heads is; towards 0 it is the lower of them", low=0.001, advanced=True
    )
    lora_rank: int = knob(0, "rank of a LoRA adapter; 0 trains all weights", low=0, high=1024)
    missing_end_penalty: float = knob(0.0, "reward taken from an answer that did not come to an end", low=0.0)
    reference_answers: int = knob(4, "answers of the reference a prompt, where a shape compares with them", low=1)
    judge_against: str = knob(
        "reference",
        "what a pairwise judge holds an answer against: the reference's, one people chose or edited, or its rivals",
        choices=("reference", *ANCHORS, "rivals"),
    )
    judge_max_new_tokens: int = knob(
        1024, "longest thoughts of a judge that reasons, with its verdict, in tokens", low=1, high=32_768, advanced=True
    )
    judge_temperature: float = knob(
        0.6,
        "temperature at which a judge that reasons thinks; 0 takes the likeliest token each time",
        low=0.0,
        high=5.0,
        advanced=True,
    )
    principles: str = knob("", PRINCIPLES_HELP)
    person: str = knob("", "pseudonym of the one for whom a reward model for people scores; empty: somebody unknown")
    thinking: str = knob(
        "whole",
        "what is judged of an answer behind thoughts: all as one, the answer alone, or costs of both apart",
        choices=("whole", "answer", "apart"),
    )
    harmful: str = knob(
        "harmful", "domains of prompts that ask for harm, by which figures of thoughts are told apart", advanced=True
    )
    eval_share: float = knob(0.1, "share of prompts held out to measure on", low=0.0, high=0.9)
    warmup: float = knob(
        0.05, "share of the iterations in which the learning rate rises", low=0.0, high=1.0, advanced=True
    )
    schedule: str = knob(
        "constant",
        "how the learning rate falls after the warm-up",
        choices=("cosine", "linear", "constant"),
        advanced=True,
    )
    weight_decay: float = knob(0.0, "share of the weights taken away per unit of learning rate", low=0.0, advanced=True)
    gradient_clip: float = knob(1.0, "longest gradient; 0 never shortens it", low=0.0, advanced=True)
    rows_at_once: int = knob(64, "answers decoded side by side; lower it when memory runs out", low=1, advanced=True)
    bf16: bool = knob(False, "compute in bfloat16, with the trained weights kept in float32", advanced=True)
    checkpoint_every: int = knob(10, "iterations between checkpoints", low=1, advanced=True)
