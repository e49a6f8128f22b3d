"""Judges say which completions keep the rules, and one that breaks a rule has no reward: the slot `constrain`.

It is the primal way to keep a constraint: no multiplier has to be found, and what breaks a rule cannot pay by a high
reward. So the reward has to be one that is never below 0 (`calibrated`), or nothing would be a prize.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from training.core.job import RunError
from training.core.rollout import Rollout
from training.core.scorers import PRINCIPLE, columns_of
from training.core.selection import COST
from training.core.thinking import parted
from training.recipes.note import Note
from training.recipes.principles import listed

AUDIT = "audit"  # the scorer that looks at what the judges let pass, and that nothing is learned from

# How refusals begin. Only beginnings are looked at: an answer may well speak of what cannot be done.
REFUSAL = re.compile(
    r"\W*(?:"
    r"(?:(?:i['’]?m|i am) (?:very |so )?)?sorry,? (?:but|i can)|i (?:can['’]?t|cannot|can not|won['’]?t|will not) |"
    r"(?:i['’]m|i am) (?:unable|not able) to|i must (?:decline|refuse)|unfortunately,? i (?:can|am)|as an ai\b|"
    r"(?:es )?tut mir leid,? (?:aber|das|ich)|(?:das |dabei |leider )?kann ich (?:\w+ )?(?:nicht|leider)|"
    r"ich kann (?:\w+ ){0,2}(?:nicht|keine)\b|ich darf (?:\w+ ){0,2}(?:nicht|keine)\b"
    r")",
    re.IGNORECASE,
)

Judge = Callable[[Rollout], Tensor]  # (B,): whether each completion passes


class Judges:
    """r ← r · 1[every judge lets it pass]. CGPO, arXiv:2409.20370, eq. 8.

    What the reward was before is kept as `merit`. Told are the share of completions that break a rule, in all and by
    each judge, and, where there is an auditor, the share by it: climbing a reward finds the answers which a judge
    always misses and makes ten times as many of them (card 16), and only somebody else can see that.
    """

    def __init__(self, judges: Mapping[str, Judge], *, auditor: Judge | None = None) -> None:
        self.judges = judges
        self.auditor = auditor

    def __call__(self, rollout: Rollout) -> Rollout:
        assert rollout.reward is not None
        verdicts = {name: judge(rollout) for name, judge in self.judges.items()}
        passes = torch.ones(len(rollout), dtype=torch.bool, device=rollout.reward.device)
        for verdict in verdicts.values():
            passes = passes & verdict
        told = {f"violations_{name}": _share(~verdict) for name, verdict in verdicts.items()}
        told["violations"] = _share(~passes)
        if self.auditor is not None:
            told["violations_audit"] = _share(~self.auditor(rollout))
        judged = torch.where(passes, rollout.reward, 0.0)
        return replace(rollout, reward=judged, merit=rollout.reward, passes=passes).told(**told)


def rules(*, min_words: int, max_words: int, must_match: str, must_not_match: str, refusals: str) -> Judges:
    """Return the judges that read the words of a completion, and need no model. arXiv:2409.20370, section 4.2."""
    return Judges(_rules(min_words, max_words, must_match, must_not_match, refusals))


def judges(
    *, judged_cost: float, min_words: int, max_words: int, must_match: str, must_not_match: str, refusals: str
) -> Judges:
    """Return the same and a cost model, which lets pass what costs no more than `judged_cost`. arXiv:2409.20370."""
    found = _rules(min_words, max_words, must_match, must_not_match, refusals)
    return Judges({**found, COST: _within(COST, judged_cost)})


def audited(
    *, judged_cost: float, min_words: int, max_words: int, must_match: str, must_not_match: str, refusals: str
) -> Judges:
    """Return the same and a second cost model, which audits by the same limit. Ours; why, card 16 measures."""
    found = _rules(min_words, max_words, must_match, must_not_match, refusals)
    return Judges({**found, COST: _within(COST, judged_cost)}, auditor=_within(AUDIT, judged_cost))


def principled(
    *,
    min_words: int,
    max_words: int,
    must_match: str,
    must_not_match: str,
    refusals: str,
    judged_principles: str,
    judged_chance: float,
) -> Judges:
    """Return the rules and a principle model, which lets pass what is likely enough to keep each principle. Ours."""
    found = _rules(min_words, max_words, must_match, must_not_match, refusals)
    return Judges({**found, PRINCIPLE: _satisfying(listed(judged_principles), judged_chance)})


def _rules(low: int, high: int, must: str, must_not: str, refusals: str) -> dict[str, Judge]:
    """Return the judges by rule that were asked for, by name; RunError where an expression cannot be read."""
    found: dict[str, Judge] = {}
    if low and high and low > high:
        raise RunError(
            Note(
                "No answer has at least {low} and at most {high} words. Change min_words or max_words.",
                low=low,
                high=high,
            )
        )
    if low or high:
        found["length"] = _of_texts(lambda text: low <= len(text.split()) <= (high or len(text.split())))
    if must:
        wanted = _expression("must_match", must)
        found["match"] = _of_texts(lambda text: wanted.search(text) is not None)
    if must_not:
        unwanted = _expression("must_not_match", must_not)
        found["pattern"] = _of_texts(lambda text: unwanted.search(text) is None)
    if refusals != "pass":
        found["refusal"] = _of_texts(lambda text: refuses(parted(text)[1] or "") == (refusals == "wanted"))
    return found


def refuses(text: str) -> bool:
    """Return whether a text begins as refusals do, in English or German."""
    return REFUSAL.match(text) is not None


def _of_texts(rule: Callable[[str], bool]) -> Judge:
    def judge(rollout: Rollout) -> Tensor:
        return torch.tensor([rule(text) for text in rollout.texts], dtype=torch.bool, device=rollout.group.device)

    return judge


def _within(name: str, limit: float) -> Judge:
    """Return the judge by a scorer: it lets pass what it could read and scores at most `limit`."""

    def judge(rollout: Rollout) -> Tensor:
        if rollout.scores is None or name not in rollout.scores.names:
            raise RunError(
                Note(
                    "A judge here reads the scores called {name}, and there are none. Train the recipe "
                    "cost-model, and give it as the scorer {name}.",
                    name=name,
                )
            )
        kept = rollout.scores.named(name) <= limit
        return kept if rollout.unreadable is None else kept & ~rollout.unreadable

    return judge


def _satisfying(principles: Sequence[str], chance: float) -> Judge:
    """Return the judge by a principle model, which scores in log-odds; what it could not read does not pass."""

    def judge(rollout: Rollout) -> Tensor:
        names = columns_of(PRINCIPLE, principles)
        if rollout.scores is None or any(name not in rollout.scores.names for name in names):
            raise RunError(
                Note(
                    "A judge here reads the scores called {name}, and there are none. Train the recipe "
                    "principle-reward, and give its model as the scorer {name}.",
                    name=PRINCIPLE,
                )
            )
        told = torch.stack([rollout.scores.named(name) for name in names])
        kept = (told.sigmoid() >= chance).all(0)
        return kept if rollout.unreadable is None else kept & ~rollout.unreadable

    return judge


def _expression(knob: str, text: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except re.error as error:
        raise RunError(
            Note("{knob} is no regular expression: {error}. Write it as in Python.", knob=knob, error=error)
        ) from None


def _share(which: Tensor) -> float:
    return float(which.float().mean())
