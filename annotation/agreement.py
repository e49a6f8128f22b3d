"""How far people agree: Krippendorff's alpha with its interval, plain agreement, and Cohen's kappa. Plain Python.

Alpha: K. Krippendorff, "Content Analysis" (2018), chapter 12, with the ordinal distance, over the coincidence matrix.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import combinations, repeat
from typing import Any

from django.utils.translation import gettext as _

from annotation import sums
from annotation.feedback import kind
from annotation.models import Campaign, Feedback, QualityReport
from annotation.quality.shares import wilson
from annotation.sums import Sums

RESAMPLES = 500
MOST = 10_000  # judgements that are read one by one
CONFIDENCE = 0.95

# Which values one item got, sorted: all that alpha knows of an item.
Pattern = tuple[int, ...]
# What is judged by several people: an item, or one answer of it.
Unit = Hashable
Person = int | str
Values = dict[Unit, dict[Person, int]]
Categories = dict[Unit, dict[Person, str]]


@dataclass(frozen=True)
class Agreement:
    """Figures over the items that two or more people judged. None where a figure is undefined."""

    alpha: float | None
    low: float | None  # of the 95 % bootstrap interval
    high: float | None
    items: int
    judgements: int
    people: int
    reason_undefined: str  # why there is no alpha, in a sentence; empty when there is one
    percent: float | None  # share of pairs of judgements of one item that agree which answer is better, 0 to 1
    kappa: float | None  # Cohen's, on the same question; mean over pairs of people, weighted by items they share
    chance: float | None = None  # the share that would agree if everybody drew from what all said, 0 to 1
    gwet: float | None = None  # Gwet's AC1, on the same question: steady where nearly all say the same


@dataclass(frozen=True)
class PairAgreement:
    """How far two people say the same of what both judged."""

    one: str  # pseudonyms, in alphabetical order
    other: str
    items: int
    percent: float  # share on which they agree, 0 to 1
    low: float | None  # of its 95 % interval (Wilson)
    high: float | None
    kappa: float | None  # None where both gave one and the same answer to everything


def campaign_agreement(
    campaign: Campaign, *, simulated: bool = False, known: Sums | None = None
) -> dict[str, Agreement]:
    """Return the agreement of people in a campaign on each dimension of its kind, by its name, in the kind's order.

    Of simulated people instead, when asked; never of both together: simulated people agree as well as they were told
    to. From more than ten thousand judgements on out of the sums that are kept, where it costs the same for a million.
    """
    feedback_kind = kind(campaign.kind)
    known = known or sums.of(campaign)
    if sums.standing(known) > MOST:
        return _of_sums(campaign, known, simulated=simulated)
    judgements = (
        Feedback.objects.current()
        .filter(campaign=campaign, user__is_simulated=simulated, is_review=False)
        .order_by("-task_id", "user_id")
        .values_list("task_id", "user_id", "payload")
    )
    # Dimension → (item, answer) → person → what they said. An answer is judged as a unit of its own.
    values: dict[str, Values] = defaultdict(lambda: defaultdict(dict))
    categories: dict[str, Categories] = defaultdict(lambda: defaultdict(dict))
    for task, user, payload in judgements.iterator(chunk_size=1000):
        for point in feedback_kind.points(payload):
            values[point.dimension][task, point.place][user] = point.value
            categories[point.dimension][task, point.place][user] = point.category
    reason = ""
    if not any(len(by_user) > 1 for units in values.values() for by_user in units.values()):
        others = Feedback.objects.filter(campaign=campaign, user__is_simulated=not simulated).exists()
        reason = _("No item has been judged by two people yet.")
        if simulated:
            reason = _("No item has been judged by two simulated people yet.")
        if others and not simulated:
            reason = " ".join([reason, _("Simulated people are counted apart.")])
    found = {}
    for dimension in feedback_kind.dimensions(campaign.options):
        units, classes = values[dimension.name], categories[dimension.name]
        found[dimension.name] = _undefined(reason) if reason else agreement(units, classes, ordered=dimension.ordered)
    return found


def _of_sums(campaign: Campaign, known: Sums, *, simulated: bool) -> dict[str, Agreement]:
    """Return the same out of the sums, which do not say who said what: kappa, of pairs of people, is the report's."""
    people = len(list(known.rows("people")))
    report = QualityReport.objects.filter(campaign=campaign).values_list("figures", flat=True).first()
    of_all = [one for one in (report or {}).get("agreement", ()) if one["by"] == "all"]
    kappa = {one["dimension"]: one["kappa"] for one in of_all if (report or {}).get("simulated", False) == simulated}
    by_dimension = sums.said(known, simulated=simulated)
    found = {}
    for dimension in kind(campaign.kind).dimensions(campaign.options):
        said = by_dimension.get(dimension.name, Counter())
        figures = of_patterns(said, ordered=dimension.ordered, people=people)
        found[dimension.name] = replace(figures, kappa=kappa.get(dimension.name)) if figures.items else figures
    return found


# What was said of one item, each with its category; see `annotation.sums.pattern_of`.
Votes = tuple[tuple[int, str], ...]


def of_patterns(said: Mapping[Votes, int], *, ordered: bool = True, people: int = 0) -> Agreement:
    """Return the figures of `agreement` from how often what was said of an item, all but kappa."""
    shared = {votes: count for votes, count in said.items() if len(votes) > 1}
    if not shared:
        return _undefined(_("No item has been judged by two people yet."))
    units: Counter[tuple[str, ...]] = Counter()  # several values may be of one category
    for votes, count in said.items():
        units[tuple(category for _value, category in votes)] += count
    patterns: Counter[Pattern] = Counter()
    pairs = equal = 0
    drawn: Counter[str] = Counter()
    for votes, count in shared.items():
        patterns[tuple(value for value, _category in votes)] += count
        categories = Counter(category for _value, category in votes)
        pairs += count * len(votes) * (len(votes) - 1)
        equal += count * sum(times * (times - 1) for times in categories.values())
        for category, times in categories.items():
            drawn[category] += count * times
    alpha, low, high = alpha_with_interval(tuple(sorted(patterns.items())), ordered)
    return Agreement(
        alpha=alpha,
        low=low,
        high=high,
        items=sum(shared.values()),
        judgements=drawn.total(),
        people=people,
        reason_undefined="" if alpha is not None else _constant(),
        percent=equal / pairs,
        kappa=None,
        chance=sum(times * times for times in drawn.values()) / drawn.total() ** 2,
        gwet=_gwet(units),
    )


@lru_cache(maxsize=512)
def alpha_with_interval(
    patterns: tuple[tuple[Pattern, int], ...], ordered: bool
) -> tuple[float | None, float | None, float | None]:
    """Return alpha with its interval. What people said of what is complete moves no more, and is reckoned once."""
    counted = dict(patterns)
    alpha = krippendorff_alpha(counted, ordered=ordered)
    return (alpha, *(bootstrap(counted, ordered=ordered) if alpha is not None else (None, None)))


def agreement(
    values: Mapping[Any, Mapping[Any, int]], categories: Mapping[Any, Mapping[Any, str]], *, ordered: bool = True
) -> Agreement:
    """Return all figures from unit → person → value, and unit → person → category."""
    shared = {unit: by_user for unit, by_user in values.items() if len(by_user) > 1}
    if not shared:
        return _undefined(_("No item has been judged by two people yet."))
    patterns = Counter(tuple(sorted(by_user.values())) for by_user in shared.values())
    alpha = krippendorff_alpha(patterns, ordered=ordered)
    low, high = bootstrap(patterns, ordered=ordered) if alpha is not None else (None, None)
    return Agreement(
        alpha=alpha,
        low=low,
        high=high,
        items=len(shared),
        judgements=sum(len(by_user) for by_user in shared.values()),
        people=len({user for by_user in shared.values() for user in by_user}),
        reason_undefined="" if alpha is not None else _constant(),
        percent=percent_agreement(categories.values()),
        kappa=cohen_kappa(categories.values()),
        chance=chance_agreement(categories.values()),
        gwet=gwet_ac1(categories.values()),
    )


def krippendorff_alpha(patterns: Mapping[Pattern, float], *, ordered: bool = True) -> float | None:
    """Return ordinal alpha of patterns with their counts, or nominal alpha when the values have no order.

    None when all values are equal, where it is 0/0.

    Patterns of one value are not pairable and are left out.
    """
    observed: dict[tuple[int, int], float] = defaultdict(float)
    for pattern, count in patterns.items():
        if len(pattern) > 1 and count:
            for pair, weight in _coincidences(pattern).items():
                observed[pair] += weight * count
    return _alpha(observed, ordered)


def bootstrap(
    patterns: Mapping[Pattern, int], *, ordered: bool = True, seed: int = 0
) -> tuple[float | None, float | None]:
    """Return the 95 % percentile interval of alpha when items are drawn anew.

    Each pattern's count is drawn from a Poisson distribution around it: the usual bootstrap, up to the number of
    items, which alpha does not depend on. So it costs the same for fifty items and for fifty thousand.
    """
    generator = random.Random(seed)
    parts = [(count, list(_coincidences(pattern).items())) for pattern, count in patterns.items() if len(pattern) > 1]
    alphas = []
    for _sample in range(RESAMPLES):
        observed: dict[tuple[int, int], float] = defaultdict(float)
        for count, coincidences in parts:
            drawn = _poisson(count, generator)
            if drawn:
                for pair, weight in coincidences:
                    observed[pair] += weight * drawn
        alpha = _alpha(observed, ordered)
        if alpha is not None:
            alphas.append(alpha)
    if len(alphas) < RESAMPLES / 2:
        return None, None
    return percentiles(alphas)


def percentiles(figures: Iterable[float]) -> tuple[float, float]:
    """Return between which two of the figures, which samples gave, the middle 95 % lie."""
    ranked = sorted(figures)
    tail = (1 - CONFIDENCE) / 2
    return ranked[int(tail * len(ranked))], ranked[int((1 - tail) * len(ranked)) - 1]


def percent_agreement(items: Iterable[Mapping[Any, str]]) -> float | None:
    """Return the share of pairs of judgements of one item that are in one category; None without a pair."""
    pairs = equal = 0
    for by_user in items:
        for one, other in combinations(by_user.values(), 2):
            pairs += 1
            equal += one == other
    return equal / pairs if pairs else None


def chance_agreement(items: Iterable[Mapping[Any, str]]) -> float | None:
    """Return the chance that two judgements are equal when each is drawn from all of them; None without any."""
    counts = Counter(category for by_user in items if len(by_user) > 1 for category in by_user.values())
    total = counts.total()
    return sum(count * count for count in counts.values()) / total**2 if total else None


def gwet_ac1(items: Iterable[Mapping[Any, str]]) -> float | None:
    """Return Gwet's AC1 for any number of people and gaps (K. L. Gwet 2008, eq. 14 and 16); None without a pair.

    Chance is Σ π(1 - π) / (q - 1) over the q categories that occur, with π their mean share of an item. So it stays
    high where nearly everybody says the same of everything, where kappa and alpha fall to 0.
    """
    return _gwet(Counter(tuple(sorted(by_user.values())) for by_user in items if by_user))


def _gwet(units: Mapping[tuple[str, ...], int]) -> float | None:
    """Return the same from how many items got which categories."""
    shares: dict[str, float] = defaultdict(float)
    count = agreed = shared = 0.0
    for categories, times in units.items():
        said = Counter(categories)
        raters = len(categories)
        count += times
        for category, n in said.items():
            shares[category] += times * n / raters
        if raters > 1:
            shared += times
            agreed += times * sum(n * (n - 1) for n in said.values()) / (raters * (raters - 1))
    if not shared:
        return None
    if len(shares) < 2:
        return 1.0
    chance = sum(one / count * (1 - one / count) for one in shares.values()) / (len(shares) - 1)
    return (agreed / shared - chance) / (1 - chance)


def cohen_kappa(items: Iterable[Mapping[Any, str]], times: Iterable[int] = repeat(1)) -> float | None:
    """Return Cohen's kappa of each two people, averaged with the number of items they share as weight.

    `times`: how many items each of these stands for. Two people who always gave one and the same category have no kappa
    and are left out; None when nobody has one.
    """
    total = weight = 0.0
    for table in _tables(items, times).values():
        kappa = _kappa(table)
        if kappa is not None:
            total += table.total() * kappa
            weight += table.total()
    return total / weight if weight else None


def agreement_of_pairs(items: Iterable[Mapping[Any, str]], times: Iterable[int] = repeat(1)) -> list[PairAgreement]:
    """Return how far each two people agree, from person → category of each item; who share most come first.

    `times`: how many items each of these stands for.
    """
    found = []
    for (one, other), table in _tables(items, times).items():
        same = sum(times for (row, column), times in table.items() if row == column)
        low, high = wilson(same, table.total())
        found.append(PairAgreement(str(one), str(other), table.total(), same / table.total(), low, high, _kappa(table)))
    return sorted(found, key=lambda pair: (-pair.items, pair.one, pair.other))


def _tables(
    items: Iterable[Mapping[Any, str]], times: Iterable[int]
) -> dict[tuple[Any, Any], Counter[tuple[str, str]]]:
    """Return how often each two people said what and what of the same item."""
    tables: dict[tuple[Any, Any], Counter[tuple[str, str]]] = defaultdict(Counter)
    for by_user, alike in zip(items, times, strict=False):
        for one, other in combinations(sorted(by_user), 2):
            tables[one, other][by_user[one], by_user[other]] += alike
    return tables


def _kappa(table: Counter[tuple[str, str]]) -> float | None:
    count = table.total()
    rows: Counter[str] = Counter()
    columns: Counter[str] = Counter()
    for (row, column), times in table.items():
        rows[row] += times
        columns[column] += times
    expected = sum(rows[name] * columns[name] for name in rows) / count**2
    agreed = sum(times for (row, column), times in table.items() if row == column) / count
    return (agreed - expected) / (1 - expected) if expected < 1 else None


def _coincidences(pattern: Pattern) -> dict[tuple[int, int], float]:
    """Return what one item adds to the coincidence matrix: each ordered pair of its values, with weight 1/(m - 1)."""
    counts = Counter(pattern)
    others = len(pattern) - 1
    return {
        (one, other): counts[one] * (counts[other] - (one == other)) / others
        for one in counts
        for other in counts
        if one != other or counts[one] > 1
    }


def _alpha(observed: Mapping[tuple[int, int], float], ordered: bool) -> float | None:
    """Return 1 - D_observed / D_expected with the ordinal distance of the coincidence matrix's own marginals.

    Without an order any two different values are equally far apart.
    """
    marginals: dict[int, float] = defaultdict(float)
    for (value, _other), weight in observed.items():
        marginals[value] += weight
    if len(marginals) < 2:
        return None
    total = sum(marginals.values())
    below: dict[int, float] = {}  # how many values lie below, plus half of those that are equal
    passed = 0.0
    for value in sorted(marginals):
        below[value] = passed + marginals[value] / 2
        passed += marginals[value]

    def distance(one: int, other: int) -> float:
        return (below[one] - below[other]) ** 2 if ordered else float(one != other)

    disagreed = sum(weight * distance(one, other) for (one, other), weight in observed.items())
    expected = sum(marginals[one] * marginals[other] * distance(one, other) for one in marginals for other in marginals)
    return 1 - (total - 1) * disagreed / expected


def _poisson(mean: int, generator: random.Random) -> int:
    """Return a draw from the Poisson distribution; above 60 from the normal one, which is then as good."""
    if mean > 60:
        return max(0, round(generator.gauss(mean, mean**0.5)))
    # Arrivals in the time from 0 to `mean`, with exponential gaps.
    time, arrivals = generator.expovariate(1), 0
    while time < mean:
        arrivals += 1
        time += generator.expovariate(1)
    return arrivals


def _constant() -> str:
    return _("Everybody gave the same answer to everything, so there is no chance agreement to compare with.")


def _undefined(reason: str) -> Agreement:
    return Agreement(None, None, None, 0, 0, 0, reason, None, None)
