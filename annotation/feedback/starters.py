"""How a sentence of a critique may begin, as buttons: for who knows what they mean and looks for how to begin.

They are the campaign's own, because they set the tone; a line that begins with "+" is offered for strengths alone, one
with "-" for weaknesses. What they enter counts as neither typed nor pasted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.utils.translation import gettext as _

from annotation.feedback.fields import Options, lines_schema

MOST = 12
LONGEST = 80
DEFAULTS: dict[str, Any] = {"starters": []}
_SIGNS = {"+": "strengths", "-": "weaknesses", "−": "weaknesses"}


def option_properties(*, parts: bool) -> dict[str, Any]:
    """Return the schema of the option; with `parts` a line may say which of two texts it is for."""
    about = _("Buttons that begin a sentence, one per line, such as “It leaves out”. Or none.")
    if parts:
        about += " " + _("With + before it for what is good alone, with - for what is not.")
    schema = lines_schema(_("Sentence starters"), (), about, least=0)
    return {"starters": {**schema, "maxItems": MOST}}


def clean(reader: Options) -> None:
    """Check the option."""
    reader.lines("starters", most=MOST, least=0, longest=LONGEST)


def for_part(lines: Sequence[str], part: str) -> list[str]:
    """Return what is offered for one text: "strengths", "weaknesses", or "" where there is one text only."""
    found = []
    for line in lines:
        sign, words = line[0], line[1:].strip()
        if sign not in _SIGNS:
            found.append(line)
        elif words and (not part or _SIGNS[sign] == part):
            found.append(words)
    return found
