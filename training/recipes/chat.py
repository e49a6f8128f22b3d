"""A chat's limits, and its contract between the Django side and `training.core.chat`: lines of JSON through two pipes.

The child gets a `Voice` as its one argument and loads that model. Then each line of its stdin is a `Question`, and for
each it writes lines to its stdout, all with the question's ``id``:

- ``{"id", "texts": [str, str]}``    both answers as far as they are written, several times a second
- ``{"id", "answers": [Answer, …]}`` the last word: both answers, in the order of the seeds; behind a guard, which
  answers one seed alone, with ``"source"``: model, grounded or refused
- ``{"id", "error": str, "told"}``   or instead of them a sentence for the person who asked, see `recipes.note`

Either has ``"attended": {"tier", "risk"}`` beside it where a guard wants a person to look at the prompt.

Before the first question it writes ``{"ready": true}``, or ``{"error", "told"}`` and ends. It ends as well when its
stdin is closed, so that it never outlives who asks it, and after so many seconds without a question.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any

MAX_TURNS = 20
MAX_CHARACTERS = 4000  # of one message
MAX_NEW_TOKENS = 256  # of one answer
ANSWERS = 2  # a turn

# Behaviours that a model may have learned to switch between, and where the keys to them lie in its folder.
POSITIVE, REJECTIVE, NEGATIVE = MODES = ("positive", "rejective", "negative")
MODES_FILE = "modes.json"


@dataclass(frozen=True, kw_only=True)
class Voice:
    """Which model answers, in which of its modes, and how long it waits for the next question."""

    model: str  # absolute folder or hub name
    guard: str = ""  # absolute folder of what reads prompts and answers before anybody sees them; none if empty
    guard_log: str = ""  # absolute path of the file that gets a line for each of its verdicts
    trust_remote_code: bool = False
    idle_seconds: float = 300.0
    mode: str = ""  # of `MODES`; of a model with modes it is positive unless another one is named

    def to_line(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_line(cls, line: str) -> Voice:
        return cls(**json.loads(line))


@dataclass(frozen=True, kw_only=True)
class Question:
    """A conversation that waits for its next turn, to be answered once for each seed."""

    id: str
    messages: list[dict[str, Any]]
    seeds: list[int]
    temperature: float
    max_new_tokens: int
    images: list[str] = field(default_factory=list)  # base64 of each image, in the order of the parts of that type
    user: str = ""  # the pseudonym of whom a policy that knows its users answers; anybody, where it is not known
    profile: str = ""  # what that person says of the answers they like, for a policy that learned to read it

    def to_line(self) -> str:
        return json.dumps(asdict(self), ensure_ascii=False)

    @classmethod
    def from_line(cls, line: str) -> Question:
        return cls(**json.loads(line))
