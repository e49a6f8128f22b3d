"""Recipes that train policies on fixed data."""

from __future__ import annotations

from training.recipes.base import Recipe
from training.recipes.losses import DPO as DPOLoss
from training.recipes.losses import NLL, Imitation, PairLogratios
from training.recipes.offline import Fit

SFT = Recipe(
    "sft",
    title="Supervised fine-tuning",
    summary="Teaches a policy to answer as demonstrations do.",
    kind="fit",
    view="demonstrations",
    makes="policy",
    parts=(Imitation(), NLL(), Fit(learning_rate=2e-5)),
    source="arXiv:2203.02155",
)

DPO = Recipe(
    "dpo",
    title="Direct preference optimisation",
    summary="Moves a policy towards the answers people preferred, without a reward model in between.",
    kind="fit",
    view="pairs",
    makes="policy",
    parts=(PairLogratios(), DPOLoss(), Fit(learning_rate=1e-6)),
    source="arXiv:2305.18290",
)
