"""The run kind `sample` by branches: dialogues that part at one turn, each rolled to its end and scored.

REFUEL's data step (arXiv:2410.04612, algorithm 1). The policy answers up to a turn that is drawn evenly; there two
answers are drawn, and each dialogue goes on by itself, with the policy's own later answers and a user who hears them.
How much better one comes out is the gap by which the recipe `refuel` parts the two answers of that turn: the later
turns are in the gap alone. The policy that is sampled here is the reference there.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean
from typing import Any

from training.core.collate import encode_prompt
from training.core.job import Job, RunError
from training.core.part_file import PartFile
from training.core.prompts import Prompt, prompt_notes, read_prompts
from training.core.records import Message, Tally, held_out, prompt_hash
from training.core.sampler import Sampler, batches, gathered, unfinished
from training.core.scorers import Scorer
from training.core.scoring import load_scorers
from training.core.selection import REWARD
from training.recipes.note import Note
from training.recipes.principles import listed
from training.recipes.rollouts import LAST, PAIRS
from training.recipes.spec import RunResult

SIMULATOR = "simulator"
FILE = "pairs.jsonl"
LEFT_OUT = {
    "identical": Note("have two answers of the same words at the turn where they part"),
    "empty": Note("have an empty answer at the turn where they part"),
    "too_long": Note("grow longer than a model reads"),
    "silent": Note("have a user who says nothing"),
    "unscored": Note("have an answer that the reward model cannot read"),
    "tied": Note("come out equally good"),
}


@dataclass
class Dialogue:
    """A dialogue that grows. `waiting` are turns of the user that are given; None where a policy plays the user."""

    id: str
    messages: list[Message]
    turns: int  # of the assistant, from where it begins to its end
    waiting: list[str] | None
    left_out: str = ""
    answered: list[int] = field(default_factory=list)  # where in `messages` the answers stand
    ended: bool = True  # whether each of them came to an end by itself

    def copy(self, side: int) -> Dialogue:
        waiting = None if self.waiting is None else list(self.waiting)
        return replace(self, id=f"{self.id} {side}", messages=list(self.messages), waiting=waiting, answered=[])

    @property
    def is_open(self) -> bool:
        return not self.left_out and len(self.answered) < self.turns

    def judged(self, outcome: str) -> list[int]:
        """Return where the answers stand by whose rewards it is worth what it is worth."""
        return self.answered[-1:] if outcome == LAST else self.answered


def begun(prompt: Prompt, *, turns: int, simulated: bool, user_turns: Sequence[str]) -> Dialogue:
    """Return a prompt as the beginning of a dialogue of at most `turns` answers.

    Whom a policy plays goes on from the whole prompt. Else the user says what the prompt's user said, whatever is
    answered (the paper's second setting), and then `user_turns`; the prompt's own answers are written anew.
    """
    if simulated:
        return Dialogue(prompt.id, list(prompt.messages), turns, None)
    first = next((at for at, said in enumerate(prompt.messages) if said["role"] == "user"), len(prompt.messages) - 1)
    said = [one["content"] for one in prompt.messages[first + 1 :] if one["role"] == "user"]
    waiting = [*said, *user_turns][: turns - 1]
    return Dialogue(prompt.id, prompt.messages[: first + 1], len(waiting) + 1, waiting)


def swapped(messages: Iterable[Message], instruction: str) -> list[Message]:
    """Return a dialogue as who plays the user reads it: the user's turns are its own.

    What the assistant was told in a system turn is not the user's to know. The instruction is a turn and no system
    turn, as many templates have none and want somebody else to speak first.
    """
    roles = {"user": "assistant", "assistant": "user"}
    told = [{"role": roles[one["role"]], "content": one["content"]} for one in messages if one["role"] in roles]
    return [{"role": "user", "content": instruction}, *told] if instruction else told


class Table:
    """Who speaks: the policy, and where there is one the policy that plays the user."""

    def __init__(self, job: Job) -> None:
        def speaker(path: str, most: int) -> Sampler:
            own = {"samples_per_prompt": 1, "max_new_tokens": most}
            return Sampler(replace(job, knobs=job.knobs | own), path)

        self.seed, self.instruction = job.spec.seed, job.knobs["instruction"]
        self.policy = speaker(job.spec.model, job.knobs["max_new_tokens"])
        played = job.spec.beside.get(SIMULATOR)
        self.user = None if played is None else speaker(played, job.knobs["user_max_new_tokens"])

    def answer(self, dialogues: Sequence[Dialogue], stream: str) -> None:
        """Let the policy speak in each dialogue that is open."""
        there = [one for one in dialogues if one.is_open]
        said = self._say(self.policy, there, [one.messages for one in there], f"answer {stream}")
        for one, (text, ended) in zip(there, said, strict=True):
            if not one.left_out:
                one.answered.append(len(one.messages))
                one.ended &= ended
                one.messages.append({"role": "assistant", "content": text})

    def ask(self, dialogues: Sequence[Dialogue], stream: str) -> None:
        """Let the user speak in each dialogue that an answer will follow in."""
        there = [one for one in dialogues if one.is_open]
        if self.user is None:
            said = [((one.waiting or [""]).pop(0), True) for one in there]
        else:
            heard = [swapped(one.messages, self.instruction) for one in there]
            said = self._say(self.user, there, heard, f"user {stream}")
        for one, (text, _ended) in zip(there, said, strict=True):
            if not one.left_out and not text.strip():
                one.left_out = "silent"
            one.messages.append({"role": "user", "content": text})

    def _say(
        self, speaker: Sampler, dialogues: Sequence[Dialogue], heard: Sequence[list[Message]], stream: str
    ) -> list[tuple[str, bool]]:
        """Return what the speaker says in each dialogue; one that is too long for it is left out, and gets nothing."""
        prompts = [
            Prompt(one.id, told, encode_prompt(speaker.tokenizer, told))
            for one, told in zip(dialogues, heard, strict=True)
        ]
        room = speaker.prompt_room
        for one, prompt in zip(dialogues, prompts, strict=True):
            if room is not None and len(prompt.ids) > room:
                one.left_out = "too_long"
        fitting = [prompt for one, prompt in zip(dialogues, prompts, strict=True) if not one.left_out]
        drawn = iter(speaker.draw(fitting, seed=self.seed, stream=stream) if fitting else [])
        found = []
        for one in dialogues:
            if one.left_out:
                found.append(("", False))
                continue
            (draw,) = next(drawn)
            found.append((speaker.text(draw), draw.ended))
        return found


def branch_turn(id: str, turns: int, *, seed: int) -> int:
    """Return the turn at which a dialogue parts, from 1: each is as likely."""
    return random.Random(f"branch {seed} {id}").randint(1, turns)


def parted(table: Table, trunks: Sequence[Dialogue], *, seed: int) -> list[tuple[int, Dialogue, Dialogue]]:
    """Return of each dialogue the turn at which it parts, and both ways in which it goes on from there to its end."""
    at = {one.id: branch_turn(one.id, one.turns, seed=seed) for one in trunks}
    for turn in range(1, max(at.values(), default=1)):
        before = [one for one in trunks if turn < at[one.id]]
        table.answer(before, f"{turn}")
        table.ask(before, f"{turn}")
    sides = [(one.copy(0), one.copy(1)) for one in trunks]
    for one, pair in zip(trunks, sides, strict=True):
        for side in pair:
            side.turns = one.turns - at[one.id] + 1  # those that are still to come
    both = [side for pair in sides for side in pair]
    for turn in range(1, max((side.turns for side in both), default=0) + 1):
        # What a dialogue is called tells its two sides apart, and so do their random numbers.
        table.answer(both, f"of the branch {turn}")
        if turn == 1:
            _leave_out_alike(sides)
        table.ask(both, f"of the branch {turn}")
    return [(at[one.id], first, second) for one, (first, second) in zip(trunks, sides, strict=True)]


def _leave_out_alike(sides: Iterable[tuple[Dialogue, Dialogue]]) -> None:
    """Leave out, before more is computed, what nothing can be learned from: the same answer twice, or an empty one."""
    for first, second in sides:
        if first.left_out or second.left_out:
            continue
        texts = [side.messages[side.answered[0]]["content"].strip() for side in (first, second)]
        if not all(texts):
            first.left_out = second.left_out = "empty"
        elif texts[0] == texts[1]:
            first.left_out = second.left_out = "identical"


def worths(dialogues: Sequence[Dialogue], scorer: Scorer, outcome: str) -> list[float]:
    """Return what each dialogue is worth from the branch on; NaN where an answer cannot be read, or it was left out."""
    places = [[] if one.left_out else one.judged(outcome) for one in dialogues]
    every = [(one.messages, place) for one, those in zip(dialogues, places, strict=True) for place in those]
    texts = [messages[place]["content"] for messages, place in every]
    scores = iter(scorer.score([messages[:place] for messages, place in every], texts))
    found = [[next(scores) for _ in those] for those in places]
    return [math.fsum(math.nan if one is None else one for one in own) if own else math.nan for own in found]


def row_of(prompt: Prompt, turn: int, sides: Sequence[Dialogue], worth: Sequence[float]) -> dict[str, Any]:
    """Return the pair as `refuel` reads it, the better side first; or why there is none."""
    why = sides[0].left_out or sides[1].left_out
    if not why:
        why = "unscored" if not all(map(math.isfinite, worth)) else "tied" if worth[0] == worth[1] else ""
    if why:
        return {"id": prompt.id, "left_out": why}
    better = int(worth[1] > worth[0])
    row: dict[str, Any] = {"id": prompt.id, "prompt": sides[0].messages[: sides[0].answered[0]]}
    for name, side in (("chosen", better), ("rejected", 1 - better)):
        place, messages = sides[side].answered[0], sides[side].messages
        row |= {name: [messages[place]], f"{name}_rest": messages[place + 1 :], f"{name}_worth": worth[side]}
    row |= {"strength": worth[better] - worth[1 - better], "turn": turn, "turns": turn + sides[0].turns - 1}
    row |= {"source": REWARD, "ended": sides[0].ended and sides[1].ended}
    return row | ({"domain": prompt.domain} if prompt.domain else {})


def run_rollouts(job: Job) -> RunResult:
    """Branch dialogues from each prompt of the spec's data and write ``pairs.jsonl``, rows as `refuel` reads them."""
    spec, knobs = job.spec, job.knobs
    if spec.data is None:
        raise RunError(Note("Rollouts need a file of prompts as their data."))
    if REWARD not in spec.scorers:
        raise RunError(Note("Rollouts need a reward model that tells how good a dialogue comes out."))
    table, tally = Table(job), Tally()
    read = read_prompts(spec.data, table.policy.tokenizer, tally, max_length=table.policy.prompt_room)
    # Gates compare policies on these, and the prompts of later turns would hide that they were learned from.
    used = [one for one in read if not held_out(one.about or prompt_hash(one.messages))]
    tally.counts["held_out"] = len(read) - len(used)
    prompts = [replace(one, id=f"{one.id}/{copy}") for one in used for copy in range(1, knobs["rows_per_prompt"] + 1)]
    (scorer,) = load_scorers(
        {REWARD: spec.scorers[REWARD]},
        device=job.device,
        trust_remote_code=spec.trust_remote_code,
        principles=listed(knobs["principles"]),
    ).values()
    said, simulated = listed(knobs["user_turns"]), table.user is not None
    part = PartFile(job.folder / FILE, rank=job.rank)
    for portion in unfinished(job, part, batches(job, prompts, size=knobs["rows_at_once"] // 2)):
        trunks = [begun(one, turns=knobs["turns"], simulated=simulated, user_turns=said) for one in portion]
        found = parted(table, trunks, seed=spec.seed)
        worth = worths([side for _, *sides in found for side in sides], scorer, knobs["outcome"])
        for at, (prompt, (turn, *sides)) in enumerate(zip(portion, found, strict=True)):
            if prompt.id not in part.rows:
                part.append(row_of(prompt, turn, sides, worth[2 * at : 2 * at + 2]))
    everything = gathered(job, part, prompts)
    if everything is None:
        return RunResult()
    rows = [row for row in everything if "left_out" not in row]
    part.finish(rows)
    left_out = Counter(row["left_out"] for row in everything if "left_out" in row)
    cut_off = sum(not row["ended"] for row in rows)
    counts = {**tally.counts, "dialogues": len(everything), "pairs": len(rows), "cut_off": cut_off}
    return RunResult(
        files={PAIRS: FILE},
        metrics=_metrics(rows),
        counts=counts | {f"left_out_{why}": left_out[why] for why in LEFT_OUT if left_out[why]},
        notes=[*table.policy.notes(), *prompt_notes(tally), *_notes(counts, left_out, knobs)],
    )


def _metrics(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    if not rows:
        return {}
    sides = [row[f"{side}_worth"] for row in rows for side in ("chosen", "rejected")]
    return {
        "mean_reward": fmean(sides),
        "mean_gap": fmean(row["strength"] for row in rows),
        "mean_turns": fmean(row["turns"] for row in rows),
    }


def _notes(counts: dict[str, int], left_out: Counter[str], knobs: dict[str, Any]) -> list[Note]:
    said = []
    if counts["held_out"]:
        said.append(Note("{n} prompts are held out for gates, and none begins with them.", n=counts["held_out"]))
    for why, meaning in LEFT_OUT.items():
        if left_out[why]:
            # Translators: {why} is one of the clauses that begin "have two answers of the same words".
            said.append(Note("{n} dialogues were left out because they {why}.", n=left_out[why], why=meaning))
    if not counts["pairs"]:
        said.append(Note("No pair is left that refuel could learn from."))
    if counts["cut_off"]:
        told = Note(
            "In {n} pairs an answer was cut off at max_new_tokens, which is learned as its end.", n=counts["cut_off"]
        )
        said.append(told)
    if knobs["temperature"] != 1:
        said.append(Note("refuel weighs answers at temperature 1, and these were drawn at another."))
    return said
