"""What an extractor is: something that reads a critique and names the principles that it speaks of."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

YES, NO, PARTLY = "yes", "no", "partly"
VERDICTS = (YES, NO, PARTLY)


class ExtractorFailed(Exception):
    """Why nothing could be proposed: a whole sentence, fit for the person who wrote the critique."""


@dataclass(frozen=True)
class Found:
    """A principle as an extractor found it, before anything about it was checked."""

    statement: str
    answer: str  # one of VERDICTS
    evidence: str  # what it says it read in the critique


class Extractor(ABC):
    """Finds principles in critiques. `name` says which one and in which version, as data sets quote it."""

    name: str
    # Whether it answers within milliseconds, so that nobody needs to wait for a worker.
    is_quick: bool = False

    @abstractmethod
    def find(self, critique: str, known: Mapping[str, str]) -> Sequence[Found]:
        """Return the principles the critique speaks of; raises `ExtractorFailed`.

        `known` are the campaign's own principles, each its line by its key.
        """
