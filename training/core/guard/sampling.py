"""A guard between a policy and the people who judge its answers: in the run kind `sample`, and its log in `compare`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from training.core.decode import Draw
from training.core.guard.guard import Guard
from training.core.guard.verdicts import Verdict
from training.core.prompts import Prompt
from training.core.sampler import Sampler
from training.recipes.note import Note
from training.recipes.spec import write_text

LOG_FILE = "guard.jsonl"


class Guarded:
    """Draws of a policy that a guard lets through, as many as are wanted or as come in six tries."""

    def __init__(self, guard: Guard, sampler: Sampler, *, seed: int) -> None:
        self.guard = guard
        self.sampler = sampler
        self.seed = seed
        self.least = min(2, sampler.n)  # answers of a prompt without which it is not shown: people compare two

    def draws(self, prompts: Sequence[Prompt]) -> list[tuple[list[Draw], dict[str, Any]]]:
        """Return for each prompt what may be seen of its answers, and for the log what was said of it and of each try.

        Blocked answers are drawn anew, those of all prompts at once, from a stream of its own for each try; so what a
        prompt gets depends on no other. For a blocked prompt nothing is drawn.
        """
        asked = [self.guard.prompt(prompt.messages) for prompt in prompts]
        kept: list[list[Draw]] = [[] for _ in prompts]
        told: list[list[Verdict]] = [[] for _ in prompts]
        tries = [0] * len(prompts)
        for attempt in range(1 + self.guard.regenerations):
            waiting = [n for n, verdict in enumerate(asked) if verdict.allowed and len(kept[n]) < self.sampler.n]
            if not waiting:
                break
            stream = "" if not attempt else f"guard {attempt}"
            drawn = self.sampler.draw([prompts[n] for n in waiting], seed=self.seed, stream=stream)
            for n, draws in zip(waiting, drawn, strict=True):
                wanted = draws[: self.sampler.n - len(kept[n])]
                verdicts = self.guard.answers(prompts[n].messages, [self.sampler.text(draw) for draw in wanted])
                kept[n] += [draw for draw, verdict in zip(wanted, verdicts, strict=True) if verdict.allowed]
                told[n] += verdicts
                tries[n] += 1
        said = [
            {
                "prompt": verdict.as_json(),
                "answers": [one.as_json() for one in told[n]],
                "tries": tries[n],
                "person": self.guard.wants_person(verdict),
            }
            for n, verdict in enumerate(asked)
        ]
        return list(zip(kept, said, strict=True))


def let_through(rows: Sequence[dict[str, Any]], *, least: int) -> list[dict[str, Any]]:
    """Return the rows that people may see, without what the guard said of them."""
    shown = [row for row in rows if len(row["completions"]) >= least]
    return [{name: value for name, value in row.items() if name != "guard"} for row in shown]


def log_lines(rows: Sequence[dict[str, Any]], *, least: int) -> list[dict[str, Any]]:
    """Return for the log what the guard said of each prompt and each try, without any text."""
    return [{"id": row["id"], "shown": len(row["completions"]) >= least, **row["guard"]} for row in rows]


def write_log(folder: Path, lines: Sequence[dict[str, Any]]) -> str:
    """Write the lines of a log, and return the file's name."""
    write_text(folder / LOG_FILE, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
    return LOG_FILE


def guard_counts(lines: Sequence[dict[str, Any]]) -> dict[str, int]:
    answers = [one for line in lines for one in line["answers"]]
    return {
        "guard_prompts_blocked": sum(not line["prompt"]["allowed"] for line in lines),
        "guard_answers_read": len(answers),
        "guard_answers_blocked": sum(not one["allowed"] for one in answers),
        "guard_not_shown": sum(not line["shown"] for line in lines),
        "guard_failed": sum(one["risk"] is None for line in lines for one in (line["prompt"], *line["answers"])),
    }


def guard_notes(counts: dict[str, int]) -> list[Note]:
    """Return in sentences what a guard did; nothing where there was none."""
    if "guard_not_shown" not in counts:
        return []
    said = []
    if counts["guard_prompts_blocked"]:
        said.append(
            Note("The guard held {n} prompts back, and nothing was drawn for them.", n=counts["guard_prompts_blocked"])
        )
    if counts["guard_answers_blocked"]:
        said.append(
            Note(
                "The guard held {n} of {of} answers back; they were drawn anew, so the answers that are "
                "shown are the policy's given that they pass.",
                n=counts["guard_answers_blocked"],
                of=counts["guard_answers_read"],
            )
        )
    lacking = counts["guard_not_shown"] - counts["guard_prompts_blocked"]
    if lacking > 0:
        said.append(Note("For {lacking} prompts too few answers passed, so they are not shown.", lacking=lacking))
    if counts["guard_failed"]:
        said.append(Note("{n} times the guard could say nothing, and blocked.", n=counts["guard_failed"]))
    return said
