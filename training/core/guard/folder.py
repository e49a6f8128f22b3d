"""A guard as a folder: ``guard.json`` with its lines and what was shown of them, and the files it names.

Nothing in it is code, and no file outside of it is read but a scorer's folder, which is named whole, where it does not
lie within.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from training.core.guard.grounding import Knowledge
from training.core.guard.guard import CAVEAT, REFUSAL, REGENERATIONS, Check, Guard, Line
from training.core.guard.lexical import Lexical
from training.core.guard.scored import Open, Scored
from training.core.guard.thresholds import FalseAlarmLine, Threshold
from training.core.guard.verdicts import ANSWER, PROMPT, Verdict
from training.core.job import RunError
from training.core.pictures import Album
from training.core.scorers import RewardScorer
from training.recipes.note import Note
from training.recipes.spec import write_json
from training.recipes.tiers import CURVE_FILE, MEASURED_FILE, tiers_of

GUARD_FILE = "guard.json"
JAILBREAKS = "jailbreaks"
VERSION = 1


def is_guard(path: str | Path) -> bool:
    return (Path(path) / GUARD_FILE).is_file()


def save_guard(
    folder: Path,
    *,
    prompt: tuple[Lexical | Scored | Open, Threshold],
    answer: tuple[Lexical | Scored | Open, Threshold],
    knowledge: Knowledge | None = None,
    regenerations: int = REGENERATIONS,
    refusal: str = REFUSAL,
    caveat: str = CAVEAT,
) -> Path:
    """Write a guard that `load_guard` reads, and return its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    told: dict[str, Any] = {"version": VERSION, "regenerations": regenerations, "refusal": refusal, "caveat": caveat}
    for side, (check, threshold) in ((PROMPT, prompt), (ANSWER, answer)):
        if isinstance(check, Lexical):
            file = f"{side}.json"
            check.save(folder / file)
        else:
            file = check.path if isinstance(check, Scored) else ""
        told[side] = {"check": check.kind, "file": file, "threshold": threshold.as_json()}
    if knowledge is not None:
        told["knowledge"] = "knowledge.jsonl"
        knowledge.save(folder / told["knowledge"])
    write_json(folder / GUARD_FILE, told)  # last: a folder without it is no guard
    return folder


def save_with_jailbreaks(base: Path, folder: Path, *, check: Lexical, line: FalseAlarmLine) -> Path:
    """Write the guard in `base` again with this detector of jailbreaks in place of any other, and return its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    told = json.loads((base / GUARD_FILE).read_text(encoding="utf-8"))
    for name in (MEASURED_FILE, CURVE_FILE):
        if (base / name).is_file():
            shutil.copyfile(base / name, folder / name)
    named = {told[side]["file"] for side in (PROMPT, ANSWER) if told[side]["check"] == Lexical.kind}
    for name in sorted(named | {told["knowledge"]} if told.get("knowledge") else named):
        shutil.copyfile(base / Path(name).name, folder / Path(name).name)
    for side in (PROMPT, ANSWER):
        if (within := _within(base, told[side])) is not None:
            shutil.copytree(within, folder / within.name, dirs_exist_ok=True)
    check.save(folder / "jailbreaks.json")
    told[JAILBREAKS] = {"file": "jailbreaks.json", "line": line.as_json()}
    write_json(folder / GUARD_FILE, told)
    return folder


def jailbreaks_of(path: str | Path) -> tuple[Lexical, FalseAlarmLine] | None:
    """Return the detector of jailbreaks that a guard's folder has, with its line; None where it has none."""
    told = json.loads((Path(path) / GUARD_FILE).read_text(encoding="utf-8")).get(JAILBREAKS)
    if told is None:
        return None
    return Lexical.load(Path(path) / Path(told["file"]).name), FalseAlarmLine(**told["line"])


def load_guard(
    path: str | Path,
    *,
    device: torch.device | None = None,
    trust_remote_code: bool = False,
    log: Callable[[Verdict], None] | None = None,
    album: Album | None = None,
) -> Guard:
    """Return the guard in a folder; RunError says what is wrong with it, and then nothing may be let through.

    Checks that read images find them in the `album`.
    """
    folder = Path(path)
    try:
        told = json.loads((folder / GUARD_FILE).read_text(encoding="utf-8"))
        if told["version"] != VERSION:
            raise ValueError(f"it is of version {told['version']}, and this code reads {VERSION}")
        lines = {}
        for side in (PROMPT, ANSWER):
            one = told[side]
            value = float(Threshold.of(one["threshold"]).value)
            if not 0 < value <= 1 or not math.isfinite(value):
                raise ValueError(f"the threshold of its {side} side is {value}")
            lines[side] = Line(_check(folder, one, device, trust_remote_code, album), value)
        name, detector = told.get("knowledge"), jailbreaks_of(folder)
        return Guard(
            prompt=lines[PROMPT],
            answer=lines[ANSWER],
            # A text is flagged above its line, and a guard blocks from its line on.
            jailbreaks=None if detector is None else Line(detector[0], math.nextafter(detector[1].value, math.inf)),
            knowledge=None if name is None else Knowledge.load(folder / Path(name).name),
            regenerations=max(0, int(told["regenerations"])),
            refusal=str(told["refusal"]),
            caveat=str(told["caveat"]),
            tiers=tiers_of(told.get("tiers")),
            log=log,
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunError(
            Note("{folder} holds no guard that can be read ({error}). Make it anew.", folder=folder, error=error)
        ) from None


def _within(folder: Path, told: dict[str, Any]) -> Path | None:
    """Return the model of a check that lies in the guard's own folder, and goes where that goes; None for another."""
    own = folder / Path(told["file"]).name
    return own if told["check"] == Scored.kind and told["file"] == own.name and own.is_dir() else None


def _check(
    folder: Path, told: dict[str, Any], device: torch.device | None, trust_remote_code: bool, album: Album | None
) -> Check:
    if told["check"] == Lexical.kind:
        return Lexical.load(folder / Path(told["file"]).name)
    if told["check"] == Scored.kind:
        where = torch.device("cpu") if device is None else device
        within = _within(folder, told)
        path = told["file"] if within is None else str(within)
        scorer = RewardScorer(path, device=where, trust_remote_code=trust_remote_code, album=album)
        return Scored(scorer, path)
    if told["check"] == Open.kind:
        return Open()
    raise ValueError(f"there is no check called {told['check']}")
