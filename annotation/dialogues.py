"""What a campaign judges of a conversation: its last answer, a chosen turn, each turn, or the whole of it.

The content of an item (`Task.content`) says which. One about a last answer has ``messages`` and ``completions`` alone.
One about turns has also ``turn``, the number of the assistant's turn that its first completion is, counted from 1, and
``between``, the messages that follow each completion before the next one. One about whole dialogues has ``dialogues``,
the messages that follow ``messages`` in each completion, whose text is then the same as a transcript.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.utils.translation import gettext_lazy

ANSWER, TURN, EACH_TURN, DIALOGUE = "answer", "turn", "each_turn", "dialogue"
# In the order in which a form offers them.
SCOPES = {
    ANSWER: gettext_lazy("The last answer"),
    TURN: gettext_lazy("A chosen turn of a dialogue"),
    EACH_TURN: gettext_lazy("Each turn of a dialogue"),
    DIALOGUE: gettext_lazy("A dialogue as a whole"),
}
# Nobody judges more in one go.
MOST_TURNS = 20

Messages = list[dict[str, str]]
Content = Mapping[str, Any]


def scope_of(options: Mapping[str, Any]) -> str:
    """Return what a campaign with these options judges; those from before there was a choice, the last answer."""
    return str(options.get("scope", ANSWER))


def opening(messages: Messages) -> Messages:
    """Return a dialogue up to the first turn of the assistant; all of it when there is none."""
    for place, message in enumerate(messages):
        if message["role"] == "assistant":
            return messages[:place]
    return messages


def transcript(messages: Messages) -> str:
    """Return messages as one text, for where only a text fits."""
    speakers = {"user": "Person", "assistant": "Assistant", "system": "Instructions"}
    return "\n\n".join(f"{speakers[message['role']]}: {message['content']}" for message in messages)


def before(content: Content, turn: int) -> Messages:
    """Return the conversation before a turn of the assistant that is judged: the prompt that the turn answers."""
    messages = list(content["messages"])
    for place in range(turn - content["turn"]):
        messages.append({"role": "assistant", "content": content["completions"][place]["text"]})
        messages += content["between"][place]
    return messages


def whole(content: Content) -> Messages | None:
    """Return the whole conversation of an item about turns; None for any other item."""
    if "between" not in content:
        return None
    last = len(content["completions"]) - 1
    said = {"role": "assistant", "content": content["completions"][last]["text"]}
    return [*before(content, content["turn"] + last), said, *content["between"][last]]


def placed(row: Mapping[str, Any], content: Content) -> dict[str, Any]:
    """Return a row of a data set with the prompt of what it is about, its turn, and whole dialogues as messages."""
    if "between" in content:
        turn = row.get("turn", content["turn"])
        return {"prompt": before(content, turn), **row, "turn": turn}
    made = {"prompt": content["messages"], **row, "turn": None}
    if "dialogues" not in content:
        return made
    # A kind knows texts only; two dialogues of one item never have the same.
    texts = {completion["text"]: place for place, completion in enumerate(content["completions"])}
    for column in ("completion", "chosen", "rejected"):
        if column in made:
            made[column] = content["dialogues"][texts[made[column][0]["content"]]]
    return made


def in_common(dialogues: Sequence[Messages]) -> int:
    """Return how many messages the dialogues begin with together, so that each goes on with a turn of the assistant."""
    if len(dialogues) == 1:  # all that the assistant said in it is judged
        return len(opening(dialogues[0]))
    shared = 0
    for messages in zip(*dialogues, strict=False):
        if any(message != messages[0] for message in messages):
            break
        shared += 1
    while shared and not all(
        len(messages) > shared and messages[shared]["role"] == "assistant" for messages in dialogues
    ):
        shared -= 1
    return shared
