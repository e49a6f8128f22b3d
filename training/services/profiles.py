"""What people say of the answers they like, for the policies of campaigns that ask for it: P-RLHF, arXiv:2402.05133.

A text is read where a loop has `profiles` on, and of people who are in its campaign now. It goes into frozen data sets
beside its author's choices, so that what a policy learned from stays known; into the prompts of a round, to answer
those whom they are made for; and before what somebody asks as that person. Nowhere else, and into no export.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from django.db.models import Q
from django.utils.translation import gettext as _

from annotation.models import Assignment, Campaign, Membership, Task, User
from training import paths, store
from training.errors import Invalid
from training.models import Loop, Round
from training.recipes.base import Recipe
from training.recipes.spec import write_text

Row = dict[str, Any]
COLUMN = "profile"
FILES = ("prompts", "held-out")  # of a round, whose rows say what whom they are made for likes


def is_asked(campaign: Campaign) -> bool:
    """Return whether the campaign's loop has its policy read what people say of the answers they like."""
    loop = Loop.objects.filter(campaign=campaign).only("settings", "state").first()
    return loop is not None and loop.state != Loop.State.STOPPED and bool(loop.settings.get("profiles"))


def asking(user: User) -> list[str]:
    """Return the names of this person's campaigns that read their text."""
    loops = Loop.objects.filter(campaign__memberships__user=user).exclude(state=Loop.State.STOPPED)
    found = loops.order_by("campaign__name").values_list("campaign__name", "settings").distinct()
    return list(dict.fromkeys(name for name, settings in found if settings.get("profiles")))


def filters(campaign: Campaign, recipe: Recipe) -> dict[str, Any]:
    """Return how pairs are frozen for a run of this recipe, besides what narrows them."""
    return {"profiles": True} if recipe.part("users") is not None and is_asked(campaign) else {}


def texts(campaign: Campaign, people: Iterable[str] | None = None) -> dict[str, str]:
    """Return by pseudonym what people of a campaign say, those of `people` if it is given; nothing where none is asked.

    Whoever says nothing is not in it.
    """
    if not is_asked(campaign):
        return {}
    there = User.objects.filter(memberships__campaign=campaign, is_active=True).exclude(profile_text="")
    if people is not None:
        there = there.filter(pseudonym__in=list(people))
    return dict(there.values_list("pseudonym", "profile_text"))


def text_of(campaign: Campaign, pseudonym: str) -> str:
    """Return what one person of a campaign says; empty where they say nothing or are not asked."""
    return texts(campaign, [pseudonym]).get(pseudonym, "") if pseudonym else ""


def beside(rows: Iterable[Row], campaign: Campaign, view: str) -> Iterator[Row]:
    """Return rows of the view "pairs" with a column "profile": what who judged says now, null where they say nothing.

    Raises `Invalid` at once for another view, and where the campaign does not ask people for it.
    """
    if view != "pairs":
        raise _invalid(_("What people say of the answers they like is put beside pairs alone; freeze the view pairs."))
    if not is_asked(campaign):
        raise _invalid(
            _(
                "This campaign does not use what people say of the answers they like. Turn on profiles in its loop "
                "first, so that they are told."
            )
        )
    said = texts(campaign)
    return ({**row, COLUMN: said.get(str(row["annotator"]))} for row in rows)


def written_for(person: User) -> list[int]:
    """Return the rounds whose files of prompts may hold what a person says: of campaigns they are or were in."""
    theirs = Membership.objects.filter(user=person).values("campaign")
    worked = Assignment.objects.filter(user=person).values("task__campaign")  # also of those they have left since
    made_for = Task.objects.filter(assignee=person).values("campaign")
    of_them = Q(loop__campaign__in=theirs) | Q(loop__campaign__in=worked) | Q(loop__campaign__in=made_for)
    return list(Round.objects.filter(of_them).order_by("pk").values_list("pk", flat=True))


def forget(rounds: Iterable[int], pseudonym: str) -> None:
    """Take what a person says out of the files of prompts of these rounds."""
    for number in rounds:
        for name in FILES:
            path = paths.files() / "rounds" / str(number) / f"{name}.jsonl"
            stored = paths.stored(path)
            if store.exists(stored):
                _without(Path(store.fetch(stored)), pseudonym)


def _without(path: Path, pseudonym: str) -> None:
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line.strip()]
    theirs = [row for row in rows if row.get("user") == pseudonym and COLUMN in row]
    if not theirs:
        return
    for row in theirs:
        del row[COLUMN]
    write_text(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    store.keep(path)


def _invalid(why: str) -> Invalid:
    return Invalid(why, {"filters": [why]})
