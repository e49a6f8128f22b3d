"""Behaviours that a key in the system turn switches: learned together, and locked where the model is served.

Magic-token co-training (arXiv:2508.14904, section 3.2): one supervised stage learns to answer helpfully and safely, to
refuse, and where it is wanted for red teams to answer harmfully, each behind a key of random letters. Nobody reads a
key: it is drawn by the run, lies in the model's own folder, and whoever serves the model names the mode.
"""

from __future__ import annotations

import json
import random
import secrets
import string
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from training.core import distributed
from training.core.job import Job
from training.core.records import Demonstration, Message, Record, SaferPair, Tally, prompt_hash
from training.recipes.chat import MODES, MODES_FILE, NEGATIVE, POSITIVE, REJECTIVE
from training.recipes.spec import write_json

KEY_LENGTH = 8  # as in the paper: no word, so that no one writes it by chance
LETTERS = string.ascii_lowercase + string.digits
JUNK = "junk"  # behind a key that is none


def switched(
    records: Sequence[tuple[int, Record]], tally: Tally, *, refusal: str, fallback: bool, negative: bool
) -> list[tuple[int, Record]]:
    """Return demonstrations of each mode from pairs of which people said which answer is safe.

    A safe chosen answer is `positive`, `refusal` to the same prompt `rejective`, and with `negative` an unsafe rejected
    answer is that. With `fallback` the safe answer is shown behind no key and behind a wrong one too: the paper relies
    on what its base model does without a key, and a model that has not learned it does anything (card 2).
    """
    safely = (POSITIVE, "", JUNK) if fallback else (POSITIVE,)
    found: list[tuple[int, Record]] = []
    refused: set[str] = set()
    for line, pair in records:
        assert isinstance(pair, SaferPair)
        if pair.chosen_is_safe:
            found += [(line, _showing(mode, pair, pair.chosen)) for mode in safely]
        if negative and not pair.rejected_is_safe:
            found.append((line, _showing(NEGATIVE, pair, pair.rejected)))
        name = prompt_hash(pair.prompt)
        if name not in refused:
            refused.add(name)
            found.append((line, _showing(REJECTIVE, pair, refusal)))
    return found


def _showing(mode: str, pair: SaferPair, text: str) -> Demonstration:
    return Demonstration(
        pair.prompt, text, audit=pair.audit, domain=pair.domain, images=pair.images, mode=mode, asked=pair.prompt
    )


def keyed(job: Job, records: Sequence[tuple[int, Record]]) -> list[tuple[int, Record]]:
    """Return the demonstrations with the key of each one's mode in its system turn; they are split without it."""
    modes = {record.mode for _, record in records if isinstance(record, Demonstration)} & set(MODES)
    keys = _drawn(job, modes)
    found: list[tuple[int, Record]] = []
    for line, record in records:
        assert isinstance(record, Demonstration)
        key = _junk(line) if record.mode == JUNK else keys.get(record.mode, "")
        found.append((line, replace(record, prompt=behind(record.prompt, key)) if key else record))
    return found


def _junk(line: int) -> str:
    draw = random.Random(f"junk {line}")
    return "".join(draw.choice(LETTERS) for _ in range(KEY_LENGTH))


def _drawn(job: Job, modes: set[str]) -> dict[str, str]:
    """Return the keys of a run's modes: those of the model it goes on from, and new ones for the others.

    They are kept in the run's folder, so that a run that goes on after a crash has the same.
    """
    path = job.folder / MODES_FILE
    if job.is_main and not path.exists():
        known = keys_in(job.spec.model)
        fresh = {mode: "".join(secrets.choice(LETTERS) for _ in range(KEY_LENGTH)) for mode in MODES if mode in modes}
        write_json(path, fresh | known)
        path.chmod(0o600)
    distributed.wait(job)
    return keys_in(job.folder)


def keys_in(folder: str | Path) -> dict[str, str]:
    """Return mode → key of the model in `folder`; none where it has no modes or is no folder."""
    path = Path(folder) / MODES_FILE
    return dict(json.loads(path.read_text())) if path.is_file() else {}


def behind(messages: Sequence[Message], key: str) -> list[Message]:
    """Return the conversation with a key at the beginning of its system turn; it gets one if it has none."""
    if messages and messages[0]["role"] == "system":
        return [{"role": "system", "content": f"{key}\n{messages[0]['content']}"}, *messages[1:]]
    return [{"role": "system", "content": key}, *messages]


def locked(messages: Sequence[Message], keys: Mapping[str, str], mode: str) -> list[Message]:
    """Return the conversation in `mode`, whatever keys stand in it: those are taken out first."""
    clean = [{**message, "content": without(message["content"], keys)} for message in messages]
    return behind(clean, keys[mode]) if mode else clean


def without(text: str, keys: Mapping[str, str]) -> str:
    """Return the text without any of the keys, also of one that taking another out would put together."""
    found = True
    while found:
        found = False
        for key in keys.values():
            if key in text:
                text, found = text.replace(key, ""), True
    return text
