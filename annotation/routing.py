"""Which items a person may be given: what items ask of people, what they are about, and who can or will take them.

A campaign numbers its tags: ``Campaign.tags[n]`` is bit n of ``Task.tags``. A person's lacking skills and declined
categories make one number too, and the queue compares the two: an item is theirs when no bit is in both. So a claim
costs the same however many tags there are, and no row but the campaign's has to be read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from django.db.models import F, QuerySet
from django.utils.translation import gettext as _

from annotation.errors import Invalid
from annotation.models import Campaign, Task

# What a tag says of an item: people must be able to do this; it is about that.
NEEDS, ABOUT = "needs", "about"
# One bit each in a column of 64, its sign left alone.
MOST = 60
MOST_AT_ONCE = 20
# A word, or a language as "lang:de".
_TAG = re.compile(r"\w[\w:.+-]{0,39}")


def read_tags(value: Any) -> list[str]:
    """Return the tags in a list, or in a text with commas or blanks between them; raises `Invalid`.

    In lower case, each once, in the order given.
    """
    parts = re.split(r"[\s,;]+", value) if isinstance(value, str) else value
    if parts is None:
        return []
    if not isinstance(parts, list | tuple) or any(not isinstance(part, str) for part in parts):
        raise Invalid(_("Give tags as a list of words, or as a text with commas between them."))
    tags = list(dict.fromkeys(part.strip().lower() for part in parts if part.strip()))
    for tag in tags:
        if not _TAG.fullmatch(tag):
            told = _("{tag} is no tag: use up to 40 letters, digits and : . + - _, such as lang:de.")
            raise Invalid(told.format(tag=repr(tag[:40])))
    if len(tags) > MOST_AT_ONCE:
        raise Invalid(_("Give at most {most} tags.").format(most=MOST_AT_ONCE))
    return tags


def learn(campaign: Campaign, *, needs: Iterable[str], about: Iterable[str] = ()) -> None:
    """Number the tags that are new to the campaign. Call it with the campaign's row locked; raises `Invalid`."""
    wanted = [f"{NEEDS} {tag}" for tag in needs] + [f"{ABOUT} {tag}" for tag in about]
    new = [tag for tag in dict.fromkeys(wanted) if tag not in campaign.tags]
    if not new:
        return
    if len(campaign.tags) + len(new) > MOST:
        told = _(
            "A campaign tells apart at most {most} skills and categories, and this would be more. Use fewer, or put "
            "the items into a campaign of their own."
        )
        raise Invalid(told.format(most=MOST))
    campaign.tags = [*campaign.tags, *new]
    campaign.save(update_fields=["tags"])


def bits(tags: Sequence[str], *, needs: Iterable[str] = (), about: Iterable[str] = ()) -> int:
    """Return the number that stands for these skills and categories; what `tags` has not numbered is left out."""
    wanted = {f"{NEEDS} {tag}" for tag in needs} | {f"{ABOUT} {tag}" for tag in about}
    return sum(1 << place for place, tag in enumerate(tags) if tag in wanted)


def names(tags: Sequence[str], number: int, kind: str) -> list[str]:
    """Return which skills (`NEEDS`) or categories (`ABOUT`) the number stands for."""
    found = (tag.split(" ", 1) for place, tag in enumerate(tags) if number >> place & 1)
    return [name for of_kind, name in found if of_kind == kind]


def barred(tags: Sequence[str], *, skills: Iterable[str], declined: Iterable[str] = ()) -> int:
    """Return the number of what keeps items from a person: skills they lack, categories they declined."""
    lacking = set(names(tags, -1, NEEDS)) - set(skills)
    return bits(tags, needs=lacking, about=declined)


def open_to(tasks: QuerySet[Task], number: int) -> QuerySet[Task]:
    """Return those of `tasks` that nothing in `number`, a result of `barred`, keeps from a person."""
    return tasks.alias(in_the_way=F("tags").bitand(number)).filter(in_the_way=0)
