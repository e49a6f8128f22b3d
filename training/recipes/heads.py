"""Parts: what turns a state of the backbone into scores."""

from __future__ import annotations

from typing import Any, ClassVar

from training.recipes.base import RecipeError, knob, part
from training.recipes.note import Note


class Trained:
    """A head that is trained together with its backbone."""

    frozen: ClassVar[bool] = False
    stands_on: ClassVar[str] = ""  # the recipe whose model it needs


class OnFrozen:
    """A head that is trained alone, on the frozen model of another recipe."""

    frozen: ClassVar[bool] = True

    def check(self, values: dict[str, Any]) -> None:
        """RecipeError where the frozen model would be given an adapter."""
        if values.get("lora_rank"):
            said = Note("This recipe trains the head alone, on a frozen model. Set lora_rank to 0.")
            raise RecipeError(said, {"lora_rank": [said]})


@part("head", "cost", target="training.core.heads:cost")
class CostHead(Trained):
    """One cost, with a zero that means the border of safe. arXiv:2310.12773."""


@part("head", "ensemble", target="training.core.heads:ensemble")
class EnsembleHead(Trained):
    """Several scores of members with numbers of their own, over one shared backbone. arXiv:2310.02743."""

    members: int = knob(5, "members of the ensemble; four or five are enough", low=2, high=64)
    width: int = knob(
        64, "width of each member's hidden layer; 0 for none, which makes members alike", low=0, high=4096
    )


@part("head", "attributes", target="training.core.heads:attributes")
class AttributesHead(Trained):
    """One output for each attribute that people rated. arXiv:2406.12845."""


@part("head", "logit", target="training.core.heads:logit")
class LogitHead(Trained):
    """The log-odds of one thing, where 0 means even chances. arXiv:2401.15043."""


@part("head", "yes-no", target="training.core.heads:yes_no")
class YesNoHead(Trained):
    """Whether an answer satisfies a principle that is asked about. arXiv:2509.21319."""


@part("head", "verdict", target="training.core.heads:verdict")
class VerdictHead(Trained):
    """Which of two answers is better that are read together. arXiv:2504.04950."""


@part("head", "critique", target="training.core.heads:critique")
class CritiqueHead(Trained):
    """A score behind a critique that it writes itself. arXiv:2502.10391."""


@part("head", "gaussian", target="training.core.heads:gaussian")
class GaussianHead(OnFrozen):
    """Members that each give a mean and a deviation, on a trained reward model. arXiv:2409.15360, section 4.2."""

    stands_on: ClassVar[str] = "bradley-terry"
    members: int = knob(5, "members of the ensemble; the paper has five", low=2, high=64)
    width: int = knob(
        64, "width of each member's hidden layer; 0 for none, which makes members alike", low=0, high=4096
    )


@part("head", "gated", target="training.core.heads:gated")
class GatedHead(OnFrozen):
    """A gate over the prompt that mixes rated attributes into one score. arXiv:2406.12845, section 3.2."""

    stands_on: ClassVar[str] = "multi-objective"
    gate_width: int = knob(
        64, "width of the gate's two hidden layers; the paper has 1024 at 8 billion", low=1, high=8192
    )
    gate_temperature: float = knob(10.0, "what the gate's logits are divided by; higher mixes more evenly", low=0.01)
    nuisance: str = knob("", "attribute that must not count, such as verbosity; it is taken out of the others")
    debias_limit: float = knob(0.03, "rank correlation with the nuisance that may be left", low=0.0, high=1.0)


@part("head", "latent", target="training.core.heads:latent")
class LatentHead(OnFrozen):
    """The score that one person would give, known by a few choices, on a trained reward model. arXiv:2408.10075."""

    stands_on: ClassVar[str] = "bradley-terry"
    width: int = knob(64, "width of the hidden layers; the paper has 512", low=1, high=8192)
    latent_size: int = knob(8, "numbers that say what a person is like; the paper has 512", low=1, high=8192)
