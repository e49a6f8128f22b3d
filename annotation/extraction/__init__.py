"""Principles out of a critique: what finds them is a model that an operator named, or rules where there is none."""

from __future__ import annotations

from django.conf import settings

from annotation.extraction.base import Extractor
from annotation.extraction.by_model import ByModel
from annotation.extraction.by_rules import ByRules


def extractor() -> Extractor:
    """Return the extractor that the settings ask for."""
    if not settings.ATTUNE_EXTRACTOR_URL:
        return ByRules()
    return ByModel(
        url=settings.ATTUNE_EXTRACTOR_URL,
        model=settings.ATTUNE_EXTRACTOR_MODEL,
        key=settings.ATTUNE_EXTRACTOR_KEY,
        timeout_seconds=settings.ATTUNE_EXTRACTOR_TIMEOUT,
    )
