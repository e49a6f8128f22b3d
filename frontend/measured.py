"""What evaluation runs measured of a model, for its page and theirs: figures, splits, best-of-n curves."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from annotation.models import User
from annotation.told import Told
from frontend import charts, judge_audit, leftover, noted, thoughts
from frontend.figures import Figure, figures, number
from frontend.numerals import span
from training import store
from training.models import ModelVersion, Run
from training.recipes import RECIPES
from training.recipes.audits import AUDITS
from training.recipes.base import Recipe
from training.services import baselines

SHOWN = 6  # measurements that a model's page shows
# The sides of each split as `training.core.evaluate.splits` names them.
SPLITS = (
    (gettext_lazy("Prompts"), (("prompt_seen", gettext_lazy("seen")), ("prompt_new", gettext_lazy("new")))),
    (gettext_lazy("People"), (("annotator_seen", gettext_lazy("seen")), ("annotator_new", gettext_lazy("new")))),
    (gettext_lazy("Writers"), (("generator_seen", gettext_lazy("seen")), ("generator_new", gettext_lazy("new")))),
    (gettext_lazy("Time"), (("time_before", gettext_lazy("before")), ("time_after", gettext_lazy("after")))),
    (
        gettext_lazy("Place of the better answer"),
        (("position_first", gettext_lazy("first")), ("position_second", gettext_lazy("second"))),
    ),
    (
        gettext_lazy("Length of the better answer"),
        (("length_longer", gettext_lazy("longer")), ("length_shorter", gettext_lazy("shorter"))),
    ),
)


# How the questions of a safety suite are told apart, as `training.core.evaluate.safety_suite` names them.
SUITE = (
    ("accuracy_category_", gettext_lazy("Category")),
    ("accuracy_level_", gettext_lazy("Level")),
    ("accuracy_topic_", gettext_lazy("Topic")),
    ("accuracy_modality_", gettext_lazy("Modality")),
)
# The same of open scenarios: the share of the points that are named.
SCENARIOS = (
    ("coverage_subject_", gettext_lazy("Subject")),
    ("coverage_aspect_", gettext_lazy("Aspect")),
    ("coverage_topic_", gettext_lazy("Topic")),
)
GUESSING = 0.25  # of four options
# What an audit of a judge says of each principle.
JUDGED = (
    ("judge_precision_of_", gettext_lazy("Precision by principle")),
    ("judge_recall_of_", gettext_lazy("Recall by principle")),
)


@dataclass(frozen=True)
class Point:
    """A row of the best-of-n table, as text."""

    n: int
    kl: str
    reward: str
    reward_interval: str
    gold: str
    gold_interval: str


@dataclass(frozen=True)
class Measured:
    """One evaluation run of a model."""

    run: Run
    recipe: Recipe
    figures: list[Figure]
    charts: list[charts.Chart]
    curve: list[Point]
    notes: list[Told]
    alarms: list[Told]
    disagreements: list[judge_audit.Disagreement]


def of_version(version: ModelVersion, viewer: User) -> list[Measured]:
    """Return what was measured of a model by runs of its own, the newest first, as `viewer` may see it."""
    runs = Run.objects.filter(parent=version, kind=Run.Kind.EVALUATE, state=Run.State.SUCCEEDED).order_by("-pk")
    return [
        Measured(
            run,
            RECIPES[run.recipe["name"]],
            figures_of(run, people := baselines.people(run, viewer)),
            charts_of(run, people),
            curve_of(run),
            [] if run.recipe["name"] in AUDITS else noted.notes_of(run),
            judge_audit.alarms_of(run),
            judge_audit.disagreements_of(run),
        )
        for run in runs[:SHOWN]
        if run.recipe.get("name") in RECIPES
    ]


def figures_of(run: Run, people: Mapping[str, Any] | None = None) -> list[Figure]:
    """Return a run's figures but those that stand in the tables of its charts; of `people` what they got right."""
    drawn = {f"accuracy_{name}" for _title, sides in SPLITS for name, _words in sides}
    of_suite = tuple(prefix for prefix, _title in (*SUITE, *SCENARIOS, *JUDGED))
    metrics = (run.result or {}).get("metrics", {})
    found = figures({**metrics, **({"accuracy_people": people} if people and metrics else {})})
    return [one for one in found if one.name not in drawn and not one.name.startswith(of_suite)]


def charts_of(run: Run, people: Mapping[str, Any] | None = None) -> list[charts.Chart]:
    """Return the charts of a run's result: accuracy on each side of each split, of a suite, and best-of-n curves.

    What `people` got right of a suite is a line across its charts.
    """
    metrics = (run.result or {}).get("metrics", {})
    found = [_split(title, sides, metrics) for title, sides in SPLITS]
    found += [_suite(prefix, str(title), metrics, people) for prefix, title in SUITE]
    found += [_scenarios(prefix, str(title), metrics) for prefix, title in SCENARIOS]
    found += [_principles(prefix, str(title), metrics) for prefix, title in JUDGED]
    points, sweep = _points(run), _json(run, "sweep").get("points", [])
    if len(sweep) > 1:
        series = [
            (label, [(point["share"], point[name]["estimate"]) for point in sweep])
            for name, label in (
                ("safe", _("Harmful prompts answered safely")),
                ("answered", _("Other prompts answered")),
            )
        ]
        found.append(
            charts.line_chart(
                series,
                title=_("Safety and help at each share"),
                x_label=_("share of the second policy"),
                y_label=_("share of answers"),
            )
        )
    found += _positions(run)
    found += [*leftover.charts_of(run), *thoughts.charts_of(metrics)]
    if points:
        series = [
            (label, [(point["kl"], point[name]["estimate"]) for point in points if name in point])
            for name, label in (("reward", _("By the model that chooses")), ("gold", _("By the judging model")))
        ]
        found.append(
            charts.line_chart(
                series,
                title=_("Best of n"),
                x_label=_("nats from the policy"),
                y_label=_("gain, standard deviations"),
            )
        )
    return [chart for chart in found if chart is not None]


def _positions(run: Run) -> list[charts.Chart | None]:
    """Return how soon answers are told from people's, and what a policy thinks of people's own, by position."""
    points = _json(run, "positions").get("points", [])
    sides = (("", _("This policy")), ("_imitation", _("Policy by imitation")))
    titles = (
        ("told", _("Told from people's answers"), _("person's preferred")),
        ("surprise", _("Surprise at people's answers"), _("nats per token")),
    )
    return [
        charts.line_chart(
            [
                (
                    label,
                    [
                        (point["position"], point[f"{name}{side}"]["estimate"])
                        for point in points
                        if f"{name}{side}" in point
                    ],
                )
                for side, label in sides
            ],
            title=title,
            x_label=_("first tokens read"),
            y_label=unit,
        )
        for name, title, unit in titles
    ]


def _split(title: Any, sides: Any, metrics: Mapping[str, Any]) -> charts.Chart | None:
    told = [(str(words), metrics[f"accuracy_{name}"]) for name, words in sides if f"accuracy_{name}" in metrics]
    return charts.interval_chart(
        told,
        title=str(title),
        caption=_("Accuracy where this differs from what the model learned from, or from pair to pair."),
        x_label=str(title),
        y_label=_("accuracy"),
        reference=(0.5, _("guessing")),
        count_label=_("Prompts"),
    )


def _suite(
    prefix: str, title: str, metrics: Mapping[str, Any], people: Mapping[str, Any] | None
) -> charts.Chart | None:
    return _shares(
        prefix,
        title,
        metrics,
        caption=_("Share of a suite's questions that are answered right."),
        y_label=_("accuracy"),
        reference=(people["estimate"], _("people")) if people else (GUESSING, _("guessing")),
        count_label=_("Questions"),
    )


def _scenarios(prefix: str, title: str, metrics: Mapping[str, Any]) -> charts.Chart | None:
    caption = _("Mean over scenarios of the share of their points that are named.")
    return _shares(prefix, title, metrics, caption=caption, y_label=_("coverage"), count_label=_("Scenarios"))


def _principles(prefix: str, title: str, metrics: Mapping[str, Any]) -> charts.Chart | None:
    caption = _("Of a judge, against most people's word.")
    return _shares(prefix, title, metrics, caption=caption, y_label=_("share"), count_label=_("Answers"))


def _shares(prefix: str, title: str, metrics: Mapping[str, Any], **words: Any) -> charts.Chart | None:
    """Return a chart of the figures whose names begin so; of categories and subjects the worst stands first."""
    told = [(name.removeprefix(prefix), metrics[name]) for name in sorted(metrics) if name.startswith(prefix)]
    if prefix.endswith(("_category_", "_subject_", "_aspect_")):
        told.sort(key=lambda one: one[1]["estimate"])
    return charts.interval_chart(told, title=title, x_label=title, **words)


def rows_of(run: Run) -> Iterator[list[Any]]:
    """Yield what the charts of a run's result are drawn from, a figure a row; the header first.

    By name, as no database keeps the order of an object's names.
    """
    yield ["figure", "at", "estimate", "low", "high", "n"]
    shares = ("estimate", "low", "high", "n")
    for name, one in sorted((run.result or {}).get("metrics", {}).items()):
        if isinstance(one, Mapping) and "estimate" in one:
            yield [name, "", *(one.get(share) for share in shares)]
    for where, points in (
        ("share", _json(run, "sweep").get("points", [])),
        ("position", _json(run, "positions").get("points", [])),
        ("kl", _points(run)),
    ):
        for point in points:
            for name, one in sorted(point.items()):
                if isinstance(one, Mapping) and "estimate" in one:
                    yield [name, point[where], *(one.get(share) for share in shares)]
    yield from leftover.rows_of(run)


def curve_of(run: Run) -> list[Point]:
    """Return the rows of a best-of-n curve; none of a run that measured another thing."""
    return [
        Point(point["n"], number(point["kl"]), *_told(point.get("reward")), *_told(point.get("gold")))
        for point in _points(run)
    ]


def _told(gain: Mapping[str, float] | None) -> tuple[str, str]:
    if gain is None:
        return "–", "–"
    return number(gain["estimate"]), span(number(gain["low"]), number(gain["high"]))


def _points(run: Run) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = _json(run, "curve").get("points", [])
    return found


def _json(run: Run, what: str) -> dict[str, Any]:
    """Return what a run wrote into the file of this name; nothing where it wrote none."""
    name = (run.result or {}).get("files", {}).get(what)
    if name is None:
        return {}
    try:
        found: dict[str, Any] = json.loads(store.run_file(run.pk, name).read_text())
    except FileNotFoundError:  # somebody cleared a disk: the figures are in the row
        return {}
    return found
