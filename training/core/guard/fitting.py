"""Makes a guard's side from labelled texts, and measures it on others: catches beside false refusals, with intervals.

The texts are parted three ways by what they are about, so that no text and no prompt is on two sides: one to learn
from, one to draw the line on, one to measure on. What the line promises comes from the second alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np
from scipy.stats import rankdata
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold

from training.core.guard.lexical import Lexical, pieces
from training.core.guard.thresholds import Threshold, calibrated, curve
from training.core.guard.verdicts import SAFE, TIERS
from training.core.job import RunError
from training.core.records import messages_of, prompt_hash
from training.core.stats import Interval, wilson
from training.recipes.note import Note

LEARN, DRAW, MEASURE = "learn", "draw", "measure"
PARTS = (LEARN,) * 5 + (DRAW,) * 3 + (MEASURE,) * 2  # of ten
DRAWS = 1000  # of the bootstrap
FOLDS = 5
SETTINGS: list[dict[str, Any]] = [
    {"letters": on, **more}
    for on in (False, True)
    for more in ({"slack": 1.0}, {"slack": 10.0}, {"slack": 10.0, "ratios": True})
]
SMOOTHING = 0.25  # texts of each kind that every piece is said to stand in before any is read


@dataclass(frozen=True)
class Labelled:
    """A text whose tier a person told. `group` is what it is parted by, `categories` what it is counted under."""

    text: str
    tier: str
    group: str = ""
    categories: tuple[str, ...] = ()

    @property
    def risky(self) -> bool:
        return self.tier != SAFE

    @property
    def part(self) -> str:
        return PARTS[int(prompt_hash(messages_of(self.group or self.text))[:8], 16) % len(PARTS)]


def learned(
    rows: Sequence[Labelled],
    *,
    letters: bool = True,
    slack: float = 10.0,
    ratios: bool = False,
    weights: np.ndarray | None = None,
) -> Lexical:
    """Return the check that these texts come to; its first label is the safe tier. RunError names what is lacking.

    Each tier counts alike, however often it occurs, unless each text has its weight. `slack` is the inverse of the
    penalty on the weights' squares. With `ratios` a piece counts by how much likelier it is in risky texts or in safe
    ones, as naive Bayes has it, so that one telling word is heard among many others (Wang and Manning, 2012).
    """
    labels = tuple(tier for tier in TIERS if any(row.tier == tier for row in rows))
    if len(labels) < 2 or labels[0] != SAFE:
        raise RunError(Note("A check learns from safe texts and risky ones. Label some of both."))

    def cut(text: str) -> list[str]:
        return list(pieces(text, letters=letters))

    words = TfidfVectorizer(analyzer=cut, sublinear_tf=True, min_df=2 if len(rows) > 50 else 1)
    vectors = words.fit_transform(row.text for row in rows)
    scale = _ratios(vectors, rows, weights) if ratios else np.ones(vectors.shape[1])
    model = LogisticRegression(max_iter=2000, class_weight="balanced" if weights is None else None, C=slack)
    model.fit(vectors.multiply(scale).tocsr(), [labels.index(row.tier) for row in rows], sample_weight=weights)
    # What a piece counts is a part of its weight from here on, so that whoever reads the check need not know of it.
    slopes, bias = model.coef_ * scale, model.intercept_
    if len(labels) == 2:  # one logit of the second label, the first one's being 0
        slopes, bias = np.vstack([np.zeros_like(slopes), slopes]), np.array([0.0, bias[0]])
    told = {
        piece: tuple(round(float(x), 6) for x in (words.idf_[place], *slopes[:, place]))
        for piece, place in words.vocabulary_.items()
    }
    return Lexical(labels, told, tuple(map(float, bias)), letters)


def _ratios(vectors: Any, rows: Sequence[Labelled], weights: np.ndarray | None) -> np.ndarray:
    """Return for each piece how far apart its shares of the risky and of the safe texts are, as a ratio's logarithm."""
    there = (vectors > 0).astype(float)
    risky = np.array([row.risky for row in rows])
    counted = np.ones(len(rows)) if weights is None else np.asarray(weights, dtype=float)
    shares = [(there.T @ (counted * of) + SMOOTHING) / max(float((counted * of).sum()), 1e-9) for of in (risky, ~risky)]
    return np.abs(np.log(shares[0] / shares[1]))


def chosen(rows: Sequence[Labelled]) -> Lexical:
    """Return the check whose settings do best on these texts, by the area under the ROC curve over five folds."""
    groups = [row.group or row.text for row in rows]
    risky = [row.risky for row in rows]
    best: tuple[float, dict[str, Any]] = (-1.0, {})
    for settings in SETTINGS:
        areas = []
        for learn, test in StratifiedGroupKFold(FOLDS, shuffle=True, random_state=0).split(groups, risky, groups):
            truth = [risky[place] for place in test]
            if 0 < sum(truth) < len(truth):
                check = learned([rows[place] for place in learn], **settings)
                areas.append(roc_area(np.array(truth), risks(check, [rows[place] for place in test])))
        best = max(best, (float(np.mean(areas)) if areas else 0.0, settings), key=lambda one: one[0])
    return learned(rows, **best[1])


def risks(check: Lexical, rows: Sequence[Labelled]) -> np.ndarray:
    """Return the risk of each text; one that cannot be read is blocked, so its risk is 1."""
    found = check.probabilities([[]] * len(rows), [row.text for row in rows])
    return np.array([1.0 if one is None else 1 - one[SAFE] for one in found])


@dataclass(frozen=True)
class Measured:
    """How a side does on texts that it did not see, beside TF-IDF over words held to the same promise."""

    name: str
    parts: dict[str, int]  # texts of each part
    threshold: Threshold
    catches: Interval
    false_refusals: Interval
    by_category: dict[str, Interval]
    baseline: dict[str, Interval]  # its catches and false refusals, at its own line for the same promise
    area: float  # under the ROC curve
    gain: Interval  # of that area over the baseline's; the interval by bootstrap over groups
    milliseconds: dict[str, float]  # of one text
    curve: list[dict[str, Any]]  # what other lines would do; see `thresholds.curve`

    @property
    def beats(self) -> bool:
        return self.gain["low"] > 0

    def as_json(self) -> dict[str, Any]:
        told = {**vars(self), "threshold": self.threshold.as_json(), "beats": self.beats}
        del told["curve"]
        return told

    def told(self) -> str:
        """Return a line of the table."""
        line = self.threshold
        promise = f"{line.recall_bound:.1%} at {line.confidence:.0%} (of {line.risky}, {line.misses} missed)"
        beats = "yes" if self.beats else "**no**"
        cells = [
            self.name,
            "/".join(str(self.parts[part]) for part in (LEARN, DRAW, MEASURE)),
            promise,
            f"{_share(self.catches)} / {_share(self.false_refusals)}",
            f"{_share(self.baseline['catches'])} / {_share(self.baseline['false_refusals'])}",
            f"{self.area:.3f}",
            f"{beats} ({self.gain['estimate']:+.3f}, {self.gain['low']:+.3f} to {self.gain['high']:+.3f})",
            f"{self.milliseconds['median']:.2f} / {self.milliseconds['p95']:.2f}",
        ]
        return f"| {' | '.join(cells)} |"


HEADINGS = (
    "texts",
    "learned / line / measured",
    "recall shown for the line",
    "catches / false refusals",
    "the same of TF-IDF",
    "area",
    "beats TF-IDF by area",
    "ms, median / 95th",
)
TITLE = f"| {' | '.join(HEADINGS)} |\n{'| --- ' * len(HEADINGS)}|"


def _share(value: Interval) -> str:
    return f"{value['estimate']:.1%} ({value['low']:.1%} to {value['high']:.1%}, n {value['n']})"


def fitted(name: str, rows: Sequence[Labelled], *, recall: float, confidence: float = 0.95) -> tuple[Lexical, Measured]:
    """Learn a check, draw its line and measure it; Unreachable where the texts do not show such a recall."""
    parts: dict[str, list[Labelled]] = {part: [row for row in rows if row.part == part] for part in PARTS}
    for part, there in parts.items():
        if len({row.risky for row in there}) < 2:
            raise RunError(
                Note(
                    "{name}: the part to {part} from or on lacks safe texts or risky ones. Label more.",
                    name=name,
                    part=part,
                )
            )
    check = chosen(parts[LEARN])
    plain = _tf_idf(parts[LEARN])
    line, catches, refusals, ours = _held(lambda rows: risks(check, rows), parts, recall, confidence)
    _, plain_catches, plain_refusals, theirs = _held(plain, parts, recall, confidence)
    test = parts[MEASURE]
    blocked = ours >= line.value
    categories = sorted({category for row in test for category in row.categories})
    return check, Measured(
        name=name,
        parts={part: len(there) for part, there in parts.items()},
        threshold=line,
        catches=catches,
        false_refusals=refusals,
        by_category={
            category: _rate(blocked, np.array([category in row.categories for row in test])) for category in categories
        },
        baseline={"catches": plain_catches, "false_refusals": plain_refusals},
        area=roc_area(np.array([row.risky for row in test]), ours),
        gain=_gain(test, ours, theirs),
        milliseconds=latency(check, [row.text for row in test]),
        curve=curve(
            (risks(check, parts[DRAW]).tolist(), [row.risky for row in parts[DRAW]]),
            (ours.tolist(), [row.risky for row in test]),
            confidence=confidence,
        ),
    )


def latency(check: Lexical, texts: Sequence[str]) -> dict[str, float]:
    """Return what one text takes by the wall clock, in milliseconds: the median and the 95th percentile."""
    took = []
    for text in texts:
        began = time.perf_counter()
        check.probabilities([[]], [text])
        took.append(1000 * (time.perf_counter() - began))
    return {"median": median(took), "p95": float(np.quantile(took, 0.95))}


Reader = Callable[[Sequence[Labelled]], np.ndarray]


def _held(
    read: Reader, parts: dict[str, list[Labelled]], recall: float, confidence: float
) -> tuple[Threshold, Interval, Interval, np.ndarray]:
    """Draw the line on its part and return it with the catches, the false refusals and the risks on the last one."""
    line = calibrated(
        read(parts[DRAW]).tolist(), [row.risky for row in parts[DRAW]], recall=recall, confidence=confidence
    )
    found = read(parts[MEASURE])
    risky = np.array([row.risky for row in parts[MEASURE]])
    return line, _rate(found >= line.value, risky), _rate(found >= line.value, ~risky), found


def _rate(blocked: np.ndarray, among: np.ndarray) -> Interval:
    return wilson(int(blocked[among].sum()), int(among.sum()))


def _tf_idf(rows: Sequence[Labelled]) -> Reader:
    words = TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2), min_df=2)
    model = LogisticRegression(max_iter=1000).fit(
        words.fit_transform(row.text for row in rows), [row.risky for row in rows]
    )
    return lambda rows: np.asarray(model.predict_proba(words.transform(row.text for row in rows))[:, 1])


def roc_area(risky: np.ndarray, found: np.ndarray) -> float:
    """Return the area under the ROC curve: how often a risky text has more risk than a safe one, ties half.

    Mann and Whitney's count from the ranks: a bootstrap asks for it thousands of times.
    """
    ranks, n = rankdata(found), int(risky.sum())
    return float((ranks[risky].sum() - n * (n + 1) / 2) / (n * (len(risky) - n)))


def _gain(rows: Sequence[Labelled], ours: np.ndarray, theirs: np.ndarray) -> Interval:
    """Return how much larger the area under our ROC curve is, with the bootstrap over groups, paired."""
    risky = np.array([row.risky for row in rows])
    groups: dict[str, list[int]] = {}
    for place, row in enumerate(rows):
        groups.setdefault(row.group or row.text, []).append(place)
    members = [np.array(places) for places in groups.values()]

    def gap(places: np.ndarray) -> float:
        truth = risky[places]
        return roc_area(truth, ours[places]) - roc_area(truth, theirs[places])

    draw, gaps = np.random.default_rng(0), []
    for _ in range(DRAWS):
        places = np.concatenate([members[i] for i in draw.integers(len(members), size=len(members))])
        if 0 < risky[places].sum() < len(places):
            gaps.append(gap(places))
    low, high = np.quantile(gaps, [0.025, 0.975])
    return {"estimate": gap(np.arange(len(rows))), "low": float(low), "high": float(high), "n": len(members)}
