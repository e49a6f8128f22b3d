"""Items that wait for somebody who is not there, and why: for the campaign's lead."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import Count, Max
from django.utils.translation import ngettext

from annotation import routing
from annotation.access import Action, roles_for
from annotation.models import Campaign, Membership, Task


@dataclass(frozen=True)
class OutOfReach:
    """Open items that too few people of the campaign have the skills for."""

    items: int
    needs: list[str]
    wanted: int  # people who should judge each
    able: int  # people here who have all of `needs`

    @property
    def reason(self) -> str:
        """Return why they wait, in a sentence that says what to do."""
        skills = ", ".join(self.needs)
        if not self.able:
            told = ngettext(
                "{n} item needs {skills}, and nobody here has all of that. Say who can, or add somebody who does.",
                "{n} items need {skills}, and nobody here has all of that. Say who can, or add somebody who does.",
                self.items,
            )
            return told.format(n=self.items, skills=skills)
        people = ngettext("{n} person has", "{n} people have", self.able).format(n=self.able)
        told = ngettext(
            "{n} item needs {skills} of {wanted} people each, and only {people} it here.",
            "{n} items need {skills} of {wanted} people each, and only {people} it here.",
            self.items,
        )
        return told.format(n=self.items, skills=skills, wanted=self.wanted, people=people)


def out_of_reach(campaign: Campaign) -> list[OutOfReach]:
    """Return the open items that cannot get all their judgements, by what they need; two SQL statements.

    Only skills count here. What somebody declined to read is nobody else's business.
    """
    waiting = Task.objects.open().filter(campaign=campaign, tags__gt=0).order_by()
    groups: dict[tuple[str, ...], tuple[int, int]] = {}
    for tags, items, wanted in waiting.values_list("tags").annotate(items=Count("id"), most=Max("wanted")):
        needs = tuple(routing.names(campaign.tags, tags, routing.NEEDS))
        known = groups.get(needs, (0, 0))
        groups[needs] = (known[0] + items, max(known[1], wanted))
    if not any(groups):
        return []
    skills: dict[int, set[str]] = {}
    judging = Membership.objects.filter(campaign=campaign, role__in=roles_for(Action.JUDGE), held_back_at=None)
    for person, known_skills in judging.values_list("user_id", "skills"):
        skills.setdefault(person, set()).update(known_skills)
    found = []
    for needs, (items, wanted) in groups.items():
        able = sum(1 for held in skills.values() if held.issuperset(needs))
        if needs and able < wanted:
            found.append(OutOfReach(items, list(needs), wanted, able))
    return sorted(found, key=lambda one: (one.able, -one.items))
