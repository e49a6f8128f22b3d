"""A guard out of a model: what `training.core.guard.of_model` is told."""

from __future__ import annotations

from training.recipes.base import Recipe, knob, part

_FPR = "share of safe answers that may be held back; 0.01 takes 100 safe ones that the model did not learn from"


@part("trainer", "guard-of-model", target="training.core.guard.of_model:run_guard_of_model")
class GuardOfModel:
    """A model of safety as a guard of answers, its line drawn for a rate of false refusals. arXiv:2503.17682."""

    of_models = ("cost", "reward")
    target_fpr: float = knob(0.05, _FPR, low=0.0001, high=0.5)
    confidence: float = knob(0.95, "confidence of what is said of its catches", low=0.5, high=0.999, advanced=True)
    regenerations: int = knob(5, "times that a blocked answer is drawn anew", low=0, high=20)


MODEL_GUARD = Recipe(
    "model-guard",
    title="Guard out of a model",
    summary="Makes a cost model, or a reward model of safety, a guard of answers, its line drawn on safe ones.",
    kind="fit",
    view="safer_pairs",
    makes="guard",
    parts=(GuardOfModel(),),
    source="arXiv:2503.17682",
)
