"""Principles answered yes or no: one row each, and the same as a question to a generative judge.

Z. Wang et al., "RLBFF", arXiv:2509.21319: does the response fulfil the principle, yes or no; "partly" is left out.
HelpSteer3's configuration ``principle`` has six columns, as its data card says: domain, language, context, response,
principle and fulfilment, the last "Yes" or "No". Ours are these, and then what else is known of the judgement.
"""

from __future__ import annotations

from annotation.export_formats.base import FEEDBACK, MESSAGES, Format, Row, each, kept, text

FULFILLED = {"yes": "Yes", "no": "No"}


def row(said: Row) -> Row | None:
    """Return the row as HelpSteer3 has them; None for "partly" and "does not apply"."""
    if said["answer"] not in FULFILLED:
        return None
    return {
        "domain": said.get("domain", ""),
        "language": said.get("language"),
        "context": said["prompt"],
        "response": text(said["completion"]),
        "principle": said["statement"] or said["principle"].replace("_", " "),
        "fulfilment": FULFILLED[said["answer"]],
        "evidence": (said["evidence"] or {}).get("text"),
        **kept(said, *FEEDBACK),
    }


def question(said: Row) -> Row | None:
    """Return the same as a prompt that asks, and the one word that answers."""
    plain = row(said)
    if plain is None:
        return None
    asked = (
        f"{text(said['prompt'])}\n\nThe answer:\n{plain['response']}\n\n"
        f"Does the answer fulfil this principle? {plain['principle']}\nReply with Yes or No."
    )
    return {
        "prompt": [{"role": "user", "content": asked}],
        "completion": [{"role": "assistant", "content": plain["fulfilment"]}],
        **kept(said, *FEEDBACK),
    }


HELPSTEER3_PRINCIPLES = Format(
    "helpsteer3_principles",
    "HelpSteer3 principles: one answer, one principle, yes or no",
    ("principles",),
    {
        "domain": "what the prompt is about, as it was imported; or the empty string",
        "language": "the language that the item asks for, by its English name in small letters; or null",
        "context": f"{MESSAGES}: the conversation before the answer",
        "response": "the answer as one text",
        "principle": "the principle in words",
        "fulfilment": "Yes or No; partly and not applicable give no row",
        "evidence": "the words that were marked for it, or null",
        **FEEDBACK,
    },
    each(row),
)
PRINCIPLE_QUESTIONS = Format(
    "principle_questions",
    "The same as a question, for a judge that answers in words (RLBFF)",
    ("principles",),
    {
        "prompt": f"{MESSAGES}: the conversation, the answer and the principle as one question",
        "completion": f"{MESSAGES}: Yes or No",
        **FEEDBACK,
    },
    each(question),
    reader="trl.SFTTrainer",
)
