"""The run kind `best-of-n`: what choosing the best of n answers by a reward model gives, as another model sees it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from statistics import fmean
from typing import Any

from training.core.best_of_n import best_of_n, divergence
from training.core.filter_trust import WEIGHED, Prompt, advised
from training.core.job import Job, RunError
from training.core.part_file import PartFile
from training.core.pictures import album_of
from training.core.prompts import prompt_notes, read_prompts
from training.core.records import Tally
from training.core.sampler import Sampler, batches, collected, unfinished
from training.core.scoring import load_scorers
from training.core.selection import REWARD
from training.core.stats import Interval, mean_t
from training.recipes.note import Note
from training.recipes.principles import listed
from training.recipes.spec import RunResult, write_json

GOLD = "gold"  # the scorer that says what an answer is worth; it chooses nothing


def run_best_of(job: Job) -> RunResult:
    """Draw N answers a prompt; write ``curve.json``: for n = 1, 2, 4 … N the score of the best of n by `reward`.

    arXiv:2310.02743, eq. 1, exact for the N answers at hand, without resampling (`best_of_n`). Each point has the
    proxy's own score and, where the spec names a scorer called ``gold``, that one's; both in standard deviations of
    all answers, and as the gain over a single answer, with Student's t over prompts. Where gold falls as n grows, more
    choosing makes it worse: then the reward model is over-optimised.
    """
    spec, knobs, tally = job.spec, job.knobs, Tally()
    if spec.data is None or REWARD not in spec.scorers:
        raise RunError(Note("The best of n needs prompts, a policy, and a reward model that chooses."))
    policy = Sampler(job, spec.model)
    prompts = read_prompts(spec.data, policy.tokenizer, tally, max_length=policy.prompt_room, pictures=policy.pictures)
    if not prompts:
        raise RunError(
            Note("None of the {n} prompts can be used. {why}", n=tally.counts["read"], why=Note.together(tally.notes()))
        )
    scorers = load_scorers(
        spec.scorers,
        device=job.device,
        trust_remote_code=spec.trust_remote_code,
        principles=listed(knobs["principles"]),
        album=album_of(spec),
    )
    part = PartFile(job.folder / "answers.jsonl", rank=job.rank)
    for portion in unfinished(job, part, batches(job, prompts, size=knobs["rows_at_once"] // policy.n)):
        drawn = policy.draw(portion, seed=spec.seed)
        for prompt, draws in zip(portion, drawn, strict=True):
            if prompt.id not in part.rows:
                answers = [asdict(answer) for answer in policy.answers(prompt, draws, scorers)]
                part.append({"id": prompt.id, **prompt.row, "completions": answers})
    rows = collected(job, part, prompts)
    if rows is None:
        return RunResult()
    names = [name for name in (REWARD, GOLD) if name in spec.scorers]
    scores = [scored for row in rows if (scored := _scores(row, names)) is not None]
    if not scores:
        raise RunError(Note("The reward model can read none of the answers."))
    points = curve(scores, confidence=knobs["confidence"])
    write_json(job.folder / "curve.json", {"points": points})
    kept: list[Prompt] = []
    last, notes = points[-1], [*policy.notes(), *prompt_notes(tally)]
    figures: dict[str, Any] = {f"gain_by_{name}": last[name] for name in names}
    if GOLD in names:
        best = max(points, key=lambda point: point[GOLD]["estimate"])
        figures["best_n"] = best["n"]
        if best["n"] < last["n"]:
            notes.append(
                Note(
                    "By the other model the best of {n} is worth most, and choosing among more makes it worse: "
                    "the reward model is over-optimised beyond it.",
                    n=best["n"],
                )
            )
        kept = [(one[REWARD], one[GOLD]) for one in scores]
        told, said = advised(kept, confidence=knobs["confidence"])
        figures |= told
        notes += said
    return RunResult(
        files={"curve": "curve.json", "samples": "answers.jsonl"},
        metrics=figures,
        counts={**tally.counts, "prompts": len(rows), "measured": len(scores)}
        | ({WEIGHED: sum(len(worth) for _, worth in kept)} if kept else {}),
        notes=notes,
    )


def _scores(row: Mapping[str, Any], names: Sequence[str]) -> dict[str, list[float]] | None:
    """Return the scores of a prompt's answers by name, or None where a model cannot read one of them."""
    answers = [answer["scores"] for answer in row["completions"]]
    if any(name not in answer for answer in answers for name in names):
        return None
    return {name: [answer[name] for answer in answers] for name in names}


def curve(scores: Sequence[Mapping[str, Sequence[float]]], *, confidence: float) -> list[dict[str, Any]]:
    """Return of prompts' scores by name {"n", "kl", name: interval of the gain over one answer} for each n."""
    names, total = list(scores[0]), len(scores[0][REWARD])
    unit = {name: _deviation([value for one in scores for value in one[name]]) for name in names}
    sizes = [2**power for power in range(total.bit_length()) if 2**power <= total]
    sizes += [total] if sizes[-1] != total else []
    points = []
    for n in sizes:
        gains: dict[str, Interval] = {}
        for name in names:
            # Rounded, as the best of 1 is no gain at all and not the rounding of a logarithm.
            of_prompts = [
                round((best_of_n(one[REWARD], one[name], n) - fmean(one[name])) / unit[name], 9) for one in scores
            ]
            gains[name] = mean_t(of_prompts, confidence=confidence)
        points.append({"n": n, "kl": divergence(n), **gains})
    return points


def _deviation(values: Sequence[float]) -> float:
    """Return the standard deviation; 1 where all are alike, which nothing can be gained on."""
    mean = fmean(values)
    return fmean((value - mean) ** 2 for value in values) ** 0.5 or 1.0
