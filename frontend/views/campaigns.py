"""A lead's campaigns: the list, and the dashboard of each."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from django.db.models import Exists, OuterRef, QuerySet
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext, ngettext, pgettext
from django.views.decorators.http import require_GET, require_POST

from annotation import sums
from annotation.access import Action, roles_for
from annotation.agreement import Agreement, campaign_agreement
from annotation.errors import AnnotationError, Invalid
from annotation.exposure import exposure
from annotation.feedback import kind
from annotation.messages import in_words
from annotation.models import Campaign, Feedback, Membership, Role, User
from annotation.overlap import region_agreement
from annotation.permissions import KEPT, deleted_campaigns, may_create, turn_away
from annotation.progress import Progress, campaign_progress, items_of
from annotation.reach import out_of_reach
from annotation.services import batches
from annotation.sums import Sums
from annotation.tallies import Position, Tally, campaign_tally
from frontend import charts, events_in_words, next_step, numerals
from frontend.decorators import campaign_page, signed_in
from frontend.http import SignedInRequest, complain, say
from frontend.lead_pages import campaign_page_of, is_lead
from frontend.stop_polling import fragment_or_stop
from frontend.views.metrics import as_csv
from training.models import Loop, Round

RECENT = 12
MOST_DELETED = 50


@signed_in
@require_GET
def campaign_list(request: SignedInRequest) -> HttpResponse:
    """Return the campaigns this person leads or works on as an engineer, with how far each is."""
    user = request.user
    mine = led_by(user)
    creates = may_create(user)
    if not creates and not mine.exists() and not deleted_campaigns(user).exists():
        turn_away(user, gettext("These pages are for leads and engineers."))
    rows = list(mine.annotate(has_loop=Exists(Loop.objects.filter(campaign=OuterRef("pk")))).order_by("-id"))
    counts = items_of(rows)
    shown = [(campaign, *counts[campaign.pk]) for campaign in rows]
    deleted = [(one, (one.deleted_at or timezone.now()) + KEPT) for one in deleted_campaigns(user)[:MOST_DELETED]]
    return render(request, "campaigns/list.html", {"campaigns": shown, "may_create": creates, "deleted": deleted})


def led_by(user: User) -> QuerySet[Campaign]:
    """Return the campaigns whose lead pages this person may open."""
    if user.is_superuser:
        return Campaign.objects.kept()
    member = Membership.objects.filter(user=user, campaign=OuterRef("pk"), role__in=roles_for(Action.READ))
    return Campaign.objects.kept().filter(Exists(member))


@dataclass(frozen=True)
class Judgement:
    """A recent judgement in words, for the dashboard."""

    who: str
    simulated: bool
    item: str  # what was asked
    words: str
    seconds: float | None
    at: Any
    version: int


@campaign_page(Action.READ)
@require_GET
def campaign_detail(request: SignedInRequest, campaign: Campaign) -> HttpResponse:
    """Return the dashboard: what to do next, progress, agreement, strength, position, people and events.

    With ``?format=csv`` what people said, as the chart counts it, or with ``part=position`` on which side.
    """
    known = sums.of(campaign)
    tally = campaign_tally(campaign, known)
    if request.GET.get("format") == "csv":
        return _as_file(campaign, tally, request.GET.get("part", ""))
    verdicts = [(_short_label(label), label, count) for label, count in tally.verdicts]
    strength = charts.bar_chart(
        verdicts,
        title=gettext("How strongly people prefer"),
        caption=gettext("A is the answer shown first (left), B the one shown second (right)."),
        x_label=gettext("Verdict"),
        y_label=gettext("Judgements"),
    )
    figures, waiting = _progress_context(request, campaign, known), out_of_reach(campaign)
    context = {
        **figures,
        **_agreement_context(campaign, figures["progress"], known),
        "tally": tally,
        "late": known.late,
        "days_kept": KEPT.days,
        "out_of_reach": waiting,
        "lacks_skills": any(one.needs for one in waiting),
        "too_few": any(not one.needs for one in waiting),
        "exposure": exposure(campaign, known=known),
        "batches": batches.batches(campaign, known),
        "compares": kind(campaign.kind).compares,
        "strength": strength,
        "balance": _balance(tally.position),
        "sides": _sides(tally.position),
        "recent": _recent(campaign),
        "events": events_in_words.last(campaign, RECENT),
    }
    return campaign_page_of(request, campaign, "campaigns/detail.html", context, tab="campaign")


def _as_file(campaign: Campaign, tally: Tally, part: str) -> HttpResponse:
    where = tally.position
    sides = [
        ("left", "right", "share_left", "low", "high"),
        (where.left, where.right, where.share, where.low, where.high),
    ]
    said = [("verdict", "judgements"), *tally.verdicts]
    part = "position" if part == "position" else "verdicts"
    return as_csv(sides if part == "position" else said, f"campaign-{campaign.pk}-{part}.csv")


@campaign_page(Action.CONFIGURE)
@require_POST
def batch_priority(request: SignedInRequest, campaign: Campaign) -> HttpResponse:
    """Give the open items of a batch another priority."""
    batch, typed = request.POST.get("batch", ""), request.POST.get("priority", "").strip()
    try:
        priority = int(typed) if re.fullmatch(r"-?[0-9]{1,10}", typed) else None
        if priority is None:
            raise Invalid(gettext("Give the priority as a whole number; higher comes first, and 0 is usual."))
        changed = batches.prioritise(campaign=campaign, batch=batch, priority=priority, actor=request.user)
    except AnnotationError as error:
        complain(request, error)
    else:
        text = ngettext(
            "{n} open item of {batch} got the priority {priority}.",
            "{n} open items of {batch} got the priority {priority}.",
            changed,
        )
        say(request, text.format(n=changed, batch=batch, priority=priority))
    return redirect("campaign", campaign.pk)


@campaign_page(Action.READ)
@require_GET
def campaign_progress_part(request: SignedInRequest, campaign: Campaign) -> HttpResponse:
    """Return the moving part of the dashboard; the last answer, once nobody is given items, stops the asking."""
    context = {"campaign": campaign, **_progress_context(request, campaign, sums.of(campaign))}
    return fragment_or_stop(request, "campaigns/_progress.html", context, more=campaign.is_open)


def _progress_context(request: SignedInRequest, campaign: Campaign, known: Sums) -> dict[str, Any]:
    progress = campaign_progress(campaign, known)
    lead = is_lead(request.user, campaign)
    members = Membership.objects.filter(campaign=campaign, role=Role.ANNOTATOR).count()
    round = Round.objects.filter(loop__campaign=campaign).order_by("-index").first()
    current = round if round is not None and not round.is_final else None
    return {
        "progress": progress,
        "today": sum(person.today for person in progress.people),
        "lead": lead,
        "next": next_step.of_campaign(campaign, progress, lead=lead, annotators=members, round=current),
    }


def _agreement_context(campaign: Campaign, progress: Progress, known: Sums) -> dict[str, Any]:
    """Return the agreement of people; of simulated ones, and said so, where only those have judged."""
    simulated = bool(progress.people) and all(person.is_simulated for person in progress.people if person.done)
    found = campaign_agreement(campaign, simulated=simulated, known=known)
    titles = {one.name: one.title for one in kind(campaign.kind).dimensions(campaign.options)}
    first = next(iter(found.values()), None)
    return {
        "agreement": first,
        "agreement_on": titles[next(iter(found))] if len(found) > 1 else "",
        "agreements": [(titles[name], one) for name, one in found.items()] if len(found) > 1 else [],
        "agreement_simulated": simulated,
        "agreement_words": _agreement_words(first) if first else "",
        **_regions_context(campaign, simulated),
    }


def _regions_context(campaign: Campaign, simulated: bool) -> dict[str, Any]:
    """Return how far people mark the same places of images, in all and by label; nothing where none are marked."""
    found = region_agreement(campaign, simulated=simulated)
    if found is None or not found.items:
        return {}
    titles = kind(campaign.kind).mark_labels(campaign.options)
    rows = [(gettext("All labels"), found.every), *((titles[key], one) for key, one in found.by_label.items())]
    return {"regions": found, "region_rows": [(title, one) for title, one in rows if one.marks]}


def _agreement_words(agreement: Agreement) -> str:
    """Return what an alpha means for a lead. The bounds are Krippendorff's own (2004): 0.8 firm, 0.667 tentative."""
    if agreement.alpha is None or agreement.low is None:
        return ""
    if agreement.low >= 0.8:
        return gettext("People judge alike; conclusions from these judgements are firm.")
    if agreement.alpha >= 0.667:
        return gettext(
            "People mostly judge alike. Fine for training; look at the items they differ on before you conclude more."
        )
    if agreement.alpha >= 0.3:
        return gettext(
            "People differ often. That is usual for matters of taste. Read some of the items they differ on: a "
            "sentence more in the guideline helps most."
        )
    return gettext(
        "People agree hardly more than by chance. Talk about a few items together and sharpen the guideline first."
    )


def _balance(position: Position) -> dict[str, float]:
    """Return the left share and its interval as places on a line of 200 units."""
    if position.share is None or position.low is None or position.high is None:
        return {}
    return {
        "at": round(200 * position.share, 1),
        "low": round(200 * position.low, 1),
        "high": round(200 * position.high, 1),
    }


def _sides(position: Position) -> charts.Chart | None:
    """Return the table of that line, as those of charts."""
    if position.share is None or position.low is None or position.high is None:
        return None
    share, low, high = position.share, position.low, position.high
    sides = [
        (pgettext("side", "Left"), position.left, (share, low, high)),
        (pgettext("side", "Right"), position.right, (1 - share, 1 - high, 1 - low)),
    ]
    rows = []
    for side, count, figures in sides:
        estimate, lower, upper = map(numerals.percent, figures)
        rows.append([side, str(count), estimate, numerals.span(lower, upper)])
    columns = [gettext("Preferred"), gettext("Judgements"), gettext("Share"), gettext("95%% interval") % {}]
    return charts.Chart(title=gettext("Left or right"), caption="", columns=columns, rows=rows)


def _short_label(label: str) -> str:
    """Return a verdict short enough for an axis: "A is much better" → "A ++"."""
    short = {
        gettext("A is much better"): "A +++",
        gettext("A is better"): "A ++",
        gettext("A is slightly better"): "A +",
        gettext("About the same"): pgettext("short, on an axis", "same"),
        gettext("B is slightly better"): "B +",
        gettext("B is better"): "B ++",
        gettext("B is much better"): "B +++",
        gettext("Both are bad"): pgettext("short, on an axis", "bad"),
        gettext("Both are good"): pgettext("short, on an axis", "good"),
    }
    return short.get(label, label[:6])


def _recent(campaign: Campaign) -> list[Judgement]:
    feedback_kind = kind(campaign.kind)
    found = (
        Feedback.objects.current()
        .filter(campaign=campaign)
        .select_related("user", "task")
        .defer("task__meta")
        .order_by("-id")[:RECENT]
    )
    return [
        Judgement(
            who=one.user.username,
            simulated=one.user.is_simulated,
            item=in_words(one.task.content["messages"][-1]["content"]),
            words=feedback_kind.describe(one.payload, options=campaign.options, shown_order=one.shown_order),
            seconds=one.active_seconds if one.active_seconds is not None else one.seconds,
            at=one.created_at,
            version=one.version,
        )
        for one in found
    ]
