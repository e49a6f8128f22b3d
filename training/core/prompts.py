"""Rows of the view `prompts`, read and checked, as what a sampler is given."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor
from transformers import PreTrainedTokenizerBase

from training.core.collate import encode_shown
from training.core.conversation import with_images
from training.core.job import RunError
from training.core.pictures import Pictures
from training.core.records import Message, Refused, Tally, completion_of, messages_of, pictures_of, prompt_hash
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
    user: str = ""  # pseudonym of the person whom a policy that knows people answers; empty: whom the run says
    profile: str = ""  # what that person says of the answers they like, for a policy that learned to read it
    anchor: str = ""  # an answer known to be good, for a judge alone: `messages` and `ids` know nothing of it
    shown: Mapping[str, Tensor] = field(default_factory=dict)  # its images, as the policy's processor has them
    # Of a prompt with images, how its row told it: `messages` have the images behind them (`core.conversation`).
    told: Mapping[str, Any] = field(default_factory=dict)

    @property
    def row(self) -> dict[str, Any]:
        """The columns in which a row says what was asked."""
        return dict(self.told) or {"prompt": self.messages}


def read_prompts(
    path: str | Path,
    tokenizer: PreTrainedTokenizerBase,
    tally: Tally,
    *,
    max_length: int | None,
    anchor: str = "",
    pictures: Pictures | None = None,
) -> list[Prompt]:
    """Return the usable prompts of a file, in its order; the others are counted in `tally`.

    A prompt of more than `max_length` tokens is refused, not cut: an answer to half a question is not worth judging.
    A row without an id has its prompt's hash. With `anchor`, a name of `ANCHORS`, so is a prompt whose row has no such
    answer to hold others against. Prompts with images need the policy's processor, `pictures`.
    """
    prompts: dict[str, Prompt] = {}
    for number, line in enumerate(Path(path).read_text(encoding="utf-8").split("\n"), start=1):
        if not line.strip():
            continue
        tally.counts["read"] += 1
        try:
            prompt = _prompt(line, tokenizer, anchor, pictures)
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


def name_users(path: str | Path) -> bool:
    """Return whether a row of a file of prompts says whom to answer, by name or by what they say of themselves.

    Lines that cannot be read are another's matter.
    """
    return any(_user_of(line) for line in Path(path).read_text(encoding="utf-8").split("\n"))


def _user_of(line: str) -> str:
    try:
        row = json.loads(line or "null")
    except json.JSONDecodeError:
        return ""
    return str(row.get("user") or row.get("profile") or "") if isinstance(row, dict) else ""


def _lacking(anchor: str) -> str:
    return f"without_{anchor}"


def _anchor(row: dict[str, Any], name: str) -> str:
    try:
        return completion_of(row.get(name))
    except Refused:
        raise Refused(_lacking(name)) from None


def _prompt(line: str, tokenizer: PreTrainedTokenizerBase, anchor: str, pictures: Pictures | None) -> Prompt:
    row = json.loads(line)
    if not isinstance(row, dict):
        raise Refused("malformed")
    spoken = messages_of(row.get("prompt"), images=pictures is not None)
    images = pictures_of(row, spoken) if pictures is not None else ()
    messages = with_images(spoken, images)
    ids, shown = encode_shown(tokenizer, pictures, messages)
    return Prompt(
        id=str(row.get("id") or prompt_hash(messages)),
        messages=messages,
        ids=ids,
        domain=str(row.get("domain") or ""),
        fresh=bool(row.get("fresh", True)),
        user=str(row.get("user") or ""),
        profile=str(row.get("profile") or ""),
        anchor=_anchor(row, anchor) if anchor else "",
        shown=shown,
        told={"prompt": row["prompt"], "images": row["images"]} if images else {},
    )


def refuse_unseen(tally: Tally, pictures: Pictures | None) -> None:
    """Raise RunError where prompts show images and the policy reads none: a share of the prompts is not all of them."""
    if pictures is None and tally.counts["refused_images"]:
        raise RunError(
            Note(
                "{n} prompts show images (line {lines}), and this policy reads text alone. Choose a policy that reads "
                "images, or leave these prompts out.",
                n=tally.counts["refused_images"],
                lines=", ".join(map(str, tally.examples["images"])),
            )
        )


def prompt_notes(tally: Tally) -> list[Note]:
    """Return one sentence for each reason for which prompts were left out."""
    meanings = {
        "malformed": Note("have no prompt that can be read"),
        "empty": Note("are empty"),
        "images": Note("have images, which the policy does not see"),
        "no_image": Note("have an image whose file is not there or cannot be opened"),
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
