"""Comparing words: where in a critique a quotation stands, and which principle of a list a statement means.

The bound is that of Z. Wang et al., "RLBFF" (2025): a quotation counts when RapidFuzz's partial ratio with the
feedback is above 60. It is looked for in what the person wrote about the answer, never in the answer.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from rapidfuzz import fuzz
from rapidfuzz.utils import default_process

LEAST_LIKENESS = 60.0  # of a quotation: above it
SAME_PRINCIPLE = 85.0  # of two statements: from it on
_HELPFULNESS = re.compile(
    r"(?:the (?:answer|response) is )?(?:(?:overall|general|very|mostly|somewhat|perfectly|not) )*"
    r"helpful(?:ness)?(?: of the (?:answer|response))?",
    re.I,
)
# "Is not clear: yes" says "clear: no". What asks for an absence ("no repetition") stays as it is, and is marked.
_TURNED = re.compile(
    r"(?:(?:the )?(?:answer|response|it) )?"
    r"(?:(?:is|are|was|does|do|did|has|have|can|could)(?: not|n['’]t)|not|lacks?|lacking|lack of|misses|missing"
    r"|fails? to(?: be)?|failed to(?: be)?)\s+(?:be\s+|being\s+|have\s+)?(?P<rest>\S.*)",
    re.I | re.S,
)
_ABSENCE = re.compile(r"(?:no|without|avoids?|avoiding|free (?:of|from)|absence of|never)\b", re.I)
_OPPOSITE = {"yes": "no", "no": "yes"}


def place_of(quotation: str, text: str) -> tuple[int, int] | None:
    """Return start and end of where `text` says it, or says nearly that; None when it does not.

    Ends of words are kept whole. O(len(quotation) · len(text)), in C.
    """
    wanted = quotation.strip()
    if not wanted or not text:
        return None
    start = text.find(wanted)
    if start >= 0:
        return start, start + len(wanted)
    if len(wanted) > len(text):  # the shorter one would be looked for in the longer one, which is the wrong way round
        return (0, len(text)) if fuzz.ratio(wanted.lower(), text.lower()) > LEAST_LIKENESS else None
    found = fuzz.partial_ratio_alignment(wanted.lower(), _lowered(text), score_cutoff=LEAST_LIKENESS)
    if found is None or found.score <= LEAST_LIKENESS:
        return None
    return _whole_words(text, found.dest_start, found.dest_end)


def key_among(statement: str, known: Mapping[str, str]) -> str | None:
    """Return the key of the principle that a statement means, in whatever words; None when it is none of them."""
    best, key = 0.0, None
    said = [default_process(statement), default_process(statement.partition(":")[0])]
    for name, line in known.items():
        title, _, meaning = line.partition(":")
        for own in (title, meaning, line):
            own = default_process(own)
            likeness = max((fuzz.token_sort_ratio(one, own) for one in said if one and own), default=0.0)
            if likeness > best:
                best, key = likeness, name
    return key if best >= SAME_PRINCIPLE else None


def is_same(one: str, other: str) -> bool:
    """Return whether two statements are the same principle in nearly the same words."""
    return fuzz.token_sort_ratio(one, other, processor=default_process) >= SAME_PRINCIPLE


def is_helpfulness(statement: str) -> bool:
    """Return whether a statement only says that the answer helps, which most feedback says in its first words."""
    return _HELPFULNESS.fullmatch(default_process(statement)) is not None


def in_positive_form(statement: str, answer: str) -> tuple[str, str]:
    """Return statement and answer, turned round where the statement denies something ("is not clear: yes")."""
    turned = _TURNED.fullmatch(statement.strip())
    if turned is None:
        return statement.strip(), answer
    rest = turned["rest"].strip()
    return rest[:1].upper() + rest[1:], _OPPOSITE.get(answer, answer)


def asks_for_absence(statement: str) -> bool:
    """Return whether "yes" to a statement means that something is not there ("no repetition")."""
    return _ABSENCE.match(statement.strip()) is not None


def _lowered(text: str) -> str:
    """Return the text in small letters, each in its place: a few letters become two when they are made small."""
    lowered = text.lower()
    return lowered if len(lowered) == len(text) else text


def _whole_words(text: str, start: int, end: int) -> tuple[int, int]:
    while start > 0 and text[start].isalnum() and text[start - 1].isalnum():
        start -= 1
    while end < len(text) and text[end].isalnum() and text[end - 1].isalnum():
        end += 1
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return start, end
