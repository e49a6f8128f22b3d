"""How far a judge may be trusted: what it stops, held against what people say of the same answers. Card 16.

What a judge lets pass by mistake, always the same answers, is what a policy finds: a hole of 3 % was made ten times
larger by learning from it (arXiv:2409.20370 trains on verdicts). So precision and recall are measured before a judge
decides what is paid for, on prompts that it did not learn from.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from training.core.evaluate.splits import known_of, lines
from training.core.job import Job, RunError, Stopped
from training.core.records import Message, Refused, completion_of, messages_of, prompt_hash
from training.core.scorers import RewardScorer, Scorer
from training.core.scoring import scorer_of
from training.core.stats import Interval, wilson
from training.recipes.note import Note
from training.recipes.spec import RunResult, write_json

SHOWN = 100  # disagreements that are kept, the judge's silence before its false alarms
TEXT = 300  # characters of each text in them


@dataclass
class Answer:
    """One answer, by one principle where principles are judged, with what people and the judge say of it."""

    prompt: list[Message]
    text: str
    principle: str = ""  # its name
    statement: str = ""  # what the judge is asked
    votes: list[bool] = field(default_factory=list)  # of each person: it is to be stopped
    task: str = ""  # the item on which the first of them said so
    stopped: bool = False

    @property
    def is_bad(self) -> bool:
        return 2 * sum(self.votes) > len(self.votes)


def judge_audit(job: Job) -> RunResult:
    """Return precision and recall of the spec's model as a judge; leave ``disagreements.json``.

    The unit is the answer: most people's word counts, and where they are divided it is left out. An answer that the
    judge cannot read is stopped, as it is in training, and counted.
    """
    spec, knobs, counts = job.spec, job.knobs, Counter[str]()
    if spec.data is None:
        raise RunError(Note("An audit needs people's judgements: rows of the view {view}.", view=job.recipe.view))
    known = known_of(spec.known).prompts
    answers: dict[tuple[str, str, str], Answer] = {}
    for row in lines(spec.data).values():
        counts["read"] += 1
        try:
            for answer in _answers(row, job.recipe.view):
                hash_ = prompt_hash(answer.prompt)
                if hash_ in known:
                    counts["learned_from"] += 1
                    continue
                found = answers.setdefault((hash_, answer.text, answer.principle), answer)
                if found is not answer:
                    found.votes += answer.votes
        except Refused:
            counts["refused_malformed"] += 1
    told = [one for one in answers.values() if 2 * sum(one.votes) != len(one.votes)]
    counts["divided"] = len(answers) - len(told)
    if not told:
        raise RunError(
            Note(
                "Of {n} rows none is about an answer that the judge did not learn from and on which people agree. Have "
                "people judge answers to other prompts first.",
                n=counts["read"],
            )
        )
    scorer = scorer_of(
        spec.model,
        device=job.device,
        rows_at_once=knobs["rows_at_once"],
        trust_remote_code=spec.trust_remote_code,
        principles=sorted({one.statement for one in told if one.statement}),
    )
    size = knobs["rows_at_once"]
    for start in range(0, len(told), size):
        if job.stop_requested():
            raise Stopped
        some = told[start : start + size]
        for one, verdict in zip(some, _verdicts(scorer, some, knobs), strict=True):
            one.stopped = verdict is not False
            counts["unread_answers"] += verdict is None
        job.progress(step=min(start + size, len(told)), total_steps=len(told))
    apart = [one for one in told if one.stopped != one.is_bad]
    apart.sort(key=lambda one: (one.stopped, one.task))  # what it let pass first
    write_json(job.folder / "disagreements.json", {"n": len(apart), "shown": [_shown(one) for one in apart[:SHOWN]]})
    metrics: dict[str, Any] = {**figures(told, confidence=knobs["confidence"])}
    principles = sorted({one.principle for one in told} - {""})
    for name in principles if len(principles) > 1 else []:
        some = [one for one in told if one.principle == name]
        for figure in ("judge_precision", "judge_recall"):
            if figure in (of := figures(some, confidence=knobs["confidence"])):
                metrics[f"{figure}_of_{name}"] = of[figure]
    return RunResult(
        files={"disagreements": "disagreements.json"},
        metrics=metrics,
        counts=dict(counts),
        notes=alarms(metrics, least_precision=knobs["least_precision"], least_recall=knobs["least_recall"]),
    )


def alarms(metrics: Mapping[str, Interval], *, least_precision: float, least_recall: float) -> list[Note]:
    """Return why the judge is not to be trusted: a share below its bound, or whose interval reaches below it."""
    said = []
    precision, recall = metrics.get("judge_precision"), metrics.get("judge_recall")
    if precision is None:
        said.append(Note("Nothing is known of the judge's precision: it stopped no answer."))
    elif precision["low"] < least_precision:
        shown = {"low": precision["low"], "high": precision["high"], "bound": least_precision}
        said.append(
            Note("Its precision is {low:.0%} to {high:.0%}, below the {bound:.0%} it needs to be trusted.", **shown)
            if precision["high"] < least_precision
            else Note(
                "Its precision may be below the {bound:.0%} it needs: {low:.0%} to {high:.0%}. Have people judge more "
                "answers.",
                **shown,
            )
        )
    if recall is None:
        said.append(Note("Nothing is known of the judge's recall: people would stop none of the answers."))
    elif recall["low"] < least_recall:
        shown = {"low": recall["low"], "high": recall["high"], "bound": least_recall}
        said.append(
            Note(
                "Its recall is {low:.0%} to {high:.0%}, below the {bound:.0%} it needs: do not let it decide what is "
                "paid for, as a policy finds what it lets pass.",
                **shown,
            )
            if recall["high"] < least_recall
            else Note(
                "Its recall may be below the {bound:.0%} it needs: {low:.0%} to {high:.0%}. Have people judge more "
                "answers.",
                **shown,
            )
        )
    return said


def figures(answers: Sequence[Answer], *, confidence: float) -> dict[str, Interval]:
    """Return each share with Wilson's interval over answers; one that no answer tells about is not there.

    - ``judge_precision``: of what the judge stops, the share that people would stop.
    - ``judge_recall``: of what people would stop, the share that the judge stops. The rest is its hole.
    - ``judge_false_alarms``: of what people let pass, the share that the judge stops.
    - ``judge_base_rate``: what people would stop, of all: a judge that stops everything has that precision.
    """
    both = sum(one.stopped and one.is_bad for one in answers)
    stopped, bad = sum(one.stopped for one in answers), sum(one.is_bad for one in answers)
    shares = {
        "judge_precision": (both, stopped),
        "judge_recall": (both, bad),
        "judge_false_alarms": (stopped - both, len(answers) - bad),
        "judge_base_rate": (bad, len(answers)),
    }
    return {name: wilson(part, whole, confidence=confidence) for name, (part, whole) in shares.items() if whole}


def _answers(row: Mapping[str, Any], view: str) -> Iterator[Answer]:
    prompt, task = messages_of(row.get("prompt")), str(row.get("task") or "")
    if view == "safer_pairs":
        for side in ("chosen", "rejected"):
            votes = [not _label(row, f"{side}_is_safe")]
            yield Answer(prompt, completion_of(row.get(side)), votes=votes, task=task)
    elif view == "safety":
        yield Answer(prompt, completion_of(row.get("completion")), votes=[not _label(row, "is_safe")], task=task)
    elif row.get("answer") in ("yes", "no"):  # partly is neither, and what does not apply says nothing
        name = str(row.get("principle") or "")
        statement = str(row.get("statement") or name)
        if not statement:
            raise Refused("malformed")
        votes = [row["answer"] == "no"]
        yield Answer(prompt, completion_of(row.get("completion")), name, statement, votes=votes, task=task)


def _label(row: Mapping[str, Any], name: str) -> bool:
    if not isinstance(row.get(name), bool):
        raise Refused("malformed")
    return bool(row[name])


def _verdicts(scorer: Scorer, answers: Sequence[Answer], knobs: Mapping[str, Any]) -> list[bool | None]:
    """Return whether the judge stops each answer, None where it cannot read one."""
    prompts, texts = [one.prompt for one in answers], [one.text for one in answers]
    if answers[0].statement:
        if not isinstance(scorer, RewardScorer) or not scorer.by_principle:
            raise RunError(Note("Only a principle model judges by principles. Train the recipe principle-reward."))
        least = math.log(knobs["judged_chance"] / (1 - knobs["judged_chance"]))
        odds = scorer.satisfied(prompts, texts, [one.statement for one in answers])
        return [None if value is None else value < least for value in odds]
    scores = scorer.score(prompts, texts)  # minus the cost
    return [None if score is None else -score > knobs["judged_cost"] for score in scores]


def _shown(answer: Answer) -> dict[str, Any]:
    return {
        "task": answer.task,
        "prompt": answer.prompt[-1]["content"][:TEXT],
        "completion": answer.text[:TEXT],
        "principle": answer.principle,
        "stopped": answer.stopped,
        "people": len(answer.votes),
    }
