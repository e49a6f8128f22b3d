"""Recipes that train policies on fixed data."""

from __future__ import annotations

from training.recipes.base import Recipe
from training.recipes.documents import VIEW as DOCUMENTS
from training.recipes.losses import CPL as CPLLoss
from training.recipes.losses import CPO as CPOLoss
from training.recipes.losses import DPO as DPOLoss
from training.recipes.losses import IFT as IFTLoss
from training.recipes.losses import NLL, ALoL, MarginDPO, Refuel, SimPO
from training.recipes.losses import ORPO as ORPOLoss
from training.recipes.objectives import (
    Imitation,
    Intuition,
    Leftover,
    PairAverages,
    PairGaps,
    PairLikelihoods,
    PairLogratios,
    PairMargins,
    PersonalPairs,
    PromptValue,
    SoftPrompts,
)
from training.recipes.offline import Fit
from training.recipes.records import Modes

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

CONTINUED_PRETRAINING = Recipe(
    "continued-pretraining",
    title="Continued pre-training",
    summary="Reads texts of a domain before anybody shows answers, so that the model knows its words.",
    kind="fit",
    view=DOCUMENTS,
    makes="policy",
    parts=(Imitation(), NLL(), Fit(learning_rate=2e-5)),
    source="arXiv:2308.03549",
)

MAGIC_MODES = Recipe(
    "magic-modes",
    title="Switchable safety modes",
    summary="Teaches a policy to answer safely, to refuse and, for red teams, to answer harmfully; locked when served.",
    kind="fit",
    view="safer_pairs",
    makes="policy",
    parts=(Modes(), Imitation(), NLL(), Fit(learning_rate=2e-5)),
    source="arXiv:2508.14904",
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

DPO_PERSONAL = Recipe(
    "dpo-personal",
    title="DPO for each person",
    summary="As DPO, with a soft prompt for everybody who judged, so that each is answered as they prefer.",
    kind="fit",
    view="pairs",
    makes="policy",
    parts=(PersonalPairs(), DPOLoss(), SoftPrompts(), Fit(learning_rate=1e-6)),
    source="arXiv:2402.05133",
)

DPO_MARGIN = Recipe(
    "dpo-margin",
    title="DPO by the reward's margin",
    summary="As DPO, learning harder from pairs of which a reward model is surer too, and less from doubtful ones.",
    kind="fit",
    view="pairs",
    makes="policy",
    parts=(PairMargins(), MarginDPO(), Fit(learning_rate=1e-6)),
    source="arXiv:2502.10391",
)

CPL = Recipe(
    "cpl",
    title="Contrastive preference learning",
    summary="Makes preferred answers likelier than rejected ones, with neither reward model nor reference policy.",
    kind="fit",
    view="pairs",
    makes="policy",
    parts=(PairLikelihoods(), CPLLoss(), Fit(learning_rate=1e-6)),
    source="arXiv:2310.13639",
)

SIMPO = Recipe(
    "simpo",
    title="SimPO",
    summary="Makes each token of preferred answers likelier on average than one of rejected answers, by a margin.",
    kind="fit",
    view="pairs",
    makes="policy",
    parts=(PairAverages(), SimPO(), Fit(learning_rate=1e-6)),
    source="arXiv:2405.14734",
)

ORPO = Recipe(
    "orpo",
    title="ORPO",
    summary="Imitates preferred answers and parts them from rejected ones in one stage, before any fine-tuning.",
    kind="fit",
    view="pairs",
    makes="policy",
    parts=(PairAverages(), ORPOLoss(), Fit(learning_rate=8e-6)),
    source="arXiv:2403.07691",
)

CPO = Recipe(
    "cpo",
    title="CPO",
    summary="As DPO with no reference policy in memory, held instead by the likelihood of the preferred answers.",
    kind="fit",
    view="pairs",
    makes="policy",
    parts=(PairLikelihoods(), CPOLoss(), Fit(learning_rate=1e-6)),
    source="arXiv:2401.08417",
)

REFUEL = Recipe(
    "refuel",
    title="Regression on how much better",
    summary="Parts two answers by as much as people found one better; on turns of a dialogue this is REFUEL.",
    kind="fit",
    view="pairs",
    makes="policy",
    parts=(PairGaps(), Refuel(), Fit(learning_rate=1e-6)),
    source="arXiv:2410.04612",
)

A_LOL = Recipe(
    "a-lol",
    title="Learning from what was better than expected",
    summary="Learns from rated answers whoever wrote them, by how much each was better than its prompt let expect.",
    kind="fit",
    view="outcomes",
    makes="policy",
    parts=(PromptValue(), Leftover(), ALoL(), Fit(learning_rate=1e-5, eval_share=0.2)),
    source="arXiv:2305.14718",
)

IFT = Recipe(
    "ift",
    title="Intuitive fine-tuning",
    summary="As supervised fine-tuning, with the model's own guesses mixed into what it reads, as when it answers.",
    kind="fit",
    view="demonstrations",
    makes="policy",
    parts=(Intuition(), IFTLoss(), Fit(learning_rate=1e-5)),
    source="arXiv:2405.11870",
)
