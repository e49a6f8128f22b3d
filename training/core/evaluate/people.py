"""The run kind `people-report`: the groups that a reward model for people sees, and a quiz for those it has not met."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from statistics import fmean
from typing import Any

import torch

from training.core.job import Job, RunError, Stopped
from training.core.losses.latent import divergence
from training.core.people import PersonalScorer, groups
from training.core.records import Message, Pair, Person, Tally, prompt_hash, read
from training.core.stats import bootstrap_mean
from training.recipes.note import Note
from training.recipes.spec import RunResult, write_json

CANDIDATES = 24  # questions from which the quiz is chosen; each of its places looks at all of them
LEAST_NATS = 0.01  # below which what people chose tells the model nothing: its posterior has collapsed
LEAST = 4  # people below whom groups say nothing

Question = tuple[list[Message], str, str]


def people_report(job: Job) -> RunResult:
    """Return how right the model is about people it knows by their choices, and leave ``people.json``.

    arXiv:2408.10075. The file has everybody's group (k-means on the posterior means, as many groups as part them best)
    and the quiz: a tree of questions, at each place the one of which the answer tells most (BALD), given the answers so
    far, with the group that somebody of these answers is nearest to. Whoever answers it needs no model.
    """
    spec, tally = job.spec, Tally()
    if spec.data is None:
        raise RunError(Note("A report on people needs data: rows of the view people."))
    records = [record for _, record in read(spec.data, "people", tally, audit=True) if isinstance(record, Person)]
    if not records:
        raise RunError(
            Note("None of the {n} rows can be used. {why}", n=tally.counts["read"], why=Note.together(tally.notes()))
        )
    scorer = PersonalScorer(
        spec.model,
        device=job.device,
        rows_at_once=job.knobs["rows_at_once"],
        trust_remote_code=spec.trust_remote_code,
    )
    known, strange, means, nats = [], [], [], []
    for step, person in enumerate(records, start=1):
        if job.stop_requested():
            raise Stopped
        known.append(_right(scorer, person, person.context))
        strange.append(_right(scorer, person, ()))
        mean, log_variance = scorer.posterior(person.context)
        means.append(mean)
        nats.append(float(divergence(mean[None], log_variance[None])))
        job.progress(step=step, total_steps=len(records) + 1)
    stacked = torch.stack(means)
    of = groups(stacked, seed=spec.seed) if len(records) >= LEAST else [0] * len(records)
    centres = [stacked[[i for i, one in enumerate(of) if one == group]].mean(0) for group in range(max(of) + 1)]
    quiz = _tree(scorer, _candidates(records), (), centres, depth=job.knobs["questions"], seed=spec.seed)
    people = [
        {"person": person.annotator, "group": group, "choices": len(person.context), "known": k, "stranger": s}
        for person, group, k, s in zip(records, of, known, strange, strict=True)
    ]
    sizes = Counter(of)
    write_json(
        job.folder / "people.json",
        {"people": people, "groups": [sizes[group] for group in range(len(centres))], "quiz": quiz},
    )
    confidence = job.knobs["confidence"]
    gains = [k - s for k, s in zip(known, strange, strict=True)]
    figures: dict[str, Any] = {
        "accuracy_known": bootstrap_mean(known, confidence=confidence),
        "accuracy_strangers": bootstrap_mean(strange, confidence=confidence),
        "known_gain": bootstrap_mean(gains, confidence=confidence),
        "groups": len(centres),
    }
    notes = tally.notes()
    if fmean(nats) < LEAST_NATS:
        notes.append(
            Note(
                "What people chose tells the model {nats} nats of them, so everybody is a stranger to it. Train it "
                "anew with a lower kl_weight.",
                nats=f"{fmean(nats):.2g}",
            )
        )
    if figures["known_gain"]["low"] <= 0:
        notes.append(
            Note("Knowing somebody's choices does not make it more right about them: use a plain reward model.")
        )
    return RunResult(
        files={"people": "people.json"},
        metrics=figures,
        counts={**tally.counts, "people": len(records)},
        notes=notes,
    )


def _right(scorer: PersonalScorer, person: Person, context: Sequence[Pair]) -> float:
    """Return the share of a person's other pairs that the model puts right, knowing `context` of them."""
    prompts = [pair.prompt for pair in person.target]
    sides = [
        scorer.meet(context, prompts, [getattr(pair, side) for pair in person.target]).score
        for side in ("chosen", "rejected")
    ]
    return fmean(0.5 if a is None or b is None or a == b else float(a > b) for a, b in zip(*sides, strict=True))


def _candidates(records: Sequence[Person]) -> list[Question]:
    """Return questions for the quiz: pairs of different prompts, whichever way they were answered."""
    found: dict[str, Question] = {}
    for person in records:
        for pair in person.target:
            both = sorted((pair.chosen, pair.rejected))  # the place says nothing of what anybody preferred
            found.setdefault(prompt_hash(pair.prompt), (pair.prompt, both[0], both[1]))
    return [found[key] for key in sorted(found)][:CANDIDATES]


def _tree(
    scorer: PersonalScorer,
    candidates: Sequence[Question],
    context: tuple[Pair, ...],
    centres: Sequence[torch.Tensor],
    *,
    depth: int,
    seed: int,
) -> dict[str, Any]:
    """Return what to ask somebody of these answers, and which group they are nearest to so far."""
    mean = scorer.posterior(context)[0]
    distances = [float((mean - centre).norm()) for centre in centres]
    node: dict[str, Any] = {"group": distances.index(min(distances))}
    if not depth or not candidates:
        return node
    place = scorer.next_question(context, candidates, seed=seed)
    prompt, one, other = candidates[place]
    left = [*candidates[:place], *candidates[place + 1 :]]
    more: dict[str, Any] = {"depth": depth - 1, "seed": seed}
    return node | {
        "question": {"prompt": prompt, "one": one, "other": other},
        "first": _tree(scorer, left, (*context, Pair(prompt=prompt, chosen=one, rejected=other)), centres, **more),
        "second": _tree(scorer, left, (*context, Pair(prompt=prompt, chosen=other, rejected=one)), centres, **more),
    }
