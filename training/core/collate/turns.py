"""The chat template: conversations and answers as token ids, and how an assistant turn begins and ends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from torch import Tensor
from transformers import PreTrainedTokenizerBase

from training.core.conversation import SHOWN, apart, marks
from training.core.pictures import Pictures
from training.core.records import Message, Refused
from training.errors import TrainingError
from training.recipes.note import Note

PROBE = "attune"


@dataclass(frozen=True)
class Turn:
    """How the chat template writes an assistant turn: what stands before the text, and the token that ends it."""

    head: str  # between the opening of the turn and the text; most often empty
    end_id: int
    end_text: str


def turn_of(tokenizer: PreTrainedTokenizerBase) -> Turn:
    """Return how `tokenizer` writes an assistant turn, found by rendering one."""
    return _turn_of(tokenizer, str(tokenizer.chat_template))


@lru_cache(maxsize=16)
def _turn_of(tokenizer: PreTrainedTokenizerBase, template: str) -> Turn:
    question = [{"role": "user", "content": "?"}]
    opened = rendered(tokenizer, question, opened=True)
    whole = rendered(tokenizer, [*question, {"role": "assistant", "content": PROBE}], opened=False)
    if PROBE not in whole:  # a template of a model that reads images knows parts alone
        shown, told = ([{"type": "text", "text": text}] for text in ("?", PROBE))
        parts: list[Message] = [{"role": "user", "content": shown}]  # type: ignore[dict-item]
        opened = rendered(tokenizer, parts, opened=True)
        whole = rendered(tokenizer, [*parts, {"role": "assistant", "content": told}], opened=False)  # type: ignore[dict-item]
    before, found, after = whole.rpartition(PROBE)
    if not found:
        raise TrainingError(
            Note("The chat template does not write what the assistant says. Give the tokenizer another one.")
        )
    # A template may write more or less into an opened turn than into a finished one (an empty thought, say); then
    # the opened turn is right, because it is what the model is given when it answers.
    head = before[len(opened) :] if before.startswith(opened) and not before[len(opened) :].strip() else ""
    special = set(tokenizer.all_special_ids) | set(tokenizer.added_tokens_decoder)
    tail = tokenizer(after.lstrip(), add_special_tokens=False)["input_ids"]
    end_id = tail[0] if tail and tail[0] in special else tokenizer.eos_token_id
    if end_id is None:
        end_id = tokenizer.sep_token_id
    if end_id is None:
        raise TrainingError(
            Note(
                "Neither the chat template nor the tokenizer names a token that ends an answer. Set "
                "eos_token in its tokenizer_config.json."
            )
        )
    return Turn(head=head, end_id=int(end_id), end_text=str(tokenizer.convert_ids_to_tokens(int(end_id))))


def rendered(tokenizer: PreTrainedTokenizerBase, messages: list[Message], *, opened: bool) -> str:
    """Return a conversation as the chat template writes it; Refused where the template does not take it."""
    try:
        return str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=opened))
    except Exception as error:  # the template is a program of the model's author, which may raise anything
        raise Refused("malformed") from error


def encode_prompt(tokenizer: PreTrainedTokenizerBase, messages: list[Message]) -> list[int]:
    """Return the ids of a conversation up to where the assistant speaks; Refused where it has images."""
    if any(message["role"] == SHOWN for message in messages):
        raise Refused("images")
    return list(tokenizer(rendered(tokenizer, messages, opened=True), add_special_tokens=False)["input_ids"])


def encode_shown(
    tokenizer: PreTrainedTokenizerBase, pictures: Pictures | None, conversation: list[Message]
) -> tuple[list[int], Mapping[str, Tensor]]:
    """Return the ids of a conversation that may have images (`training.core.conversation`), and these as tensors.

    Without `pictures`, the processor of a model that reads them, it is Refused where it has some.
    """
    if not conversation:  # what stands for itself, such as a prompt that a guard reads
        return [], {}
    if pictures is None:
        return encode_prompt(tokenizer, conversation), {}
    return pictures.encode(*apart(conversation))


def encode_answer(
    tokenizer: PreTrainedTokenizerBase, pictures: Pictures | None, conversation: list[Message], text: str
) -> tuple[list[int], list[int], Mapping[str, Tensor]]:
    """Return the ids of a conversation, those of an answer to it, and the images of both.

    Behind the images of the conversation stand those of an answer that has some. It is read as part of what is shown,
    as it is learned from, and only the end of the turn is its own.
    """
    spoken, images = apart(conversation)
    if pictures is not None and pictures.answers and images and marks(spoken) < len(images):
        end = turn_of(tokenizer).end_id
        ids, tensors = pictures.encode_answered(spoken, text, images, end_id=end)
        return ids, [end], tensors
    completion = encode_completion(tokenizer, text)
    ids, shown = encode_shown(tokenizer, pictures, conversation)
    return ids, completion, shown


def encode_completion(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """Return the ids of an answer, with exactly one end token, its last."""
    turn = turn_of(tokenizer)
    while text.rstrip().endswith(turn.end_text):  # some samplers leave it in the text
        text = text.rstrip()[: -len(turn.end_text)]
    if not text.strip():
        raise Refused("empty")
    ids = list(tokenizer(turn.head + text, add_special_tokens=False)["input_ids"])
    if turn.end_id in ids:
        raise Refused("ends_inside")
    return [*ids, turn.end_id]


def encode_conversation(tokenizer: PreTrainedTokenizerBase, messages: list[Message], completion: str) -> list[int]:
    """Return the ids of a conversation with the assistant's answer at its end."""
    return encode_prompt(tokenizer, messages) + encode_completion(tokenizer, completion)
