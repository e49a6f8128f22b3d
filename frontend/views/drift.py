"""Guard > Drift: how the detector of jailbreaks did on each slice, what people are asked about, and retraining it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib.humanize.templatetags.humanize import intcomma
from django.http import HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from annotation.access import Action
from annotation.errors import AnnotationError
from annotation.models import Campaign
from frontend import charts
from frontend.decorators import campaign_page
from frontend.forms.drift import WatchForm
from frontend.forms.knobs import shown as as_input
from frontend.http import SignedInRequest, complain, say
from frontend.lead_pages import campaign_page_of, sent
from frontend.views.metrics import as_csv
from training.errors import Invalid, TrainingError
from training.models import GuardedPrompt, GuardWatch
from training.services import (
    guard_attention,
    guard_calibration,
    guard_drift,
    guard_inbox,
    guard_retraining,
    guard_settings,
    guards,
)
from training.services.guard_drift import Shown

SHOWN = 16  # slices that a chart has room for; the table has all
REASONS = {
    GuardedPrompt.Reason.RANDOM: _("Drawn at random, to measure errors"),
    GuardedPrompt.Reason.UNCERTAIN: _("The detector is not sure"),
    GuardedPrompt.Reason.MONITOR: _("A new exploit, found by the monitor"),
    GuardedPrompt.Reason.ALL: _("Every prompt is labelled"),
    GuardedPrompt.Reason.FOCUSED: _("The guard wants a person (focused attention)"),
}
# Who labelled, in words.
WHO = {"self": _("detector"), "monitor": _("monitor"), "human": _("people")}


@campaign_page(Action.READ)
@require_GET
def drift(request: SignedInRequest, campaign: Campaign) -> HttpResponse:
    """Return the page; with ``?format=csv`` its slices."""
    weeks = guard_drift.shown(campaign)
    if request.GET.get("format") == "csv":
        return as_csv(_rows(weeks), f"campaign-{campaign.pk}-drift.csv")
    watch = GuardWatch.objects.filter(campaign=campaign).select_related("run").first()
    settings = guard_settings.settings_of(campaign)
    run = watch.run if watch is not None else None
    due = guard_retraining.due(watch) if watch is not None else None
    context = {
        "settings": settings,
        "guarded": bool(guards.named(campaign)),
        "run": run,
        "busy": run is not None and not run.is_final,
        "due": due is not None,
        "calibration": guard_calibration.of_start(watch, due.began_at) if watch and due and not watch.state else None,
        "kept": GuardedPrompt.objects.filter(campaign=campaign).count(),
        "alarms": guard_drift.alarms(watch, weeks),
        "weeks": [(one, _who(one)) for one in weeks],
        "misses_chart": _misses(weeks),
        "false_alarms_chart": _false_alarms(weeks, settings["target_fpr"]),
        "inbox": guard_inbox.inbox_of(watch) if watch is not None else None,
        "asked": [{**one, "title": REASONS[one["reason"]]} for one in guard_inbox.counts(watch)],
        "finds": _finds(campaign),
        "attended": guard_attention.newest(campaign),
    }
    return campaign_page_of(request, campaign, "guards/drift.html", context, tab="models")


@campaign_page(Action.STEER)
@require_http_methods(["GET", "POST"])
def drift_settings(request: SignedInRequest, campaign: Campaign) -> HttpResponse:
    """Return the settings of the guard's watch; POST changes them."""
    known = guard_settings.settings_of(campaign)
    form = WatchForm(sent(request), initial={name: as_input(value) for name, value in known.items()})
    if request.method == "POST" and form.is_valid():
        try:
            guard_settings.configure(campaign=campaign, settings=form.knob_values(), actor=request.user)
        except Invalid as error:
            for name, texts in (error.errors or {"": [str(error)]}).items():
                for text in texts:
                    form.add_error(name if name in form.fields else None, text)
        else:
            say(request, gettext("Saved."))
            return redirect("drift", campaign.pk)
    status = 422 if form.errors else 200
    return campaign_page_of(request, campaign, "guards/settings.html", {"form": form}, tab="models", status=status)


@campaign_page(Action.STEER)
@require_POST
def drift_retrain(request: SignedInRequest, campaign: Campaign) -> HttpResponse:
    """Start a retraining and go back to the page."""
    try:
        run = guard_retraining.retrain(campaign=campaign, actor=request.user)
    except (TrainingError, AnnotationError) as error:
        complain(request, error)
    else:
        say(request, gettext("Run {number} retrains the guard.").format(number=run.pk))
    return redirect("drift", campaign.pk)


def _finds(campaign: Campaign) -> list[GuardedPrompt]:
    """Return the newest prompts that the monitor found, with what became of them."""
    found = GuardedPrompt.objects.filter(campaign=campaign, reason=GuardedPrompt.Reason.MONITOR)
    return list(found.order_by("-at")[:20])


def _who(one: Shown) -> str:
    """Return who labelled a slice, in words."""
    return ", ".join(f"{WHO[name]} {intcomma(count)}" for name, count in one.week.labels.items() if name in WHO) or "–"


def _rows(weeks: list[Shown]) -> Iterable[Iterable[Any]]:
    yield [
        *("slice", "begins", "ends", "detector", "trained_through", "threshold", "prompts", "positives", "flagged"),
        *("self", "monitor", "human", "alarm"),
        *(f"{name}{part}" for name in ("misses", "false_alarms") for part in ("", "_low", "_high", "_n")),
    ]
    for one in weeks:
        week = one.week
        detector = week.detector.label if week.detector else ""
        counts = [week.index, week.begins_at, week.ends_at, detector, week.trained_through, week.threshold]
        counts += [week.prompts, week.positives, week.flagged, *(week.labels.get(name, 0) for name in WHO)]
        yield [*counts, str(week.alarm), *_figures(one.misses), *_figures(one.false_alarms)]


def _figures(one: dict[str, Any] | None) -> list[Any]:
    return [one[name] if one else "" for name in ("estimate", "low", "high", "n")]


def _misses(weeks: list[Shown]) -> charts.Chart | None:
    figures = [(str(one.week.index), one.misses) for one in reversed(weeks) if one.misses is not None]
    return charts.interval_chart(
        figures[-SHOWN:],
        title=gettext("Jailbreaks missed, by slice"),
        caption=gettext(
            "The share of what people call a jailbreak that the detector of the slices before did not flag, with its "
            "95 per cent interval."
        ),
        x_label=gettext("slice"),
        y_label=gettext("missed"),
        count_label=gettext("Jailbreaks"),
    )


def _false_alarms(weeks: list[Shown], target: float) -> charts.Chart | None:
    figures = [(str(one.week.index), one.false_alarms) for one in reversed(weeks) if one.false_alarms is not None]
    figures = figures[-SHOWN:]
    top = max((one["high"] for _label, one in figures), default=1.0)
    return charts.interval_chart(
        figures,
        title=gettext("Harmless prompts flagged, by slice"),
        caption=gettext(
            "The share of what people call harmless that was flagged, with its 95 per cent interval. The dashed line "
            "is the share that is allowed."
        ),
        x_label=gettext("slice"),
        y_label=gettext("flagged"),
        reference=(target, gettext("allowed")),
        high=min(1.0, max(2 * target, top)),
        count_label=gettext("Harmless prompts"),
    )
