"""Error by position: how soon a policy's own answers can be told from people's, and what it thinks of people's words.

Imitation learns what to say behind people's words and then answers behind its own, so that an error leads where nobody
has shown the way and errors compound with the length (S. Ross et al., arXiv:1011.0686; for language models
arXiv:2310.06147, section 3). The loss on demonstrations never shows that: it is read behind people's words alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import torch

from training.core.backbone import pad_id_of
from training.core.collate import encode_completion, encode_prompt, pad
from training.core.job import Job, RunError, Stopped
from training.core.policy import token_logps
from training.core.prompts import Prompt
from training.core.records import Demonstration, Refused, Tally, prompt_hash, read
from training.core.sampler import Sampler
from training.core.scorers import Scorer
from training.core.scoring import load_scorers
from training.core.selection import REWARD
from training.core.stats import mean_t
from training.recipes.note import Note
from training.recipes.spec import RunResult, write_json

IMITATION = "imitation"  # the name in `RunSpec.beside`
FILE = "positions.json"
LEAST = 2  # demonstrations, below which nothing has an interval


@dataclass(frozen=True)
class Asked:
    """A prompt with what a person answered."""

    prompt: Prompt
    record: Demonstration
    ids: list[int]  # of the answer, its end included


@dataclass
class Found:
    """What is known of one policy: by the last position of a stretch, a figure for each prompt that has any."""

    told: dict[int, list[float | None]]
    surprise: dict[int, list[float | None]]


def bounds(longest: int) -> list[int]:
    """Return the positions 1, 2, 4, 8, … at which answers are looked at, up to `longest` itself."""
    found = [1]
    while found[-1] < longest:
        found.append(min(2 * found[-1], longest))
    return found


def error_by_position(job: Job) -> RunResult:
    """Write, for the first 1, 2, 4, … tokens, how often a reward model prefers a person's answer to the policy's.

    Of both the same number of tokens is read, so ½ says that the policy is not to be told from people so far, and 1
    that it always is. ``surprise`` is what the policy thinks of the person's tokens of that stretch behind the person's
    own words before, in nats a token. Intervals are Student's t over prompts. A second policy, such as the imitation
    that the first one began from, is measured beside it under ``…_imitation``, on the same demonstrations.
    """
    spec, knobs, tally = job.spec, job.knobs, Tally()
    if spec.data is None or REWARD not in spec.scorers:
        raise RunError(Note("This report needs demonstrations, a policy, and a reward model that tells them apart."))
    found_rows = read(spec.data, "demonstrations", tally, audit=True)
    records = [record for _, record in found_rows if isinstance(record, Demonstration)]
    (scorer,) = load_scorers(
        {REWARD: spec.scorers[REWARD]}, device=job.device, trust_remote_code=spec.trust_remote_code
    ).values()
    paths = {"": spec.model, **({f"_{IMITATION}": spec.beside[IMITATION]} if IMITATION in spec.beside else {})}
    points: dict[int, dict[str, Any]] = {}
    growth: dict[str, Any] = {}
    notes, measured = [], 0
    for done, (suffix, path) in enumerate(paths.items()):
        policy = Sampler(job, path)
        asked = _asked(records, policy, tally if not suffix else Tally(), most=knobs["most_prompts"])
        if len(asked) < LEAST:
            why = Note.together(tally.notes())
            raise RunError(
                Note(
                    "{n} demonstrations can be measured on; at least {least} are needed. {why}",
                    n=len(asked),
                    least=LEAST,
                    why=why,
                )
            )
        found = _measured(job, policy, asked, scorer, begun=(done, len(paths)))
        # Whom a scorer prefers is a rate; a surprise in nats has no most.
        for name, by_bound, within in (
            (f"told{suffix}", found.told, (0.0, 1.0)),
            (f"surprise{suffix}", found.surprise, (0.0, math.inf)),
        ):
            for bound, values in by_bound.items():
                if known := [value for value in values if value is not None]:
                    point = points.setdefault(bound, {"position": bound})
                    point[name] = mean_t(known, confidence=knobs["confidence"], within=within)
        growth |= _growth(found.told, suffix, confidence=knobs["confidence"])
        notes += [note for note in policy.notes() if note not in notes]
        measured = max(measured, len(asked))
    write_json(job.folder / FILE, {"points": [points[bound] for bound in sorted(points)]})
    return RunResult(
        files={"positions": FILE},
        metrics=growth,
        counts={**tally.counts, "demonstrations": len(records), "measured": measured},
        notes=[*tally.notes(), *notes],
    )


def _asked(records: Sequence[Demonstration], policy: Sampler, tally: Tally, *, most: int) -> list[Asked]:
    """Return up to `most` prompts with a person's answer each; a second answer to a prompt is left out."""
    found: dict[str, Asked] = {}
    for line, record in enumerate(records, start=1):
        name = prompt_hash(record.prompt)
        try:
            ids = encode_completion(policy.tokenizer, record.completion)
            prompt = Prompt(name, record.prompt, encode_prompt(policy.tokenizer, record.prompt))
        except Refused as refusal:
            tally.refuse(str(refusal), line)
            continue
        if policy.prompt_room is not None and len(prompt.ids) > policy.prompt_room:
            tally.refuse("too_long", line)
            continue
        found.setdefault(name, Asked(prompt, record, ids[: policy.max_new_tokens]))
        if len(found) == most:
            break
    return list(found.values())


def _measured(job: Job, policy: Sampler, asked: Sequence[Asked], scorer: Scorer, *, begun: tuple[int, int]) -> Found:
    """Return the figures of one policy on what was asked, in the order of the prompts."""
    at = bounds(policy.max_new_tokens)
    found = Found({bound: [] for bound in at}, {bound: [] for bound in at})
    size = max(1, job.knobs["rows_at_once"] // policy.n)
    done, of = begun
    for start in range(0, len(asked), size):
        if job.stop_requested():
            raise Stopped
        some = asked[start : start + size]
        drawn = policy.draw([one.prompt for one in some], seed=job.spec.seed)
        own = [[draw.ids for draw in draws] for draws in drawn]
        _surprise(policy, some, at, found)
        before = 0
        for bound in at:
            found.told[bound] += _told_apart(policy, some, own, scorer, before, bound)
            before = bound
        job.progress(step=done * len(asked) + start + len(some), total_steps=of * len(asked))
    return found


def _told_apart(
    policy: Sampler, asked: Sequence[Asked], own: Sequence[Sequence[list[int]]], scorer: Scorer, before: int, bound: int
) -> list[float | None]:
    """Return, for each prompt, how often the person's first `bound` tokens are preferred to the policy's; ties are ½.

    None where no answer comes to more than `before` tokens, or none can be read.
    """
    prompts, texts, where = [], [], []
    for place, (one, draws) in enumerate(zip(asked, own, strict=True)):
        theirs = _text(policy, one.ids[:bound])
        for ids in draws:
            if max(len(one.ids), len(ids)) > before:
                prompts += [one.record.prompt, one.record.prompt]
                texts += [theirs, _text(policy, ids[:bound])]
                where.append(place)
    if not where:
        return [None] * len(asked)
    scores = scorer.columns(prompts, texts).score
    told: list[list[float]] = [[] for _ in asked]
    for row, place in enumerate(where):
        person, mine = scores[2 * row], scores[2 * row + 1]
        if texts[2 * row] == texts[2 * row + 1]:
            told[place].append(0.5)  # whatever rounding makes of two rows of a batch
        elif person is not None and mine is not None:
            told[place].append(0.5 + ((person > mine) - (person < mine)) / 2)
    return [fmean(values) if values else None for values in told]


def _text(policy: Sampler, ids: Sequence[int]) -> str:
    return str(policy.tokenizer.decode(list(ids), skip_special_tokens=True)).strip()


@torch.inference_mode()
def _surprise(policy: Sampler, asked: Sequence[Asked], at: Sequence[int], found: Found) -> None:
    """Add what the policy thinks of people's tokens, in nats a token, behind people's own words."""
    tokens = pad([(one.prompt.ids, one.ids) for one in asked], pad_id_of(policy.tokenizer))
    logps = token_logps(policy.model, tokens.to(next(policy.model.parameters()).device)).cpu()
    for row in range(len(asked)):
        nats = (-logps[row][tokens.completion_mask[row]]).tolist()
        before = 0
        for bound in at:
            stretch = nats[before:bound]
            found.surprise[bound].append(fmean(stretch) if stretch else None)
            before = bound


def _growth(told: dict[int, list[float | None]], suffix: str, *, confidence: float) -> dict[str, Any]:
    """Return how often answers are told apart at their first token and at the last bound, and by how much it grows.

    Of prompts that have both: others would be shorter answers, which may be the easier ones.
    """
    first, *later = [bound for bound in sorted(told) if sum(value is not None for value in told[bound]) >= LEAST] or [0]
    if not later:
        return {}
    both = [
        (begin, end)
        for begin, end in zip(told[first], told[later[-1]], strict=True)
        if begin is not None and end is not None
    ]
    if not both:
        return {}
    first_ones, last_ones = zip(*both, strict=True)
    return {
        f"told_first{suffix}": mean_t(first_ones, confidence=confidence, within=(0.0, 1.0)),
        f"told_last{suffix}": mean_t(last_ones, confidence=confidence, within=(0.0, 1.0)),
        f"told_growth{suffix}": mean_t([e - b for b, e in both], confidence=confidence, within=(-1.0, 1.0)),
    }
