"""How often a reward model agrees with people, and how far length alone would get."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import torch

from training.core.backbone import (
    NOTE_FILE,
    PLAIN_NOTE,
    adapter_base,
    has_plain_template,
    is_adapter,
    load_reward,
    load_tokenizer,
    longest_input,
    pad_id_of,
    reads_images,
)
from training.core.collate import Example, collate_pairs, encode
from training.core.evaluate.calibration import brier, calibration_error, reliability
from training.core.evaluate.splits import known_of, lines, splits
from training.core.filter_trust import WEIGHED, Prompt, advised, by_people
from training.core.heads import CritiqueHead, VerdictHead, YesNoHead
from training.core.job import Job, RunError, Stopped
from training.core.pictures import Pictures
from training.core.reasoning import ReasoningJudge
from training.core.records import Pair, Tally, read
from training.core.rewriting import RewriteScorer
from training.core.scorers import RewardScorer, is_judge
from training.core.scoring import REWRITES, scorer_of
from training.core.stats import Interval, accuracy_by_prompt, all_right_by_prompt, mean_t
from training.recipes.judges import REASONING
from training.recipes.note import Note
from training.recipes.spec import RunResult


@torch.inference_mode()
def reward_accuracy(job: Job) -> RunResult:
    """Return the share of pairs whose chosen completion scores higher, counted by prompt; equal scores count half.

    Beside it stand the share of prompts all of whose pairs are right (ACC+), which is stricter; the share of pairs
    whose chosen completion is the longer one: what a model that learned nothing but length would get; and, by
    `calibration`, whether the model is as right as it is sure. Where people compared three answers or more of a prompt,
    R² of reward and of the share that an answer won tells which filter of a policy's answers to learn from
    (`filter_trust`). Rows that name their domain are measured by domain too, and every model on what is new to it
    (`evaluate.splits`). The audit slice is used as well: nothing is trained here. A judge of two answers reads both, in
    both orders, and is told how much the order says; a model that writes first, a critique or a rewrite, is measured by
    what it writes.
    """
    spec, tally = job.spec, Tally()
    rows_at_once, confidence = job.knobs["rows_at_once"], job.knobs["confidence"]
    if spec.data is None:
        raise RunError(Note("Measuring a reward model needs data: rows of the view pairs."))
    whole = _whole(job)
    model = None if whole else load_reward(spec.model, trust_remote_code=spec.trust_remote_code).to(job.device)
    longest = whole.longest if whole is not None else longest_input(model)  # type: ignore[arg-type]
    tokenizer = load_tokenizer(spec.tokenizer or spec.model, trust_remote_code=spec.trust_remote_code)
    pictures = _pictures(job) if model is not None else None
    records = read(spec.data, "pairs", tally, audit=True, images=pictures is not None)
    examples = encode(records, tokenizer, tally, max_length=min(job.knobs["max_length"], longest), pictures=pictures)
    if not examples:
        raise RunError(
            Note(
                "None of the {n} rows can be measured on. {why}",
                n=tally.counts["read"],
                why=Note.together(tally.notes()),
            )
        )
    examples.sort(key=lambda example: example.length)
    pairs = {line: record for line, record in records if isinstance(record, Pair)}
    orders: list[float] = []
    chosen: list[float] = []
    rejected: list[float] = []
    total = -(-len(examples) // rows_at_once)
    for step, start in enumerate(range(0, len(examples), rows_at_once), start=1):
        if job.stop_requested():
            raise Stopped
        some = examples[start : start + rows_at_once]
        if model is not None:
            tokens = collate_pairs(some, pad_id_of(tokenizer)).to(job.device).tokens
            scores = model.pair_scores(tokens).cpu().tolist()
            chosen += scores[: len(some)]
            rejected += scores[len(some) :]
        elif whole is not None:
            for gap, order in _judged(whole, [pairs[example.line] for example in some]):
                chosen.append(gap)
                rejected.append(0.0)
                orders += [] if order is None else [order]
        job.progress(step=step, total_steps=total, pairs=len(chosen))
    right = [_ahead(c, r) for c, r in zip(chosen, rejected, strict=True)]
    longer = [_ahead(len(e.completions[0]), len(e.completions[1])) for e in examples]
    gaps = [c - r for c, r in zip(chosen, rejected, strict=True)]
    figures: dict[str, Any] = {
        "accuracy": _figure(examples, right, confidence=confidence),
        "all_pairs_right": all_right_by_prompt([e.prompt_hash for e in examples], right, confidence=confidence),
        "longer_is_chosen": _figure(examples, longer, confidence=confidence),
        "margin": fmean(gaps),
        "calibration_error": calibration_error(gaps),
        "brier": brier(gaps),
        "reliability": reliability(gaps),
    }
    if orders:
        figures["order_effect"] = mean_t(orders, confidence=confidence, within=(0.0, 1.0))
    for domain in sorted({example.domain for example in examples} - {""}):
        figures[f"accuracy_{domain}"] = _figure(examples, right, domain=domain, confidence=confidence)
        figures[f"longer_is_chosen_{domain}"] = _figure(examples, longer, domain=domain, confidence=confidence)
    weighed: list[Prompt] = []
    notes: list[Note] = []
    if model is not None:
        sides = [(pairs[e.line].chosen, pairs[e.line].rejected) for e in examples]
        weighed = by_people(
            (e.prompt_hash, (better, c), (worse, r))
            for e, (better, worse), c, r in zip(examples, sides, chosen, rejected, strict=True)
        )
    if weighed:
        told, notes = advised(weighed, confidence=confidence)
        figures |= told
    every = lines(spec.data)
    figures |= splits(
        [every[e.line] for e in examples],
        [e.prompt_hash for e in examples],
        right,
        known_of(spec.known),
        confidence=confidence,
    )
    kept = {"kept": len(examples), "prompts": len({example.prompt_hash for example in examples})}
    return RunResult(
        metrics=figures,
        counts=dict(tally.counts) | kept | ({WEIGHED: sum(len(worth) for _, worth in weighed)} if weighed else {}),
        notes=([PLAIN_NOTE] if has_plain_template(tokenizer) else []) + tally.notes() + notes,
    )


def _pictures(job: Job) -> Pictures | None:
    """Return the processor of a model that reads images, of whichever base it is; None of one that reads text alone."""
    spec = job.spec
    base = adapter_base(spec.model) if is_adapter(spec.model) else spec.model
    if not reads_images(base, trust_remote_code=spec.trust_remote_code):
        return None
    files, beside = spec.images, Path(spec.data or "").parent
    return Pictures(spec.model, files=files, beside=beside, answers=True, trust_remote_code=spec.trust_remote_code)


def _whole(job: Job) -> RewardScorer | RewriteScorer | ReasoningJudge | None:
    """Return the scorer of a model that does not score an answer as it stands; None of one that does."""
    spec = job.spec
    path = Path(spec.model) / NOTE_FILE
    note = json.loads(path.read_text()) if path.exists() else {}
    if note.get("head") == YesNoHead.kind:
        raise RunError(
            Note("This model judges by principles. Measure it by reward-benchmark, with a principle in each row.")
        )
    is_whole = note.get("head") in (VerdictHead.kind, CritiqueHead.kind)
    if not is_whole and note.get("recipe") not in (REWRITES, *REASONING):
        return None
    more: dict[str, Any] = {"device": job.device, "trust_remote_code": spec.trust_remote_code}
    found = scorer_of(spec.model, rows_at_once=job.knobs["rows_at_once"], **more)
    assert isinstance(found, RewardScorer | RewriteScorer | ReasoningJudge)
    return found


def _judged(
    scorer: RewardScorer | RewriteScorer | ReasoningJudge, pairs: Sequence[Pair]
) -> list[tuple[float, float | None]]:
    """Return for each pair by how much the chosen one is ahead, in log-odds of a judge or in the score's units.

    Beside it stands how much the order said, for a judge; 0 and None where an answer cannot be read.
    """
    prompts = [pair.prompt for pair in pairs]
    sides = [pair.chosen for pair in pairs], [pair.rejected for pair in pairs]
    if is_judge(scorer):
        told = scorer.compare(prompts, *sides)
        bounded = [None if one is None else (min(max(one[0], 1e-6), 1 - 1e-6), one[1]) for one in told]
        return [(0.0, None) if one is None else (math.log(one[0] / (1 - one[0])), one[1]) for one in bounded]
    scores = [scorer.score(prompts, side) for side in sides]
    return [(0.0 if a is None or b is None else a - b, None) for a, b in zip(*scores, strict=True)]


def _figure(
    examples: Sequence[Example], values: Sequence[float], *, domain: str | None = None, confidence: float
) -> Interval:
    """Return the rate of `values` by prompt, over all examples or those of a domain."""
    chosen = [(e.prompt_hash, v) for e, v in zip(examples, values, strict=True) if domain in (None, e.domain)]
    return accuracy_by_prompt([p for p, _ in chosen], [v for _, v in chosen], confidence=confidence)


def _ahead(one: float, other: float) -> float:
    return 1.0 if one > other else 0.5 if one == other else 0.0
