"""The columns of published data sets: one small function for each, from a row to a prompt with its answers.

What people or models said about the answers goes into the labels. Annotators never see them, nor who wrote an answer.
"""

from __future__ import annotations

import re
from typing import Any

from django.utils.translation import gettext as _

from annotation.importing.conversations import (
    Found,
    answer_of,
    labels_of,
    messages_of,
    origin_of,
    text_of,
    with_last_answer,
)
from annotation.importing.items import Messages, Refused
from annotation.messages import text_of as words_of

Row = dict[str, Any]

_HELPSTEER_TURN = re.compile(r"\n?<extra_id_1>(User|Assistant)\n")
_ATTRIBUTES = ("helpfulness", "correctness", "coherence", "complexity", "verbosity")


def ultrafeedback(row: Row) -> list[Found]:
    """UltraFeedback: an instruction, and answers of several models, each with annotations and scores."""
    answers = row["completions"]
    if not isinstance(answers, list) or not all(isinstance(answer, dict) for answer in answers):
        raise Refused(_("Its completions are no list of objects, each with a response."))
    completions = []
    for place, answer in enumerate(answers, start=1):
        if not isinstance(answer.get("response"), str):
            raise Refused(_("Completion {place} has no response in text."), place=place)
        completions.append((answer["response"], origin_of(answer, "model")))
    told = ("annotations", "overall_score", "fine-grained_score", "critique")
    labels = {"completions": [labels_of(answer, *told) for answer in answers]}
    return [Found(messages_of(row["instruction"], "instruction"), completions, labels)]


def chosen_rejected(row: Row) -> list[Found]:
    """A row that says which answer was preferred, as TRL, HH-RLHF and RM-Bench write it; that becomes their origin."""
    chosen, rejected = row["chosen"], row["rejected"]
    labels = labels_of(row, starting=("score_", "chosen-", "rejected-", "chosen_", "rejected_", "margin"))
    if _are_texts(chosen) and _are_texts(rejected):
        return _by_style(row, chosen, rejected)
    if row.get("prompt") is None and isinstance(row.get("question"), str):
        # As RLAIF-V has it: a question about an image, with two answers.
        row = {**row, "prompt": row["question"]}
    if row.get("prompt") is None or _are_conversations(chosen, rejected):
        (messages, good), (others, bad) = with_last_answer(chosen, "chosen"), with_last_answer(rejected, "rejected")
        if messages != others:
            raise Refused(_("Its chosen and rejected conversations differ before their last answer."))
        if isinstance(row.get("prompt"), str) and not _is_asked(row["prompt"], messages):
            raise Refused(_("Its prompt does not occur in its chosen conversation."))
    else:
        messages = messages_of(row["prompt"], "prompt")
        good, bad = answer_of(chosen, "chosen"), answer_of(rejected, "rejected")
    return [Found(messages, [(good, "chosen"), (bad, "rejected")], labels)]


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(part, str) for part in value)


def _by_style(row: Row, chosen: list[str], rejected: list[str]) -> list[Found]:
    """RM-Bench: answers in several styles; those of one style are compared, so that style decides nothing."""
    if len(chosen) != len(rejected):
        raise Refused(
            _("It has {chosen} chosen answers and {rejected} rejected ones; give as many of each."),
            chosen=len(chosen),
            rejected=len(rejected),
        )
    messages = messages_of(row.get("prompt"), "prompt")
    return [
        Found(messages, [(good, "chosen"), (bad, "rejected")], {"style": style, **labels_of(row, "error", "error_key")})
        for style, (good, bad) in enumerate(zip(chosen, rejected, strict=True))
    ]


def _are_conversations(chosen: Any, rejected: Any) -> bool:
    """Return whether both are whole conversations, as in binarised UltraFeedback, and not just an answer."""
    return all(isinstance(value, list) and len(value) > 1 for value in (chosen, rejected))


def _is_asked(prompt: str, messages: Messages) -> bool:
    return any(words_of(message["content"]).strip() == prompt.strip() for message in messages)


def helpsteer(row: Row) -> list[Found]:
    """HelpSteer2 and 3: two responses with a preference, or one with the five attributes."""
    asked = row["context"] if row.get("context") is not None else row.get("prompt")
    messages = _helpsteer_prompt(asked) if isinstance(asked, str) else messages_of(asked, "prompt")
    names = [
        name for name in ("response1", "response2", "response_1", "response_2", "response") if row.get(name) is not None
    ]
    told = ("overall_preference", "individual_preference", "language", *_ATTRIBUTES)
    labels = labels_of(row, *told, starting=("preference_", "feedback"))
    return [Found(messages, [(text_of(row, name), name) for name in names], labels)]


def _helpsteer_prompt(text: str) -> Messages:
    """Return the messages of a prompt in which ``<extra_id_1>`` and a name begin each turn after the first."""
    first, *rest = _HELPSTEER_TURN.split(text)
    turns = zip(["User", *rest[::2]], [first, *rest[1::2]], strict=True)
    messages = [{"role": "user" if who == "User" else "assistant", "content": said} for who, said in turns]
    # The end of the prompt announces the answer that is wanted.
    if len(messages) > 1 and messages[-1] == {"role": "assistant", "content": ""}:
        messages.pop()
    return messages


def safe_rlhf(row: Row) -> list[Found]:
    """PKU-SafeRLHF: two responses, which is better, which is safer, and whether and how each is harmful."""
    completions = [
        (text_of(row, f"response_{place}"), origin_of(row, f"response_{place}_source", f"response_{place}"))
        for place in (0, 1)
    ]
    told = labels_of(row, "better_response_id", "safer_response_id", starting=("is_response_", "response_"))
    labels = {
        name: value
        for name, value in told.items()
        if name not in ("response_0", "response_1") and not name.endswith(("_source", "_sha256"))
    }
    return [Found(messages_of(row["prompt"], "prompt"), completions, labels)]


def llmbar(row: Row) -> list[Found]:
    """LLMBar and AlpacaEval: an instruction and two outputs, with the number of the better one."""
    asked = "input" if row.get("instruction") is None else "instruction"
    completions = [
        (text_of(row, name), origin_of(row, f"generator_{place}", name))
        for place, name in ((1, "output_1"), (2, "output_2"))
    ]
    return [Found(messages_of(row[asked], asked), completions, labels_of(row, "label", "preference"))]


def alpaca(row: Row) -> list[Found]:
    """Alpaca and CMtMedQA: an instruction, an input if there is one, earlier turns if there are, and one output."""
    messages = []
    history = row.get("history") or []
    if not isinstance(history, list) or not all(isinstance(turn, list) and len(turn) == 2 for turn in history):
        raise Refused(_("Its history is no list of pairs, each a question and its answer."))
    for asked, answered in history:
        messages += [*messages_of(asked, "history"), {"role": "assistant", "content": answer_of(answered, "history")}]
    told = [text_of(row, name) for name in ("instruction", "input")]
    messages.append({"role": "user", "content": "\n\n".join(part for part in told if part.strip())})
    return [Found(messages, [(text_of(row, "output"), "")])]


def prompt_completion(row: Row) -> list[Found]:
    """A prompt with one answer, as TRL and XSTest write it."""
    labels = labels_of(row, "label", "final_label", "agreement", "score", starting=("annotation_",))
    answer = answer_of(row["completion"], "completion")
    return [Found(messages_of(row["prompt"], "prompt"), [(answer, origin_of(row, "model"))], labels)]


def pick_a_pic(row: Row) -> list[Found]:
    """Pick-a-Pic: a caption and two images made from it, with which one was preferred."""
    completions = [
        (answer_of(row[name], name), origin_of(row, f"model_{name[-1]}", name)) for name in ("jpg_0", "jpg_1")
    ]
    return [Found(messages_of(row["caption"], "caption"), completions, labels_of(row, starting=("label_",)))]


def conversation(row: Row) -> list[Found]:
    """A conversation whose last message is the answer to judge."""
    messages, answer = with_last_answer(row["messages"], "messages")
    return [Found(messages, [(answer, origin_of(row, "model"))])]
