"""How one row of an imported file becomes an item, and why it does not. The layout is told by the columns.

- ``{"id"?, "prompt", "completions": [text | {"text", "origin"?}, …], "priority"?, "wanted"?, "batch"?, "domain"?,
  "meta"?, "requires"?, "about"?, "gold"?, "suggestion"?}``, where the prompt is text or a list of messages: Attune's
  own;
- whole dialogues, for campaigns that judge turns: see `annotation.importing.dialogues`;
- those of `annotation.importing.published` (TRL, HH-RLHF, UltraFeedback, HelpSteer, SafeRLHF, …) and of
  `annotation.importing.oasst`; `id`, `priority`, `wanted`, `batch`, `domain`, `meta`, `requires`, `about`,
  `gold` and `suggestion` count in them too.

Other columns are named by `annotation.importing.mapping`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any

from django.utils.translation import gettext as _

from annotation.errors import Invalid
from annotation.importing import oasst, published
from annotation.importing.conversations import Found, answer_of, messages_of, text_of
from annotation.importing.dialogues import dialogues
from annotation.importing.items import Item, Messages, Refused, content_id
from annotation.messages import Content, Part, parts_of
from annotation.routing import read_tags

# More answers than that would make too many pairs.
MAX_SPLIT = 20

# The first whose columns a row all has is its layout.
Layout = tuple[frozenset[str], Callable[[dict[str, Any]], list[Found]]]


def own(row: dict[str, Any]) -> list[Found]:
    """Attune's own layout: a prompt and a list of completions."""
    return [Found(messages_of(row.get("prompt"), "prompt"), _completions(row["completions"]))]


LAYOUTS: tuple[Layout, ...] = (
    (frozenset({"prompt", "completions"}), own),
    (frozenset({"instruction", "completions"}), published.ultrafeedback),
    (frozenset({"completions"}), own),
    (frozenset({"dialogues"}), dialogues),
    (frozenset({"before", "replies"}), oasst.siblings),
    (frozenset({"chosen", "rejected"}), published.chosen_rejected),
    (frozenset({"prompt", "response_0", "response_1"}), published.safe_rlhf),
    (frozenset({"context", "response1", "response2"}), published.helpsteer),
    (frozenset({"prompt", "response1", "response2"}), published.helpsteer),
    (frozenset({"prompt", "response_1", "response_2"}), published.helpsteer),
    (frozenset({"prompt", "response"}), published.helpsteer),
    (frozenset({"input", "output_1", "output_2"}), published.llmbar),
    (frozenset({"instruction", "output_1", "output_2"}), published.llmbar),
    (frozenset({"prompt", "completion"}), published.prompt_completion),
    (frozenset({"instruction", "output"}), published.alpaca),
    (frozenset({"caption", "jpg_0", "jpg_1"}), published.pick_a_pic),
    (frozenset({"messages"}), published.conversation),
    (frozenset({"message_tree_id", "prompt"}), oasst.tree),
)
# In these a row is a thread and no item, so what a campaign cannot compare at once is split without being asked.
_THREADS = (oasst.tree, oasst.siblings)


def items_of(row: dict[str, Any], *, bounds: tuple[int, int], per_item: int | None = None) -> list[Item]:
    """Return the items of a row; raises `Refused`.

    With `per_item`, an item for every choice of so many of a prompt's answers; `bounds` is how many the campaign
    compares, which splits only the threads of OASST by itself.
    """
    layout = _layout(row)
    meta = row.get("meta")
    if meta is not None and not isinstance(meta, dict):
        raise Refused(_("Its meta is no object."))
    found = [replace(one, messages=_with_images(one.messages, row.get("images"))) for one in layout(row)]
    several = len(found) > 1
    items: list[Item] = []
    for place, one in enumerate(found):
        name = row.get("id") if one.id is None else one.id
        if several and name is not None and one.id is None:
            name = f"{name}/{place + 1}"
        size = _threads_size(len(one.completions), bounds) if layout in _THREADS and per_item is None else per_item
        if size == 0:
            continue
        items.extend(_item(row, part, name=part_name) for part, part_name in _split(one, name, size))
    for name in ("gold", "suggestion"):
        if len(items) > 1 and row.get(name) is not None:
            raise Refused(_("Its {name} is an answer to one item, and the row makes several."), name=name)
    return items


def _with_images(messages: Messages, images: list[Part] | None) -> Messages:
    """Return the messages with images that came beside them before the first thing that the person says."""
    if not images:
        return messages
    place = next((place for place, message in enumerate(messages) if message["role"] == "user"), None)
    if place is None:
        raise Refused(_("It has images, and no message of the user that they could belong to."))
    asked = messages[place]
    shown = {"role": "user", "content": [*images, *parts_of(asked["content"])]}
    return [*messages[:place], shown, *messages[place + 1 :]]


def _layout(row: dict[str, Any]) -> Callable[[dict[str, Any]], list[Found]]:
    # A table has every column in every row, so one without a value does not tell anything.
    columns = {name for name, value in row.items() if value is not None}
    for wanted, layout in LAYOUTS:
        if wanted <= columns:
            return layout
    missing = _("completions") if "prompt" in columns else _("prompt and completions")
    names = ", ".join(name[:30] for name in list(row)[:8])
    there = (
        " " + _("Its columns are {names}; a mapping can say which are the prompt and the answers.").format(names=names)
        if names
        else ""
    )
    raise Refused(
        _("It has no {missing}; give prompt and completions, or chosen and rejected.{there}"),
        missing=missing,
        there=there,
    )


def _threads_size(count: int, bounds: tuple[int, int]) -> int | None:
    """Return how many siblings make an item: all if the campaign compares so many, else two; 0: these make none."""
    least, most = bounds
    if count < least:
        return 0
    if count <= most:
        return None
    return 2 if least <= 2 <= most else most


def _split(found: Found, name: Any, size: int | None) -> list[tuple[Found, Any]]:
    """Return an item's parts of `size` answers, each with its id; with fewer answers it stays whole."""
    if size is None or len(found.completions) <= size:
        return [(found, name)]
    if len(found.completions) > MAX_SPLIT:
        raise Refused(
            _("It has {completions} completions; more than {most} cannot be split."),
            completions=len(found.completions),
            most=MAX_SPLIT,
        )
    parts = []
    for chosen in combinations(range(len(found.completions)), size):
        labels = {**found.labels, "answers": list(chosen)} if found.labels else {}
        rests = [found.rests[place] for place in chosen] if found.rests else []
        part = Found(found.messages, [found.completions[place] for place in chosen], labels, rests=rests)
        places = "-".join(str(place + 1) for place in chosen)
        parts.append((part, None if name is None else f"{name}/{places}"))
    return parts


def _item(row: dict[str, Any], found: Found, *, name: Any) -> Item:
    meta = dict(row.get("meta") or {})
    if found.labels:
        meta.setdefault("labels", found.labels)
    return Item(
        external_id=_id(name, found.messages, found.completions),
        messages=found.messages,
        completions=list(found.completions),
        wanted=_whole(row, "wanted", None),
        priority=_whole(row, "priority", 0) or 0,
        is_audit=False,
        batch=text_of(row, "batch"),
        domain=text_of(row, "domain"),
        meta=meta,
        requires=_tags(row, "requires"),
        about=_tags(row, "about"),
        rests=found.rests,
        gold=_given(row, "gold"),
        suggestion=_given(row, "suggestion"),
    )


def _completions(value: Any) -> list[tuple[Content, str]]:
    if not isinstance(value, list):
        raise Refused(_("Its completions are no list."))
    completions: list[tuple[Content, str]] = []
    for place, completion in enumerate(value, start=1):
        if isinstance(completion, str):
            completions.append((completion, ""))
            continue
        if isinstance(completion, list) or (isinstance(completion, dict) and completion.get("type") == "image"):
            completions.append((answer_of(completion, _("completion {place}").format(place=place)), ""))
            continue
        if not isinstance(completion, dict) or not isinstance(completion.get("text"), str | list):
            raise Refused(_("Completion {place} is neither text nor an object with text."), place=place)
        origin = completion.get("origin") or ""
        if not isinstance(origin, str):
            raise Refused(_("The origin of completion {place} is no text."), place=place)
        completions.append((_answer(completion["text"], place), origin))
    return completions


def _answer(value: Any, place: int) -> Content:
    return value if isinstance(value, str) else answer_of(value, _("completion {place}").format(place=place))


def _id(value: Any, messages: Messages, completions: Sequence[tuple[Content, str]]) -> str:
    """Return the given id as text, or one made of the content."""
    if value is None:
        return content_id(messages, completions)
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise Refused(_("Its id is neither text nor a whole number."))
    return str(value)


def _tags(row: dict[str, Any], name: str) -> tuple[str, ...] | None:
    """Return the tags in a column; None without one."""
    if row.get(name) is None:
        return None
    try:
        return tuple(read_tags(row[name]))
    except Invalid as error:
        raise Refused(_("Its {name} cannot be read. {error}"), name=name, error=error) from None


def _given(row: dict[str, Any], name: str) -> dict[str, Any] | None:
    """Return an answer that comes with the item; `annotation.gold` and `annotation.suggestions` say what it must be."""
    given = row.get(name)
    if given is not None and not isinstance(given, dict):
        raise Refused(_('Its {name} is no object; give {{"answer": {{…the fields of a judgement…}}}}.'), name=name)
    return given


def _whole(row: dict[str, Any], name: str, default: int | None) -> int | None:
    value = row.get(name)
    if value is None:
        return default
    if isinstance(value, float) and value.is_integer():
        # A column of whole numbers with gaps is one of fractions in Parquet.
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise Refused(_("Its {name} is no whole number."), name=name)
    return value
