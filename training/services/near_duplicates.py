"""Prompts that are nearly the same, so that both stand on one side of a split.

Shingles of five characters of the text in lower case without punctuation; one permutation of 64 bins with rotation
(A. Shrivastava and P. Li, "Densifying one permutation hashing", ICML 2014) estimates their Jaccard similarity, and
16 bands of 4 bins find the candidates. From 0.8 on two prompts are near duplicates. Of prompts with images only those
that show the same ones can be: the same question about another image is another question.

The earlier prompt leads: a group's side is decided by the hash of its first prompt. So what was in "test" yesterday is
there for ever, whatever is imported after it, and a prompt without near duplicates stands where its own hash puts it.

Whether a text is new to a model is another question than whose group it is in: `near` compares with every known text,
as a copy of one that leads no group is a copy all the same.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Mapping
from typing import Any

from annotation.messages import images_of, in_words

SIMILAR = 0.8
BINS, BANDS = 64, 16
SHINGLE = 5
_NO_WORD = re.compile(r"[\W_]+")
SHOWN = "\x00"  # what is in front of it in a text is what its images are known by; no stored text has one

Signature = tuple[int, ...]


def leaders(prompts: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return hash → hash of the first prompt of its group, of (hash, text) in the order of import.

    Only prompts that lead are compared with, so a chain of small changes cannot drift far from where it began.
    """
    found: dict[str, str] = {}
    buckets: dict[tuple[int, Signature], list[str]] = {}
    signatures: dict[str, Signature] = {}
    for name, text in prompts:
        signature = signature_of(text)
        bands = _bands(signature)
        candidates = dict.fromkeys(one for band in bands for one in buckets.get(band, ()))
        leader = next((one for one in candidates if similarity(signatures[one], signature) >= SIMILAR), None)
        found[name] = leader or name
        if leader is None and signature:
            signatures[name] = signature
            for band in bands:
                buckets.setdefault(band, []).append(name)
    return found


def near(known: Iterable[str], asked: Mapping[str, str]) -> set[str]:
    """Return the names in `asked`, name → text, whose text is the same as one that is known, or nearly.

    The same by its words, but for space around them; so also where it has no letters, of which no signature can be
    made. Who spoke the words does not count; which images they are about does.
    """
    texts = {text.strip() for text in known}
    signatures = {signature for text in texts if (signature := signature_of(text))}
    buckets: dict[tuple[int, Signature], list[Signature]] = {}
    for signature in signatures:
        for band in _bands(signature):
            buckets.setdefault(band, []).append(signature)

    def is_near(text: str) -> bool:
        if text.strip() in texts:
            return True
        signature = signature_of(text)
        if not signature or signature in signatures:
            return bool(signature)
        candidates = {one for band in _bands(signature) for one in buckets.get(band, ())}
        return any(similarity(one, signature) >= SIMILAR for one in candidates)

    return {name for name, text in asked.items() if is_near(text)}


def signature_of(text: str) -> Signature:
    """Return the least hash in each bin; empty for a text without letters."""
    images, _, words = text.rpartition(SHOWN)
    plain = _NO_WORD.sub(" ", words.lower()).strip()
    if not plain:
        return ()
    salt = zlib.crc32(images.encode())  # 0 without images
    bins: list[int | None] = [None] * BINS
    for start in range(max(1, len(plain) - SHINGLE + 1)):
        hashed = zlib.crc32(plain[start : start + SHINGLE].encode("utf-8", "surrogatepass"), salt)
        place, rest = hashed % BINS, hashed // BINS
        known = bins[place]
        if known is None or rest < known:
            bins[place] = rest
    # An empty bin borrows from the next one that is not, and adds how far that is, so that it matches by the same loan.
    filled: list[int] = []
    for place in range(BINS):
        away = next(step for step in range(BINS) if bins[(place + step) % BINS] is not None)
        filled.append((bins[(place + away) % BINS] or 0) + away * (1 << 32))
    return tuple(filled)


def _bands(signature: Signature) -> list[tuple[int, Signature]]:
    """Return the pieces of a signature by one of which two near duplicates meet; none for a text without letters."""
    return [(band, signature[band * 4 : band * 4 + 4]) for band in range(BANDS)] if signature else []


def similarity(one: Signature, other: Signature) -> float:
    """Return the estimate of the Jaccard similarity of two texts, to within 0.05 or so."""
    return sum(first == second for first, second in zip(one, other, strict=True)) / BINS


def text_of_prompt(messages: list[dict[str, Any]]) -> str:
    """Return what counts of a prompt: the words of all its messages, behind what its images are known by."""
    words = "\n".join(in_words(message["content"]) for message in messages)
    shown = [part["image"] for message in messages for part in images_of(message["content"])]
    return f"{' '.join(shown)}{SHOWN}{words}" if shown else words
