"""Which policy is better, and who tells it apart: Bradley and Terry's model, plain and aware of people. Plain Python.

P(a is preferred to b) = σ(s_a - s_b): R. A. Bradley and M. E. Terry, Biometrika 39 (1952). A tie is half a win of each,
as evalica counts it. Aware of people: P = σ(β_p (s_a - s_b)) with a rationality β of each person, about 0 for who
answers by chance and negative for who has the scale upside down (method card 6; X. Chen et al., "Pairwise Ranking
Aggregation in a Crowdsourced Setting", WSDM 2013, has it as a mixture instead).

Strengths are in natural log odds and sum to 0. β's scale is free; a normal prior around 1 fixes it, which also keeps
people with few judgements near everybody else.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from annotation.quality.linear import Vector, cholesky, inverse, solve

Z = 1.959963984540054  # two-sided 95 % of the normal distribution
ROUNDS = 200
CHANGE = 1e-10
TOGETHER = 1e-8  # between two rounds of strengths and people in turn
# A game won and a game lost against everybody's mean, so that who won all their games has a finite strength.
USUAL = 0.5
SPREAD = 0.7  # standard deviation of β around 1, before anything is known of a person
FARTHEST = 10.0  # log odds that no real comparison reaches
MOST = 300  # competitors: beyond, the matrices cost more than a page may


class Game(NamedTuple):
    """One comparison: `share` is 1 when `one` was preferred to `other`, 0 when `other` was, 0.5 for neither.

    Several of one item may come as one, with their mean share and their number, `times`; and so may items of which the
    same was said, with the number of items, `alike`. Every figure is the same as of each by itself.
    """

    one: str
    other: str
    share: float
    person: Hashable = ""
    item: Hashable = ""  # judgements of one item are not independent of each other; intervals count them together
    times: int = 1
    alike: int = 1

    @property
    def judgements(self) -> int:
        return self.times * self.alike


_Played = tuple[int, int, float, int]  # places of the two, share, judgements


@dataclass(frozen=True)
class Estimate:
    """A figure with its 95 % interval and the number of judgements behind it."""

    value: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class Ranking:
    """Strengths in log odds by name, strongest first, and the rationality of each person (none for the plain model)."""

    strengths: dict[str, Estimate]
    rationality: dict[Hashable, Estimate]

    def chance(self, one: str, other: str) -> float:
        """Return how likely `one` is preferred to `other`, by somebody with β = 1."""
        return logistic(self.strengths[one].value - self.strengths[other].value)


def logistic(x: float) -> float:
    """Return 1 / (1 + exp(-x)), also far out."""
    if x >= 0:
        return 1 / (1 + math.exp(-x))
    odds = math.exp(x)
    return odds / (1 + odds)


def bradley_terry(games: Iterable[Game], *, prior: float = 0.0) -> Ranking:
    """Return the strengths of all who play, with intervals that are robust to items judged by several people.

    By Newton's method on the likelihood, with `prior` games won and as many lost against an opponent of strength 0;
    without it somebody who won or lost every game has no finite strength, which raises ValueError. The intervals are
    from the sandwich covariance H⁻¹ (Σ_item g gᵀ) H⁻¹ with one term for each item (Huber 1967; Liang and Zeger 1986).
    """
    played = list(games)
    names = sorted({name for game in played for name in (game.one, game.other)})
    _check(names)
    place = {name: number for number, name in enumerate(names)}
    s = _newton(played, place, [1.0] * len(played), prior, [0.0] * len(names))
    hessian = _hessian(played, place, [1.0] * len(played), prior, s)
    cover = inverse(hessian)
    by_item: dict[Hashable, dict[int, float]] = defaultdict(lambda: defaultdict(float))
    alike: dict[Hashable, int] = {}
    for number, game in enumerate(played):
        i, j = place[game.one], place[game.other]
        gradient = game.times * (game.share - logistic(s[i] - s[j]))
        key = game.item if game.item != "" else ("", number)
        alike[key] = game.alike
        by_item[key][i] += gradient
        by_item[key][j] -= gradient
    variance = [0.0] * len(names)
    for key, gradients in by_item.items():
        # What this item adds to each strength; squares of it are the diagonal of the sandwich.
        for k, row in enumerate(cover):
            variance[k] += alike[key] * sum(row[i] * gradient for i, gradient in gradients.items()) ** 2
    items = sum(alike.values())
    small = items / (items - 1) if items > 1 else 1.0
    return Ranking(_ranked(names, s, [small * one for one in variance], played), {})


def aware(games: Iterable[Game], *, prior: float = USUAL, spread: float = SPREAD) -> Ranking:
    """Return strengths and the rationality β of each person, estimated together (maximum a posteriori).

    Each in turn by Newton's method until neither moves. The intervals are from the joint curvature at the solution,
    strengths and β together; they take judgements for independent given both.
    """
    played = list(games)
    names = sorted({name for game in played for name in (game.one, game.other)})
    _check(names)
    place = {name: number for number, name in enumerate(names)}
    people = sorted({game.person for game in played}, key=str)
    who = {person: number for number, person in enumerate(people)}
    of_person: dict[int, list[_Played]] = defaultdict(list)
    for game in played:
        of_person[who[game.person]].append((place[game.one], place[game.other], game.share, game.judgements))
    precision = 1 / spread**2
    beta = [1.0] * len(people)
    s = [0.0] * len(names)
    for _ in range(ROUNDS):
        before = [*s, *beta]
        s = _newton(played, place, [beta[who[game.person]] for game in played], prior, s)
        beta = [_rationality(of_person[p], s, beta[p], precision) for p in range(len(people))]
        if max(abs(a - b) for a, b in zip([0.0, *before], [0.0, *s, *beta], strict=True)) < TOGETHER:
            break
    return _with_curvature(played, names, place, people, of_person, s, beta, prior, precision)


def _with_curvature(
    played: Sequence[Game],
    names: Sequence[str],
    place: dict[str, int],
    people: Sequence[Hashable],
    of_person: dict[int, list[_Played]],
    s: Vector,
    beta: Vector,
    prior: float,
    precision: float,
) -> Ranking:
    """Return the ranking with intervals from the inverse of the joint Hessian.

    Its block of people is diagonal, so the strengths' part is the inverse of a Schur complement.
    """
    who = {person: number for number, person in enumerate(people)}
    hessian = _hessian(played, place, [beta[who[game.person]] for game in played], prior, s)
    own: Vector = []
    cross: list[dict[int, float]] = []
    for p in range(len(people)):
        curvature = precision
        mixed: dict[int, float] = defaultdict(float)
        for i, j, share, judgements in of_person[p]:
            gap = s[i] - s[j]
            chance = logistic(beta[p] * gap)
            spread = judgements * chance * (1 - chance)
            curvature += spread * gap * gap
            # d²/dβ ds_i of the negative log likelihood.
            term = spread * gap * beta[p] - judgements * (share - chance)
            mixed[i] += term
            mixed[j] -= term
        own.append(curvature)
        cross.append(dict(mixed))
    for curvature, of_one in zip(own, cross, strict=True):
        for i, one in of_one.items():
            for j, other in of_one.items():
                hessian[i][j] -= one * other / curvature
    cover = inverse(hessian)
    rationality = {}
    for p, person in enumerate(people):
        variance = 1 / own[p]
        for i, one in cross[p].items():
            variance += sum(cover[i][j] * one * other for j, other in cross[p].items()) / own[p] ** 2
        rationality[person] = _estimate(beta[p], variance, sum(one[3] for one in of_person[p]))
    return Ranking(_ranked(names, s, [cover[k][k] for k in range(len(names))], played), rationality)


def _check(names: Sequence[str]) -> None:
    if len(names) > MOST:
        raise ValueError(f"{len(names)} competitors; at most {MOST} are ranked together.")


def _newton(
    played: Sequence[Game], place: dict[str, int], beta: Sequence[float], prior: float, start: Vector
) -> Vector:
    """Return the strengths of greatest likelihood given each game's β; they sum to 0."""
    s = start
    size = len(s)
    value = _loss(played, place, beta, prior, s)
    for _ in range(ROUNDS):
        gradient = [2 * prior * (0.5 - logistic(one)) for one in s]
        for game, b in zip(played, beta, strict=True):
            i, j = place[game.one], place[game.other]
            slope = game.judgements * b * (game.share - logistic(b * (s[i] - s[j])))
            gradient[i] += slope
            gradient[j] -= slope
        step = solve(cholesky(_hessian(played, place, beta, prior, s)), gradient)
        scale = 1.0
        while True:
            trial = [one + scale * by for one, by in zip(s, step, strict=True)]
            lost = _loss(played, place, beta, prior, trial)
            if lost <= value + 1e-12 or scale < 1e-6:
                break
            scale /= 2
        s, value = trial, lost
        if not prior and max(map(abs, s)) > FARTHEST:
            raise ValueError("Somebody won or lost every game: without a prior there is no finite strength.")
        if max(map(abs, step), default=0.0) * scale < CHANGE:
            break
    mean = sum(s) / size if size and not prior else 0.0
    return [one - mean for one in s]


def _loss(played: Sequence[Game], place: dict[str, int], beta: Sequence[float], prior: float, s: Vector) -> float:
    """Return the negative log likelihood: softplus(x) - share x of each game, and the games of the prior."""
    total = sum(prior * (2 * _softplus(one) - one) for one in s)
    for game, b in zip(played, beta, strict=True):
        x = b * (s[place[game.one]] - s[place[game.other]])
        total += game.judgements * (_softplus(x) - game.share * x)
    return total


def _softplus(x: float) -> float:
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))


def _hessian(
    played: Sequence[Game], place: dict[str, int], beta: Sequence[float], prior: float, s: Vector
) -> list[list[float]]:
    """Return the curvature of `_loss`. What adds the same to all strengths changes nothing: a ridge fixes their sum."""
    size = len(s)
    matrix = [[1 / size if not prior else 0.0] * size for _ in range(size)]
    for k, one in enumerate(s):
        chance = logistic(one)
        matrix[k][k] += 2 * prior * chance * (1 - chance)
    for game, b in zip(played, beta, strict=True):
        i, j = place[game.one], place[game.other]
        chance = logistic(b * (s[i] - s[j]))
        weight = game.judgements * b * b * chance * (1 - chance)
        matrix[i][i] += weight
        matrix[j][j] += weight
        matrix[i][j] -= weight
        matrix[j][i] -= weight
    return matrix


def _rationality(games: Sequence[_Played], s: Vector, start: float, precision: float) -> float:
    """Return one person's β given the strengths: a logistic regression through the origin with a prior around 1."""
    beta = start
    for _ in range(ROUNDS):
        slope, curvature = precision * (1 - beta), precision
        for i, j, share, judgements in games:
            gap = s[i] - s[j]
            chance = logistic(beta * gap)
            slope += judgements * gap * (share - chance)
            curvature += judgements * gap * gap * chance * (1 - chance)
        step = max(-1.0, min(1.0, slope / curvature))
        beta += step
        if abs(step) < CHANGE:
            break
    return beta


def _ranked(names: Sequence[str], s: Vector, variance: Sequence[float], played: Sequence[Game]) -> dict[str, Estimate]:
    counts: dict[str, int] = defaultdict(int)
    for game in played:
        counts[game.one] += game.judgements
        counts[game.other] += game.judgements
    found = {name: _estimate(value, one, counts[name]) for name, value, one in zip(names, s, variance, strict=True)}
    return dict(sorted(found.items(), key=lambda pair: (-pair[1].value, pair[0])))


def _estimate(value: float, variance: float, n: int) -> Estimate:
    width = Z * math.sqrt(max(0.0, variance))
    return Estimate(value, value - width, value + width, n)
