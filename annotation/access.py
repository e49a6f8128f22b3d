"""Who may do what: the one table of actions and roles. The gates ask it, the README prints it, tests walk it.

A stranger to a campaign may do nothing there and is not even told that it exists (404); a member whose roles do not
suffice is told which one would (403). Nobody sees what others said about an item before they judged it themselves:
JUDGE shows one's own judgements only, and REVIEW, which shows everybody's, comes without JUDGE.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from annotation.models import Role


class Action(enum.Enum):
    SEE = "see"
    JUDGE = "judge"
    REVIEW = "review"
    MEASURE = "measure"
    READ = "read"
    IMPORT = "import"
    EXPORT = "export"
    TRAIN = "train"
    TAMPER = "tamper"
    CONFIGURE = "configure"
    STEER = "steer"
    PEOPLE = "people"
    AUDIT = "audit"
    ADMINISTER = "administer"


# Not a membership but a property of the account (a superuser): may do everything, in every campaign.
ADMIN = "admin"

_EVERYBODY = (Role.ANNOTATOR, Role.REVIEWER, Role.LEAD, Role.ENGINEER, Role.RED_TEAM)
_READERS = (Role.LEAD, Role.ENGINEER)

TABLE: dict[Action, tuple[Promise, frozenset[Role]]] = {
    Action.SEE: (_("See the campaign, its guideline and one's own progress"), frozenset(_EVERYBODY)),
    Action.JUDGE: (_("Judge items, chat with the policy"), frozenset({Role.ANNOTATOR, Role.LEAD})),
    Action.REVIEW: (
        _("See everybody's judgements of an item side by side; accept, override or return them"),
        frozenset({Role.REVIEWER, Role.LEAD}),
    ),
    Action.MEASURE: (
        _("Read how far people agree, and how reliable the labels are"),
        frozenset({Role.REVIEWER, *_READERS}),
    ),
    Action.READ: (
        _("Read items with their origins, judgements under pseudonyms, figures, runs"),
        frozenset({*_READERS, Role.RED_TEAM}),
    ),
    Action.IMPORT: (_("Import items, give gold answers"), frozenset(_READERS)),
    Action.EXPORT: (_("Export, freeze data sets"), frozenset(_READERS)),
    Action.TRAIN: (_("Start, cancel and repeat runs, register models"), frozenset(_READERS)),
    Action.TAMPER: (_("Train against a policy's safety, to measure it"), frozenset({Role.RED_TEAM})),
    Action.CONFIGURE: (_("Change, open, pause and close the campaign"), frozenset({Role.LEAD})),
    Action.STEER: (_("Set up the loop and its rounds, promote and roll back models"), frozenset({Role.LEAD})),
    Action.PEOPLE: (_("Add, invite and remove people, read their hours for pay"), frozenset({Role.LEAD})),
    Action.AUDIT: (_("Read who changed what"), frozenset({Role.LEAD})),
    Action.ADMINISTER: (_("Run the server: accounts, everybody's campaigns, its figures"), frozenset()),
}


# What an API token may be limited to. It never allows more than its owner's roles do.
SCOPES: dict[str, Promise] = {
    "read": _("Read items, judgements, figures and runs"),
    "judge": _("Take items, judge them, review judgements"),
    "import": _("Import items and gold answers"),
    "export": _("Export judgements, freeze data sets"),
    "train": _("Start runs, run the loop, promote models"),
    "manage": _("Create and change campaigns, their people included"),
}
# SEE needs none of them: whoever may do anything in a campaign must be able to find it.
SCOPE_OF: dict[Action, str] = {
    Action.JUDGE: "judge",
    Action.REVIEW: "judge",
    Action.MEASURE: "read",
    Action.READ: "read",
    Action.IMPORT: "import",
    Action.EXPORT: "export",
    Action.TRAIN: "train",
    Action.STEER: "train",
    Action.TAMPER: "train",
    Action.CONFIGURE: "manage",
    Action.PEOPLE: "manage",
    Action.AUDIT: "read",
    Action.ADMINISTER: "manage",
}


def roles_for(action: Action) -> frozenset[Role]:
    """Return the roles in a campaign that may do it; admins may besides."""
    return TABLE[action][1]


def allows(held: Iterable[Role], action: Action) -> bool:
    """Return whether somebody with these roles in a campaign may do it there."""
    return not roles_for(action).isdisjoint(held)


def as_markdown() -> str:
    """Return the table as the README prints it."""
    columns = [*_EVERYBODY, ADMIN]
    lines = ["| | " + " | ".join(columns) + " |", "| --- |" + " :-: |" * len(columns)]
    for words, roles in TABLE.values():
        cells = ("yes" if role == ADMIN or role in roles else "" for role in columns)
        lines.append(f"| {words} | " + " | ".join(cells) + " |")
    return "\n".join(lines).replace("|  |", "| |").replace("|  |", "| |") + "\n"
