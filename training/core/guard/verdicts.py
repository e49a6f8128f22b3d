"""What a guard says of a text: its tier, how sure it is, and what follows. Plain Python.

The four tiers are those of DeepKnown-Guard (card 40), of which only the abstract says anything; what follows from each
is ours: safe texts go on, unsafe ones are refused, and of the two in between a person gets an answer that is grounded
in documents, or none.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

SAFE, UNSAFE = "safe", "unsafe"
CONDITIONAL = "conditionally_safe"  # may be answered from documents alone, with a caveat
FOCUSED = "focused_attention"  # the same, and a person is to look at it
TIERS = (SAFE, UNSAFE, CONDITIONAL, FOCUSED)

PROMPT, ANSWER = "prompt", "answer"  # the two sides that are checked


@dataclass(frozen=True)
class Verdict:
    """What one check of one text came to. The text itself is not in it, so that it may stand in a log.

    `risk` is 1 less the probability of the safe tier; nan where the check failed, which is never allowed. `reason` is
    a sentence for whoever reads the log. `milliseconds` is what the check took, by the wall clock.
    """

    side: str
    allowed: bool
    tier: str
    risk: float
    threshold: float
    probabilities: dict[str, float] = field(default_factory=dict)
    reason: str = ""
    milliseconds: float = 0.0

    @property
    def failed(self) -> bool:
        """Return whether there is no opinion behind it: it was refused because nothing could be said."""
        return self.risk != self.risk

    def as_json(self) -> dict[str, Any]:
        """Return it for a line of a log; JSON has no nan."""
        told = asdict(self)
        return {**told, "risk": None} if self.failed else told
