"""A page that tries weights of scores and shapes of the reward on answers which a run has sampled already."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django import forms
from django.http import Http404, HttpResponse
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_GET

from frontend import charts
from frontend.decorators import signed_in
from frontend.http import SignedInRequest
from frontend.lead_pages import campaign_page_of
from frontend.views.metrics import as_csv
from training.errors import Invalid
from training.permissions import run_for
from training.services import what_if

SHAPES = {
    "": _("as it is"),
    "preference": _("preference as reward: σ of the distance to the prompt's other answers"),
    "centred-log-sigmoid": _("log σ of the distance to the best of the others"),
    "sigmoid": _("σ of the reward itself, not centred"),
    "clip": _("clipped around the mean of the prompt's answers"),
}


class WhatIfForm(forms.Form):
    shape = forms.ChoiceField(label=_("Shape of the reward"), choices=list(SHAPES.items()), required=False)
    scale = forms.FloatField(
        label=_("Scale k"),
        min_value=1e-6,
        max_value=what_if.LARGEST,
        initial=1.0,
        help_text=_("Choose it so that k times the distances spreads by about 1 to 2."),
    )
    each_on_its_scale = forms.BooleanField(
        label=_("Put each score on its own scale first"),
        required=False,
        help_text=_("Among the answers to a prompt, so that a score in hundreds counts no more than one in tenths."),
    )

    def __init__(self, *args: Any, names: list[str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.names = names
        for name, weight in what_if.usual_weights(names).items():
            self.fields[f"weight_{name}"] = forms.FloatField(
                label=gettext("Weight of {name}").format(name=name),
                initial=weight,
                min_value=-what_if.LARGEST,
                max_value=what_if.LARGEST,
            )

    @property
    def weights(self) -> list[forms.BoundField]:
        return [self[f"weight_{name}"] for name in self.names]


@signed_in
@require_GET
def run_what_if(request: SignedInRequest, run_id: int) -> HttpResponse:
    """Return the page; with ``?format=csv`` what it tells of each score."""
    run = run_for(request.user, run_id)
    names = what_if.names_of(run)
    if not names:
        raise Http404(gettext("This run left no answers with scores."))
    # Asked without anything, it tries what is usual.
    asked = {key: request.GET[key] for key in request.GET if key == "scale" or key.startswith("weight_")}
    form = WhatIfForm(request.GET if asked else None, names=names)
    found = None
    if not asked:
        found = what_if.of_run(run, weights=what_if.usual_weights(names))
    elif form.is_valid():
        told = form.cleaned_data
        try:
            weights = what_if.checked_weights({name: told[f"weight_{name}"] for name in names}, names)
            found = what_if.of_run(
                run,
                weights=weights,
                shape=told["shape"],
                scale=told["scale"],
                each_on_its_scale=told["each_on_its_scale"],
            )
        except Invalid as error:
            form.add_error(None, str(error))
    if request.GET.get("format") == "csv" and found is not None:
        return as_csv(_rows(found), f"run-{run.pk}-what-if.csv")
    query = request.GET.copy()
    query["format"] = "csv"
    context = {
        "run": run,
        "form": form,
        "found": found,
        "charts": [] if found is None else _charts(found),
        "csv": f"?{query.urlencode()}",
    }
    status = 422 if form.errors else 200
    return campaign_page_of(request, run.campaign, "runs/what_if.html", context, tab="runs", status=status)


def _charts(found: what_if.WhatIf) -> list[charts.Chart]:
    titles = ((gettext("Reward under these weights"), found.raw), (gettext("The same, shaped"), found.shaped))
    return [_histogram(title, what_if.binned(values)) for title, values in titles if values]


def _histogram(title: str, bins: list[tuple[float, float, int]]) -> charts.Chart:
    between, half = gettext("{low} to {high}"), len(bins) // 2
    return charts.bar_chart(
        [("", between.format(low=charts.short(low), high=charts.short(high)), n) for low, high, n in bins],
        title=title,
        caption=gettext("Each bar is a range of rewards, as high as the answers in it are many."),
        x_label=gettext("reward"),
        y_label=gettext("answers"),
        edges=[
            *((place, charts.short(bins[place][0])) for place in (0, half)),
            (len(bins), charts.short(bins[-1][1])),
        ],
    )


def _rows(found: what_if.WhatIf) -> Iterator[list[Any]]:
    yield ["score", "weight", "mean", "usual_best", "chosen", "change", "change_low", "change_high", "n"]
    for one in found.scores:
        change = one.change
        yield [
            *(one.name, one.weight, one.mean, one.usual, one.chosen),
            *(change["estimate"], change["low"], change["high"], change["n"]),
        ]
