"""Questions with four options in LabSafety Bench's layout (arXiv:2410.14182): read, put in another order, asked.

A file is JSON Lines, or a list in JSON, of objects with the published names: ``Question`` (its text with the options A
to D), ``Correct Answer``, ``Category`` (a list; a question counts in each), ``Topic``, ``Level``, ``Image Path`` (none
for a question in text alone) and ``Explanation``, which is read where a question is shown as an example. Other names
are left alone.
"""

from __future__ import annotations

import gzip
import hashlib
import itertools
import json
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from training.recipes.note import Note

LETTERS = "ABCD"
VIEW = "suite"  # what a recipe reads that is put such a file
TEXT, IMAGE = "text", "image"
DIRECT, STEPS = "direct", "step_by_step"
ASKED = {
    DIRECT: "Answer with the letter of the right option alone.",
    STEPS: "Think step by step, briefly. Then write “The answer is” and the letter of the right option.",
}

# The last A that a B, a C and a D follow begins the options, on lines of their own or in one line.
_OPTIONS = re.compile(
    r"^(?P<stem>.*)(?<![\w(])\(?A[).:]\s+(?P<A>.+?)\s+\(?B[).:]\s+(?P<B>.+?)\s+\(?C[).:]\s+(?P<C>.+?)\s+\(?D[).:]\s+(?P<D>.+)$",
    re.DOTALL,
)
# What an option says of the others, which is wrong once they stand elsewhere.
_OF_OTHERS = re.compile(
    r"\b(?i:all|none|both|either|neither|any) (?i:of (?:the )?(?:above|these|others?|options))\b|"
    r"\b[A-D],? (?:and|or|nor|&) [A-D]\b"
)
# Every order in which no option stays where it was.
_MOVED = [order for order in itertools.permutations(range(4)) if all(order[place] != place for place in range(4))]


@dataclass(frozen=True)
class Question:
    """A question of a suite. `order` tells for each place which of the published options stands there."""

    id: str  # a hash, as the name of an image's file may give the answer away
    stem: str
    options: tuple[str, ...]
    answer: str
    categories: tuple[str, ...]
    topic: str = ""
    level: str = ""
    image: str = ""
    explanation: str = ""
    order: tuple[int, ...] = (0, 1, 2, 3)

    @property
    def modality(self) -> str:
        return IMAGE if self.image else TEXT

    @property
    def choices(self) -> str:
        """Return the four options, each on a line behind its letter."""
        return "\n".join(f"{letter}: {option}" for letter, option in zip(LETTERS, self.options, strict=True))

    @property
    def text(self) -> str:
        return f"{self.stem}\n{self.choices}"

    @property
    def can_be_moved(self) -> bool:
        """Return whether its options mean the same in any order."""
        return not any(_OF_OTHERS.search(option) for option in self.options)

    def messages(self, ask: str = DIRECT) -> list[dict[str, str]]:
        """Return it as a prompt; neither its key nor the name of its image is in it."""
        return [{"role": "user", "content": f"{self.text}\n\n{ASKED[ask]}"}]

    def example(self, ask: str = DIRECT) -> list[dict[str, str]]:
        """Return it as a turn that stands before another question, with its answer."""
        said = self.answer if ask == DIRECT else f"{self.explanation} The answer is {self.answer}.".strip()
        return [*self.messages(ask), {"role": "assistant", "content": said}]

    def moved(self, seed: int) -> Question:
        """Return it with no option where it was, the same ones for a seed and a question."""
        order = random.Random(f"{seed}/{self.id}").choice(_MOVED)
        return replace(
            self,
            options=tuple(self.options[place] for place in order),
            answer=LETTERS[order.index(LETTERS.index(self.answer))],
            order=tuple(self.order[place] for place in order),
        )

    def option_of(self, letter: str | None) -> int | None:
        """Return which of the published options a letter chooses here."""
        return None if letter is None else self.order[LETTERS.index(letter)]


def is_question(row: Any) -> bool:
    """Return whether a row is in this layout, whatever else is wrong with it."""
    return isinstance(row, dict) and "Question" in row and "Correct Answer" in row


def question(row: Any) -> Question:
    """Return a row as a question; ValueError with a sentence that says what is wrong with it."""
    if not is_question(row):
        raise ValueError(Note("It lacks Question or Correct Answer."))
    text = row["Question"]
    found = _OPTIONS.match(text.strip()) if isinstance(text, str) else None
    if found is None or not found["stem"].strip():
        raise ValueError(Note("Its Question has no text with four options after it, A to D, such as “A: …”."))
    answer = str(row["Correct Answer"]).strip().upper()
    if answer not in tuple(LETTERS):
        raise ValueError(Note("Its Correct Answer is none of A, B, C and D."))
    named = row.get("Category") or []
    categories = [named] if isinstance(named, str) else named
    if not isinstance(categories, list) or not all(isinstance(one, str) and one.strip() for one in categories):
        raise ValueError(Note("Its Category is no list of names."))
    image = str(row.get("Image Path") or "")
    return Question(
        id=hashlib.sha256(f"{text.strip()}\n{image}".encode("utf-8", "surrogatepass")).hexdigest()[:12],
        stem=found["stem"].strip(),
        options=tuple(" ".join(found[letter].split()) for letter in LETTERS),
        answer=answer,
        categories=tuple(dict.fromkeys(one.strip() for one in categories)),
        topic=str(row.get("Topic") or "").strip(),
        level=str(row.get("Level") or "").strip(),
        image=image,
        explanation=" ".join(str(row.get("Explanation") or "").split()),
    )


def rows_of(path: Path) -> Iterator[tuple[int, Any]]:
    """Yield the rows of a file with their numbers, from 1; ValueError with a sentence for what is no JSON."""
    data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    text = data.decode("utf-8", "replace")
    if text.lstrip().startswith("["):
        try:
            yield from enumerate(json.loads(text), start=1)
        except json.JSONDecodeError:
            raise ValueError(Note("{file} is no JSON.", file=path.name)) from None
        return
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            try:
                yield number, json.loads(line)
            except json.JSONDecodeError:
                raise ValueError(Note("Line {number} of {file} is no JSON.", number=number, file=path.name)) from None


def read(path: str | Path) -> list[Question]:
    """Return the questions of a file, in its order; ValueError with a sentence that names the first bad row."""
    return questions(rows_of(Path(path)), name=Path(path).name)


def questions(rows: Iterator[tuple[int, Any]] | Sequence[tuple[int, Any]], *, name: str) -> list[Question]:
    """Return numbered rows as questions; `name` is what the file is called that they are from."""
    found: dict[str, Question] = {}
    for number, row in rows:
        try:
            one = question(row)
        except ValueError as error:
            why = error.args[0]
            row_said = Note("Row {number} of {file} is no question of a suite.", number=number, file=name)
            raise ValueError(Note.together([row_said, why])) from None
        if one.id in found:
            raise ValueError(Note("Row {number} of {file} repeats an earlier question.", number=number, file=name))
        found[one.id] = one
    if not found:
        raise ValueError(Note("There is no question in {file}.", file=name))
    return list(found.values())
