"""A principle as its campaign words it: what it means, an answer that meets it, one that does not, and when it applies.

One line, of which only name and meaning must be there: ``Concise: no repetition | yes: says it once | no: says it
twice | if: there is more than one sentence``. With ``| for: code, maths`` it is asked about items of these subjects
alone (`annotation.feedback.of_item`). Its version is made of its words: whoever changes them has another one, a
copy in another campaign has the same, and a judgement says which it answered.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from django.utils.translation import gettext as _

from annotation.feedback.fields import Options, key_of, title_and_rest

LONGEST = 1_200  # characters of a line
_PARTS = {"yes": "good", "no": "bad", "if": "when", "for": "items"}


@dataclass(frozen=True)
class Worded:
    key: str
    title: str
    meaning: str
    version: str
    good: str = ""
    bad: str = ""
    when: str = ""
    items: str = ""

    @property
    def subjects(self) -> frozenset[str]:
        """Return the subjects of the items that it is asked about; none where it is asked about all."""
        return frozenset(" ".join(one.split()).casefold() for one in self.items.split(",") if one.strip())


def read(line: str) -> Worded:
    """Return a line in its parts; what has no known sign before it belongs to the meaning."""
    said, *parts = line.split("|")
    found: dict[str, str] = {}
    for part in parts:
        sign, colon, words = part.partition(":")
        name = _PARTS.get(sign.strip().lower()) if colon else None
        if name is None:
            said += f"|{part}"
        else:
            found[name] = words.strip()
    title, meaning = title_and_rest(said)
    version = hashlib.sha256(" ".join(line.split()).encode()).hexdigest()[:8]
    return Worded(key_of(said), title, meaning, version, **found)


def check(reader: Options, name: str) -> None:
    """Refuse lines with examples and no meaning before them, whose name could not be told from the rest."""
    for line in reader.values[name] if not reader.errors.get(name) else ():
        if "|" in line and ":" not in line.partition("|")[0]:
            reader.refuse(
                name, _("Say what “{name}” means, after a colon, before its examples.").format(name=line[:40])
            )


def plain(line: str) -> str:
    """Return a line without its examples."""
    worded = read(line)
    return f"{worded.title}: {worded.meaning}" if worded.meaning else worded.title
