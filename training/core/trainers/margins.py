"""How much better a frozen reward model finds the chosen answer of each pair, asked once before training starts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from training.core import distributed
from training.core.conversation import with_images
from training.core.job import Job, RunError
from training.core.part_file import PartFile
from training.core.pictures import album_of
from training.core.records import Message, Pair, Record, Tally, answers_images
from training.core.scorers import Scorer, is_judge
from training.core.scoring import scorer_of
from training.recipes.note import Note
from training.recipes.principles import listed

FILE = "margins.jsonl"
SUREST = 5.0  # log-odds of a judge, which two orders that agree would otherwise make endless
AT_ONCE = 256  # pairs between two writes: so many are asked again after a crash


def with_margins(
    job: Job, records: Sequence[tuple[int, Record]], tally: Tally, *, source: str, principles: str
) -> list[tuple[int, Record]]:
    """Return the pairs with the margin r(chosen) - r(rejected) by the spec's reward model.

    In units of that model's score, which of one trained by Bradley and Terry's loss are log-odds; a principle model is
    asked about `principles`. Pairs with an answer or an image that it cannot read are refused. The margins are kept in
    the run's folder under `source`, so
    that a resumed run trains on the very same numbers. RunError without a reward model.
    """
    path = job.spec.scorers.get("reward")
    if path is None:
        raise RunError(
            Note(
                "The recipe {recipe} goes by a reward model's margins. Name one as the scorer reward.",
                recipe=job.recipe.name,
            )
        )
    known = PartFile(job.folder / FILE, rank=job.rank)
    own = [
        (line, record) for line, record in records[job.rank :: job.world_size] if _key(source, line) not in known.rows
    ]
    asked = [(line, record) for line, record in own if isinstance(record, Pair) and not answers_images(record)]
    if asked:
        scorer = scorer_of(
            path,
            device=job.device,
            trust_remote_code=job.spec.trust_remote_code,
            principles=listed(principles),
            album=album_of(job.spec),
        )
        for start in range(0, len(asked), AT_ONCE):
            some = asked[start : start + AT_ONCE]
            prompts = [with_images(record.prompt, record.images) for _, record in some]
            told = _margins(scorer, prompts, [pair.chosen for _, pair in some], [pair.rejected for _, pair in some])
            for (line, _), margin in zip(some, told, strict=True):
                known.append({"id": _key(source, line), "margin": margin})
    distributed.wait(job)
    known.collect([])
    known.close()
    found: list[tuple[int, Record]] = []
    for line, record in records:
        row = known.rows.get(_key(source, line))
        if row is None or not isinstance(record, Pair):
            tally.refuse("images", line)
        elif row["margin"] is None:
            tally.refuse("unscored", line)
        else:
            found.append((line, replace(record, margin=row["margin"])))
    return found


def _margins(
    scorer: Scorer, prompts: Sequence[list[Message]], chosen: Sequence[str], rejected: Sequence[str]
) -> list[float | None]:
    """Return r(chosen) - r(rejected), of a judge that reads both the log-odds of the chosen one, at most ±5."""
    if is_judge(scorer):
        told = scorer.compare(prompts, chosen, rejected)
        return [None if both is None else _log_odds(both[0]) for both in told]
    scores = zip(scorer.score(prompts, chosen), scorer.score(prompts, rejected), strict=True)
    return [None if better is None or worse is None else better - worse for better, worse in scores]


def _log_odds(chance: float) -> float:
    if not 0 < chance < 1:
        return math.copysign(SUREST, chance - 0.5)
    return max(-SUREST, min(SUREST, math.log(chance / (1 - chance))))


def _key(source: str, line: int) -> str:
    return f"{source} {line}"
