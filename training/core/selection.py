"""Which prompts, and which two of a prompt's completions, are worth a person's time. Standard library only."""

from __future__ import annotations

import heapq
import itertools
import math
import random
import zlib
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

from training.errors import TrainingError
from training.recipes.note import Note

REWARD = "reward"  # the scorer that the rules go by, where the spec lists it
IMPLIED = "implied"  # the scorer that is a policy: with the spec's reference, the reward that it implies
COST = "cost"  # the scorer that says how unsafe an answer is, by a score that is less its cost


WORDS = 64  # numbers that stand for a prompt's words
SPREAD_OVER = 2000  # prompts of which each is held against each


def select(
    rows: Sequence[dict[str, Any]],
    *,
    selection: str,
    audit_share: float,
    seed: int,
    asked_share: float = 1.0,
    by: str = REWARD,
) -> list[dict[str, Any]]:
    """Return the rows of a sample run with `pair`, `audit`, `asked` and `selection`, the rule that chose the pair.

    The rules go by the scores called `by`. Of the prompts that are not in the audit slice people are `asked` about the
    share that the rule values most; what an ensemble disagrees on counts less near a prompt that is asked already.
    """
    audit = audit_slice((row["id"] for row in rows), audit_share=audit_share, seed=seed)
    selected = []
    for row in rows:
        answers = row["completions"]
        pair, rule = choose_pair(
            [answer["text"] for answer in answers],
            [answer["scores"].get(by, math.nan) for answer in answers],
            selection="random" if row["id"] in audit else selection,
            rng=random.Random(f"pair {seed} {row['id']}"),
            members=[answer.get("members") or [] for answer in answers],
        )
        selected.append({**row, "pair": pair, "audit": row["id"] in audit, "selection": rule})
    asked = _asked(selected, selection=selection, share=asked_share, seed=seed, by=by)
    return [{**row, "asked": row["audit"] or row["id"] in asked} for row in selected]


def _asked(rows: Sequence[dict[str, Any]], *, selection: str, share: float, seed: int, by: str) -> frozenset[str]:
    """Return the prompts outside the audit slice that people are asked about, whatever their order in the file.

    Where the rule could value nothing, because nothing scored the answers, the draw decides.
    """
    pool = sorted((row for row in rows if not row["audit"] and row["pair"] is not None), key=lambda row: str(row["id"]))
    random.Random(f"asked {seed}").shuffle(pool)
    count = math.ceil(share * len(pool) - 1e-9)
    if selection == "k_center" and count < len(pool):
        pool = pool[: max(count, SPREAD_OVER)]
        known = [_words(row) for row in rows if row["audit"]][:SPREAD_OVER]
        chosen = k_center([_words(row) for row in pool], count, known=known)
        return frozenset(pool[place]["id"] for place in chosen)
    valued = [(row["selection"] == selection, _worth(row, by=by), row) for row in pool]
    valued.sort(key=lambda one: one[:2], reverse=True)
    if selection in ACQUISITION and count < len(valued):
        valued = valued[: max(count, SPREAD_OVER)]
        chosen = worth_and_apart([worth for _, worth, _ in valued], [_words(row) for *_, row in valued], count)
        return frozenset(valued[place][-1]["id"] for place in chosen)
    return frozenset(row["id"] for *_, row in valued[:count])


def _worth(row: dict[str, Any], *, by: str) -> float:
    """Return how much the rule that chose a row's pair expects of asking about it; of rules without an opinion 0."""
    one, other = (row["completions"][place] for place in row["pair"])
    rule = row["selection"]
    if rule in ACQUISITION:
        return ACQUISITION[rule](preferences(one["members"], other["members"]))
    if rule not in ("best_worst", "most_uncertain"):
        return 0.0
    gap = abs(one["scores"][by] - other["scores"][by])
    return float(gap if rule == "best_worst" else -gap)


def _words(row: dict[str, Any]) -> list[float]:
    """Return the words of a row's prompt as a point on the unit sphere, by hashing; near prompts share their words."""
    point = [0.0] * WORDS
    for message in row["prompt"]:
        for word in str(message["content"]).lower().split():
            point[zlib.crc32(word.encode()) % WORDS] += 1.0
    length = math.sqrt(sum(value * value for value in point)) or 1.0
    return [value / length for value in point]


def doubted(rows: Sequence[dict[str, Any]], *, share: float, by: str, below: float = 1.0) -> list[dict[str, Any]]:
    """Return the selected rows with `doubtful`: of those that are asked about, the `share` the scores doubt most.

    With `below` only those whose label has a lower probability than that by the scores, so that `share` is then the
    most there can be. Each that is asked about has the probability as `label_probability`, None without scores. People
    judge what is doubtful and a model labels the others. The audit slice, which is people's anyway, is not among them.
    """
    pool = [row for row in rows if row["pair"] is not None and row["asked"] and not row["audit"]]
    certain = {row["id"]: _certainty(row, by=by) for row in pool}
    pool.sort(key=lambda row: (certain[row["id"]], str(row["id"])))
    most = pool[: math.ceil(share * len(pool) - 1e-9)]
    doubtful = {row["id"] for row in most if below >= 1 or 0.5 + certain[row["id"]] < below}
    told = {id_: {"label_probability": 0.5 + one if one >= 0 else None} for id_, one in certain.items()}
    return [{**row, "doubtful": row["id"] in doubtful, **told.get(row["id"], {})} for row in rows]


def doubts(rows: Iterable[dict[str, Any]], *, below: float) -> dict[str, int]:
    """Return how many of what `doubted` returned people judge, of how many, and how many are below the threshold."""
    pool = [row for row in rows if "label_probability" in row]
    under = [row for row in pool if row["label_probability"] is None or row["label_probability"] < below]
    return {"doubtful": sum(row["doubtful"] for row in pool), "labellable": len(pool), "unsure": len(under)}


def _certainty(row: dict[str, Any], *, by: str) -> float:
    """Return how far from one half the probability is by which a model prefers one answer of a row's pair.

    That of an ensemble is its members' mean. Below zero where an answer has no score, which is the least certain.
    """
    answers = [row["completions"][place] for place in row["pair"]]
    scores = [[answer["scores"].get(by, math.nan)] for answer in answers]
    if by == REWARD and all(answer.get("members") for answer in answers):
        scores = [answer["members"] for answer in answers]
    if not all(map(math.isfinite, itertools.chain(*scores))):
        return -1.0
    believed = preferences(*scores)
    return abs(sum(believed) / len(believed) - 0.5)


def labelled(rows: Iterable[dict[str, Any]], *, by: str) -> list[dict[str, Any]]:
    """Return the selected rows' pairs as rows of the view ``pairs``, preferred as the scores called `by` say.

    Without the audit slice and what is `doubtful`, which are people's, without what nobody is asked about, and without
    pairs whose answers have no score or the same. arXiv:2405.07863, section 4, where a reward model stands in for
    people.
    """
    pairs = []
    for row in rows:
        if row["pair"] is None or row["audit"] or not row["asked"] or row.get("doubtful"):
            continue
        answers = [row["completions"][position] for position in row["pair"]]
        scores = [answer["scores"].get(by, math.nan) for answer in answers]
        if not all(map(math.isfinite, scores)) or scores[0] == scores[1]:
            continue
        better = int(scores[1] > scores[0])
        told = {"id": row["id"], "prompt": row["prompt"], "source": by}
        pairs.append(told | {"chosen": answers[better]["text"], "rejected": answers[1 - better]["text"]})
    return pairs


def audit_slice(prompt_ids: Iterable[str], *, audit_share: float, seed: int) -> frozenset[str]:
    """Return the prompts of the audit slice: `audit_share` of them, drawn by `seed`, whatever their order in the file.

    Their pairs are random under every rule and never trained on, which keeps one sample of judgements that no rule
    and no reward model has bent.
    """
    ordered = sorted(prompt_ids)
    return frozenset(random.Random(f"audit {seed}").sample(ordered, round(audit_share * len(ordered))))


def choose_pair(
    texts: Sequence[str],
    scores: Sequence[float] | None,
    *,
    selection: str,
    rng: random.Random,
    members: Sequence[Sequence[float]] = (),
) -> tuple[tuple[int, int] | None, str]:
    """Return the positions of the two completions to ask about, in random order, and the rule that chose them.

    Completions that differ in blanks alone count as one; the pair is None when fewer than two are left. Without
    usable scores, or where all scores are equal, the rule falls back to ``random``.
    """
    distinct: dict[str, int] = {}
    for index, text in enumerate(texts):
        distinct.setdefault(" ".join(text.split()), index)
    indices = list(distinct.values())
    if len(indices) < 2:
        return None, selection
    if selection not in CHOOSERS and selection not in ACQUISITION:
        known = ", ".join([*CHOOSERS, *ACQUISITION])
        raise TrainingError(
            Note(
                "There is no selection rule called {selection}. Choose one of {known}.",
                selection=selection,
                known=known,
            )
        )
    if selection in ACQUISITION:
        pair = _most_worth(indices, members, selection)
        if pair is not None:
            rng.shuffle(pair)
            return (pair[0], pair[1]), selection
        selection = "random"  # without an ensemble nobody can disagree
    if selection not in BLIND and not _informative(scores, indices):
        selection = "random"
    pair = CHOOSERS[selection](indices, scores or (), rng)
    # The order must not tell which of the two the rule thought better.
    rng.shuffle(pair)
    return (pair[0], pair[1]), selection


def _informative(scores: Sequence[float] | None, indices: list[int]) -> bool:
    if scores is None:
        return False
    seen = [scores[i] for i in indices]
    return all(map(math.isfinite, seen)) and len(set(seen)) > 1


def _random(indices: list[int], scores: Sequence[float], rng: random.Random) -> list[int]:
    return rng.sample(indices, 2)


def _best_worst(indices: list[int], scores: Sequence[float], rng: random.Random) -> list[int]:
    """Return best and worst, the `max_min` rule of the RLHF Workflow's released loop."""
    return [max(indices, key=lambda i: scores[i]), min(indices, key=lambda i: scores[i])]


def _most_uncertain(indices: list[int], scores: Sequence[float], rng: random.Random) -> list[int]:
    """Return the two whose Bradley–Terry preference is nearest to one half: the smallest gap between two scores."""
    ordered = sorted(indices, key=lambda i: scores[i])
    low, high = min(itertools.pairwise(ordered), key=lambda p: scores[p[1]] - scores[p[0]])
    return [low, high]


# What k-center says is about the prompts; of the answers to one any two will do.
CHOOSERS = {"best_worst": _best_worst, "most_uncertain": _most_uncertain, "random": _random, "k_center": _random}
BLIND = ("random", "k_center")  # rules that ask nothing of scores


def preferences(first: Sequence[float], second: Sequence[float]) -> list[float]:
    """Return for each member of an ensemble how likely it thinks the first answer is preferred: σ(r_1 - r_2)."""
    return [_sigmoid(a - b) for a, b in zip(first, second, strict=True)]


def disagreement(believed: Sequence[float]) -> float:
    """Return the variance of what the members believe."""
    mean = sum(believed) / len(believed)
    return sum((p - mean) ** 2 for p in believed) / len(believed)


def bald(believed: Sequence[float], *, wrong: float = 0.0) -> float:
    """Return H(p̄) - mean H(p_m) in nats: what an answer would tell about which member is right. arXiv:1112.5745.

    A pair of which every member is sure that it is a toss-up tells nothing, however unsure all are. Where a share of
    the answers is `wrong` whatever was asked, an answer is not believed by so much: p(1 - 2ε) + ε.
    """
    answers = [p * (1 - 2 * wrong) + wrong for p in believed]
    return _entropy(sum(answers) / len(answers)) - sum(map(_entropy, answers)) / len(answers)


def closeness(believed: Sequence[float]) -> float:
    """Return how close the mean belief is to one half, which noise alone can bring about."""
    return 0.5 - abs(sum(believed) / len(believed) - 0.5)


# Two people agree about such pairs in two of three to three of four (arXiv:2203.02155 and 2204.05862): as if one answer
# in five were wrong. Without this, pairs that members are sure of in opposite ways crowd out all others (card 6).
WRONG = 0.2
ACQUISITION: dict[str, Callable[[Sequence[float]], float]] = {
    "disagreement": disagreement,
    "bald": partial(bald, wrong=WRONG),
    "closeness": closeness,
}


def k_center(points: Sequence[Sequence[float]], count: int, *, known: Sequence[Sequence[float]] = ()) -> list[int]:
    """Return `count` positions that leave no point far from a chosen or known one: the farthest first, greedily.

    At most twice as far as the best choice leaves them. arXiv:1708.00489, algorithm 1.
    """
    far = [min((_squared(point, other) for other in known), default=math.inf) for point in points]
    chosen: list[int] = []
    for _ in range(min(count, len(points))):
        position = max((i for i in range(len(points)) if i not in chosen), key=lambda i: far[i])
        chosen.append(position)
        far = [min(d, _squared(point, points[position])) for d, point in zip(far, points, strict=True)]
    return chosen


FARTHEST = 2.0  # squared distance of two prompts without a common word


def worth_and_apart(worth: Sequence[float], points: Sequence[Sequence[float]], count: int) -> list[int]:
    """Return `count` positions, each time the one of most worth x squared distance from the nearest one chosen before.

    What is worth asking is worth it together with all that resembles it, and one answer tells most of what the others
    would: the head of a list by worth alone may teach no more than a draw (tests/experiments, card 6). Where nothing is
    apart, worth alone decides. Values only fall while more is chosen, so that just the leading one is brought up to
    date.
    """
    far, seen = [FARTHEST] * len(worth), [0] * len(worth)
    leading = [(-FARTHEST * value, -value, place) for place, value in enumerate(worth)]
    heapq.heapify(leading)
    chosen: list[int] = []
    while leading and len(chosen) < count:
        _, negative, place = heapq.heappop(leading)
        if seen[place] == len(chosen):
            chosen.append(place)
            continue
        near = (_squared(points[place], points[other]) for other in chosen[seen[place] :])
        far[place] = min(far[place], *near)
        seen[place] = len(chosen)
        heapq.heappush(leading, (negative * far[place], negative, place))
    return chosen


def _most_worth(indices: list[int], members: Sequence[Sequence[float]], rule: str) -> list[int] | None:
    """Return the two answers whose comparison the rule values most; None where there is no ensemble for all."""
    if not members or min(len(members[i]) for i in indices) < 2:
        return None

    def worth(pair: tuple[int, int]) -> float:
        return ACQUISITION[rule](preferences(members[pair[0]], members[pair[1]]))

    best = max(itertools.combinations(indices, 2), key=worth)
    return list(best)


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x > -700 else 0.0


def _entropy(p: float) -> float:
    return -(p * math.log(p) + (1 - p) * math.log(1 - p)) if 0 < p < 1 else 0.0


def _squared(one: Sequence[float], other: Sequence[float]) -> float:
    return math.dist(one, other) ** 2
