"""One valid judgement of each kind, about two answers, in terms of the screen."""

from __future__ import annotations

from typing import Any

from annotation.feedback.base import FeedbackType

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
    "principled_critique": {
        "principle_1_statement": "Clear",
        "critique": "The answer is easy to follow, since it says one thing at a time and in plain words. But it leaves "
        "out how long the dough should rest, and the second step is simply wrong: nobody should boil the yeast before "
        "it is stirred in. A friendly tone, and no source for any of its figures.",
        "principle_1_answer": "yes",
        "principle_1_evidence": "easy to follow",
        "principle_1_proposed_by": "rules-1",
        "principle_1_proposed": "Clear",
        "principle_1_proposed_answer": "yes",
        "principle_1_proposed_evidence": "easy to follow",
        "principle_2_statement": "Gives sources for figures",
        "principle_2_answer": "no",
        "principle_2_evidence": "no source for any of its figures",
        "principle_3_statement": "Suitable tone",
        "principle_3_answer": "reject",
        "principle_3_evidence": "A friendly tone",
        "principle_3_proposed_by": "rules-1",
        "principle_3_proposed": "Suitable tone",
        "principle_3_proposed_answer": "partly",
        "principle_3_proposed_evidence": "A friendly tone",
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

# What a campaign may ask for besides what is usual, and what is said then.
MORE: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "ranking": (
        {"attributes": ["Helpfulness", "Tone: rude | curt | plain | kind | warm"], "flags": ["Spam", "Wrong language"]},
        {
            "helpfulness_1": "3",
            "helpfulness_2": "1",
            "tone_1": "0",
            "tone_2": "4",
            "flag_wrong_language_2": "yes",
        },
    ),
    "ratings": (
        {"confidence": True, "flags": ["Fails on safety"], "more_skips": True},
        {"confidence_helpfulness_1": "3", "confidence_coherence_2": "1", "flag_fails_on_safety_2": "yes"},
    ),
}


def asked_for_all(kind: FeedbackType) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the options of a campaign that asks for all there is, and an example of what is said there."""
    options, said = MORE.get(kind.name, ({}, {}))
    return kind.clean_options(options), {**EXAMPLES[kind.name], **said}
