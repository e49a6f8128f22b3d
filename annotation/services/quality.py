"""The report on how far judgements can be trusted: made when it is out of date, in place where that is quick."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.db.models import Exists, F, OuterRef
from django.utils import timezone

from annotation import reliability, sums
from annotation.models import Adjudication, Campaign, Feedback, QualityReport, Task
from annotation.services import blocks
from annotation.services.queue import QUEUE_ORDER

# Judgements up to which a page makes the report itself when it is out of date; the rest is the background's work.
AT_ONCE = 500
# The chance that the likeliest answer is wrong, from which on one more person is asked.
UNSURE = 0.2


def current(campaign: Campaign) -> QualityReport | None:
    """Return the report, made anew first where it is out of date and that is quick; None before the first judgement."""
    stored = QualityReport.objects.filter(campaign=campaign).first()
    count, last = _extent(campaign)
    if not count:
        return None
    if is_fresh(stored, count, last) or count > AT_ONCE:
        return stored
    return refresh(campaign=campaign)


def is_fresh(stored: QualityReport | None, count: int, last: int) -> bool:
    return stored is not None and (stored.judgements, stored.last_feedback) == (count, last)


def refresh(*, campaign: Campaign) -> QualityReport:
    """Make the report of what stands now and store it; safe to do twice at once, the later one stays."""
    count, last = _extent(campaign)
    figures = reliability.report(campaign)
    made = {"figures": figures, "judgements": count, "last_feedback": last, "made_at": timezone.now()}
    with transaction.atomic():
        stored, _ = QualityReport.objects.update_or_create(campaign=campaign, defaults=made)
    return stored


def refresh_all() -> int:
    """Make every report that is out of date anew, and return how many."""
    known = {one.campaign_id: one for one in QualityReport.objects.defer("figures")}
    made = 0
    for campaign in Campaign.objects.order_by("pk"):
        count, last = _extent(campaign)
        if last and not is_fresh(known.get(campaign.pk), count, last):
            widen(campaign=campaign, report=refresh(campaign=campaign))
            made += 1
    return made


def _extent(campaign: Campaign) -> tuple[int, int]:
    """Return how many judgements stand, out of the sums that are kept, and the newest one's id, out of an index."""
    newest = Feedback.objects.current().filter(campaign=campaign).order_by("-id").values_list("id", flat=True).first()
    return (sums.standing(sums.of(campaign)), newest) if newest else (0, 0)


def widen(*, campaign: Campaign, report: QualityReport) -> int:
    """Ask one more person about complete items whose answer is unsure, up to the campaign's most; return how many.

    The queue reads `wanted` as ever, so handing out an item costs no more. One person at a time, so that an item stops
    as soon as its answer is sure. A decision of a reviewer ends it too, and what was withdrawn stays so.
    """
    if campaign.overlap_most < 1 or not campaign.is_open:
        return 0
    unsure = [one["task"] for one in report.figures["unsure"] if one["uncertainty"] > UNSURE]
    decided = Adjudication.objects.filter(task=OuterRef("pk"), is_current=True)
    with transaction.atomic():
        tasks = list(
            Task.objects.select_for_update(no_key=True, of=("self",))
            .filter(pk__in=unsure, state=Task.State.COMPLETE, done__lt=campaign.overlap_most, gold=None)
            .exclude(Exists(decided))
            .order_by(*QUEUE_ORDER)
            .values_list("pk", flat=True)
        )
        Task.objects.filter(pk__in=tasks).update(wanted=F("done") + 1, seats=1, state=Task.State.OPEN)
        blocks.mark_all(tasks)
    return len(tasks)


def without_policies(figures: dict[str, Any]) -> dict[str, Any]:
    """Return the report for somebody who must not learn who wrote an answer, such as a reviewer."""
    kept = [one for one in figures["agreement"] if one["by"] != "policy"]
    return {**figures, "agreement": kept, "policies": []}
