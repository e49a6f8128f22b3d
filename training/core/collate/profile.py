"""What a person says of their own wishes, put before a conversation: the explicit text of P-RLHF, arXiv:2402.05133.

It stands in the system turn as one quoted string on one line, through the tokenizer's chat template. No special token
is left in it and no line ends in it, so that nothing written there opens a turn, and nobody ever reads it back out of a
text.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from transformers import PreTrainedTokenizerBase

from training.core.collate.turns import rendered
from training.core.records import Message, Refused

SECTION = "What the person who asks says about the answers they like, quoted: "


@dataclass(frozen=True)
class Quoted:
    """A profile text as a model may read it, and whether some of it had to go because it was too long."""

    text: str
    is_cut: bool = False


def quoted(tokenizer: PreTrainedTokenizerBase, profile: str, *, most: int) -> Quoted:
    """Return a profile text on one line, without tokens that mean something to the model, `most` tokens of it.

    An empty text where nothing of it may be read.
    """
    text = " ".join(_printable(profile).split())
    marks = _marks(tokenizer)
    while found := [mark for mark in marks if mark in text]:
        for mark in found:
            text = text.replace(mark, "")
        text = " ".join(text.split())
    ids = _ids(tokenizer, text)
    special = set(tokenizer.all_special_ids) - {tokenizer.unk_token_id}
    if special & set(ids):  # by a way of writing it that no list of its names has
        return Quoted("")
    is_cut, kept = len(ids) > most, most
    while len(ids) > most and kept > 0:
        # Half a character at the end is none; and what is left may be more tokens than it was.
        text = str(tokenizer.decode(ids[:kept])).rstrip("\ufffd").strip()
        again = _ids(tokenizer, text)
        if len(again) <= most:
            break
        kept -= 1
    return Quoted(text if most > 0 else "", is_cut)


def informed(
    tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message], profile: str, *, most: int
) -> list[Message]:
    """Return the conversation with a profile text in its system turn; as it is where there is nothing to read.

    A template without a system turn has it at the beginning of the first message.
    """
    told = quoted(tokenizer, profile, most=most).text
    if not told or not messages:
        return list(messages)
    section = SECTION + json.dumps(told, ensure_ascii=False)
    first = messages[0]
    if first["role"] == "system":
        return [{**first, "content": f"{first['content']}\n\n{section}"}, *messages[1:]]
    alone: Message = {"role": "system", "content": section}
    if _reads(tokenizer, [alone, *messages], section):
        return [alone, *messages]
    return [{**first, "content": f"{section}\n\n{first['content']}"}, *messages[1:]]


def _reads(tokenizer: PreTrainedTokenizerBase, messages: list[Message], section: str) -> bool:
    """Return whether the template writes the section; some refuse a system turn, and some leave it out."""
    try:
        return section in rendered(tokenizer, messages, opened=True)
    except Refused:
        return False


def _printable(text: str) -> str:
    return "".join(one if one.isprintable() or one.isspace() else " " for one in text)


def _marks(tokenizer: PreTrainedTokenizerBase) -> list[str]:
    """Return the tokens that are written in a text as signs to the model, the longest first."""
    added = [str(token) for token in tokenizer.added_tokens_decoder.values()]
    wordless = [token for token in added if token.strip() and not token.strip().isalnum()]
    return sorted({*map(str, tokenizer.all_special_tokens), *wordless} - {""}, key=len, reverse=True)


def _ids(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    return list(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])
