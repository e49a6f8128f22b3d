"""Whether comparisons alone say how strong each competitor is."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from annotation.quality.strengths import Game


def are_finite(games: Iterable[Game]) -> bool:
    """Return whether the strengths are finite without a prior: each has won, by way of others, against each.

    L. R. Ford, "Solution of a Ranking Problem from Binary Comparisons", American Mathematical Monthly 64 (1957). A tie
    is a win of both.
    """
    beaten: dict[str, set[str]] = defaultdict(set)
    lost_to: dict[str, set[str]] = defaultdict(set)
    names = set()
    for game in games:
        names |= {game.one, game.other}
        for winner, loser, share in ((game.one, game.other, game.share), (game.other, game.one, 1 - game.share)):
            if share > 0:
                beaten[winner].add(loser)
                lost_to[loser].add(winner)
    return bool(names) and all(_reached(min(names), by) == names for by in (beaten, lost_to))


def _reached(start: str, by: dict[str, set[str]]) -> set[str]:
    reached, waiting = {start}, [start]
    while waiting:
        new = by.get(waiting.pop(), set()) - reached
        reached |= new
        waiting += new
    return reached
