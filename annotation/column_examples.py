"""What stands in each column of an export, by an example: of it an empty file gets its columns and their types.

Rows tell their types themselves (`annotation.parquet`), so this is read only where there is no row. `{}` stands for
what a campaign's options or somebody else's data name: an object whose fields nobody knows beforehand.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

_MESSAGES = [{"role": "user", "content": ""}]
_PAIR = {"prompt": _MESSAGES, "chosen": _MESSAGES, "rejected": _MESSAGES, "strength": 0.5}
_JUDGEMENT = {
    "annotator": "",
    "payload": {},
    "verdict": "",
    "shown_order": [0],
    "seconds": 0.5,
    "active_seconds": 0.5,
    "simulated": True,
    "guideline": 1,
    "feedback": 1,
    "created": "",
}
_TEXTS = (
    *("comment", "annotator", "policy", "campaign", "task", "kind", "verdict", "source", "critique", "strengths"),
    *("weaknesses", "principle", "principle_version", "statement", "answer", "evidence_in", "proposed_by", "domain"),
    *("language", "dimension", "pack", "id", "chosen_origin", "rejected_origin", "completion_origin", "response"),
    *("fulfilment", "chosen_model", "rejected_model", "subset", "response_0", "response_1"),
)
_WHOLE = (
    *("position", "round", "feedback", "guideline", "turn", "number", "severity", "chosen_severity", "count"),
    *("rejected_severity", "score", "better_response_id", "safer_response_id"),
    *(f"response_{place}_{name}" for place in (0, 1) for name in ("severity_level", "sign")),
    *(f"{one}_{name}_rate" for one in ("chosen", "rejected") for name in ("harmless", "helpful")),
    *(f"response_{place}_{name}_rate" for place in (0, 1) for name in ("harmless", "helpful")),
)
_FRACTIONS = ("strength", "seconds", "active_seconds", "annotator_weight", "weight", "gap", "margin", "reward")
_FLAGS = (
    *("audit", "simulated", "flagged", "changed", "is_safe", "chosen_is_safe", "rejected_is_safe"),
    *("chosen_is_better", "label", "is_response_0_safe", "is_response_1_safe"),
)
_READABILITY = {"words": 1, "sentences": 1, "reading_ease": 0.5, "grade": 0.5}
_EXAMPLES: dict[str, Any] = {
    **dict.fromkeys(_TEXTS, ""),
    **dict.fromkeys(_WHOLE, 1),
    **dict.fromkeys((*_FRACTIONS, "agreement"), 0.5),
    **dict.fromkeys(_FLAGS, True),
    **dict.fromkeys(("prompt", "chosen", "rejected", "completion"), _MESSAGES),
    **{key: {} for key in ("ratings", "reasons", "harms", "chosen_harms", "rejected_harms", "payload", "behaviour")},
    "confidence": {},
    "dialogue": _MESSAGES,
    "completions": [{"text": "", "origin": ""}],
    "shown_order": [0],
    "ranks": [1],
    "flags": [""],
    "safe_rlhf_harms": [""],
    "response_0_harm_category": [""],
    "response_1_harm_category": [""],
    "readability": _READABILITY,
    "readability_before": _READABILITY,
    "evidence": {"text": "", "start": 0, "end": 0},
    "passages": [{"about": "", "text": "", "start": 0, "end": 0}],
    "suggestion": {"payload": {}, "by": "", "score": 0.5, "verdict": "", "agreement": 0.5},
    "context": [_PAIR],
    "target": [_PAIR],
    "aggregate": [
        {"dimension": "", "place": 0, "value": 0, "category": "", "agreement": 0.5, "judgements": 1},
    ],
    "judgements": [_JUDGEMENT],
}
# Where a view or layout has something else under a name.
_OWN: dict[str, dict[str, Any]] = {
    "rankings": {"flags": [[""]]},
    "stepwise": {"prompt": "", "completions": [""], "labels": [True]},
    "reward_bench": {"prompt": "", "chosen": "", "rejected": "", "id": 1},
    "safe_rlhf": {"prompt": ""},
    "helpsteer3_principles": {"context": _MESSAGES, "evidence": ""},
}


def row_of(name: str, columns: Iterable[str]) -> dict[str, Any]:
    """Return a row as the view or layout `name` has them, with something of the right type in each of `columns`."""
    known = {**_EXAMPLES, **_OWN.get(name, {})}
    return {column: known[column] for column in columns}
