"""Parts: the formula of a loss, by what an objective has made of its rows."""

from __future__ import annotations

from typing import Any, ClassVar

from training.recipes.base import RecipeError, knob, part
from training.recipes.note import Note


@part("loss", "a-lol", target="training.core.losses.a_lol:a_lol")
class ALoL:
    """Policy gradient on answers that are there, each one action. A-LoL, arXiv:2305.14718, eq. 4."""

    importance: str = knob(
        "sequence",
        "weigh by how much likelier the policy now is to say it than the start was, or not at all",
        choices=("sequence", "none"),
    )
    ratio_clip: float = knob(0.9, "how far that weight may go from 1", low=0.0, high=10.0)


@part("loss", "plackett-luce", target="training.core.losses.plackett_luce:plackett_luce")
class PlackettLuce:
    """Likelihood of a whole order, in which several may be called equal. arXiv:1909.07123."""

    tie_rate: float = knob(
        0.2,
        "chance that two equally good answers are called equal; at 0 ties say nothing of each other",
        low=0.0,
        high=0.95,
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
