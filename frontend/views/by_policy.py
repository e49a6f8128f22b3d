"""Rounds and policies: agreement, win rates, severity, the reward model on fresh pairs, and what more labels bring."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from django.http import Http404, HttpResponse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from annotation import by_policy, sums
from annotation.access import Action
from annotation.feedback import kind
from annotation.models import Campaign
from annotation.quality.shares import Share
from frontend import charts, numerals
from frontend.decorators import campaign_page
from frontend.http import SignedInRequest
from frontend.lead_pages import campaign_page_of
from frontend.views.metrics import as_csv
from training.services import fresh_pairs, learning_curve, mismatch
from training.services.learning_curve import Forecast

SHOWN = 12  # rows that a chart has room for; the table has all


@dataclass(frozen=True)
class Cost:
    """What people's time comes to."""

    hours: float  # in which the page was open and used, so far
    per_hundred: float | None  # hours for 100 judgements
    next: float | None  # hours for the next 500


@campaign_page(Action.READ)
@never_cache
@require_GET
def campaign_policies(request: SignedInRequest, campaign: Campaign) -> HttpResponse:
    """Return the page, or to htmx its moving part alone."""
    known = sums.of(campaign)
    forecast = learning_curve.of_campaign(campaign)
    fresh = fresh_pairs.of_campaign(campaign)
    agreed, wins, severities = by_policy.agreed(campaign, known), by_policy.wins(known), by_policy.severities(known)
    dimensions = kind(campaign.kind).dimensions(campaign.options)
    context = {
        "late": known.late,
        "simulated": by_policy.is_simulated(known),
        "question": dimensions[0].title if dimensions else "",
        "agreed": agreed,
        "agreed_chart": _agreed_chart(agreed),
        "wins": wins,
        "wins_chart": _wins_chart(wins),
        "severities": [(one, _shares(one.levels)) for one in severities],
        "severity_chart": _severity_chart(severities),
        "fresh": [(one, _metric(one, "accuracy"), _metric(one, "longer_is_chosen")) for one in fresh],
        "alarms": mismatch.alarms(campaign),
        "fresh_chart": _reliability_chart(fresh),
        "forecast": forecast,
        "forecast_chart": _forecast_chart(forecast),
        "missing": max(0, learning_curve.LEAST - len({point.pairs for point in forecast.points})),
        "cost": _cost(known),
    }
    template, fragment = "campaigns/policies.html", "campaigns/_policies.html"
    return campaign_page_of(request, campaign, template, context, tab="policies", fragment=fragment)


@campaign_page(Action.READ)
@require_GET
def policies_csv(request: SignedInRequest, campaign: Campaign, part: str) -> HttpResponse:
    """Return one part of the page as CSV; of agreement on every dimension."""
    if part not in _PARTS:
        raise Http404(_("There is no such part."))
    return as_csv(_PARTS[part](campaign), f"campaign-{campaign.pk}-{part}.csv")


def _agreed_rows(campaign: Campaign) -> Iterable[Iterable[Any]]:
    yield ["round", "policy", "dimension", "judgements", "items", "alpha", "low", "high", "undefined"]
    for one in by_policy.agreed(campaign, sums.of(campaign), every_dimension=True):
        agreement = (one.items, one.alpha, one.low, one.high, one.undefined)
        yield [one.round, one.policy, one.dimension, one.judgements, *agreement]


def _wins_rows(campaign: Campaign) -> Iterable[Iterable[Any]]:
    yield ["round", "batch", "policy", "other", "won", "lost", "ties", "win_rate", "low", "high", "n"]
    for one in by_policy.wins(sums.of(campaign)):
        yield [one.round, one.batch, one.policy, one.other, one.won, one.lost, one.ties, *_of(one.rate)]


def _severity_rows(campaign: Campaign) -> Iterable[Iterable[Any]]:
    yield ["round", "policy", "none", "minor", "moderate", "severe", "safe", "low", "high", "n"]
    for one in by_policy.severities(sums.of(campaign)):
        yield [one.round, one.policy, *one.levels, *_of(one.safe)]


def _fresh_rows(campaign: Campaign) -> Iterable[Iterable[Any]]:
    yield ["model", "run", "snapshot", "pairs", "accuracy", "low", "high", "longer", "calibration_error", "brier", "at"]
    for one in fresh_pairs.of_campaign(campaign):
        accuracy, longer = _metric(one, "accuracy"), _metric(one, "longer_is_chosen")
        figures = [accuracy.get("estimate"), accuracy.get("low"), accuracy.get("high"), longer.get("estimate")]
        sure = [one.metrics.get("calibration_error"), one.metrics.get("brier"), one.measured_at]
        yield [one.version.label, one.run.pk, one.snapshot.pk, one.snapshot.rows, *figures, *sure]


def _reliability_rows(campaign: Campaign) -> Iterable[Iterable[Any]]:
    yield ["model", "run", "sure", "right", "low", "high", "n"]
    for one in fresh_pairs.of_campaign(campaign):
        for part in one.metrics.get("reliability") or ():
            right = [part["right"].get(name) for name in ("estimate", "low", "high", "n")]
            yield [one.version.label, one.run.pk, part["confidence"], *right]


def _forecast_rows(campaign: Campaign) -> Iterable[Iterable[Any]]:
    forecast = learning_curve.of_campaign(campaign)
    yield ["model", "pairs", "accuracy", "standard_error"]
    yield from ([point.label, point.pairs, point.accuracy, point.error] for point in forecast.points)
    if forecast.gain is not None:
        yield [f"expected gain of the next {learning_curve.NEXT}", "", forecast.gain, ""]
        yield ["95 % interval", "", forecast.low, forecast.high]


_PARTS: dict[str, Callable[[Campaign], Iterable[Iterable[Any]]]] = {
    "agreement": _agreed_rows,
    "wins": _wins_rows,
    "severity": _severity_rows,
    "fresh-pairs": _fresh_rows,
    "reliability": _reliability_rows,
    "next-labels": _forecast_rows,
}


def _of(one: Share) -> list[Any]:
    return [one.estimate, one.low, one.high, one.n]


def _metric(one: fresh_pairs.Fresh, name: str) -> dict[str, Any]:
    found = one.metrics.get(name)
    return found if isinstance(found, dict) else {}


def _shares(levels: tuple[int, ...]) -> list[float]:
    return [level / sum(levels) for level in levels]


def _place(round: int | None, policy: str) -> str:
    return f"{round}: {policy}" if round is not None else policy or _("imported")


def _agreed_chart(agreed: list[by_policy.Agreed]) -> charts.Chart | None:
    figures = [
        (_short(one.round, one.policy), {"estimate": one.alpha, "low": one.low, "high": one.high, "n": one.items})
        for one in reversed(agreed)
        if one.alpha is not None and one.low is not None and one.high is not None
    ]
    return charts.interval_chart(
        figures[-SHOWN:],
        title=_("Agreement by round and policy"),
        caption=_(
            "Krippendorff's α with the range in which the true one lies with 95 per cent certainty: 1 is always alike, "
            "0 is chance. Above the dashed line conclusions are firm."
        ),
        x_label=_("Round"),
        y_label="α",
        said=lambda value: charts.short(round(value, 2)),
        reference=(0.8, _("firm")),
        low=-1.0 if any(figure["low"] < 0 for _label, figure in figures[-SHOWN:]) else 0.0,
        count_label=_("Items"),
    )


def _wins_chart(wins: list[by_policy.Wins]) -> charts.Chart | None:
    figures = [(_short(one.round, one.policy), _interval(one.rate)) for one in reversed(wins) if one.rate.n]
    return charts.interval_chart(
        figures[-SHOWN:],
        title=_("Win rate of the later policy, as it stands now"),
        caption=_(
            "The share of blind pairs in which people preferred the later policy's answer, a tie counting half, with "
            "its 95 per cent interval. It moves while people judge: an interval that leaves the dashed line on the way "
            "may come back to it, so wait for the number that was decided on before."
        ),
        x_label=_("Round"),
        y_label=_("win rate"),
        reference=(0.5, _("no difference")),
    )


def _severity_chart(severities: list[by_policy.Severity]) -> charts.Chart | None:
    figures = [(_short(one.round, one.policy), _interval(one.safe)) for one in reversed(severities) if one.safe.n]
    return charts.interval_chart(
        figures[-SHOWN:],
        title=_("Safe answers by policy"),
        caption=_("The share of a policy's answers that people called safe, with its 95 per cent interval."),
        x_label=_("Round"),
        y_label=_("safe"),
    )


def _reliability_chart(fresh: list[fresh_pairs.Fresh]) -> charts.Chart | None:
    curve = fresh[0].metrics.get("reliability") if fresh else None
    figures = [(numerals.percent(one["confidence"]), one["right"]) for one in curve or ()]
    return charts.interval_chart(
        figures,
        title=_("Is it as right as it is sure?"),
        caption=_(
            "Fresh pairs by how sure the newest reward model was, from left to right, and the share it was right "
            "about. A dot lower than its label says: too sure of itself."
        ),
        x_label=_("sure"),
        y_label=_("right"),
        count_label=_("Pairs"),
    )


def _forecast_chart(forecast: Forecast) -> charts.Chart | None:
    figures = [
        (
            charts.short(point.pairs),
            {
                "estimate": point.accuracy,
                "low": max(0.0, point.accuracy - 1.96 * point.error),
                "high": min(1.0, point.accuracy + 1.96 * point.error),
                "n": point.pairs,
            },
        )
        for point in forecast.points
    ]
    return charts.interval_chart(
        figures[-SHOWN:],
        title=_("Accuracy by the number of pairs learned from"),
        caption=_(
            "Each dot is a reward model, measured on prompts it did not learn from; the dashed line is guessing."
        ),
        x_label=_("pairs"),
        y_label=_("accuracy"),
        reference=(0.5, _("guessing")),
        count_label=_("Pairs"),
    )


def _short(round: int | None, policy: str) -> str:
    return str(round) if round is not None else (policy[:8] or "–")


def _interval(rate: Share) -> dict[str, Any]:
    return {"estimate": rate.estimate, "low": rate.low, "high": rate.high, "n": rate.n}


def _cost(known: sums.Sums) -> Cost:
    active = sum(row[3] for _key, row in known.rows("people"))
    measured = sum(row[4] for _key, row in known.rows("people"))
    each = active / measured / 3600 if measured else None
    hundred, coming = (None, None) if each is None else (100 * each, learning_curve.NEXT * each)
    return Cost(active / 3600, hundred, coming)
