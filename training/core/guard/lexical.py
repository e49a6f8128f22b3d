"""A check by the words and letters of a text: TF-IDF and logistic regression, read with plain Python from JSON.

It needs no library and no device, so it can stand before every prompt; what it takes is in every verdict. It knows
what it was shown: a rewording without any of the words gets past it, which is why the answer is checked too.
"""

from __future__ import annotations

import json
import math
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from training.core.conversation import apart, marks
from training.core.records import IMAGE, Message
from training.errors import TrainingError
from training.recipes.note import Note

LETTERS = (3, 4, 5)  # lengths of the pieces of words that are looked at
# Format characters, such as those of no width, split words for a machine and not for a reader.
INVISIBLE = "Cf"


def plain(text: str) -> str:
    """Return `text` as a reader sees it: full-width and styled letters as plain ones, no invisible characters."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return "".join(letter for letter in folded if unicodedata.category(letter) != INVISIBLE)


def pieces(text: str, *, letters: bool = True) -> Iterator[str]:
    """Yield the words of a text, its pairs of words, and with `letters` the pieces of each word with its borders."""
    spaced = "".join(letter if letter.isalnum() or letter == "'" else " " for letter in plain(text))
    words = spaced.split()
    yield from words
    for one, other in pairwise(words):
        yield f"{one} {other}"
    if not letters:
        return
    for word in words:
        framed = f"<{word}>"
        for length in LETTERS:
            for start in range(len(framed) - length + 1):
                yield f"#{framed[start : start + length]}"


def _has_image(prompt: list[Message], text: str) -> bool:
    """Return whether some of the images with a prompt are those of the text that answers it."""
    spoken, images = apart(prompt)
    return IMAGE in text and len(images) > marks(spoken)


@dataclass(frozen=True)
class Lexical:
    """A multinomial logistic regression over the pieces of a text; the first label is the one that is allowed.

    `weights` has for each piece its idf and one weight a label; `bias` one number a label.
    """

    labels: tuple[str, ...]
    weights: dict[str, tuple[float, ...]]
    bias: tuple[float, ...]
    letters: bool = True
    kind = "lexical"

    def probabilities(self, prompts: Sequence[list[Message]], texts: Sequence[str]) -> list[dict[str, float] | None]:
        """Return of each text how likely each label is, whatever it answers; None without any piece that is known.

        None as well of a text that has an image of its own: words are not all that it says.
        """
        return [
            None if _has_image(prompt, text) else self._read(text) for prompt, text in zip(prompts, texts, strict=True)
        ]

    def _read(self, text: str) -> dict[str, float] | None:
        counts = Counter(piece for piece in pieces(text, letters=self.letters) if piece in self.weights)
        if not counts:
            return None
        found = {piece: (1 + math.log(count)) * self.weights[piece][0] for piece, count in counts.items()}
        norm = math.sqrt(sum(value * value for value in found.values()))
        logits = list(self.bias)
        for piece, value in found.items():
            for place, weight in enumerate(self.weights[piece][1:]):
                logits[place] += weight * value / norm
        top = max(logits)
        raised = [math.exp(logit - top) for logit in logits]
        return {label: value / sum(raised) for label, value in zip(self.labels, raised, strict=True)}

    def save(self, path: Path) -> None:
        told = {"labels": self.labels, "bias": self.bias, "letters": self.letters, "weights": self.weights}
        path.write_text(json.dumps(told, ensure_ascii=False, allow_nan=False), encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Lexical:
        """Return the check in a file; TrainingError where it is none."""
        try:
            told = json.loads(path.read_text(encoding="utf-8"))
            made = cls(
                labels=tuple(told["labels"]),
                weights={piece: tuple(map(float, row)) for piece, row in told["weights"].items()},
                bias=tuple(map(float, told["bias"])),
                letters=bool(told["letters"]),
            )
            wide = {len(row) for row in made.weights.values()} <= {len(made.labels) + 1}
            if not wide or len(made.bias) != len(made.labels) or not made.weights:
                raise ValueError("its weights are not of one width")
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise TrainingError(
                Note("{path} holds no words to check by ({error}). Make the guard anew.", path=path, error=error)
            ) from None
        return made
