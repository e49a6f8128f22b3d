"""What each of several reward models says about answers that a person looks at, and why, as far as it can tell."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import fmean
from typing import Any

from training.core.backbone import NOTE_FILE
from training.core.conversation import apart, with_images
from training.core.critiques import CritiqueScorer
from training.core.heads import GatedHead, LatentHead, VerdictHead
from training.core.job import Job, RunError, Stopped
from training.core.people import PersonalScorer
from training.core.pictures import album_of
from training.core.records import IMAGE, Message, Pair, Refused, completion_of, messages_of, pictures_of
from training.core.rewriting import RewriteScorer
from training.core.scorers import Judge, RewardScorer, Scorer, is_judge
from training.core.scoring import scorer_of
from training.errors import TrainingError
from training.recipes.note import Note, in_json, note_of
from training.recipes.principles import listed
from training.recipes.spec import RunResult, write_json

FILE = "explored.json"


def explore(job: Job) -> RunResult:
    """Return, in ``explored.json``, what every scorer of the spec says of the answers in its data.

    The data is one JSON object: {"prompt": messages, "images": [name, …], "completions": [text or one turn, …],
    "completions_images": [[name, …], …], "choices": pairs of one person}; what is about images or choices may be left
    out. The file is written anew after each model, so that a page can show what there is so far. A model that cannot
    answer, such as one that judges by principles where none is named, or one that reads text alone where there is an
    image, says why in its ``error`` and stops no other.
    """
    spec = job.spec
    if spec.data is None or not spec.scorers:
        raise RunError(Note("Looking at scores needs a prompt with its answers, and at least one reward model."))
    try:
        given = json.loads(Path(spec.data).read_text(encoding="utf-8"))
        spoken = messages_of(given["prompt"], images=True)
        images = pictures_of(given, spoken)
        texts = [completion_of(text, images=True) for text in given["completions"]]
        shown = given.get("completions_images") or [[] for _ in texts]
        prompts = [with_images(spoken, (*images, *own)) for own in shown]
        if [text.count(IMAGE) if own else 0 for text, own in zip(texts, shown, strict=True)] != list(map(len, shown)):
            raise Refused("malformed")
        choices = [_choice(pair) for pair in given.get("choices") or ()]
    except (Refused, KeyError, TypeError, ValueError) as error:
        raise RunError(
            Note("The prompt or one of its answers cannot be read ({error}). Type it again.", error=error)
        ) from None
    principles = listed(job.knobs["principles"])
    found: list[dict[str, Any]] = []
    for step, (name, path) in enumerate(spec.scorers.items(), start=1):
        if job.stop_requested():
            raise Stopped
        told: dict[str, Any] = {"model": name}
        try:
            scorer = _scorer(path, job, principles)
            told |= _said(scorer, prompts, texts, choices)
        except (TrainingError, OSError) as error:
            told |= in_json("error", note_of(error))
        found.append(told)
        write_json(job.folder / FILE, {"models": found})
        job.progress(step=step, total_steps=len(spec.scorers))
    failed = sum("error" in one for one in found)
    return RunResult(
        files={"explored": FILE},
        metrics={"models_agree": agreement([one["scores"] for one in found if "error" not in one])},
        counts={"models": len(found), "answers": len(texts), "failed": failed},
    )


def agreement(scores: Sequence[Sequence[float | None]]) -> float:
    """Return the share of pairs of answers that all models put in one order; 1 where there is nothing to disagree on.

    `scores` has a row a model. Pairs of which a model cannot read an answer are left out; a tie agrees with a tie only.
    """
    alike = []
    for i, j in itertools.combinations(range(len(scores[0]) if scores else 0), 2):
        gaps = [(row[i], row[j]) for row in scores]
        if all(one is not None and other is not None for one, other in gaps):
            alike.append(len({(one > other) - (one < other) for one, other in gaps}) == 1)  # type: ignore[operator]
    return fmean(alike) if alike else 1.0


def _choice(row: dict[str, Any]) -> Pair:
    return Pair(
        prompt=messages_of(row["prompt"]), chosen=completion_of(row["chosen"]), rejected=completion_of(row["rejected"])
    )


def _scorer(path: str, job: Job, principles: list[str]) -> Scorer:
    more: dict[str, Any] = {"device": job.device, "trust_remote_code": job.spec.trust_remote_code}
    more |= {"rows_at_once": job.knobs["rows_at_once"], "album": album_of(job.spec)}
    note = Path(path) / NOTE_FILE
    if note.exists() and json.loads(note.read_text()).get("head") == LatentHead.kind:
        return PersonalScorer(path, **more)
    return scorer_of(path, principles=principles, **more)


def _said(scorer: Scorer, prompts: list[list[Message]], texts: list[str], choices: list[Pair]) -> dict[str, Any]:
    """Return what one model says: the scores, and besides what only models of its kind can tell."""
    columns = scorer.columns(prompts, texts)
    if any(apart(prompt)[1] for prompt in prompts) and all(score is None for score in columns.score):
        raise RunError(_unseen(scorer))
    said: dict[str, Any] = {
        "names": columns.names,
        "values": columns.values,
        "spread": columns.spread,
        "members": columns.members,
        "scores": columns.score,
        "head": _head_of(scorer),
    }
    if isinstance(scorer, CritiqueScorer):
        said["critiques"] = [None if one is None else one[0] for one in scorer.criticise(prompts, texts)]
    elif isinstance(scorer, RewriteScorer):
        said["credit"] = [None if one is None else asdict(one) for one in columns.credit]
        said["rewrites"] = scorer.rewrite(prompts, texts)
    elif isinstance(scorer, PersonalScorer) and choices:
        said["personal"] = scorer.meet(choices, prompts, texts).score
    elif isinstance(scorer, RewardScorer) and isinstance(scorer.model.head, GatedHead):
        asked = zip(columns.score, prompts, texts, strict=True)
        said["why"] = [None if score is None else scorer.why(prompt, text) for score, prompt, text in asked]
    elif is_judge(scorer):
        said["duels"] = _duels(scorer, prompts, texts)
    return said


def _head_of(scorer: Scorer) -> str:
    if isinstance(scorer, RewardScorer):
        return str(scorer.model.head.kind)
    return VerdictHead.kind if is_judge(scorer) else "rewrite"


def _unseen(scorer: Scorer) -> Note:
    """Return why a model can say nothing of a prompt or of answers with images."""
    if not isinstance(scorer, RewardScorer) or scorer.pictures is None:
        return Note("This model reads text alone, and there is an image.")
    return Note(
        "This model reads images, and cannot read this one: its file is not at hand, or it does not fit into what the "
        "model can read with the text beside it."
    )


def _duels(scorer: Judge, prompts: list[list[Message]], texts: list[str]) -> list[dict[str, Any]]:
    """Return for each two answers how likely the first is better, and how much their order said of it."""
    both = [(i, j) for i in range(len(texts)) for j in range(i + 1, len(texts))]
    found = scorer.compare([prompts[i] for i, _ in both], [texts[i] for i, _ in both], [texts[j] for _, j in both])
    return [
        {"first": i, "second": j, "first_is_better": told[0], "order": told[1]}
        for (i, j), told in zip(both, found, strict=True)
        if told is not None
    ]
