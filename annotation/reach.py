"""Items that wait for somebody who is not there, or will, and why: for the campaign's lead."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import Count, Q
from django.utils.translation import gettext, ngettext

from annotation import routing
from annotation.access import Action, roles_for
from annotation.models import Campaign, Membership, Task


@dataclass(frozen=True)
class OutOfReach:
    """Open items that too few people of the campaign may judge; no items: those that come in will be so many people's.

    Nothing is refused for it: people come later, and the items wait for them.
    """

    items: int
    needs: list[str]  # empty: anybody may who judges here
    wanted: int  # people who should judge each
    able: int  # people here who have all of `needs`

    @property
    def reason(self) -> str:
        """Return why they wait, in a sentence that says what to do."""
        if not self.needs:
            return self._too_few()
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

    def _too_few(self) -> str:
        people = ngettext("{n} person", "{n} people", self.able).format(n=self.able)
        if not self.items:
            told = gettext(
                "Each item is to be judged by {wanted} people, and {people} may judge here: items will wait for the "
                "others. Add people, or ask fewer."
            )
            return told.format(wanted=self.wanted, people=people)
        told = ngettext(
            "{n} item is to be judged by {wanted} people, and {people} may judge here: it waits for the others. Add "
            "people, or ask fewer.",
            "{n} items are to be judged by {wanted} people each, and {people} may judge here: they wait for the "
            "others. Add people, or ask fewer.",
            self.items,
        )
        return told.format(n=self.items, wanted=self.wanted, people=people)


def out_of_reach(campaign: Campaign) -> list[OutOfReach]:
    """Return the open items that cannot get all their judgements, by what they need; two SQL statements.

    Last, where the settings alone ask more people than may judge here, that items to come will not either. Only skills
    count here. What somebody declined to read is nobody else's business.
    """
    skills: dict[int, set[str]] = {}
    judging = Membership.objects.filter(
        campaign=campaign, role__in=roles_for(Action.JUDGE), held_back_at=None, user__is_active=True
    )
    for person, known_skills in judging.values_list("user_id", "skills"):
        skills.setdefault(person, set()).update(known_skills)
    waiting = Task.objects.open().filter(Q(tags__gt=0) | Q(wanted__gt=len(skills)), campaign=campaign).order_by()
    groups: dict[tuple[str, ...], tuple[int, int]] = {}
    for tags, wanted, items in waiting.values_list("tags", "wanted").annotate(items=Count("id")):
        needs = tuple(routing.names(campaign.tags, tags, routing.NEEDS))
        if needs or wanted > len(skills):
            known = groups.get(needs, (0, 0))
            groups[needs] = (known[0] + items, max(known[1], wanted))
    found = []
    for needs, (items, wanted) in groups.items():
        able = sum(1 for held in skills.values() if held.issuperset(needs))
        if able < wanted:
            found.append(OutOfReach(items, list(needs), wanted, able))
    found.sort(key=lambda one: (one.able, -one.items))
    asked = max(campaign.overlap, campaign.cohort_overlap if campaign.cohort_percent else 0)
    if asked > len(skills) and () not in groups and campaign.state != Campaign.State.CLOSED:
        found.append(OutOfReach(0, [], asked, len(skills)))
    return found
