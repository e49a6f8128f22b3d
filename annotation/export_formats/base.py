"""What a format is: rows of a view in the columns that somebody else's code expects."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from annotation.dialogues import transcript
from annotation.messages import in_words

Row = dict[str, Any]


@dataclass(frozen=True)
class Format:
    """Columns of another project, made of the rows of one of `views`: of the first one that a campaign's kind feeds."""

    name: str
    title: str
    views: tuple[str, ...]
    columns: dict[str, str]
    convert: Callable[[Iterable[Row]], Iterator[Row]]
    # Who reads it as it is, in words for a page; empty when whoever asked for it does.
    reader: str = ""


def each(row_of: Callable[[Row], Row | None]) -> Callable[[Iterable[Row]], Iterator[Row]]:
    """Return the converter that makes at most one row of each; None leaves a row out."""

    def convert(rows: Iterable[Row]) -> Iterator[Row]:
        for row in rows:
            made = row_of(row)
            if made is not None:
                yield made

    return convert


def text(messages: list[dict[str, Any]]) -> str:
    """Return a prompt or an answer as one text: a single message as it is, several with who says each."""
    plain = [{"role": message["role"], "content": _words(message["content"])} for message in messages]
    return plain[0]["content"] if len(plain) == 1 else transcript(plain)


def _words(content: Any) -> str:
    if isinstance(content, str):
        return content
    return in_words([{**part, "alt": ""} if part["type"] == "image" else part for part in content])


def kept(row: Row, *names: str) -> Row:
    """Return these columns of a row, as far as it has them."""
    return {name: row[name] for name in names if name in row}


MESSAGES = 'list of {"role", "content"}'
FEEDBACK = {"feedback": "id of the judgement", "annotator": "pseudonym of the person"}
