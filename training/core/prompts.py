"""Rows of the view `prompts`, read and checked, as what a sampler is given."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerBase

from training.core.collate import encode_prompt
from training.core.job import RunError
from training.core.records import Message, Refused, Tally, completion_of, messages_of, prompt_hash
from training.recipes.anchors import MISSING
from training.recipes.note import Note


@dataclass(frozen=True)
class Prompt:
    """A conversation that waits for an answer."""

    id: str
    messages: list[Message]
    ids: list[int]
    domain: str = ""
    fresh: bool = True  # whether no earlier gate was decided on it
    about: str = ""  # the hash by which it is held out, where that is not its own
    anchor: str = ""  # an answer known to be good, for a judge alone: `messages` and `ids` know nothing of it


def read_prompts(
    path: str | Path,
    tokenizer: PreTrainedTokenizerBase,
    tally: Tally,
    *,
    max_length: int | None,
    anchor: str = "",
) -> list[Prompt]:
    """Return the usable prompts of a file, in its order; the others are counted in `tally`.

    A prompt of more than `max_length` tokens is refused, not cut: an answer to half a question is not worth judging.
    A row without an id has its prompt's hash. With `anchor`, a name of `ANCHORS`, so is a prompt whose row has no such
    answer to hold others against.
    """
    prompts: dict[str, Prompt] = {}
    for number, line in enumerate(Path(path).read_text(encoding="utf-8").split("\n"), start=1):
        if not line.strip():
            continue
        tally.counts["read"] += 1
        try:
            prompt = _prompt(line, tokenizer, anchor)
            if max_length is not None and len(prompt.ids) > max_length:
                raise Refused("too_long")
        except json.JSONDecodeError:
            tally.refuse("malformed", number)
        except Refused as refusal:
            tally.refuse(str(refusal), number)
        else:
            if prompt.id in prompts:
                raise RunError(
                    Note(
                        "Two prompts have the id {id} (line {number}). Give each prompt its own.",
                        id=prompt.id,
                        number=number,
                    )
                )
            prompts[prompt.id] = prompt
    if not prompts:
        said = [Note("There is no prompt to answer."), *prompt_notes(tally)]
        if any(tally.counts[f"refused_{_lacking(name)}"] for name in MISSING):
            said.append(
                Note(
                    "Freeze the prompts anew with this setting once people have judged answers to them, or set "
                    "judge_against to reference."
                )
            )
        raise RunError(Note.together(said))
    return list(prompts.values())


def _lacking(anchor: str) -> str:
    return f"without_{anchor}"


def _anchor(row: dict[str, Any], name: str) -> str:
    try:
        return completion_of(row.get(name))
    except Refused:
        raise Refused(_lacking(name)) from None


def _prompt(line: str, tokenizer: PreTrainedTokenizerBase, anchor: str) -> Prompt:
    row = json.loads(line)
    if not isinstance(row, dict):
        raise Refused("malformed")
    messages = messages_of(row.get("prompt"))
    return Prompt(
        id=str(row.get("id") or prompt_hash(messages)),
        messages=messages,
        ids=encode_prompt(tokenizer, messages),
        domain=str(row.get("domain") or ""),
        fresh=bool(row.get("fresh", True)),
        anchor=_anchor(row, anchor) if anchor else "",
    )


def prompt_notes(tally: Tally) -> list[Note]:
    """Return one sentence for each reason for which prompts were left out."""
    meanings = {
        "malformed": Note("have no prompt that can be read"),
        "empty": Note("are empty"),
        "images": Note("have images, which the policy does not see"),
        "too_long": Note("leave no room for an answer"),
        **{_lacking(name): missing for name, missing in MISSING.items()},
    }
    return [
        # Translators: {why} is one of the clauses that begin "have no prompt that can be read".
        Note(
            "{n} prompts were left out because they {why} (line {lines}).",
            n=tally.counts[f"refused_{reason}"],
            why=meaning,
            lines=", ".join(map(str, tally.examples[reason])),
        )
        for reason, meaning in meanings.items()
        if tally.counts[f"refused_{reason}"]
    ]
