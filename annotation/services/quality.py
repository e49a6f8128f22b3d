"""The report on how far judgements can be trusted: made when it is out of date, in place where that is quick.

In the background it is made of all judgements, however many. What they say is counted anew only where something
changed (`keep`); the models are fitted anew, which takes minutes where very many people judged. So it is being made for
a twentieth of the time at most (`SHARE`), by one process, and says of when it is.
"""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q
from django.utils import timezone

from annotation import evidence, reliability, sums
from annotation.models import Adjudication, Block, BlockEvidence, Campaign, Feedback, QualityReport, Task
from annotation.services import blocks
from annotation.services.queue import QUEUE_ORDER

# Judgements up to which a page makes the report itself when it is out of date; the rest is the background's work.
AT_ONCE = 500
# The chance that the likeliest answer is wrong, from which on one more person is asked.
UNSURE = 0.2
SLOW_SECONDS = 5.0
SHARE = 20  # so many times as long as a slow report took, it is left as it is
LONGEST = timedelta(hours=1)  # after which one that is being made is taken for lost


def current(campaign: Campaign) -> QualityReport | None:
    """Return the report, made anew first where it is out of date and that is quick; None before the first judgement."""
    return with_lag(campaign)[0]


def with_lag(campaign: Campaign) -> tuple[QualityReport | None, int]:
    """Return the same, and how many judgements more stand now than when it was made; -1 when only what they say did."""
    stored = QualityReport.objects.filter(campaign=campaign).first()
    count, last = _extent(campaign)
    if not count:
        return None, 0
    if is_fresh(stored, count, last):
        return stored, 0
    if count <= AT_ONCE:
        return refresh(campaign=campaign), 0
    more = count - stored.judgements if stored and stored.judgements else 0
    return stored, more if more > 0 else -1


def is_fresh(stored: QualityReport | None, count: int, last: int) -> bool:
    return stored is not None and (stored.judgements, stored.last_feedback) == (count, last)


def refresh(*, campaign: Campaign) -> QualityReport:
    """Make the report of what stands now and store it; safe to do twice at once, the later one stays."""
    started, made_at = time.monotonic(), timezone.now()
    count, last = _extent(campaign)
    keep(campaign=campaign)
    figures = reliability.report(campaign)
    made = {"figures": figures, "judgements": count, "last_feedback": last, "made_at": made_at, "begun_at": None}
    made["seconds"] = time.monotonic() - started
    with transaction.atomic():
        stored, _ = QualityReport.objects.update_or_create(campaign=campaign, defaults=made)
    return stored


def keep(*, campaign: Campaign) -> int:
    """Store the evidence of blocks whose stored one is not of their version; return how many.

    A block that says it is counted is counted as of its version, or of later: what was written since is read too, and
    has marked the block, so that its next version is counted again. Safe to do twice at once for the same reason.
    """
    known = evidence.kept(campaign).values("block")
    counted = Block.objects.filter(campaign=campaign, state=Block.State.COUNTED).exclude(pk__in=known).order_by("first")
    stored = 0
    for pk, version, first, last in counted.values_list("pk", "version", "first", "last"):
        found = evidence.count(campaign, first, last)
        made = {"version": version, "real": found[False].as_json(), "simulated": found[True].as_json()}
        BlockEvidence.objects.update_or_create(block_id=pk, defaults=made)
        stored += 1
    return stored


def refresh_all() -> int:
    """Make every report that is out of date anew, unless it was made just now for its cost; return how many."""
    known = {one.campaign_id: one for one in QualityReport.objects.defer("figures")}
    made = 0
    for campaign in Campaign.objects.order_by("pk"):
        count, last = _extent(campaign)
        stored = known.get(campaign.pk)
        if not last or is_fresh(stored, count, last):
            continue
        if stored is not None and not _is_ours(stored):
            continue
        try:
            widen(campaign=campaign, report=refresh(campaign=campaign))
        except Exception:
            QualityReport.objects.filter(campaign=campaign).update(begun_at=None)  # the next beat tries again
            raise
        made += 1
    return made


def _is_ours(stored: QualityReport) -> bool:
    """Return whether this process is to make it anew: it was not just now, and no other process is at it."""
    now = timezone.now()
    if stored.seconds > SLOW_SECONDS and now < stored.made_at + timedelta(seconds=SHARE * stored.seconds):
        return False
    free = Q(begun_at=None) | Q(begun_at__lt=now - LONGEST)
    return bool(QualityReport.objects.filter(free, pk=stored.pk).update(begun_at=now))


def _extent(campaign: Campaign) -> tuple[int, int]:
    """Return how many judgements stand, out of the sums that are kept, and the newest one's id, out of an index."""
    newest = Feedback.objects.current().filter(campaign=campaign).order_by("-id").values_list("id", flat=True).first()
    return (sums.standing(sums.of(campaign)), newest) if newest else (0, 0)


def widen(*, campaign: Campaign, report: QualityReport) -> int:
    """Ask one more person about complete items whose answer is unsure, up to the campaign's most; return how many.

    The queue reads `wanted` as ever, so handing out an item costs no more. One person at a time, so that an item stops
    as soon as its answer is sure. A decision of a reviewer ends it too, and what was withdrawn stays so. What was made
    for one person is nobody else's to judge.
    """
    if campaign.overlap_most < 1 or not campaign.is_open:
        return 0
    unsure = [one["task"] for one in report.figures["unsure"] if one["uncertainty"] > UNSURE]
    decided = Adjudication.objects.filter(task=OuterRef("pk"), is_current=True)
    with transaction.atomic():
        tasks = list(
            Task.objects.select_for_update(no_key=True, of=("self",))
            .filter(pk__in=unsure, state=Task.State.COMPLETE, done__lt=campaign.overlap_most, gold=None, assignee=None)
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
