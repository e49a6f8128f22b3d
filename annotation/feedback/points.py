"""A judgement as figures see it: points on the dimensions of its kind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True)
class Dimension:
    """One thing that is judged, for which agreement is told apart."""

    name: str
    title: str
    ordered: bool = True  # whether values have an order; without one they are classes
    of_item: bool = False  # whether it is about the item as a whole, and not about each of its answers


class Mark(NamedTuple):
    """A rectangle that a judgement marks in an image."""

    image: tuple[str | int, int]  # of the prompt or of which answer, and its number there
    label: str
    box: tuple[float, ...]  # left, top, width, height as fractions of the image


class Point(NamedTuple):
    """A judgement on one dimension of one answer, as agreement counts it."""

    dimension: str
    place: int  # canonical position of the answer; 0 when it is about the item as a whole
    value: int  # on the dimension's scale, or the number of the class
    category: str  # one of few classes, for plain agreement and Cohen's kappa
