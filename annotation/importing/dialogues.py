"""Dialogues as people judge them: an item about a last answer becomes one about a turn, each turn, or the whole.

A row is a whole dialogue in any known layout: ``{"messages": […]}`` that end with a turn of the assistant, or a prompt
with its answer. A chosen turn is named by ``"turn"``, counted from 1, and is the last one without it. Dialogues that
go apart before their last answer come as ``{"dialogues": [messages | {"messages", "origin"?}, …]}``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from annotation.dialogues import ANSWER, DIALOGUE, MOST_TURNS, TURN, in_common, transcript
from annotation.importing.conversations import Found, messages_of, origin_of
from annotation.importing.items import ROLES, Item, Messages, Refused, content_id
from annotation.messages import Content


def dialogues(row: dict[str, Any]) -> list[Found]:
    """Return dialogues that begin alike as one item; raises `Refused`."""
    given = row["dialogues"]
    if not isinstance(given, list) or not given:
        raise Refused(_("Its dialogues are no list of dialogues."))
    read = []
    for place, value in enumerate(given, start=1):
        is_object = isinstance(value, dict)
        messages = messages_of(value.get("messages") if is_object else value, _("dialogue {place}").format(place=place))
        _check(messages, _("dialogue {place}").format(place=place))
        read.append((messages, origin_of(value, "origin") if is_object else ""))
    shared = in_common([messages for messages, _ in read])
    if not shared:
        raise Refused(_("Its dialogues do not begin with the same turn, so there is nothing to compare them on."))
    rests = [messages[shared:] for messages, _ in read]
    completions = [(transcript(rest), origin) for rest, (_, origin) in zip(rests, read, strict=True)]
    return [Found(read[0][0][:shared], completions, rests=rests)]


def check_row(row: Mapping[str, Any], scope: str) -> None:
    """Raise `Refused` for a dialogue that has no turn to judge, with what to do about it."""
    if scope == ANSWER or row.get("messages") is None or row.get("completions") is not None:
        return
    _check(messages_of(row["messages"], "messages"), "dialogue")


def as_judged(item: Item, scope: str, *, turn: Any = None) -> Item:
    """Return the item as a campaign of this scope judges it; raises `Refused`."""
    if scope == ANSWER:
        if item.rests:
            raise Refused(_("It has dialogues, and this campaign judges last answers; give messages instead."))
        return item
    if item.images:
        raise Refused(
            _("It has images, and turns of a dialogue are judged without them; judge its last answer instead.")
        )
    if scope == DIALOGUE:
        return _whole(item)
    if item.rests:
        raise Refused(_("It has dialogues, and this campaign judges turns of one; give its messages instead."))
    if len(item.completions) != 1:
        raise Refused(
            _(
                "It has {completions} answers, and this campaign judges the turns of one dialogue. "
                "Set answers per item to 1 to have each judged on its own."
            ),
            completions=len(item.completions),
        )
    (text, origin), *_others = item.completions
    messages = [*item.messages, {"role": "assistant", "content": text}]
    _check(messages, "dialogue")
    places = [place for place, message in enumerate(messages) if message["role"] == "assistant"]
    if scope == TURN:
        number = _number(turn, len(places))
        places = [places[number - 1]]
    else:
        number = 1
    if len(places) > MOST_TURNS:
        raise Refused(
            _("Its dialogue has {places} turns of the assistant; at most {most} are judged at once."),
            places=len(places),
            most=MOST_TURNS,
        )
    ends = [*places[1:], len(messages)]
    named_by_content = item.external_id == content_id(item.messages, item.completions)
    return replace(
        item,
        # Two turns of a dialogue without an id are two items.
        external_id=f"{item.external_id}/{number}" if scope == TURN and named_by_content else item.external_id,
        messages=messages[: places[0]],
        completions=[(messages[place]["content"], origin) for place in places],
        dialogue={
            "turn": number,
            "between": [messages[place + 1 : end] for place, end in zip(places, ends, strict=True)],
        },
    )


def _whole(item: Item) -> Item:
    if item.rests:
        return replace(item, dialogue={"dialogues": item.rests})
    read = [[*item.messages, {"role": "assistant", "content": text}] for text, _ in item.completions]
    if not read:
        return item
    for messages in read:
        _check(messages, "dialogue")
    shared = in_common(read)
    rests = [messages[shared:] for messages in read]
    completions: list[tuple[Content, str]] = [
        (transcript(rest), origin) for rest, (_, origin) in zip(rests, item.completions, strict=True)
    ]
    return replace(item, messages=read[0][:shared], completions=completions, dialogue={"dialogues": rests})


def _number(turn: Any, count: int) -> int:
    """Return the number of the turn that a row chooses."""
    if turn is None:
        return count
    if isinstance(turn, float) and turn.is_integer():
        # A column of whole numbers with gaps is one of fractions in Parquet.
        turn = int(turn)
    if isinstance(turn, bool) or not isinstance(turn, int):
        raise Refused(_("Its turn is no whole number; it counts the turns of the assistant, from 1."))
    if not 1 <= turn <= count:
        told = ngettext(
            "It names turn {turn}, and its dialogue has {count} turn of the assistant, counted from 1.",
            "It names turn {turn}, and its dialogue has {count} turns of the assistant, counted from 1.",
            count,
        )
        raise Refused(told, turn=turn, count=count)
    return turn


def _check(messages: Messages, name: str) -> None:
    roles = [message["role"] for message in messages]
    for place, role in enumerate(roles, start=1):
        if role not in ROLES:
            raise Refused(
                _("Message {place} of its {name} has the role {role!r}; use {roles}."),
                place=place,
                name=name,
                role=role[:40],
                roles=", ".join(ROLES),
            )
    if "assistant" not in roles:
        raise Refused(_("Its {name} has no turn of the assistant, so there is nothing to judge."), name=name)
    if roles[-1] != "assistant":
        raise Refused(
            _("Its {name} does not end with a turn of the assistant; leave out what comes after its last one."),
            name=name,
        )
    if roles[0] == "assistant":
        raise Refused(
            _("Its {name} begins with a turn of the assistant; it must begin with what that one answers."), name=name
        )
    for place, (one, other) in enumerate(pairwise(roles), start=1):
        if one == other == "assistant":
            raise Refused(
                _("Messages {place} and {next} of its {name} are both of the assistant; make them one."),
                place=place,
                next=place + 1,
                name=name,
            )
    if any(not message["content"].strip() for message in messages if message["role"] == "assistant"):
        raise Refused(_("A turn of the assistant in its {name} is empty."), name=name)
