"""How many people judge the items that are in a campaign already: changed while it runs."""

from __future__ import annotations

from collections.abc import Iterator

from django.db import transaction
from django.db.models import Case, Count, Exists, F, OuterRef, QuerySet, Subquery, Value, When
from django.db.models.functions import Coalesce, Greatest
from django.utils.translation import gettext as _

from annotation.errors import Invalid
from annotation.importing.items import MAX_WANTED
from annotation.importing.storing import overlap_of
from annotation.models import Adjudication, Assignment, Campaign, Task, User
from annotation.services import blocks, events
from annotation.services.queue import QUEUE_ORDER
from annotation.storable import unstorable

AT_ONCE = 2000


def change(*, campaign: Campaign, wanted: int | None, batch: str = "", actor: User) -> int:
    """Have this many people judge each item of the campaign, or of one batch; return how many items that changed.

    None: what the settings say, with their share of items that more people judge. More people open complete items
    again. Fewer take nothing away: judgements stay, and who has an item on screen may send it. Left as they are: items
    with a right answer, which everybody gets, those that a reviewer decided, those made for one person, and those
    withdrawn. Raises `Invalid`.

    In transactions of `AT_ONCE` items, so that a large campaign goes on being judged meanwhile; to be cut off halfway
    does no harm, and to begin again does the rest.
    """
    if wanted is not None and not 1 <= wanted <= MAX_WANTED:
        message = _("Give a number of people from 1 to {most}.").format(most=MAX_WANTED)
        raise Invalid(message, {"wanted": [message]})
    decided = Adjudication.objects.filter(task=OuterRef("pk"), is_current=True)
    tasks = Task.objects.filter(~Exists(decided), campaign=campaign, gold=None).exclude(state=Task.State.WITHDRAWN)
    if batch:
        tasks = tasks.filter(batch=batch)
        if unstorable(batch) or not tasks.exists():
            message = _("This campaign has no batch {name}.").format(name=repr(batch))
            raise Invalid(message, {"batch": [message]})
    tasks = tasks.filter(assignee=None)
    changed = sum(_change(campaign, tasks, ids, wanted) for ids in _in_parts(tasks))
    if changed:
        detail = {"items": changed, "wanted": wanted}
        events.record(campaign=campaign, actor=actor, action="items.overlap", target=batch, detail=detail)
    return changed


def _in_parts(tasks: QuerySet[Task]) -> Iterator[list[int]]:
    last = 0
    while ids := list(tasks.filter(pk__gt=last).order_by("pk").values_list("pk", flat=True)[:AT_ONCE]):
        yield ids
        last = ids[-1]


@transaction.atomic
def _change(campaign: Campaign, tasks: QuerySet[Task], ids: list[int], wanted: int | None) -> int:
    """Change those of `ids` that are still among `tasks` once they are locked; seats that people hold stay theirs."""
    locked = (
        tasks.filter(pk__in=ids)
        .select_for_update(no_key=True, of=("self",))
        .order_by(*QUEUE_ORDER)
        .values_list("pk", "external_id")
    )
    by_wanted: dict[int, list[int]] = {}
    for pk, external_id in locked:
        by_wanted.setdefault(overlap_of(campaign, external_id) if wanted is None else wanted, []).append(pk)
    live = Assignment.objects.filter(task=OuterRef("pk"), state=Assignment.State.OPEN).order_by().values("task")
    held = F("done") + Coalesce(Subquery(live.annotate(n=Count("pk")).values("n")), 0)
    changed: list[int] = []
    for number, items in by_wanted.items():
        other = Task.objects.filter(pk__in=items).annotate(now=Greatest(Value(number), held)).exclude(wanted=F("now"))
        found = list(other.values_list("pk", flat=True))
        target = Greatest(Value(number), held)
        state = Case(When(done__gte=number, then=Value(Task.State.COMPLETE)), default=Value(Task.State.OPEN))
        Task.objects.filter(pk__in=found).update(wanted=target, seats=target - held, state=state)
        # Somebody holds a seat beyond the number: the item is complete when they have sent it.
        Task.objects.filter(pk__in=found, done__lt=F("wanted")).update(state=Task.State.OPEN)
        changed += found
    blocks.mark_all(changed)
    return len(changed)
