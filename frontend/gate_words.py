"""A gate report in words, the same ones on its page and in its PDF."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils import timezone
from django.utils.formats import date_format
from django.utils.functional import Promise
from django.utils.translation import gettext as _

from annotation.messages import in_words
from annotation.told import of
from frontend import events_in_words
from frontend.figures import figures, number, words_of
from frontend.numerals import percent, span
from training.models import GateReport
from training.recipes.gate_bounds import BOUND
from training.services.gate_evidence import Evidence
from training.services.gates import BOUND_NAMES
from training.services.unmeasured import is_safety_tested, is_unmeasured

# Figures of a gate whose limit is the most that is allowed.
AT_MOST = ("kl", "cost", "unsafe_share", "over_refusal", "capability_lost", "safety_lost")
MOST_ASKED = 300  # characters of a prompt that are shown
MOST_ITEMS = 500  # prompts of a comparison, or items of a suite, that are listed

Row = tuple[str, ...]


@dataclass(frozen=True)
class GateFigure:
    """One line of a gate report, in words."""

    label: str | Promise
    meaning: str | Promise
    value: str
    interval: str
    n: int
    limit: str
    passed: bool
    counts: bool  # whether the verdict depended on it
    explanation: str

    @property
    def verdict(self) -> str:
        if not self.counts:
            return "–"
        return _("passed") if self.passed else _("failed")


def gate_figure(figure: dict[str, Any]) -> GateFigure:
    """Return a figure of a gate report as the page shows it."""
    words = words_of(figure["name"])

    def shown(value: float | None) -> str:
        return "–" if value is None else number(value, is_share=words.is_share)

    unit = f" {words.unit}" if words.unit else ""
    at_most = figure["name"] in AT_MOST
    limit = _("not measured") if is_unmeasured(figure) else _("shown only, does not decide")
    if figure["limit"] is not None:
        limit = (_("at most {value}") if at_most else _("at least {value}")).format(value=shown(figure["limit"]))
    if (by := figure.get("by")) and figure["limit"] is not None and figure["n"]:
        limit = (
            _("{limit}, by its bound").format(limit=limit)
            if by == BOUND
            else _("{limit}, by its estimate").format(limit=limit)
        )
    low, high = figure["low"], figure["high"]
    interval = "–"
    if high is not None:
        interval = _("up to {value}").format(value=shown(high)) if low is None else span(shown(low), shown(high))
    return GateFigure(
        label=words.label,
        meaning=words.meaning,
        value=shown(figure["estimate"]) + (unit if figure["estimate"] is not None else ""),
        interval=interval,
        n=figure["n"],
        limit=limit,
        passed=figure["passed"],
        counts=figure["limit"] is not None,
        explanation=str(of(figure["explanation"])),
    )


def _when(at: datetime) -> str:
    """Return a time as the reader's language writes it, with its zone: the report may be read anywhere."""
    local = timezone.localtime(at)
    return f"{date_format(local, 'DATETIME_FORMAT')} {local.tzname()}"


def verdict(report: GateReport) -> str:
    """Return the verdict, and where it was reached without one that there was no safety test."""
    said = str(report.get_verdict_display())
    if report.verdict != GateReport.Verdict.PASS or is_safety_tested(report.figures):
        return said
    return _("{verdict}, without a safety test").format(verdict=said)


def title(report: GateReport) -> str:
    return _("Gate: {candidate} against {parent}").format(candidate=report.candidate.label, parent=report.parent.label)


def facts(found: Evidence) -> list[Row]:
    """Return (name, value) of what was compared, when, by what, and where the candidate comes from."""
    report, lineage = found.report, found.lineage
    rows: list[Row] = [
        (_("Campaign"), report.candidate.campaign.name),
        (_("Candidate"), report.candidate.label),
        (_("Compared with"), report.parent.label),
        (_("Decided"), _when(report.created_at)),
    ]
    if found.round is not None:
        rows.append((_("Round"), str(found.round.index)))
    if found.run is not None:
        measured = _("run {number}, seed {seed}").format(number=found.run.pk, seed=found.run.seed)
        rows.append((_("Answers drawn by"), measured))
        rows += _measured_by(found)
    if lineage is not None:
        chain = " → ".join([*(one["label"] for one in reversed(lineage["ancestors"])), lineage["version"]])
        rows.append((_("Lineage"), chain))
        rows.append((_("Started from"), lineage["started_from"]))
        recipe = lineage["recipe"]
        if recipe.get("name"):
            rows.append((_("Recipe"), f"{recipe['name']} {recipe.get('version', '')}".strip()))
        if snapshot := lineage["snapshot"]:
            held = _("snapshot {id}: {rows} {view}\nsha256 {sha256}").format(**snapshot)
            rows.append((_("Data"), held))
        if lineage["scored_by"]:
            rows.append((_("It learned by scores of"), ", ".join(one["label"] for one in lineage["scored_by"])))
        behind = _("{n} by {people} people; {all} with those behind its ancestors")
        said = behind.format(n=lineage["judgements"], people=lineage["annotators"], all=lineage["all_judgements"])
        rows.append((_("Judgements"), said))
    else:
        rows.append((_("Lineage"), _("The file of a data set behind it is gone, so its judgements cannot be listed.")))
    rows.append((_("Hash of the figures"), f"sha256 {found.sha256}"))
    return rows


def _measured_by(found: Evidence) -> list[Row]:
    """Return (name, value) of how the answers were drawn, by what they were judged, and on which prompts."""
    knobs, proof = found.settings, found.proof
    judges = ", ".join(one.label for one in found.judges) or _("no reward or cost model")
    rows: list[Row] = [(_("Scores at this gate by"), judges)]
    if "temperature" in knobs:
        drawn = _("temperature {temperature}, at most {tokens} tokens, {draws} per prompt and policy").format(
            temperature=number(knobs["temperature"]),
            tokens=number(knobs["max_new_tokens"]),
            draws=number(knobs["samples_per_prompt"]),
        )
        rows.append((_("How answers were drawn"), drawn))
    if any(one.kind == "cost" for one in found.judges) and "delta" in knobs:
        limits = found.limits
        test = _("bound by {bound}; δ {delta} at this look").format(
            bound=BOUND_NAMES.get(knobs["bound"], knobs["bound"]), delta=number(knobs["delta"])
        )
        if "gate_delta" in limits:
            test += " " + _("of {delta} that all gates of the loop share").format(delta=number(limits["gate_delta"]))
        rows.append((_("Safety test"), test))
    rows.append((_("Guard"), found.guard or _("none")))
    if held := proof.get("held_out"):
        said = _("{n} of {there} were left out, as a model of the round had learned from them or from near copies")
        rows.append((_("Held-out prompts"), said.format(n=held["left_out"], there=held["there"])))
    if elsewhere := proof.get("elsewhere"):
        said = _("{versions}: made elsewhere, so that what went into them before is not known here, nor proven")
        rows.append((_("Not proven of"), said.format(versions=", ".join(elsewhere))))
    if suite := proof.get("suite"):
        said = _("{n} of {there} items were left out, as a model of the round had learned from them").format(
            n=suite["left_out"], there=suite["items"]
        )
        rows.append((_("Suite"), f"{suite['file']}\nsha256 {suite['sha256']}\n{said}"))
    if found.limits:
        kept = "\n".join(f"{name} = {value}" for name, value in sorted(found.limits.items()) if value != "")
        rows.append((_("Settings when the gate opened"), kept))
    if found.answers_sha256:
        rows.append((_("Hash of all answers"), f"sha256 {found.answers_sha256}"))
    return rows


def judge_rows(found: Evidence) -> list[Row]:
    """Return what was measured of the models whose scores count, as rows, the first of which names the columns."""
    # xgettext:no-python-format
    rows: list[Row] = [(_("Model"), _("Value"), _("95% interval"), _("Cases"))]
    nothing = _("Nothing was measured of it here.")
    for judge in found.judges:
        told = figures(judge.metrics)
        for one in told:
            rows.append((f"{judge.label}\n{one.label}", one.value, one.interval or "–", str(one.n or "–")))
        if not told:
            rows.append((f"{judge.label}\n{nothing}", "–", "–", "–"))
    return rows


def item_rows(found: Evidence) -> list[Row]:
    """Return the held-out prompts with their figures, as rows, the first of which names the columns."""
    names = (_("Prompt"), _("Item"), _("Fresh"), _("Distance"), _("Mean cost"), _("Win rate by the reward model"))
    rows: list[Row] = [names]
    for one in found.items[:MOST_ITEMS]:
        cost = "–" if one.cost is None else number(one.cost)
        rate = "–" if one.reward_win_rate is None else percent(one.reward_win_rate)
        fresh = _("yes") if one.fresh else _("no")
        kl = "–" if one.kl is None else number(one.kl)
        rows.append((_asked(one.messages), one.id, fresh, kl, cost, rate))
    return rows


def suite_rows(found: Evidence) -> list[Row]:
    """Return the suite's items, as rows, the first of which names the columns."""
    rows: list[Row] = [(_("Item"), _("Measure"), _("Category"), _("Candidate"), _("Current policy"))]
    right, wrong = _("right"), _("wrong")
    for one in found.suite_items[:MOST_ITEMS]:
        told = (right if one.candidate else wrong, right if one.current else wrong)
        rows.append((one.id, one.measure, ", ".join(one.categories) or "–", *told))
    return rows


def _asked(messages: list[dict[str, Any]]) -> str:
    """Return the last turn of a prompt on one line, cut where it is long."""
    asked = " ".join(in_words(messages[-1]["content"]).split())
    return asked if len(asked) <= MOST_ASKED else f"{asked[:MOST_ASKED]}…"


def figure_rows(report: GateReport) -> list[Row]:
    """Return the figures as rows of text, the first of which names the columns."""
    # xgettext:no-python-format
    interval = _("95% interval")
    rows: list[Row] = [(_("Figure"), _("Value"), interval, _("Cases"), _("Wanted"), _("Verdict"))]
    for one in map(gate_figure, report.figures):
        rows.append((f"{one.label}\n{one.explanation}", one.value, one.interval, str(one.n), one.limit, one.verdict))
    return rows


def pair_rows(found: Evidence) -> list[Row]:
    """Return the blind pairs as rows of text, the first of which names the columns."""
    rows: list[Row] = [(_("Prompt"), _("Item"), _("Judgements"), _("Candidate preferred"))]
    for pair in found.pairs:
        share = "–" if pair.candidate_share is None else percent(pair.candidate_share)
        rows.append((_asked(pair.messages), pair.external_id, str(pair.judgements), share))
    return rows


def decision_rows(found: Evidence) -> list[Row]:
    """Return what was decided, as rows of text, the first of which names the columns."""
    rows: list[Row] = [(_("What happened"), _("Who"), _("When"), _("Reason"))]
    for event in found.decisions:
        who = event.actor.username if event.actor else _("the system")
        when = _when(event.created_at)
        rows.append((events_in_words.in_words(event), who, when, str(event.detail.get("reason", "")) or "–"))
    return rows
