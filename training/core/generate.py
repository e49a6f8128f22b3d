"""The run kind `sample`: answers for every prompt, their scores, and the pair to ask people about."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from statistics import fmean
from typing import Any

from training.core.guard.folder import load_guard
from training.core.guard.sampling import Guarded, guard_counts, guard_notes, let_through, log_lines, write_log
from training.core.implicit import ImplicitScorer
from training.core.job import Job, RunError
from training.core.part_file import PartFile
from training.core.pictures import album_of
from training.core.prompts import Prompt, name_users, prompt_notes, read_prompts, refuse_unseen
from training.core.records import Tally
from training.core.sampler import Answer, Sampler, batches, gathered, unfinished
from training.core.scoring import load_scorers
from training.core.selection import IMPLIED, REWARD, doubted, doubts, labelled, select
from training.recipes.note import Note
from training.recipes.principles import listed
from training.recipes.spec import RunResult, write_text


def run_sample(job: Job) -> RunResult:
    """Sample, score and choose as the spec says; write ``samples.jsonl``, a row for each prompt in the file's order.

    Behind a guard there is a row only for a prompt of which two answers or more may be seen, and ``guard.jsonl`` tells
    of every prompt what the guard said. Where a model labels, ``pairs.jsonl`` has the pairs as it prefers them.
    """
    spec = job.spec
    if spec.data is None:
        raise RunError(Note("A sample run needs a file of prompts as its data."))
    sampler = Sampler(job, spec.model, user=job.knobs["user"], personal=name_users(spec.data))
    tally = Tally()
    room, album = sampler.prompt_room, album_of(spec)
    prompts = read_prompts(spec.data, sampler.tokenizer, tally, max_length=room, pictures=sampler.pictures)
    refuse_unseen(tally, sampler.pictures)
    labeller = job.knobs["labeller"]
    by = IMPLIED if labeller == "implicit" else REWARD
    if labeller != "human" and by not in spec.scorers:
        raise RunError(Note("Answers are to be labelled by a model, and the run has no scorer called {name}.", name=by))
    scorers = load_scorers(
        {name: path for name, path in spec.scorers.items() if name != IMPLIED},
        device=job.device,
        trust_remote_code=spec.trust_remote_code,
        principles=listed(job.knobs["principles"]),
        album=album,
    )
    if IMPLIED in spec.scorers:
        if spec.reference is None:
            raise RunError(Note("The reward that a policy implies needs the reference that it was trained from."))
        scorers[IMPLIED] = ImplicitScorer(
            spec.scorers[IMPLIED],
            reference=spec.reference,
            beta=job.knobs["beta"],
            device=job.device,
            trust_remote_code=spec.trust_remote_code,
        )
    guarded = None
    if spec.guard is not None:
        guard = load_guard(spec.guard, device=job.device, trust_remote_code=spec.trust_remote_code, album=album)
        guarded = Guarded(guard, sampler, seed=spec.seed)
    part = PartFile(job.folder / "samples.jsonl", rank=job.rank)
    for portion in unfinished(job, part, batches(job, prompts, size=job.knobs["rows_at_once"] // sampler.n)):
        if guarded is not None:
            for prompt, (kept, said) in zip(portion, guarded.draws(portion), strict=True):
                if prompt.id not in part.rows:
                    answers = sampler.answers(prompt, kept, scorers) if kept else []
                    part.append(_row(prompt, answers) | {"guard": said})
            continue
        for prompt, draws in zip(portion, sampler.draw(portion, seed=spec.seed), strict=True):
            if prompt.id not in part.rows:
                part.append(_row(prompt, sampler.answers(prompt, draws, scorers)))
    everything = gathered(job, part, prompts)
    if everything is None:
        return RunResult()
    rows = select(
        everything if guarded is None else let_through(everything, least=guarded.least),
        selection=job.knobs["selection"],
        asked_share=job.knobs["asked_share"],
        audit_share=job.knobs["audit_share"],
        seed=spec.seed,
        by=by,
    )
    files = {"samples": "samples.jsonl"}
    counts = _counts(rows, tally)
    if guarded is not None:
        lines = log_lines(everything, least=guarded.least)
        files["guard"] = write_log(job.folder, lines)
        counts |= guard_counts(lines)
    if labeller != "human":
        below = job.knobs["doubtful_below"]
        rows = doubted(rows, share=job.knobs["doubtful_share"], below=below, by=by)
        pairs = labelled(rows, by=by)
        write_text(job.folder / "pairs.jsonl", "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in pairs))
        files["pairs"] = "pairs.jsonl"
        counts |= {"labelled": len(pairs), **doubts(rows, below=below)}
    part.finish(rows)
    return RunResult(
        files=files,
        metrics=_metrics(rows) if rows else {},
        counts=counts,
        notes=[
            *sampler.notes(),
            *sampler.strangers(prompts),
            *prompt_notes(tally),
            *_notes(rows, job.knobs["selection"]),
            *guard_notes(counts),
        ],
    )


def _row(prompt: Prompt, answers: Sequence[Answer]) -> dict[str, Any]:
    whose = {"user": prompt.user} if prompt.user else {}
    return {"id": prompt.id, **prompt.row, **whose, "completions": [asdict(answer) for answer in answers]}


def _metrics(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    answers = [answer for row in rows for answer in row["completions"]]
    metrics = {
        "mean_tokens": fmean(answer["tokens"] for answer in answers),
        "mean_logp": fmean(answer["logp"] for answer in answers),
        "ended_share": fmean(answer["ended"] for answer in answers),
    }
    groups = [[a["scores"][REWARD] for a in row["completions"] if REWARD in a["scores"]] for row in rows]
    scored = [group for group in groups if group]
    if scored:
        metrics["mean_reward"] = fmean(score for group in scored for score in group)
        metrics["best_reward"] = fmean(map(max, scored))
    return metrics


def _counts(rows: Sequence[dict[str, Any]], tally: Tally) -> dict[str, int]:
    answers = [answer for row in rows for answer in row["completions"]]
    return {
        **tally.counts,
        "prompts": len(rows),
        "completions": len(answers),
        "cut_off": sum(not answer["ended"] for answer in answers),
        "identical": sum(row["pair"] is None for row in rows),
        "audit": sum(row["audit"] for row in rows),
        "unasked": sum(not row["asked"] for row in rows if row["pair"] is not None),
    }


def _notes(rows: Sequence[dict[str, Any]], selection: str) -> list[Note]:
    said = []
    counts = _counts(rows, Tally())
    if counts["identical"]:
        said.append(
            Note("For {n} prompts all answers were the same, so there is no pair to ask about.", n=counts["identical"])
        )
    if counts["cut_off"] > 0.05 * counts["completions"]:
        said.append(
            Note(
                "{n} of {of} answers were cut off at max_new_tokens. Raise it, or check that the model ends its turns.",
                n=counts["cut_off"],
                of=counts["completions"],
            )
        )
    fallen = sum(not row["audit"] and row["pair"] is not None and row["selection"] != selection for row in rows)
    if fallen:
        said.append(
            Note(
                "For {n} prompts the pair is random, because there were no scores that differ to choose it "
                "by {selection}.",
                n=fallen,
                selection=selection,
            )
        )
    return said
