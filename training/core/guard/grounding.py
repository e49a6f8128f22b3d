"""Answers that are nothing but quotations of trusted documents, each with where it stands. Plain Python.

DeepKnown-Guard (card 40) answers risky questions from a knowledge base, with a model that was trained for it; how is
not published. Ours quotes: of the passages that speak of what is asked, whole sentences, each with document and place.
What a model writes can be held to the same: `verified` drops each sentence whose citation does not exist, or whose
passage does not support it. To quote is the strictest support; `Supports` may be a judge instead, such as a
principle model asked whether the passage supports the sentence.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from training.core.guard.lexical import plain
from training.errors import TrainingError
from training.recipes import citations
from training.recipes.citations import CITATION
from training.recipes.note import Note

# A point inside 3.5 ends nothing, nor does a line: what follows “do not” may stand on the next one.
SENTENCE = re.compile(r"\S.*?(?:[.!?]+(?=\s|\Z)|(?=\n\s*\n)|\Z)", re.DOTALL)
K1, B = 1.2, 0.75  # of BM25, as Robertson and Zaragoza (2009) recommend
# Words that a question has whatever it is about.
EMPTY = frozenset(
    re.findall(
        r"\w+",
        "a an and are as at be by can could do does for from has have how i if in is it its me my of on or our please "
        "shall should that the their there this to was we were what when where which who whom why will with would you "
        "your",
    )
)

Supports = Callable[[str, str], bool]  # a passage, and a sentence that is said to stand on it


@dataclass(frozen=True)
class Document:
    """A trusted text, known by an id without colons and brackets."""

    id: str
    text: str
    version: str = ""

    @property
    def cited(self) -> str:
        """Return what it is called in citations."""
        return citations.cited(self.id, self.version)


@dataclass(frozen=True)
class Passage:
    """A sentence of a document: `text` is what stands there from `start` to `end`, in characters."""

    document: str  # as it is cited
    start: int
    end: int
    text: str

    @property
    def citation(self) -> str:
        return f"[{self.document}:{self.start}-{self.end}]"


def words(text: str) -> list[str]:
    """Return the words that carry meaning, in plain letters."""
    return [word for word in re.findall(r"\w+", plain(text)) if word not in EMPTY]


def quoted(passage: str, sentence: str) -> bool:
    """Return whether the sentence is the passage, but for spaces and the mark at its end.

    A part of it is no quotation: “take it” stands in “do not take it”.
    """

    def bare(text: str) -> str:
        return " ".join(plain(text).split()).rstrip(".!? ")

    return bool(bare(sentence)) and bare(sentence) == bare(passage)


class Knowledge:
    """Documents, found by the words of a question."""

    def __init__(self, documents: Iterable[Document]) -> None:
        self.documents = {document.id: document for document in documents}
        self.passages = [passage for document in self.documents.values() for passage in _passages(document)]
        self._words = [Counter(words(passage.text)) for passage in self.passages]
        self._mean = sum(map(sum, (c.values() for c in self._words))) / max(1, len(self._words))
        seen = Counter(word for counts in self._words for word in counts)
        n = len(self.passages)
        self._idf = {word: math.log(1 + (n - count + 0.5) / (count + 0.5)) for word, count in seen.items()}
        self._unknown = math.log(1 + (n + 0.5) / 0.5)

    def found(self, question: str, *, most: int = 3, coverage: float = 0.5) -> list[Passage]:
        """Return the passages that answer a question, the best first; none where none speaks of what is asked.

        Ranked by BM25. A passage counts only if it has `coverage` of the question's words, each by its rarity: a word
        that no document has weighs most, so that a question about something else finds nothing.
        """
        asked = set(words(question))
        total = sum(self._idf.get(word, self._unknown) for word in asked)
        ranked = []
        for passage, counts in zip(self.passages, self._words, strict=True):
            shared = [word for word in asked if word in counts]
            if not shared or sum(self._idf[word] for word in shared) < coverage * total:
                continue
            long = 1 - B + B * sum(counts.values()) / self._mean
            score = sum(self._idf[w] * counts[w] * (K1 + 1) / (counts[w] + K1 * long) for w in shared)
            ranked.append((-score, passage.document, passage.start, passage))
        return [passage for *_, passage in sorted(ranked, key=lambda one: one[:3])[:most]]

    def answer(self, question: str) -> str:
        """Return quotations that answer a question, each with its citation; empty where there are none."""
        return " ".join(f"{passage.text} {passage.citation}" for passage in self.found(question))

    def verified(self, text: str, *, supports: Supports = quoted) -> str:
        """Return what of `text` stands on the documents: sentences whose citation exists and supports them.

        A sentence is followed by its citations; one without is dropped, as is one of which any citation does not hold.
        """
        kept = []
        for sentence, cited in _cited(text):
            passages = [self._at(*one) for one in cited]
            if passages and all(passage is not None and supports(passage, sentence) for passage in passages):
                marks = " ".join(f"[{document}:{start}-{end}]" for document, start, end in cited)
                kept.append(f"{sentence} {marks}")
        return " ".join(kept)

    def _at(self, document: str, start: int, end: int) -> str | None:
        """Return the whole sentence that stands there, or None: half of one may say the opposite."""
        return next((p.text for p in self.passages if (p.document, p.start, p.end) == (document, start, end)), None)

    @classmethod
    def load(cls, path: Path) -> Knowledge:
        """Return the documents of a file of JSON lines, ``{"id", "text", "version"}`` each; TrainingError names one."""
        documents = []
        for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
                document = Document(str(row["id"]), str(row["text"]), str(row.get("version", "")))
            except (ValueError, KeyError, TypeError, AttributeError):
                raise TrainingError(
                    Note("Line {number} of {file} is no document. Give id and text.", number=number, file=path.name)
                ) from None
            if not document.text.strip() or re.search(r"[\[\]:]", document.id) or not document.id:
                raise TrainingError(
                    Note("Document {id} needs a text, and an id without colons and brackets.", id=repr(document.id))
                )
            documents.append(document)
        if min(len({one.id for one in documents}), len({one.cited for one in documents})) != len(documents):
            raise TrainingError(Note("Two documents of {file} have one id. Give each its own.", file=path.name))
        return cls(documents)

    def save(self, path: Path) -> None:
        rows = [{"id": one.id, "text": one.text, "version": one.version} for one in self.documents.values()]
        path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def _passages(document: Document) -> Iterable[Passage]:
    for match in SENTENCE.finditer(document.text):
        text = match.group().strip()
        if words(text):
            start = match.start() + match.group().index(text)
            yield Passage(document.cited, start, start + len(text), text)


def _cited(text: str) -> list[tuple[str, Sequence[tuple[str, int, int]]]]:
    """Return the sentences of a text, each with the citations that follow it."""
    found: list[tuple[str, Sequence[tuple[str, int, int]]]] = []
    place = 0
    while place < len(text):
        marks = []
        start = CITATION.search(text, place)
        said, end = text[place:], len(text)
        if start is not None:
            said, end = text[place : start.start()], start.start()
            while (mark := CITATION.match(text, end)) is not None:
                marks.append((mark.group(1), int(mark.group(2)), int(mark.group(3))))
                end = mark.end()
        sentences = [match.group().strip() for match in SENTENCE.finditer(said) if match.group().strip()]
        # Only the last one stands before the citation.
        found += [(sentence, []) for sentence in sentences[:-1]]
        found += [(sentence, marks) for sentence in sentences[-1:]]
        place = end
    return found
