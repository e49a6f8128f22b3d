"""The run kind `compare`: a candidate against the current policy, on prompts that neither was trained on."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from statistics import fmean
from typing import Any, cast

from training.core.decode import Draw, completion_logps
from training.core.distributed import wait
from training.core.evaluate.certificate import RATE, certify
from training.core.evaluate.suite import SAFETY, Item, items, refuses, silent
from training.core.evaluate.suite import figures as suite_figures
from training.core.guard.folder import load_guard
from training.core.guard.guard import Guard
from training.core.guard.sampling import guard_counts, write_log
from training.core.job import Job, RunError, Stopped
from training.core.part_file import PartFile
from training.core.pictures import Pictures, album_of
from training.core.prompts import Prompt, name_users, prompt_notes, read_prompts, refuse_unseen
from training.core.records import Tally
from training.core.sampler import Answer, Sampler, batches, unfinished
from training.core.scorers import Judge, Scorer, is_judge
from training.core.scoring import load_scorers
from training.core.selection import COST, REWARD
from training.core.stats import bootstrap_mean, mean_t
from training.recipes.note import Note, in_json
from training.recipes.principles import listed
from training.recipes.spec import RunResult

NUMBERS = ("estimate", "upper")  # of a certificate; JSON has no infinity
ALIKE = 1e-6  # chances of a judge that are this near one half are a tie: the two orders are rounded apart
ROWS_SCORED = 8  # completions whose whole distribution over the vocabulary is in memory at once


def run_compare(job: Job) -> RunResult:
    """Sample both policies; write ``comparisons.jsonl``, and the figures with their intervals.

    - ``kl``: the estimator k1, log π_candidate - log π_current summed over a completion drawn from the candidate, in
      nats, both at the temperature sampled with. Its mean is unbiased for the divergence; Student's t over prompts.
    - ``reward_win_rate``: how often an answer of the candidate scores higher than one of the current policy, or a
      judge of two answers prefers it, a tie counting one half; bootstrap over prompts, because answers to one prompt
      resemble each other.
    - ``cost``, ``current_cost``: the mean cost of either's answers, higher for what is less safe; Student's t over
      prompts.
    - ``safety``: the certificate of the candidate's costs, on the prompts that no earlier gate was decided on.
    - ``length``: tokens of the candidate's answers less those of the current policy's; Student's t over prompts.

    With a suite, each policy's first answer to each of its prompts goes to ``suite.jsonl`` with whether it was right,
    and ``suite`` has what they come to, see `evaluate.suite`.

    Behind a guard each shown answer has `blocked`: nobody is to see it, and ``guard.jsonl`` tells of every prompt what
    the guard said. The figures are of all answers, as with those that pass an unsafe policy would look safe.

    The two policies' random numbers are independent: with common ones, answers that agree would hide the difference.
    """
    spec = job.spec
    if spec.data is None or spec.reference is None:
        raise RunError(
            Note("A comparison needs a file of prompts as its data and the current policy as its reference.")
        )
    who: dict[str, Any] = {"user": job.knobs["user"], "personal": name_users(spec.data)}
    candidate, current = Sampler(job, spec.model, **who), Sampler(job, spec.reference, **who)
    if candidate.tokenizer.get_vocab() != current.tokenizer.get_vocab():
        raise RunError(
            Note(
                "The candidate and the current policy have different tokenizers, so the divergence between "
                "them is not defined. Compare policies of one family."
            )
        )
    tally = Tally()
    rooms = [room for room in (candidate.prompt_room, current.prompt_room) if room is not None]
    album, pictures = album_of(spec), _seen_by_both(candidate, current)
    room = min(rooms, default=None)
    prompts = read_prompts(spec.data, candidate.tokenizer, tally, max_length=room, pictures=pictures)
    refuse_unseen(tally, pictures)
    scorers = load_scorers(
        spec.scorers,
        device=job.device,
        trust_remote_code=spec.trust_remote_code,
        principles=listed(job.knobs["principles"]),
        album=album,
    )
    # A judge of two answers has no score for one alone: it compares one of each side.
    judge = None
    if REWARD in scorers and is_judge(scorers[REWARD]):
        judge = cast(Judge, scorers.pop(REWARD))
    guard = None
    if spec.guard is not None:
        guard = load_guard(spec.guard, device=job.device, trust_remote_code=spec.trust_remote_code, album=album)
    part = PartFile(job.folder / "comparisons.jsonl", rank=job.rank)
    for portion in unfinished(job, part, batches(job, prompts, size=job.knobs["rows_at_once"] // candidate.n)):
        ours = candidate.draw(portion, seed=spec.seed, stream="candidate")
        theirs = current.draw(portion, seed=spec.seed, stream="current")
        for prompt, our, their in zip(portion, ours, theirs, strict=True):
            if prompt.id not in part.rows:
                row = _row(
                    prompt,
                    candidate.answers(prompt, our, scorers),
                    current.answers(prompt, their, scorers),
                    kl=_divergence(candidate, current, prompt, our),
                    judge=judge,
                )
                part.append(row if guard is None else _guarded(row, prompt, guard))
    part.close()
    suite = _suite(job, candidate, current, scorers, room=room)
    wait(job)
    if not job.is_main:
        return RunResult()
    everything = part.collect([prompt.id for prompt in prompts])
    rows = [{name: value for name, value in row.items() if name != "guard"} for row in everything]
    part.finish(rows)
    files, lines = {"comparisons": "comparisons.jsonl"}, list[dict[str, Any]]()
    if guard is not None:
        lines = [{"id": row["id"], "shown": not _blocked(row), **row["guard"]} for row in everything]
        files["guard"] = write_log(job.folder, lines)
    metrics = _metrics(rows, confidence=job.knobs["confidence"], seed=spec.seed)
    if COST in scorers:
        metrics["safety"] = _safety(rows, job.knobs)
    if suite is not None:
        answered = suite.part.collect(suite.order)
        suite.part.finish(answered)
        files["suite"] = "suite.jsonl"
        metrics["suite"] = {
            **suite_figures(answered, confidence=job.knobs["confidence"]),
            "left_out": sum(not item.unsupported for item in suite.known.values()) - len(answered),
            "unsupported": sum(bool(item.unsupported) for item in suite.known.values()),
            "silent": silent(suite.known.values(), [suite.known[row["id"]] for row in answered]),
        }
    return RunResult(
        files=files,
        metrics=metrics,
        counts=_counts(rows, tally) | (guard_counts(lines) if guard is not None else {}),
        notes=[
            *candidate.notes(),
            *candidate.strangers(prompts),
            *prompt_notes(tally),
            *_notes(rows),
            *_held_back(lines),
        ],
    )


def _seen_by_both(candidate: Sampler, current: Sampler) -> Pictures | None:
    """Return the processor by which both policies read images; None where one of them reads none."""
    return candidate.pictures if current.pictures is not None else None


@dataclass(frozen=True)
class _Suite:
    part: PartFile
    order: list[str]
    known: dict[str, Item]  # all of it, also what could not be read, which is no answer and in no share


def _suite(
    job: Job, candidate: Sampler, current: Sampler, scorers: Mapping[str, Scorer], *, room: int | None
) -> _Suite | None:
    """Have both policies answer the suite's prompts, those that are not done yet; None where there is no suite."""
    if job.spec.suite is None:
        return None
    known = items(job.spec.suite)
    tally, pictures = Tally(), _seen_by_both(candidate, current)
    prompts = read_prompts(job.spec.suite, candidate.tokenizer, tally, max_length=room, pictures=pictures)
    refuse_unseen(tally, pictures)
    prompts = [prompt for prompt in prompts if not known[prompt.id].unsupported]
    if COST not in scorers and any(item.measure == SAFETY for item in known.values()):
        raise RunError(Note("The suite asks whether answers are safe, which takes a cost model. Put one into use."))
    part = PartFile(job.folder / "suite.jsonl", rank=job.rank)
    for portion in batches(job, prompts, size=job.knobs["rows_at_once"] // candidate.n):
        if all(prompt.id in part.rows for prompt in portion):
            continue
        if job.stop_requested():
            part.close()
            raise Stopped
        sides = {
            name: side.draw(portion, seed=job.spec.seed, stream=f"suite {name}")
            for name, side in (("candidate", candidate), ("current", current))
        }
        for place, prompt in enumerate(portion):
            if prompt.id in part.rows:
                continue
            item = known[prompt.id]
            row: dict[str, Any] = {
                "id": prompt.id,
                **prompt.row,
                "measure": item.measure,
                "category": list(item.categories),
            }
            for name, side in (("candidate", candidate), ("current", current)):
                (answer,) = side.answers(prompt, sides[name][place][:1], dict(scorers))
                cost = answer.scores.get(COST)
                row |= {name: item.right(answer.text, None if cost is None else -cost), f"{name}_text": answer.text}
            part.append(row)
    part.close()
    return _Suite(part, [prompt.id for prompt in prompts], known)


def _divergence(candidate: Sampler, current: Sampler, prompt: Prompt, draws: Sequence[Draw]) -> float:
    """Return the mean of log π_candidate - log π_current over the candidate's completions of one prompt.

    Both sides come from the same kind of forward pass, so that its rounding cancels where the policies agree.
    """
    differences = []
    for start in range(0, len(draws), ROWS_SCORED):
        ids = [draw.ids for draw in draws[start : start + ROWS_SCORED]]
        sides = [
            completion_logps(
                side.model,
                [side.ids(prompt)] * len(ids),
                ids,
                temperature=candidate.temperature,
                pictures=[prompt.shown] * len(ids),
            )
            for side in (candidate, current)
        ]
        differences += [ours - theirs for ours, theirs in zip(*sides, strict=True)]
    return fmean(differences)


def _row(
    prompt: Prompt,
    candidate: Sequence[Answer],
    current: Sequence[Answer],
    *,
    kl: float,
    judge: Judge | None,
) -> dict[str, Any]:
    """Return a prompt's line: the first answer of each side to be shown, and the figures of all of them.

    `reward_preference` is the reward of the candidate's shown answer less that of the current policy's; of a judge how
    likely it finds the candidate's the better one, less one half. `refused` tells of both shown answers, first of the
    candidate's, whether they begin as a refusal does.
    """
    ahead = _judged(judge, prompt, candidate, current) if judge is not None else _ahead(candidate, current)
    alike = 0.0 if judge is None else ALIKE
    wins = [0.5 if abs(one) <= alike else float(one > 0) for row in ahead for one in row if one is not None]
    return {
        "id": prompt.id,
        **prompt.row,
        **({"user": prompt.user} if prompt.user else {}),
        "fresh": prompt.fresh,
        "candidate": asdict(candidate[0]),
        "current": asdict(current[0]),
        "reward_preference": ahead[0][0],
        "refused": [refuses(side[0].text) for side in (candidate, current)],
        "kl": kl,
        "reward_win_rate": fmean(wins) if wins else None,
        "candidate_costs": _costs(candidate),
        "current_costs": _costs(current),
        "candidate_tokens": fmean(answer.tokens for answer in candidate),
        "current_tokens": fmean(answer.tokens for answer in current),
        "candidate_ended": fmean(answer.ended for answer in candidate),
        "current_ended": fmean(answer.ended for answer in current),
    }


def _ahead(candidate: Sequence[Answer], current: Sequence[Answer]) -> list[list[float | None]]:
    """Return by how much each answer of the candidate scores higher than each of the current policy."""
    sides = [[answer.scores.get(REWARD) for answer in side] for side in (candidate, current)]
    return [[None if a is None or b is None else a - b for b in sides[1]] for a in sides[0]]


def _judged(
    judge: Judge, prompt: Prompt, candidate: Sequence[Answer], current: Sequence[Answer]
) -> list[list[float | None]]:
    """Return how likely a judge finds each answer of the candidate better than each of the other, less one half.

    It reads both in both orders, so that one that goes by the place says ½.
    """
    pairs = [(one.text, other.text) for one in candidate for other in current]
    told = judge.compare([prompt.messages] * len(pairs), [one for one, _ in pairs], [other for _, other in pairs])
    chances = [None if both is None else both[0] - 0.5 for both in told]
    return [chances[start : start + len(current)] for start in range(0, len(chances), len(current))]


def _guarded(row: dict[str, Any], prompt: Prompt, guard: Guard) -> dict[str, Any]:
    """Return the row with whether its shown answers may be seen by people, and what the guard said, for its log.

    Answers to a prompt that is held back are not read: nobody sees them, and so no line of the log lets one through.
    """
    sides = ("candidate", "current")
    asked = guard.prompt(prompt.messages)
    told = guard.answers(prompt.messages, [row[side]["text"] for side in sides]) if asked.allowed else []
    blocked = [not verdict.allowed for verdict in told] or [True, True]
    said = {"prompt": asked.as_json(), "answers": [verdict.as_json() for verdict in told], "tries": int(asked.allowed)}
    return (
        row | {side: row[side] | {"blocked": one} for side, one in zip(sides, blocked, strict=True)} | {"guard": said}
    )


def _blocked(row: dict[str, Any]) -> bool:
    """Return whether the guard keeps a pair from people, which it does where it holds back either answer."""
    return bool(row["candidate"]["blocked"] or row["current"]["blocked"])


def _held_back(lines: Sequence[dict[str, Any]]) -> list[Note]:
    """Return in a sentence how many pairs nobody is to see; nothing where there is no guard, or none."""
    hidden = sum(not line["shown"] for line in lines)
    if not hidden:
        return []
    return [
        Note(
            "Of {hidden} of {of} prompts the guard lets nobody see both answers. The figures are of all answers.",
            hidden=hidden,
            of=len(lines),
        )
    ]


def _costs(answers: Sequence[Answer]) -> list[float] | None:
    """Return the cost of each answer, which is the less its score; None where the cost model could not read one."""
    scores = [answer.scores.get(COST) for answer in answers]
    return None if None in scores else [-score for score in scores if score is not None]


def _metrics(rows: Sequence[dict[str, Any]], *, confidence: float, seed: int) -> dict[str, Any]:
    rates = [row["reward_win_rate"] for row in rows if row["reward_win_rate"] is not None]
    metrics: dict[str, Any] = {
        "kl": mean_t([row["kl"] for row in rows], confidence=confidence),
        "length": mean_t([row["candidate_tokens"] - row["current_tokens"] for row in rows], confidence=confidence),
        "candidate_tokens": fmean(row["candidate_tokens"] for row in rows),
        "current_tokens": fmean(row["current_tokens"] for row in rows),
        "candidate_ended_share": fmean(row["candidate_ended"] for row in rows),
        "current_ended_share": fmean(row["current_ended"] for row in rows),
    }
    if rates:
        metrics["reward_win_rate"] = bootstrap_mean(rates, confidence=confidence, seed=seed)
    for name, side in (("cost", "candidate_costs"), ("current_cost", "current_costs")):
        means = [fmean(row[side]) for row in rows if row[side]]
        if means:
            metrics[name] = mean_t(means, confidence=confidence)
    return metrics


def _safety(rows: Sequence[dict[str, Any]], knobs: dict[str, Any]) -> dict[str, Any]:
    """Return the certificate of the candidate's costs.

    The unit is the prompt: its answers' mean cost, or their first one where answers are counted. A prompt with an
    answer that the cost model could not read would make the figure better by being left out: with one, nothing is
    certified, and least of all where it read none.
    """
    fresh = [row["candidate_costs"] for row in rows if row["fresh"]]
    counted = knobs["bound"] == RATE
    told = certify(
        [costs[0] if counted else fmean(costs) for costs in fresh if costs],
        bound=knobs["bound"],
        delta=knobs["delta"],
        limit=knobs["unsafe_limit" if counted else "cost_limit"],
        reach=knobs["cost_reach"],
    )
    unread = sum(costs is None for costs in fresh)
    if unread:
        told = replace(
            told, upper=math.inf, reason=Note("The cost model could not read the answers to {n} prompts.", n=unread)
        )
    finite = {name: value if math.isfinite(value) else None for name, value in asdict(told).items() if name in NUMBERS}
    reason = in_json("reason", told.reason or "")
    return {**asdict(told), **finite, **reason, "passed": told.passed, "reused": len(rows) - len(fresh)}


def _counts(rows: Sequence[dict[str, Any]], tally: Tally) -> dict[str, int]:
    same = sum(row["candidate"]["text"].split() == row["current"]["text"].split() for row in rows)
    return {**tally.counts, "prompts": len(rows), "identical": same}


def _notes(rows: Sequence[dict[str, Any]]) -> list[Note]:
    said = []
    ours, theirs = (fmean(row[side] for row in rows) for side in ("candidate_ended", "current_ended"))
    if ours < theirs - 0.05:
        said.append(
            Note(
                "The candidate ends {ours:.0%} of its answers and the current policy {theirs:.0%}: it may be "
                "forgetting how to stop.",
                ours=ours,
                theirs=theirs,
            )
        )
    unscored = sum(row["reward_win_rate"] is None for row in rows)
    if 0 < unscored < len(rows):
        said.append(
            Note("For {n} prompts the reward model could not read an answer; they are not in the win rate.", n=unscored)
        )
    return said
