"""What two reward models keep of their accuracy where the data is of another kind: one that was trained to be a reward
model, and the one that a policy implies."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from training.core.implicit import ImplicitScorer
from training.core.job import Job, RunError, Stopped
from training.core.records import Tally, prompt_hash, read
from training.core.scorers import Scorer
from training.core.scoring import scorer_of
from training.core.selection import REWARD
from training.core.stats import Interval, accuracy_by_prompt, difference
from training.recipes.note import Note
from training.recipes.reward import POINTS
from training.recipes.spec import RunResult

PAIRS_AT_ONCE = 64


def shift_report(job: Job) -> RunResult:
    """Return the accuracy of both on each domain, and what each loses from the familiar domain to the others.

    arXiv:2409.03650. The policy is the spec's model, its start the reference, and the scorer called ``reward`` the
    explicit model. A domain names a shift: other prompts, another model's answers, a later time, other people. Equal
    scores count half. What is lost has Newcombe's interval (1998, his method 10).
    """
    spec, knobs, tally = job.spec, job.knobs, Tally()
    if spec.data is None or spec.reference is None or REWARD not in spec.scorers:
        raise RunError(
            Note(
                "This report needs pairs with a domain each, a policy, the reference it was trained from, "
                "and a scorer called {name}.",
                name=REWARD,
            )
        )
    records = [record for _, record in read(spec.data, "pairs", tally, audit=True)]
    if not records:
        raise RunError(
            Note(
                "None of the {n} rows can be measured on. {why}",
                n=tally.counts["read"],
                why=Note.together(tally.notes()),
            )
        )
    more: dict[str, Any] = {"device": job.device, "trust_remote_code": spec.trust_remote_code}
    more["rows_at_once"] = knobs["rows_at_once"]
    scorers: dict[str, Scorer] = {
        "explicit": scorer_of(spec.scorers[REWARD], **more),
        "implicit": ImplicitScorer(spec.model, reference=spec.reference, beta=knobs["beta"], **more),
    }
    hashes: dict[str, list[str]] = defaultdict(list)
    right: dict[tuple[str, str], list[float]] = defaultdict(list)
    unread = 0
    for start in range(0, len(records), PAIRS_AT_ONCE):
        if job.stop_requested():
            raise Stopped
        some = records[start : start + PAIRS_AT_ONCE]
        prompts = [record.prompt for record in some]
        found = {
            name: (
                scorer.score(prompts, [record.chosen for record in some]),  # type: ignore[union-attr]
                scorer.score(prompts, [record.rejected for record in some]),  # type: ignore[union-attr]
            )
            for name, scorer in scorers.items()
        }
        for index, record in enumerate(some):
            pairs = {name: (chosen[index], rejected[index]) for name, (chosen, rejected) in found.items()}
            if any(score is None for pair in pairs.values() for score in pair):
                unread += 1  # both have to be measured on the same pairs
                continue
            hashes[record.domain].append(prompt_hash(record.prompt))
            for name, (chosen_score, rejected_score) in pairs.items():
                ahead = float(chosen_score > rejected_score) + 0.5 * (chosen_score == rejected_score)  # type: ignore[operator]
                right[name, record.domain].append(ahead)
        job.progress(step=start + len(some), total_steps=len(records), pairs=start + len(some))
    return _told(knobs, dict(hashes), dict(right), tally, unread)


def _told(
    knobs: dict[str, Any],
    hashes: dict[str, list[str]],
    right: dict[tuple[str, str], list[float]],
    tally: Tally,
    unread: int,
) -> RunResult:
    familiar, confidence = knobs["familiar"], knobs["confidence"]
    others = sorted(set(hashes) - {familiar})
    if familiar not in hashes or not others:
        told = ", ".join(sorted(name or "none" for name in hashes))
        raise RunError(
            Note(
                "No pairs are of the domain {familiar}, or all are. The domains are: {told}. Set familiar.",
                familiar=familiar,
                told=told,
            )
        )
    figures: dict[str, Any] = {}
    lost: dict[str, Interval] = {}
    for name in ("explicit", "implicit"):
        every = {d: accuracy_by_prompt(hashes[d], right[name, d], confidence=confidence) for d in hashes}
        figures |= {f"{name}_accuracy_{domain or 'none'}": value for domain, value in sorted(every.items())}
        away = accuracy_by_prompt(
            [one for d in others for one in hashes[d]],
            [one for d in others for one in right[name, d]],
            confidence=confidence,
        )
        lost[name] = difference(every[familiar], away)
        figures[f"{name}_lost"] = lost[name]
    figures["implicit_loses_more"] = lost["implicit"]["estimate"] - lost["explicit"]["estimate"]
    notes = tally.notes()
    if figures["implicit_loses_more"] > POINTS:
        notes.append(
            Note(
                "The reward that the policy implies loses more than 3 points more than the reward model "
                "where the data is of another kind. Let the reward model label new answers."
            )
        )
    return RunResult(
        metrics=figures,
        counts=dict(tally.counts) | {"measured": sum(map(len, hashes.values())), "unread": unread},
        notes=notes,
    )
