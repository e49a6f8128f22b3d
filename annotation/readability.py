"""How hard a text is to read: words, sentences, and for English two figures by R. Flesch and J. P. Kincaid.

    reading ease = 206.835 - 1.015 · words / sentences - 84.6 · syllables / words
    grade        =   0.39 · words / sentences + 11.8 · syllables / words - 15.59

The first is R. Flesch, "A new readability yardstick" (1948), where 60 to 70 is plain English and more is easier; the
second is J. P. Kincaid et al. (1975), a school year of the United States. Both were fitted on English, and mean nothing
in another language. They know nothing of sense, and short texts move them a lot: they are figures to look at.

Syllables are counted as the places where Pyphen's dictionary may divide a word, plus one, or as its groups of vowels,
whichever is more: by the dictionary alone "area" and "idea" have one, because no line may break there.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyphen

_CODE = re.compile(r"```.*?(?:```|\Z)|~~~.*?(?:~~~|\Z)|`[^`\n]*`", re.S)
_LINK = re.compile(r"!?\[([^\]\n]*)\]\([^)\n]*\)|<?https?://\S+>?")
_WORD = re.compile(r"[^\W_]+(?:['’\-][^\W_]+)*")
# A sentence ends at a mark; a line of a list, a heading or a paragraph ends one as well.
_END = re.compile(r"[.!?…]+(?=[\s\"'”’)\]*_]|\Z)|\n\s*(?=\n|[-*+#>]\s|\d+[.)]\s)")
_NUMBER_OF_ITEM = re.compile(r"^\s*(?:\d+[.)]|[-*+#>]+)\s+", re.M)
_VOWELS = re.compile(r"[aeiouyáàâäéèêëíîïóôöúûü]+")
# Ends that are written and not spoken: "made", "mile", "walked"; but "table", "wanted", "needed", "boxes".
_SILENT = re.compile(r"(?<=[^aeiouytd])ed$|(?<=[^aeiouysxz])es$|(?:(?<=[^aeiouyl])|(?<=[aeiouy]l))e$")


@dataclass(frozen=True)
class Figures:
    words: int
    sentences: int
    reading_ease: float | None  # None where the language is not English, or there is nothing to measure
    grade: float | None


def figures(text: str, language: str = "") -> Figures:
    """Return the figures of a text in Markdown, without its code. `language` is a code such as "de"; unknown: English.

    About a millisecond for a thousand words.
    """
    plain = _LINK.sub(lambda link: link[1] or " ", _CODE.sub(" ", text))
    sentences = [words for part in _END.split(_NUMBER_OF_ITEM.sub("\n\n", plain)) if (words := _WORD.findall(part))]
    words = [word for sentence in sentences for word in sentence]
    if not words or not is_english(language):
        return Figures(len(words), len(sentences), None, None)
    length = len(words) / len(sentences)
    weight = sum(syllables(word) for word in words) / len(words)
    ease = 206.835 - 1.015 * length - 84.6 * weight
    return Figures(len(words), len(sentences), round(ease, 1), round(0.39 * length + 11.8 * weight - 15.59, 1))


def is_english(language: str) -> bool:
    """Return whether the formulas are for texts in this language; one that is not known counts as English."""
    return language.lower().replace("_", "-").partition("-")[0] in ("", "en")


@lru_cache(maxsize=50_000)
def syllables(word: str) -> int:
    """Return how many syllables an English word has, as near as a dictionary and its vowels tell; at least one."""
    small = word.lower()
    spoken = _SILENT.sub("", small) if len(small) > 3 else small
    return max(len(_dictionary().positions(small)) + 1, len(_VOWELS.findall(spoken)), 1)


@cache
def _dictionary() -> pyphen.Pyphen:
    import pyphen  # loaded when the first text is measured; it is a fiftieth of what the web server starts with

    return pyphen.Pyphen(lang="en_US")
