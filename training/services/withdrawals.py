"""Which frozen data sets and models a person's judgements are in, and marking them when they are withdrawn."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from annotation.models import Prompt, Task, User
from annotation.services import blocks
from annotation.services.queue import QUEUE_ORDER
from training import store
from training.models import Chat, ModelVersion, Snapshot
from training.services import guard_prompts, personal, profiles, snapshots
from training.services.versions import taught_by


@dataclass(frozen=True)
class Uses:
    """What holds a person's judgements: data sets with how many rows, and models that learned from them."""

    snapshots: list[tuple[Snapshot, int]]
    versions: list[ModelVersion]


def uses(pseudonym: str) -> Uses:
    """Return every data set with rows of this person, every model trained on one, and all that such models made.

    A model makes another one as what it starts from, or as the reward that it is taught by.

    Data sets tell by their cards; those from before there were cards, by their files.
    """
    found = [
        (one, int(one.card["annotators"][pseudonym]))
        for one in Snapshot.objects.filter(card__annotators__has_key=pseudonym)
        .order_by("id")
        .select_related("campaign")
    ]
    for one in Snapshot.objects.filter(card={}).select_related("campaign").order_by("id"):
        rows = sum(row.get("annotator") == pseudonym for row in _lines(one))
        if rows:
            found.append((one, rows))
    versions: dict[int, ModelVersion] = {}
    wave = ModelVersion.objects.filter(snapshot__in=[one.pk for one, _ in found])
    while new := [one for one in wave.select_related("campaign") if one.pk not in versions]:
        versions |= {one.pk: one for one in new}
        # Who was made from such a model, and who was taught by its scores.
        taught = [one.pk for one in taught_by(new)]
        wave = ModelVersion.objects.filter(Q(parent__in=new) | Q(pk__in=taught))
    return Uses(found, sorted(versions.values(), key=lambda one: one.pk))


def _lines(snapshot: Snapshot) -> Iterable[dict[str, Any]]:
    return snapshots.lines(snapshot) if store.exists(snapshot.path) else ()


def _forget(versions: Sequence[ModelVersion], pseudonym: str) -> None:
    for version in versions:
        personal.forget(version, pseudonym)


@transaction.atomic
def mark(*, person: User, pseudonym: str) -> Uses:
    """Mark what this person's judgements are in, delete their chats and the items made of them; return the marked.

    Called inside the erasure. The files of data sets stay: they are named by their hashes, and models refer to them. A
    policy that knows its users forgets this one when the erasure is done, and answers everybody else as before. What
    they said of the answers they like goes from the prompts of rounds.
    """
    found = uses(pseudonym)
    now = timezone.now()
    Snapshot.objects.filter(pk__in=[one.pk for one, _ in found.snapshots], withdrawn_at=None).update(withdrawn_at=now)
    ModelVersion.objects.filter(pk__in=[one.pk for one in found.versions], withdrawn_at=None).update(withdrawn_at=now)
    transaction.on_commit(lambda: _forget(found.versions, pseudonym))
    rounds = profiles.written_for(person)
    transaction.on_commit(lambda: profiles.forget(rounds, pseudonym))
    items = Task.objects.filter(assignments__chat_turn__chat__user=person)
    prompts = set(items.values_list("prompt_id", flat=True))
    locked = Task.objects.filter(pk__in=items.values("pk")).order_by(*QUEUE_ORDER).select_for_update()
    gone = list(locked.values_list("pk", flat=True))
    blocks.mark_all(gone)
    Task.objects.filter(pk__in=gone).delete()
    Prompt.objects.filter(pk__in=prompts, tasks=None).delete()
    Chat.objects.filter(user=person).delete()
    guard_prompts.erase(person)
    return found
