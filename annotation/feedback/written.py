"""What people write where no answer is better than another, so that no tie is wasted.

All are bad: the answer as it should have been. All are good: one of them with an error put in. Both give pairs with the
answers that were shown, as Y.-F. Zhang et al., "MM-RLHF" (2025), section 2.3, has its annotators do.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from annotation.feedback.fields import Fields, demonstration_columns
from annotation.messages import Content, as_message, image_columns, parts_of, text_of

MAX_TEXT = 50_000
ORIGIN = "rewrite"
# The verdict, what is written after it, and how it is asked for.
ASKED = {
    "bad": ("better", gettext_lazy("Write the answer as it should have been.")),
    "good": ("worse", gettext_lazy("Put an error into one.")),
}
# The fields, and what they are called where they are only read.
TITLES = {
    "written_better": gettext_lazy("The answer as it should have been"),
    "written_worse": gettext_lazy("An answer with an error put in"),
}


def option_schema() -> dict[str, Any]:
    return {
        "type": "boolean",
        "title": _("Have people write when no answer is better"),
        "description": _("All bad: a good answer. All good: one with an error put in. Each gives pairs to learn from."),
        "default": False,
    }


def read(reader: Fields, verdict: str) -> dict[str, str]:
    """Return ``{"text", "is"}`` for the verdict "bad" or "good": a text that is "better" or "worse" than all shown."""
    role, missing = ASKED[verdict]
    return {"text": reader.text(f"written_{role}", most=MAX_TEXT, least=1, missing=str(missing)), "is": role}


def values(payload: Mapping[str, Any]) -> dict[str, str]:
    """Return the form value of what was written; none when nothing was."""
    written = payload.get("written")
    return {f"written_{written['is']}": written["text"]} if written else {}


def pairs(payload: Mapping[str, Any], *, texts: Sequence[Content], origins: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yield the columns of a pair for each answer shown that differs from what was written."""
    written = payload.get("written")
    if not written:
        return
    better = written["is"] == "better"
    for text, origin in zip(texts, origins, strict=True):
        if text_of(text).strip() == written["text"]:
            continue
        both = [(alike(written["text"], text), payload.get("origin", ORIGIN)), (text, origin)]
        (chosen, chosen_origin), (rejected, rejected_origin) = both if better else both[::-1]
        yield {
            "chosen": [as_message("assistant", chosen)],
            "rejected": [as_message("assistant", rejected)],
            **image_columns(chosen_images=chosen, rejected_images=rejected),
            "position": int(better),  # it was there after all that were shown
            "chosen_origin": chosen_origin,
            "rejected_origin": rejected_origin,
            "strength": 1.0,
            "comment": payload["comment"],
        }


def demonstration(payload: Mapping[str, Any], *, texts: Sequence[Content]) -> Iterator[dict[str, Any]]:
    """Yield what was written as an answer to imitate, if it is the better one."""
    written = payload.get("written")
    if written and written["is"] == "better":
        said = alike(written["text"], texts[0])
        yield demonstration_columns(said, payload.get("origin", ORIGIN), weight=1.0, comment=payload["comment"])


def alike(text: str, beside: Content) -> Content:
    """Return a text as content like that of an answer shown: in a campaign with images all contents are parts."""
    return text if isinstance(beside, str) else parts_of(text)


def json_schema() -> dict[str, Any]:
    """Return the schema of the two fields; which of them is needed depends on the verdict."""
    return {
        f"written_{role}": {"type": "string", "maxLength": MAX_TEXT, "description": f"When all are {verdict}. {asked}"}
        for verdict, (role, asked) in ASKED.items()
    }
