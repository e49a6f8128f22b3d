"""How much better one of two answers is: seven points around a tie, or eight without a middle.

Points are counted on the screen from the left: "1" says that the left answer is much better. A preference is by how
many degrees the left one is ahead: -3..3 with three degrees; with four -4..4, and never 0. Four are those of Llama 2
(H. Touvron et al., 2023, section 3.2.1): significantly better, better, slightly better, and negligibly better or
unsure, which takes the place of a tie.
"""

from __future__ import annotations

from collections.abc import Mapping

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

USUAL, MOST = 3, 4
TIE = "4"  # the middle of seven
BETTER: Mapping[int, Mapping[int, Promise]] = {
    USUAL: {
        1: gettext_lazy("{answer} is slightly better"),
        2: gettext_lazy("{answer} is better"),
        3: gettext_lazy("{answer} is much better"),
    },
    MOST: {
        1: gettext_lazy("{answer} is hardly better"),
        2: gettext_lazy("{answer} is slightly better"),
        3: gettext_lazy("{answer} is better"),
        4: gettext_lazy("{answer} is much better"),
    },
}
WORSE: Mapping[int, Mapping[int, Promise]] = {
    USUAL: {
        1: gettext_lazy("{answer} is slightly more harmful"),
        2: gettext_lazy("{answer} is more harmful"),
        3: gettext_lazy("{answer} is much more harmful"),
    },
    MOST: {
        1: gettext_lazy("{answer} is hardly more harmful"),
        2: gettext_lazy("{answer} is slightly more harmful"),
        3: gettext_lazy("{answer} is more harmful"),
        4: gettext_lazy("{answer} is much more harmful"),
    },
}


def points(degrees: int = USUAL, *, ties: bool = True) -> list[str]:
    """Return the points of the scale from left to right."""
    shown = [str(place) for place in range(1, 2 * degrees + (2 if degrees == USUAL else 1))]
    return [point for point in shown if ties or degrees != USUAL or point != TIE]


def preference(point: str, degrees: int = USUAL) -> int:
    """Return by how many degrees the left answer is ahead at this point; negative where the right one is."""
    steps = degrees + 1 - int(point)
    return steps if degrees == USUAL or steps > 0 else steps - 1


def point_of(preferred: int, degrees: int = USUAL) -> str:
    """Return the point that says so: the inverse of `preference`."""
    return str(degrees + 1 - preferred - (degrees != USUAL and preferred < 0))


def in_words(preferred: int, first: str, second: str, degrees: Mapping[int, Promise]) -> str:
    """Return "A is much better" and the like; positive favours `first`."""
    if preferred == 0:
        return _("About the same")
    return str(degrees[abs(preferred)]).format(answer=first if preferred > 0 else second)
