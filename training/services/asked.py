"""Which pairs a loop asked people about, and how often its reward model had been right on them.

A selection rule takes the pairs that it expects to teach most, so how a model does on them says little of how it does
at large: a rule that looks for doubt finds pairs on which any model is wrong. The audit slice is drawn at random
whatever the rule, and no model learns from it. Beside each other they show both: that what the rule chose is harder,
and whether the labels it asked for made the next models better on what nobody chose (method card 6).

The opinion is the one the reward model had when the pair was chosen, kept with each sampled answer, so nothing is
scored anew. Of a round without a reward model nothing is told.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from annotation.feedback import kind
from annotation.models import Feedback, TaskCompletion
from annotation.quality.shares import Share, share
from training.models import Loop, Round

REWARD = "reward"  # the score that rules go by, as `training.core.selection` has it
ROUNDS = 12  # the newest that are told
MOST = 5000  # judgements that are read, the newest, so that a page costs the same however long a loop goes on


@dataclass(frozen=True)
class Asked:
    """What one round asked about. A pair counts once; where people differ, by the share of them."""

    round: Round
    rule: str  # by which most pairs were chosen
    pairs: int  # that the rule chose and people judged
    audit_pairs: int
    chosen: Share  # of these, on which the reward model had preferred what people did
    audit: Share
    labels: int  # judgements of earlier rounds that a model could learn from


@dataclass
class _Pair:
    audit: bool
    rule: str
    judgements: int = 0
    first: int = 0  # people who preferred the first answer
    second: int = 0

    def agreement(self, scores: dict[int, float]) -> float | None:
        """Return the share of people with whom the scores of the two answers agree; None where nothing was said."""
        preferred = self.first + self.second
        if not preferred or len(scores) != 2:
            return None
        gap = scores[0] - scores[1]
        return 0.5 if gap == 0 else (self.first if gap > 0 else self.second) / preferred


def of_loop(loop: Loop, rounds: Iterable[Round] | None = None) -> list[Asked]:
    """Return the newest rounds in which people judged pairs, in order. Two SQL statements, a third for a long loop."""
    every = list(rounds if rounds is not None else loop.rounds.order_by("index"))
    told = {round.batch: round for round in every[-ROUNDS:]}
    pairs = _judged(loop, told)
    scores = _scores(told, [task for of_round in pairs.values() for task in of_round])
    earlier = [round.batch for round in every[:-ROUNDS]]
    found, labels = [], _learnable(loop, earlier) if earlier else 0
    for batch, round in told.items():
        of_round = pairs.get(batch)
        if not of_round:
            continue
        sides: dict[bool, list[float]] = {False: [], True: []}
        for task, pair in of_round.items():
            agrees = pair.agreement(scores.get(task, {}))
            if agrees is not None:
                sides[pair.audit].append(agrees)
        rules = Counter(pair.rule for pair in of_round.values() if not pair.audit)
        audit = sum(pair.audit for pair in of_round.values())
        found.append(
            Asked(
                round=round,
                rule=rules.most_common(1)[0][0] if rules else "",
                pairs=len(of_round) - audit,
                audit_pairs=audit,
                chosen=share(sum(sides[False]), len(sides[False])),
                audit=share(sum(sides[True]), len(sides[True])),
                labels=labels,
            )
        )
        labels += sum(pair.judgements for pair in of_round.values() if not pair.audit)
    return found


def _learnable(loop: Loop, batches: list[str]) -> int:
    standing = Feedback.objects.current().filter(task__campaign=loop.campaign_id, task__batch__in=batches)
    return standing.filter(task__is_audit=False).count()


def _judged(loop: Loop, told: dict[str, Round]) -> dict[str, dict[int, _Pair]]:
    """Return the judged pairs of each batch, by task."""
    standing = Feedback.objects.current().filter(task__campaign=loop.campaign_id, task__batch__in=list(told))
    columns = ("kind", "payload", "task_id", "task__batch", "task__is_audit", "task__meta")
    pairs: dict[str, dict[int, _Pair]] = defaultdict(dict)
    for name, payload, task, batch, audit, meta in standing.order_by("-pk").values_list(*columns)[:MOST]:
        pair = pairs[batch].setdefault(task, _Pair(audit, str(meta.get("selection", ""))))
        value = kind(name).scale_value(payload) or 0
        pair.judgements += 1
        pair.first += value > 0
        pair.second += value < 0
    return pairs


def _scores(told: dict[str, Round], tasks: list[int]) -> dict[int, dict[int, float]]:
    """Return what the reward model thought of each task's answers when they were sampled, by position."""
    found: dict[int, dict[int, float]] = defaultdict(dict)
    number = {round.pk: batch for batch, round in told.items()}
    rows = TaskCompletion.objects.filter(task__in=tasks, completion__samples__round__in=list(number)).values_list(
        "task_id", "task__batch", "position", "completion__samples__round", "completion__samples__scores"
    )
    for task, batch, position, round, scores in rows:
        # The same answer may have been drawn in another round too, where another model judged it.
        if number[round] == batch and isinstance(value := scores.get(REWARD), int | float):
            found[task][position] = float(value)
    return found
