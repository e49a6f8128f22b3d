"""How far rewards tell the worth of the answers that a filter keeps: R² by filter, to choose one by. Standard library.

A reward model that is right about its best and worst answers and guesses in between is best learned from at its ends.
PF-PPO, arXiv:2409.06957, section 4, chooses the filter by R² of reward and worth among what it keeps; there of rewards
in bins, here of answers. The ends lie far apart, so theirs is higher also where the reward is equally noisy everywhere
and a filter teaches nothing faster (card 8's control): it says what to try, and a run beside one without says the rest.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from statistics import fmean

from training.core.stats import Interval, interval
from training.recipes.filters import NO_FILTER, chosen, figure_of
from training.recipes.note import Note

BEST, WITH_RANDOM, WITH_WORST = "best", "best-and-random", "best-and-worst"
FILTERS = (NO_FILTER, BEST, WITH_RANDOM, WITH_WORST)  # as the parts of the slot `filter` are called, and none
DRAWS = 400
LEAST = 3  # answers of a prompt, as of two every filter keeps both
WEIGHED = "weighed"  # how a run counts the answers of which both reward and worth are known
Sums = tuple[float, float, float, float, float, float]
Prompt = tuple[Sequence[float], Sequence[float]]  # the rewards of its answers, and what they are worth


def trust_by_filter(prompts: Sequence[Prompt], *, confidence: float) -> dict[str, Interval]:
    """Return R² of reward and worth over what each filter keeps, with a bootstrap interval over prompts.

    The random one of `best-and-random` counts as the others do in the mean, so that nothing is left to a draw.
    A filter whose kept answers all have one reward or one worth is left out, as there is nothing to explain.
    """
    found: dict[str, Interval] = {}
    for name in FILTERS:
        sums = [_sums(_kept(rewards, worth, name)) for rewards, worth in prompts]
        estimate = _squared(sums)
        if estimate is None:
            continue
        draw = random.Random(0)
        told = (_squared(draw.choices(sums, k=len(sums))) for _ in range(DRAWS))
        values = sorted(value for value in told if value is not None)
        tail = int((1 - confidence) / 2 * len(values))
        ends = (values[tail], values[-1 - tail]) if values else (0.0, 1.0)
        found[name] = interval(estimate, min(estimate, ends[0]), max(estimate, ends[1]), len(sums))
    return found


def advised(prompts: Sequence[Prompt], *, confidence: float) -> tuple[dict[str, Interval], list[Note]]:
    """Return R² by filter under the names of a run's figures, and which filter has the highest, in words."""
    told = trust_by_filter(prompts, confidence=confidence)
    figures = {figure_of(name): one for name, one in told.items()}
    if len(told) < 2:
        return figures, []
    name = chosen({one: told[one]["estimate"] for one in told})
    n = round(fmean(len(rewards) for rewards, _ in prompts))
    if name == NO_FILTER:
        return figures, [
            Note(
                "The rewards tell most of what answers are worth where all {n} are kept (R² {share:.2f}): no filter "
                "helps.",
                n=n,
                share=told[NO_FILTER]["estimate"],
            )
        ]
    return figures, [
        Note(
            "The rewards tell most of what answers are worth where of {n} those by the filter {name} are kept: R² "
            "{share:.2f}, of all {every:.2f}. Try it as the part filter, as of pf-ppo, beside a run without.",
            n=n,
            name=name,
            share=told[name]["estimate"],
            every=told[NO_FILTER]["estimate"] if NO_FILTER in told else 0.0,
        )
    ]


def by_people(pairs: Iterable[tuple[str, tuple[str, float], tuple[str, float]]]) -> list[Prompt]:
    """Return rewards and worth of each prompt's answers, of (prompt, (better answer, its reward), (worse, its reward)).

    The worth is the share of its comparisons that an answer won with people, which is about its prompt alone; so is the
    reward then, less the mean of the prompt's answers. Prompts with fewer than three answers are left out.
    """
    rewards: dict[str, dict[str, float]] = {}
    won, asked = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    for prompt, better, worse in pairs:
        won[prompt, better[0]] += 1
        for answer, reward in (better, worse):
            asked[prompt, answer] += 1
            rewards.setdefault(prompt, {})[answer] = reward
    found: list[Prompt] = []
    for prompt, of_answer in rewards.items():
        if len(of_answer) >= LEAST:
            middle = fmean(of_answer.values())
            share = [won[prompt, answer] / asked[prompt, answer] for answer in of_answer]
            found.append(([reward - middle for reward in of_answer.values()], share))
    return found


def _kept(rewards: Sequence[float], worth: Sequence[float], name: str) -> Iterator[tuple[float, float, float]]:
    """Yield the weight, the reward and the worth of each answer that is kept; the first of equals is the best."""
    order = sorted(range(len(rewards)), key=lambda i: -rewards[i])
    for place, i in enumerate(order):
        weight = {
            NO_FILTER: 1.0,
            BEST: float(place == 0),
            WITH_RANDOM: 1.0 if place == 0 else 1 / (len(order) - 1),
            WITH_WORST: float(place in (0, len(order) - 1)),
        }[name]
        if weight:
            yield weight, rewards[i], worth[i]


def _sums(kept: Iterator[tuple[float, float, float]]) -> Sums:
    n = r = w = rr = ww = rw = 0.0
    for weight, reward, value in kept:
        n, r, w = n + weight, r + weight * reward, w + weight * value
        rr, ww, rw = rr + weight * reward**2, ww + weight * value**2, rw + weight * reward * value
    return n, r, w, rr, ww, rw


def _squared(of_prompts: Sequence[Sums]) -> float | None:
    n, r, w, rr, ww, rw = (sum(column) for column in zip(*of_prompts, strict=True))
    of_reward, of_worth = rr - r * r / n, ww - w * w / n
    if of_reward <= 1e-12 * rr or of_worth <= 1e-12 * ww:
        return None
    return min(1.0, (rw - r * w / n) ** 2 / (of_reward * of_worth))
