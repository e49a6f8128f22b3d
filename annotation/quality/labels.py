"""Whose labels to trust: Dawid and Skene's model of people and true labels. Plain Python.

A. P. Dawid and A. M. Skene, "Maximum Likelihood Estimation of Observer Error-Rates Using the EM Algorithm", Applied
Statistics 28 (1979): each item has one true label, and each person says l where the truth is k with a probability of
their own. Equation numbers are the paper's.

Where we depart: `smoothing` adds so many judgements like everybody's to each person before their error rates are
estimated (a Dirichlet prior around the pooled matrix). With 0 it is the paper's maximum likelihood, and that of
`crowdkit.aggregation.DawidSkene`; with few judgements a person that is false
certainty, so what Attune shows uses `USUAL`.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

Item = TypeVar("Item", bound=Hashable)
Person = TypeVar("Person", bound=Hashable)
# Item → person → what they said.
Votes = Mapping[Item, Mapping[Person, str]]

ROUNDS = 100
CHANGE = 1e-8  # of a posterior, at most, between the last two rounds
USUAL = 5.0  # judgements like everybody's that a person begins with
_LEAST = 1e-10


@dataclass(frozen=True)
class Reliability(Generic[Item, Person]):
    """What the model makes of votes."""

    labels: tuple[str, ...]
    posterior: dict[Item, dict[str, float]]  # item → label → probability that it is the true one
    errors: dict[Person, dict[str, dict[str, float]]]  # person → true label → what they say → probability
    priors: dict[str, float]

    def accuracy(self, person: Person) -> float:
        """Return how often this person says the true label, over items as they come; 0 to 1."""
        return sum(self.priors[label] * self.errors[person][label][label] for label in self.labels)

    def information(self, person: Person) -> float:
        """Return what one judgement of this person tells about the true label, 0 to 1.

        The mutual information of truth and word over the entropy of the truth: 0 for who answers by chance whatever
        the item, and also high for who always says the contrary, because that can be turned round.
        """
        said = {
            word: sum(self.priors[truth] * self.errors[person][truth][word] for truth in self.labels)
            for word in self.labels
        }
        total = sum(
            joint * math.log(self.errors[person][truth][word] / said[word])
            for truth in self.labels
            for word in self.labels
            if (joint := self.priors[truth] * self.errors[person][truth][word]) > 0
        )
        spread = -sum(p * math.log(p) for p in self.priors.values() if p > 0)
        return max(0.0, min(1.0, total / spread)) if spread > 0 else 0.0

    def label(self, item: Item) -> str:
        """Return the likeliest label of an item; of equally likely ones the first in `labels`."""
        chances = self.posterior[item]
        return max(self.labels, key=lambda label: chances[label])

    def uncertainty(self, item: Item) -> float:
        """Return the probability that the likeliest label is wrong."""
        return 1 - max(self.posterior[item].values())


def majority(votes: Votes[Item, Person]) -> dict[Item, str]:
    """Return the most frequent label of each item; of equally frequent ones the first by name."""
    chosen = {}
    for item, by_person in votes.items():
        counts: dict[str, int] = defaultdict(int)
        for label in by_person.values():
            counts[label] += 1
        if counts:
            chosen[item] = min(counts, key=lambda label: (-counts[label], label))
    return chosen


def dawid_skene(
    votes: Votes[Item, Person],
    *,
    times: Mapping[Item, int] | None = None,
    smoothing: float = 0.0,
    rounds: int = ROUNDS,
    change: float = CHANGE,
) -> Reliability[Item, Person]:
    """Return the model fitted to `votes` by EM from the majority's shares, in at most `rounds`.

    Ends when no posterior moved by more than `change`. Time is rounds x judgements x labels. Items of which the same
    people said the same may come as one, with their number in `times`: the model is that of each by itself.
    """
    labels = tuple(sorted({label for by_person in votes.values() for label in by_person.values()}))
    number = {label: place for place, label in enumerate(labels)}
    people: dict[Person, int] = {}
    said: dict[Item, list[tuple[int, int]]] = {}
    for item, by_person in votes.items():
        if by_person:
            said[item] = [(people.setdefault(one, len(people)), number[label]) for one, label in by_person.items()]
    count = len(labels)
    posterior: dict[Item, list[float]] = {}
    for item, pairs in said.items():
        shares = [0.0] * count
        for _, label in pairs:
            shares[label] += 1 / len(pairs)
        posterior[item] = shares
    number_of = times or {}
    priors, errors = _maximise(said, number_of, posterior, len(people), count, smoothing)
    for _ in range(rounds):
        moved = 0.0
        log_priors = [math.log(max(p, _LEAST)) for p in priors]
        logs = [[[math.log(p) if p else -math.inf for p in row] for row in matrix] for matrix in errors]
        for item, pairs in said.items():
            # Eq. 2.5: p(T = k | said) is proportional to p_k times the product of what each person says given k.
            likely = [log_priors[k] + sum(logs[who][k][label] for who, label in pairs) for k in range(count)]
            top = max(likely)
            weights = [math.exp(one - top) for one in likely]
            total = sum(weights)
            new = [one / total for one in weights]
            moved = max(moved, *(abs(a - b) for a, b in zip(new, posterior[item], strict=True)))
            posterior[item] = new
        priors, errors = _maximise(said, number_of, posterior, len(people), count, smoothing)
        if moved <= change:
            break
    return Reliability(
        labels=labels,
        posterior={item: dict(zip(labels, chances, strict=True)) for item, chances in posterior.items()},
        errors={
            person: {truth: dict(zip(labels, errors[place][number[truth]], strict=True)) for truth in labels}
            for person, place in people.items()
        },
        priors=dict(zip(labels, priors, strict=True)),
    )


def _maximise(
    said: Mapping[Item, list[tuple[int, int]]],
    times: Mapping[Item, int],
    posterior: Mapping[Item, list[float]],
    people: int,
    count: int,
    smoothing: float,
) -> tuple[list[float], list[list[list[float]]]]:
    """Return the shares of true labels (eq. 2.4) and each person's error rates (eq. 2.3), [person][truth][said]."""
    priors = [0.0] * count
    ever: list[set[int]] = [set() for _ in range(people)]  # what each person said at all
    counts = [[[0.0] * count for _ in range(count)] for _ in range(people)]
    for item, pairs in said.items():
        alike = times.get(item, 1)
        chances = posterior[item] if alike == 1 else [alike * one for one in posterior[item]]
        for truth in range(count):
            priors[truth] += chances[truth]
        for who, label in pairs:
            of_person = counts[who]
            ever[who].add(label)
            for truth in range(count):
                of_person[truth][label] += chances[truth]
    total = sum(priors) or 1.0
    pooled = [
        [sum(counts[who][truth][word] for who in range(people)) for word in range(count)] for truth in range(count)
    ]
    for truth in range(count):
        # One judgement of each kind more, so that what nobody ever said is unlikely and not impossible.
        whole = sum(pooled[truth]) + count
        around = [smoothing * (one + 1) / whole for one in pooled[truth]]
        for who in range(people):
            row = [
                max(_LEAST, one + more) if one + more or word in ever[who] else 0.0
                for word, (one, more) in enumerate(zip(counts[who][truth], around, strict=True))
            ]
            rows = sum(row)
            counts[who][truth] = [one / rows for one in row]
    return [one / total for one in priors], counts
