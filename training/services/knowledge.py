"""The documents of a campaign that its guard's safe answers quote: their versions, who owns them, and their use.

A document is never changed: each change, its removal too, is a new version beside the old ones. A guard quotes what
its own version holds, so that an answer can be traced to its documents. To have the guard in use answer from what is
here now is one step (`put_to_use`): a new version of it with these documents, its tiers and lines as they are, in use.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from django.db import transaction
from django.db.models import OuterRef, QuerySet, Subquery
from django.utils.translation import gettext as _

from annotation.models import Campaign, Membership, Role, User
from annotation.services import events
from annotation.storable import unstorable
from training.errors import Invalid
from training.models import KnowledgeDocument, ModelVersion
from training.recipes import citations
from training.recipes.citations import CITATION
from training.services import guard_documents, guard_versions, guards, promotion, versions

LONGEST_NOTE = 200
LONGEST_MARK = 200  # of a citation; what is longer is none, and no number either that Python would read


@dataclass(frozen=True)
class Quotation:
    """A sentence that an answer quotes: which version of which document, and where in its text."""

    document: KnowledgeDocument
    start: int
    end: int

    @property
    def passage(self) -> str:
        return self.document.text[self.start : self.end]


@dataclass(frozen=True)
class Standing:
    """What the guard in use answers from, beside the documents as they are here now."""

    guarded: bool  # whether the campaign's loop names a guard
    version: ModelVersion | None  # in use; None where the loop's own folder is
    quoted: list[dict[str, str]] | None  # None where the guard's folder cannot be read
    differs: list[str]  # names of documents that are other ones there

    @property
    def is_current(self) -> bool:
        return self.quoted is not None and not self.differs


def documents(campaign: Campaign) -> QuerySet[KnowledgeDocument]:
    """Return the documents as they are now, each in its newest version, by name."""
    return _newest(campaign).filter(removed=False)


def _newest(campaign: Campaign) -> QuerySet[KnowledgeDocument]:
    later = KnowledgeDocument.objects.filter(campaign=campaign, name=OuterRef("name")).order_by("-number")
    found = KnowledgeDocument.objects.filter(campaign=campaign, number=Subquery(later.values("number")[:1]))
    return found.select_related("owner", "changed_by").order_by("name")


def removed(campaign: Campaign) -> list[str]:
    """Return the names of documents that were removed, and whose versions are still here."""
    return list(_newest(campaign).filter(removed=True).values_list("name", flat=True))


def history(campaign: Campaign, name: str = "") -> QuerySet[KnowledgeDocument]:
    """Return every version there was, of one document or of all, the newest of each first."""
    found = KnowledgeDocument.objects.filter(campaign=campaign).select_related("owner", "changed_by")
    return (found.filter(name=name) if name else found).order_by("name", "-number")


def quotations(campaign: Campaign, text: str) -> list[Quotation]:
    """Return what an answer cites of the campaign's documents, each place once, in the order of the answer.

    Left out is what does not stand there: a guard that was made elsewhere may call another text by the same name.
    """
    marks = [mark.groups() for mark in CITATION.finditer(text) if len(mark.group()) < LONGEST_MARK]
    cited = dict.fromkeys((name, int(start), int(end)) for name, start, end in marks)
    names = {name.rpartition(" v")[0] for name, *_ in cited}
    if not names:
        return []
    known = KnowledgeDocument.objects.filter(campaign=campaign, name__in=names, removed=False).defer("text")
    ids = {citations.cited(one.name, str(one.number)): one.pk for one in known}
    rows = KnowledgeDocument.objects.in_bulk([ids[name] for name, *_ in cited if name in ids])
    return [
        Quotation(row, start, end)
        for name, start, end in cited
        if (row := rows.get(ids.get(name, 0))) is not None and start < end and row.text[start:end] in text
    ]


def as_quoted(rows: Iterable[KnowledgeDocument]) -> list[dict[str, str]]:
    """Return documents as a guard's folder has them."""
    return [{"id": one.name, "text": one.text, "version": str(one.number)} for one in rows]


def standing(campaign: Campaign) -> Standing:
    """Return what the guard in use answers from."""
    base = guards.named(campaign)
    path = guards.in_use(campaign, base)
    version = versions.current(campaign, ModelVersion.Kind.GUARD) if base else None
    found = guard_versions.shown_at(path) if path else None
    here = as_quoted(documents(campaign))
    return Standing(
        guarded=bool(base),
        version=version if version is not None and version.path == path else None,
        quoted=found.documents if found else None,
        differs=sorted(
            name.removeprefix("document ")
            for name in guard_documents.differences(found.documents if found else [], here)
        ),
    )


def owners(campaign: Campaign) -> QuerySet[User]:
    """Return who may own a document: everybody of the campaign but those who judge."""
    members = Membership.objects.filter(campaign=campaign).exclude(role=Role.ANNOTATOR)
    return User.objects.filter(pk__in=members.values("user")).order_by("username")


@transaction.atomic
def write(
    *,
    campaign: Campaign,
    actor: User,
    name: str,
    text: str,
    owner: User | None = None,
    note: str = "",
    seen: int | None = None,
) -> KnowledgeDocument:
    """Return a new version of a document, or the first; Invalid says what does not fit.

    `owner` None leaves the one there is, or makes `actor` the owner. `seen` is the version that whoever writes had
    before them, 0 for a new document: where there is another by now nothing is overwritten.
    """
    before = _lock(campaign, name.strip(), seen)
    (row,) = guard_documents.checked([{"id": name, "text": text, "version": str(_after(before))}])
    if (before is None or before.removed) and documents(campaign).count() >= guard_documents.MOST:
        raise _invalid(_("There is room for 500 documents. Remove one that is not needed."))
    if owner is not None and not owners(campaign).filter(pk=owner.pk).exists() and owner != actor:
        raise _invalid(
            _("A document is owned by somebody of the campaign who does not judge, not by {name}.").format(name=owner)
        )
    known = before.owner if before is not None and not before.removed else None
    chosen = owner or known or actor
    if before is not None and not before.removed and (before.text, before.owner) == (row["text"], chosen):
        raise _invalid(_("Nothing of {name} differs, so there is nothing to save.").format(name=row["id"]))
    return _add(campaign, row["id"], before, actor, note, text=row["text"], owner=chosen)


@transaction.atomic
def remove(*, campaign: Campaign, actor: User, name: str, note: str = "", seen: int | None = None) -> KnowledgeDocument:
    """Return the version that says a document was removed; the earlier ones stay, and it may be written anew."""
    before = _lock(campaign, name.strip(), seen)
    if before is None or before.removed:
        raise _invalid(_("There is no document called {name}.").format(name=name.strip() or "–"))
    return _add(campaign, before.name, before, actor, note, removed=True, owner=before.owner)


@transaction.atomic
def take_over(*, campaign: Campaign, actor: User) -> list[KnowledgeDocument]:
    """Return the documents of the guard in use, taken over as first versions; Invalid where there are some here."""
    found = standing(campaign).quoted
    if KnowledgeDocument.objects.filter(campaign=campaign).exists():
        raise _invalid(_("There are documents here already, so those of the guard are not taken over."))
    if not found:
        raise _invalid(_("The guard in use has no documents to take over."))
    return [
        write(
            campaign=campaign,
            actor=actor,
            name=one["id"],
            text=one["text"],
            note=_("From the guard, as version {version}").format(version=one["version"])[:LONGEST_NOTE]
            if one["version"]
            else _("From the guard"),
        )
        for one in found
    ]


@transaction.atomic
def put_to_use(*, campaign: Campaign, actor: User) -> ModelVersion:
    """Return a new version of the guard in use, itself in use now, that answers from the documents as they are."""
    now = standing(campaign)
    if not now.guarded:
        raise _invalid(_("This campaign has no guard: name one in the settings of its loop."))
    if now.quoted is None:
        raise _invalid(_("The guard's folder cannot be read. Restore the files folder from a backup, or make it anew."))
    if not KnowledgeDocument.objects.filter(campaign=campaign).exists():
        raise _invalid(_("There are no documents yet. Write one, or take over those of the guard."))
    if now.is_current:
        raise _invalid(_("The guard in use answers from these documents already."))
    version = now.version
    if version is None:
        version = _registered(campaign, guards.named(campaign), actor)
    made = guard_versions.edit(version=version, actor=actor, documents=as_quoted(documents(campaign)))
    return promotion.promote(version=made, actor=actor)


def _registered(campaign: Campaign, path: str, actor: User) -> ModelVersion:
    """Return the version that is the loop's own folder, a new one where nobody registered it."""
    known = ModelVersion.objects.filter(campaign=campaign, kind=ModelVersion.Kind.GUARD, path=path).order_by("number")
    if (found := known.first()) is not None:
        return found
    made = versions.add(campaign=campaign, kind=ModelVersion.Kind.GUARD, path=path)
    events.record(campaign=campaign, actor=actor, action="version.registered", target=made.label, detail={"path": path})
    return made


def _lock(campaign: Campaign, name: str, seen: int | None) -> KnowledgeDocument | None:
    """Return the newest version of a document, one writer at a time; Invalid where it is not the one that was seen."""
    if reason := unstorable(name):
        raise _invalid(reason)
    Campaign.objects.select_for_update().get(pk=campaign.pk)
    found = KnowledgeDocument.objects.filter(campaign=campaign, name=name).order_by("-number").first()
    there = 0 if found is None or found.removed else found.number
    if seen is not None and seen != there:
        if there == 0:
            raise _invalid(
                _("{name} was removed meanwhile. Save it under its name as a new document.").format(name=name)
            )
        told = _("There is {document} by now. Look at it, and save again what is to differ.")
        raise _invalid(told.format(document=str(found)))
    return found


def _add(
    campaign: Campaign,
    name: str,
    before: KnowledgeDocument | None,
    actor: User,
    note: str,
    *,
    owner: User | None,
    text: str = "",
    removed: bool = False,
) -> KnowledgeDocument:
    """Return the version after `before`, and leave the event that says so."""
    note = note.strip()
    if len(note) > LONGEST_NOTE or unstorable(note):
        raise _invalid(_("What is said of a change has up to 200 characters."))
    made = KnowledgeDocument.objects.create(
        campaign=campaign,
        name=name,
        number=_after(before),
        text=text,
        removed=removed,
        owner=owner,
        changed_by=actor,
        note=note,
    )
    events.record(
        campaign=campaign,
        actor=actor,
        action="knowledge.removed" if removed else "knowledge.changed",
        target=str(made),
        detail={"note": note} if note else {},
        changes=events.changed(_told(before), _told(made)),
    )
    return made


def _after(before: KnowledgeDocument | None) -> int:
    return before.number + 1 if before is not None else 1


def _told(one: KnowledgeDocument | None) -> dict[str, str | None]:
    """Return of a version what an event keeps: no text, and no name that somebody could ask to be forgotten."""
    if one is None or one.removed:
        return {"text sha256": None, "owner": None}
    return {
        "text sha256": guard_documents.digest(as_quoted([one]))[:12],
        "owner": one.owner.pseudonym if one.owner is not None else None,
    }


def _invalid(message: str) -> Invalid:
    return Invalid(message, {"documents": [message]})
