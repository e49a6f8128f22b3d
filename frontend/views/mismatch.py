"""The reward and what people want, over the rounds: the steps, the way, its curve, and an alarm."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.http import HttpResponse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET

from annotation.access import Action
from annotation.models import Campaign
from frontend import charts
from frontend.decorators import campaign_page
from frontend.http import SignedInRequest
from frontend.lead_pages import campaign_page_of
from frontend.views.metrics import as_csv
from training.services import mismatch_trend
from training.services.mismatch_trend import Trend
from training.services.overoptimisation import RL

SHOWN = 12
FIGURES = (
    *("human", "reward", "kl", "over_refusal", "reward_accuracy", "reward_accuracy_before"),
    *("rho", "rho_length_and_refusals_fixed"),
)


@campaign_page(Action.READ)
@require_GET
def mismatch(request: SignedInRequest, campaign: Campaign) -> HttpResponse:
    """Return the page; with ``?format=csv`` its steps."""
    trend = mismatch_trend.of_campaign(campaign)
    if request.GET.get("format") == "csv":
        return as_csv(_rows(trend), f"campaign-{campaign.pk}-mismatch.csv")
    context = {
        "trend": trend,
        "steps": list(reversed(trend.steps)),
        "way_chart": _way(trend),
        "drift_chart": _drift(trend),
        "rho_chart": _rhos(trend),
        "curves": [(_("d(α − β log d)") if one.way == RL else _("d(α − βd)"), one) for one in trend.curves],
        "here": trend.way[-1].distance if trend.way else None,
    }
    return campaign_page_of(request, campaign, "campaigns/mismatch.html", context, tab="policies")


def _rows(trend: Trend) -> Iterable[Iterable[Any]]:
    yield [
        *("round", "candidate", "parent", "verdict"),
        *(f"{name}{part}" for name in FIGURES for part in ("", "_low", "_high", "_n")),
        *("distance", "proxy_score", "human_score", "human_step_error", "reward_model"),
    ]
    for one in trend.steps:
        judged = one.judged
        shares = (one.human, one.reward, one.kl, one.refusals, judged.accuracy, judged.before)
        figures = [
            (figure or {}).get(part, "")
            for figure in (*shares, vars(judged.rho), vars(judged.fixed))
            for part in ("estimate", "low", "high", "n")
        ]
        place = one.position
        stands = ["", "", ""] if place is None else [place.distance, place.proxy, place.human]
        yield [one.round, one.candidate, one.parent, one.verdict, *figures, *stands, one.error, judged.model]


def _way(trend: Trend) -> charts.Chart | None:
    if len(trend.way) < 2:
        return None
    return charts.line_chart(
        [
            (_("people"), [(one.distance, one.human) for one in trend.way]),
            (_("reward model"), [(one.distance, one.proxy) for one in trend.way]),
        ],
        title=_("Reward and people along the way"),
        x_label=_("d, the way in √nats"),
        y_label=_("log-odds over the first policy"),
    )


def _drift(trend: Trend) -> charts.Chart | None:
    """Return how far the policy went, with what that did: how often it is too careful, and the reward model wrong."""
    stands = [(one.position.distance, one) for one in trend.steps if one.position is not None]
    refused = [(d, one.refusals["estimate"]) for d, one in stands if one.refusals is not None]
    wrong = [(d, 1 - one.judged.accuracy["estimate"]) for d, one in stands if one.judged.accuracy is not None]
    if len(refused) < 2 and len(wrong) < 2:
        return None
    return charts.line_chart(
        [(_("over-refusal"), refused), (_("reward model wrong"), wrong)],
        title=_("What comes with the way"),
        x_label=_("d, the way in √nats"),
        y_label=_("share"),
    )


def _rhos(trend: Trend) -> charts.Chart | None:
    figures = [(str(one.round), vars(one.judged.rho)) for one in trend.steps if one.judged.rho.estimate is not None]
    return charts.interval_chart(
        figures[-SHOWN:],
        title=_("Does the reward model rank as people do?"),
        caption=_(
            "Spearman's ρ over the prompts of each gate, between what the reward model and what people prefer, with "
            "its 95 per cent interval: 1 is the same order, 0 is none."
        ),
        x_label=_("Round"),
        y_label="ρ",
        said=lambda value: charts.short(round(value, 2)),
        low=-1.0,
        reference=(0.0, _("chance")),
        count_label=_("Prompts"),
    )
