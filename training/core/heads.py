"""Heads: one module a family, and the table by which a saved head is built again."""

from __future__ import annotations

from collections.abc import Callable

from training.core.families.base import Head, Scores
from training.core.families.critique import CritiqueHead, critique
from training.core.families.ensembles import EnsembleHead, GaussianHead, ensemble, gaussian
from training.core.families.gated import MIXED, GatedHead, debias, gated
from training.core.families.latent import LatentHead, latent, on_sphere
from training.core.families.pooling import POOLING, last_token, mean_token, prompt_end
from training.core.families.single import (
    AttributesHead,
    CostHead,
    LogitHead,
    ScalarHead,
    VerdictHead,
    YesNoHead,
    attributes,
    cost,
    logit,
    scalar,
    verdict,
    yes_no,
)

HEADS: dict[str, Callable[..., Head]] = {
    head.kind: head
    for head in (
        ScalarHead,
        CostHead,
        EnsembleHead,
        GaussianHead,
        AttributesHead,
        LogitHead,
        YesNoHead,
        VerdictHead,
        GatedHead,
        LatentHead,
        CritiqueHead,
    )
}

__all__ = [
    "HEADS",
    "MIXED",
    "POOLING",
    "AttributesHead",
    "CostHead",
    "CritiqueHead",
    "EnsembleHead",
    "GatedHead",
    "GaussianHead",
    "Head",
    "LatentHead",
    "LogitHead",
    "ScalarHead",
    "Scores",
    "VerdictHead",
    "YesNoHead",
    "attributes",
    "cost",
    "critique",
    "debias",
    "ensemble",
    "gated",
    "gaussian",
    "last_token",
    "latent",
    "logit",
    "mean_token",
    "on_sphere",
    "prompt_end",
    "scalar",
    "verdict",
    "yes_no",
]
