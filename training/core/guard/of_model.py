"""A guard out of a model that scores answers: its line drawn, on answers that it did not learn from, for a rate.

Safe RLHF-V (arXiv:2503.17682) has models for guards. Any model whose score is higher for safer answers will do: a cost
model, or a reward or level model of safety. Only the order of its scores counts, as the line is drawn where at most so
many of the safe answers lie above it. One that was trained on images reads those of prompts and answers.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from training.core.conversation import with_images
from training.core.evaluate.splits import lines
from training.core.guard.folder import save_guard
from training.core.guard.scored import Open, Scored
from training.core.guard.thresholds import Threshold, curve, line_for_rate, recall_bound
from training.core.guard.verdicts import ANSWER, SAFE
from training.core.job import Job, RunError
from training.core.pictures import album_of
from training.core.records import Message, Refused, SaferPair, Tally, messages_of, pictures_of, prompt_hash, read
from training.core.scorers import RewardScorer, is_judge
from training.core.scoring import scorer_of
from training.core.stats import Interval, wilson
from training.recipes.note import Note
from training.recipes.spec import RunResult, write_json
from training.recipes.tiers import CURVE_FILE

CHECK = "check"  # the folder of the model in the guard's


@dataclass(frozen=True)
class Told:
    """An answer of which people said whether it is safe."""

    about: str  # the hash of its prompt, by which it is parted
    prompt: list[Message]
    text: str
    safe: bool

    @property
    def measures(self) -> bool:
        """Whether it is measured on; on the others the line is drawn, and no prompt is on both sides."""
        return int(self.about[:8], 16) % 2 == 1


def run_guard_of_model(job: Job, *, target_fpr: float, confidence: float, regenerations: int) -> RunResult:
    """Write the model of the run as a guard of answers, with what its line catches and refuses wrongly."""
    spec = job.spec
    assert spec.data is not None
    tally = Tally()
    told, seen = _new(spec.data, spec.known, tally)
    scorer = scorer_of(spec.model, device=job.device, trust_remote_code=spec.trust_remote_code, album=album_of(spec))
    if is_judge(scorer):
        raise RunError(Note("A judge of two answers has no score for one alone, so it cannot be a guard."))
    if type(scorer) is not RewardScorer:  # a guard reads its model as one, so its line would be another model's
        raise RunError(
            Note(
                "A guard scores an answer directly, and this model does not. Take a cost model or a plain reward model."
            )
        )
    risks = _risks(Scored(scorer, spec.model), told)
    parts = [
        [(risk, one.safe) for risk, one in zip(risks, told, strict=True) if one.measures == side]
        for side in (False, True)
    ]
    if any(len({safe for _, safe in part}) < 2 for part in parts):
        raise RunError(
            Note(
                "Of {n} answers that the model did not learn from, those to draw the line on or those to measure on "
                "lack safe ones or unsafe ones. Have more judged, or train the model on a part of them (split train).",
                n=len(told),
            )
        )
    line = _line(*parts, rate=target_fpr, confidence=confidence)
    caught = _share(parts[1], line.value, safe=False)
    folder = job.folder / "model"
    shutil.rmtree(folder, ignore_errors=True)
    path = spec.model
    if Path(spec.model).is_dir():  # a guard stands for itself, wherever it is carried; a name on the hub stays one
        shutil.copytree(spec.model, folder / CHECK)
        path = CHECK
    open_ = Threshold(1.0, 0.0, confidence, 0.0, 0, 0, wilson(0, 0))
    save_guard(folder, prompt=(Open(), open_), answer=(Scored(scorer, path), line), regenerations=regenerations)
    lines = curve(*(([risk for risk, _ in part], [not safe for _, safe in part]) for part in parts))
    write_json(folder / CURVE_FILE, {ANSWER: lines})
    return RunResult(
        model="model",
        metrics={
            "threshold": line.value,
            "benign": sum(safe for _, safe in parts[0]),
            "catches": caught,
            "false_refusals": line.false_refusals,
        },
        counts={**tally.counts, "answers": len(told), "learned_answers": seen},
        notes=[
            Note(
                "On {n} unsafe answers that it is measured on it holds back {caught:.1%}, and on {safe} safe ones "
                "{wrong:.1%}; the line was drawn for {rate:.1%} on others.",
                n=caught["n"],
                caught=caught["estimate"],
                safe=line.false_refusals["n"],
                wrong=line.false_refusals["estimate"],
                rate=target_fpr,
            ),
            *tally.notes(),
        ],
    )


def _new(data: str, known: Sequence[str], tally: Tally) -> tuple[list[Told], int]:
    """Return the answers in a file to prompts that stand in none of `known`, and how many were left out."""
    learned = {hash_ for path in known for row in lines(path).values() if (hash_ := _about(dict(row))) is not None}
    told: list[Told] = []
    seen = 0
    for _, pair in read(data, "safer_pairs", tally, images=True):
        assert isinstance(pair, SaferPair)
        about = prompt_hash(with_images(pair.prompt, pair.images))
        sides = (
            (pair.chosen, pair.chosen_images, pair.chosen_is_safe),
            (pair.rejected, pair.rejected_images, pair.rejected_is_safe),
        )
        if about in learned:
            seen += len(sides)
            continue
        told += [Told(about, with_images(pair.prompt, [*pair.images, *own]), text, safe) for text, own, safe in sides]
    return told, seen


def _about(row: dict[str, object]) -> str | None:
    try:
        spoken = messages_of(row.get("prompt"), images=True)
        return prompt_hash(with_images(spoken, pictures_of(row, spoken)))
    except Refused:
        return None


def _risks(check: Scored, told: Sequence[Told]) -> list[float]:
    """Return the risk of each answer; one that cannot be read is blocked, so its risk is 1."""
    found = check.probabilities([one.prompt for one in told], [one.text for one in told])
    return [1.0 if one is None else 1 - one[SAFE] for one in found]


def _line(
    drawn: Sequence[tuple[float, bool]], measured: Sequence[tuple[float, bool]], *, rate: float, confidence: float
) -> Threshold:
    """Return the line above which `rate` of the safe answers in `drawn` lie, with what it does on each side."""
    above = line_for_rate([risk for risk, safe in drawn if safe], rate, cap=1.0)
    value = math.nextafter(above.value, math.inf)  # a text is flagged above its line, and a guard blocks from it on
    if value > 1:
        raise RunError(
            Note(
                "The model finds more than {rate:.1%} of safe answers as risky as can be, so no line tells the unsafe "
                "ones apart. Train it further, or take another one.",
                rate=rate,
            )
        )
    risky = [risk for risk, safe in drawn if not safe]
    misses = sum(risk < value for risk in risky)
    return Threshold(
        value=value,
        recall=1 - misses / len(risky),
        confidence=confidence,
        recall_bound=recall_bound(misses, len(risky), confidence=confidence),
        risky=len(risky),
        misses=misses,
        false_refusals=_share(measured, value, safe=True),
    )


def _share(part: Sequence[tuple[float, bool]], value: float, *, safe: bool) -> Interval:
    """Return the share of the safe answers, or of the others, that a line holds back."""
    those = [risk for risk, is_safe in part if is_safe == safe]
    return wilson(sum(risk >= value for risk in those), len(those))
