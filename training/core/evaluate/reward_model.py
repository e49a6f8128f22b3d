"""How often a reward model agrees with people, and how far length alone would get."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import Any

import torch

from training.core.backbone import PLAIN_NOTE, has_plain_template, load_reward, load_tokenizer, longest_input, pad_id_of
from training.core.collate import Example, collate_pairs, encode
from training.core.evaluate.calibration import brier, calibration_error, reliability
from training.core.evaluate.splits import known_of, lines, splits
from training.core.job import Job, RunError, Stopped
from training.core.records import Tally, read
from training.core.stats import Interval, accuracy_by_prompt
from training.recipes.spec import RunResult


@torch.inference_mode()
def reward_accuracy(job: Job) -> RunResult:
    """Return the share of pairs whose chosen completion scores higher, counted by prompt; equal scores count half.

    Beside it stands the share of pairs whose chosen completion is the longer one: what a model that learned nothing
    but length would get; and, by `calibration`, whether the model is as right as it is sure. Rows that name their
    domain are measured by domain too, and every model on what is new to it (`evaluate.splits`). The audit slice is
    used as well: nothing is trained here.
    """
    spec, tally = job.spec, Tally()
    rows_at_once, confidence = job.knobs["rows_at_once"], job.knobs["confidence"]
    if spec.data is None:
        raise RunError("Measuring a reward model needs data: rows of the view pairs.")
    model = load_reward(spec.model, trust_remote_code=spec.trust_remote_code).to(job.device)
    tokenizer = load_tokenizer(spec.tokenizer or spec.model, trust_remote_code=spec.trust_remote_code)
    records = read(spec.data, "pairs", tally, audit=True)
    examples = encode(records, tokenizer, tally, max_length=min(job.knobs["max_length"], longest_input(model)))
    if not examples:
        raise RunError(f"None of the {tally.counts['read']} rows can be measured on. " + " ".join(tally.notes()))
    examples.sort(key=lambda example: example.length)
    chosen: list[float] = []
    rejected: list[float] = []
    total = -(-len(examples) // rows_at_once)
    for step, start in enumerate(range(0, len(examples), rows_at_once), start=1):
        if job.stop_requested():
            raise Stopped
        some = examples[start : start + rows_at_once]
        tokens = collate_pairs(some, pad_id_of(tokenizer)).to(job.device).tokens
        scores = model.pair_scores(tokens).cpu().tolist()
        chosen += scores[: len(some)]
        rejected += scores[len(some) :]
        job.progress(step=step, total_steps=total, pairs=len(chosen))
    right = [_ahead(c, r) for c, r in zip(chosen, rejected, strict=True)]
    longer = [_ahead(len(e.completions[0]), len(e.completions[1])) for e in examples]
    gaps = [c - r for c, r in zip(chosen, rejected, strict=True)]
    figures: dict[str, Any] = {
        "accuracy": _figure(examples, right, confidence=confidence),
        "longer_is_chosen": _figure(examples, longer, confidence=confidence),
        "margin": fmean(gaps),
        "calibration_error": calibration_error(gaps),
        "brier": brier(gaps),
        "reliability": reliability(gaps),
    }
    for domain in sorted({example.domain for example in examples} - {""}):
        figures[f"accuracy_{domain}"] = _figure(examples, right, domain=domain, confidence=confidence)
        figures[f"longer_is_chosen_{domain}"] = _figure(examples, longer, domain=domain, confidence=confidence)
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
        counts=dict(tally.counts) | kept,
        notes=([PLAIN_NOTE] if has_plain_template(tokenizer) else []) + tally.notes(),
    )


def _figure(
    examples: Sequence[Example], values: Sequence[float], *, domain: str | None = None, confidence: float
) -> Interval:
    """Return the rate of `values` by prompt, over all examples or those of a domain."""
    chosen = [(e.prompt_hash, v) for e, v in zip(examples, values, strict=True) if domain in (None, e.domain)]
    return accuracy_by_prompt([p for p, _ in chosen], [v for _, v in chosen], confidence=confidence)


def _ahead(one: float, other: float) -> float:
    return 1.0 if one > other else 0.5 if one == other else 0.0
