"""Principles by rules: clauses, words of praise and blame, and negation. No model, and honest about it.

It knows a list of English words and nothing of what they mean together: irony, comparisons and anything said in other
words escape it. What it proposes is a start for a person who confirms or rejects it, and never data by itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from annotation.extraction.base import NO, PARTLY, YES, Extractor, Found
from annotation.extraction.lexicon import BLAME, CONCEPTS, HALF, NEGATION, WANTED, Concept

# Where one thing ends and the next begins that somebody says.
_BREAK = re.compile(
    r"(?:[.!?;:](?=\s|$)|\n|,?\s+(?:but|however|although|though|yet|whereas|while|except that|on the other hand)\b|,)+",
    re.I,
)
_WORD = re.compile(r"[^\W\d_]{4,}")
REACH = 30  # characters before a cue in which a negation still means it
STEM = 5  # letters by which a word of a campaign's principle is known in another form


class ByRules(Extractor):
    name = "rules-1"
    is_quick = True

    def find(self, critique: str, known: Mapping[str, str]) -> list[Found]:
        """Return what the clauses speak of, in their order."""
        concepts = _named(known)
        own = {line: _stems(line) for line in known.values() if line not in concepts.values()}
        found = []
        for clause in _clauses(critique):
            for concept in CONCEPTS:
                if answer := _answer(clause, concept):
                    title = concepts.get(concept.title, concept.title).partition(":")[0]
                    found.append(Found(title, answer, clause))
            for line, stems in own.items():
                if stems and all(stem in clause.lower() for stem in stems):
                    found.append(Found(line.partition(":")[0], _plain_answer(clause), clause))
        return found


def _clauses(text: str) -> Iterator[str]:
    start = 0
    for mark in _BREAK.finditer(text):
        yield text[start : mark.start()].strip()
        start = mark.end()
    yield text[start:].strip()


def _named(known: Mapping[str, str]) -> dict[str, str]:
    """Return the campaign's line for each concept that it has one for."""
    found: dict[str, str] = {}
    for concept in CONCEPTS:
        for line in known.values():
            if line not in found.values() and concept.names.search(line.partition(":")[0]):
                found[concept.title] = line
                break
    return found


def _stems(line: str) -> list[str]:
    """Return how the words of a principle's title begin; none when it has no word to know it by."""
    return [word.lower()[:STEM] for word in _WORD.findall(line.partition(":")[0])]


def _answer(clause: str, concept: Concept) -> str:
    """Return what the clause says about the concept; empty when it says nothing."""
    blame, praise = concept.bad.search(clause), concept.good.search(clause)
    # "Incorrect" is a word of blame and has none of praise in it; of two cues the first counts.
    cue = min((mark for mark in (blame, praise) if mark), key=lambda mark: mark.start(), default=None)
    if cue is None:
        return ""
    before = clause[max(0, cue.start() - REACH) : cue.start()]
    if cue is praise and WANTED.search(before):
        return NO
    half = HALF.search(before)
    if half is not None and (cue is praise or not _denied(before[: half.start()])):
        return PARTLY
    is_met = (cue is praise) is not _denied(before)
    return YES if is_met else NO


def _denied(before: str) -> bool:
    """Return whether a negation stands before a cue; two of them cancel out."""
    return len(NEGATION.findall(before)) % 2 == 1


def _plain_answer(clause: str) -> str:
    """Return what a clause says about a principle it has the words of."""
    if HALF.search(clause):
        return PARTLY
    blamed = BLAME.search(clause) is not None or WANTED.search(clause) is not None
    return NO if blamed is not _denied(clause) else YES
