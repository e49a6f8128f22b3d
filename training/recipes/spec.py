"""The file contract between the Django side and `training.core`: a spec goes in, events and a result come out.

In a run's folder:

- ``spec.json``      one `RunSpec`, written by `training.launch` before the child starts
- ``metrics.jsonl``  one JSON object a line, appended by the child: ``{"step", "total_steps", "time", …numbers}``
- ``log.txt``        the child's stdout and stderr
- ``checkpoints/``   the child's own, for resuming
- ``result.json``    one `RunResult`, written last and by rename; without it the run did not finish
- ``error.json``     ``{"message", "told", "traceback"}`` when the child failed in a way it could explain
- ``STOP``           made by the parent: finish the step, write a checkpoint, exit with `EXIT_STOPPED`
"""

from __future__ import annotations

import json
import os
import threading
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from training.recipes.note import Note

SPEC_VERSION = 1

# BSD's EX_TEMPFAIL: stopped on request, can be resumed from its checkpoint.
EXIT_STOPPED = 75


@dataclass(frozen=True, kw_only=True)
class RunSpec:
    """Everything a run needs. Paths are absolute; the child reads nothing else and never a database."""

    kind: str  # "fit", "sample" or "evaluate"
    recipe: dict[str, Any]  # {"name", "version", "knobs"}
    output: str  # the run's folder
    model: str  # folder or hub name of the model to train, sample from or evaluate
    tokenizer: str | None = None  # folder or hub name; the model's own when None
    reference: str | None = None  # folder or hub name of a frozen policy; None: the recipe decides
    scorers: dict[str, str] = field(default_factory=dict)  # name → folder of a reward model, or of a guard
    suite: str | None = None  # JSON Lines of prompts with a known right way to answer (compare)
    guard: str | None = None  # folder of what reads prompts and answers before people see them (sample)
    beside: dict[str, str] = field(default_factory=dict)  # name → folder of another policy, such as one to merge with
    data: str | None = None  # JSON Lines of the recipe's view (fit), or of prompts (sample, evaluate)
    eval_data: str | None = None  # held-out rows; None: split from `data` by prompt
    images: dict[str, str] = field(default_factory=dict)  # sha256 → file of each image that the data may show
    known: list[str] = field(default_factory=list)  # what the model learned from: tells what is new to it
    seen: list[str] | None = None  # ids of a suite's questions that it learned from, or from nearly; None: not known
    engine: dict[str, Any] | None = None  # {"name", "python", "settings"} of another program that does it; None: ours
    cache: str | None = None  # folder of what runs share and may lose at any time; None: each computes all itself
    seed: int = 0
    trust_remote_code: bool = False
    version: int = SPEC_VERSION

    def write(self) -> Path:
        """Write ``spec.json`` into the run's folder and return its path."""
        return write_json(Path(self.output) / "spec.json", asdict(self))

    @classmethod
    def read(cls, path: str | Path) -> RunSpec:
        """Return the spec in the file `path`; ValueError when it is of another version or has unknown keys."""
        data = json.loads(Path(path).read_text())
        if data.get("version") != SPEC_VERSION:
            raise ValueError(f"{path} is a spec of version {data.get('version')}; this code reads {SPEC_VERSION}.")
        unknown = set(data) - set(cls.__dataclass_fields__)
        if unknown:
            raise ValueError(f"{path} has keys this code does not know: {', '.join(sorted(unknown))}.")
        return cls(**data)


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """What a finished run leaves behind. Paths are relative to the run's folder."""

    model: str | None = None  # folder of the trained model, when the run made one
    files: dict[str, str] = field(default_factory=dict)  # name → file, such as {"samples": "samples.jsonl"}
    metrics: dict[str, Any] = field(default_factory=dict)  # figures; an interval is {"estimate", "low", "high", "n"}
    counts: dict[str, int] = field(default_factory=dict)  # rows read, kept, truncated, refused, …
    notes: list[Note] = field(default_factory=list)  # whole sentences for the person who reads the run page
    told: list[dict[str, Any]] = field(default_factory=list)  # the same, to be told in any language; see `recipes.note`

    def __post_init__(self) -> None:
        if not self.told:  # a result that is read has it, and of its notes the English alone
            told = [note.told if isinstance(note, Note) else {"told": [note]} for note in self.notes]
            object.__setattr__(self, "told", told)

    def write(self, folder: str | Path) -> Path:
        return write_json(Path(folder) / "result.json", asdict(self))

    @classmethod
    def read(cls, folder: str | Path) -> RunResult | None:
        """Return the result in `folder`, or None when the run did not finish."""
        path = Path(folder) / "result.json"
        return cls(**json.loads(path.read_text())) if path.exists() else None


def write_json(path: Path, data: Any) -> Path:
    """Write `data` to `path` so that a reader sees the whole file or none, even after a crash."""
    return write_text(path, json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False))


def write_text(path: Path, text: str) -> Path:
    """Write `text` to `path` so that a reader sees the whole file or none, even after a crash."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Of its own name for each writer: two that write at once do not mix.
    part = path.with_name(f"{path.name}.{os.getpid()}-{threading.get_ident()}.part")
    with part.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    return path
