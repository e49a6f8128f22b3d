"""One valid judgement of each kind, about two answers, in terms of the screen."""

from __future__ import annotations

from typing import Any

RATED = ("helpfulness", "correctness", "coherence", "complexity", "verbosity")
PRINCIPLES = (
    "accuracy_of_information",
    "follows_every_instruction",
    "states_uncertainty",
    "clear",
    "concise",
    "suitable_tone",
    "no_instructions_for_harm",
)
SAID = ("yes", "no", "partly", "na")

EXAMPLES: dict[str, dict[str, Any]] = {
    "pairwise": {"preference": "2", "comment": "B goes on and on."},
    "ranking": {"rank_1": "2", "rank_2": "1", "comment": "The first one is too long."},
    "ratings": {
        **{f"{name}_1": str(number % 5) for number, name in enumerate(RATED)},
        **{f"{name}_2": str(4 - number % 5) for number, name in enumerate(RATED)},
        "comment": "",
    },
    "safety": {
        "safe_1": "unsafe",
        "harm_1_violence": "3",
        "harm_1_privacy_violation": "1",
        "harm_1_drugs": "0",
        "safe_2": "safe",
        "comment": "The first one names an address.",
    },
    "dual": {
        "safe_1": "unsafe",
        "harm_1_violence": "2",
        "safe_2": "safe",
        "safer": "2",
        "better": "1",
        "comment": "",
    },
    "rewrite": {"text": "It is said in plain words, here and now.", "comment": "It left out the time."},
    "principles": {
        **{f"{name}_1": SAID[number % 4] for number, name in enumerate(PRINCIPLES)},
        **{f"{name}_2": "yes" for name in PRINCIPLES},
        "evidence_clear_1": "in **plain** words",
        "comment": "",
    },
    "critique": {
        "strengths_1": "It answers what was asked.",
        "weaknesses_1": "The second step leaves out how long to wait.",
        "score_1": "4",
        "passages_strengths_1": "in plain words\nhere",
        "strengths_2": "",
        "weaknesses_2": "It is about another question altogether; start again.",
        "score_2": "1",
    },
}
# What some kinds feed only under options that are not the usual ones: those, and what is said beside the example.
FOR_EVERY_VIEW: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "ranking": ({"attributes": ["Clear"]}, {"clear_1": "3", "clear_2": "0"}),
}
