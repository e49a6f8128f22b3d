"""A gate's report by itself, as a page and as a PDF: what the verdict rests on, down to the single pair."""

from __future__ import annotations

from django.http import Http404, HttpResponse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET

from annotation.access import Action
from frontend import gate_words
from frontend.decorators import signed_in
from frontend.http import SignedInRequest
from frontend.lead_pages import campaign_page_of
from training.models import GateReport
from training.permissions import version_for
from training.services.gate_evidence import Evidence, evidence


def _evidence(request: SignedInRequest, version_id: int) -> Evidence:
    version = version_for(request.user, version_id, Action.READ)
    report = (
        GateReport.objects.select_related("candidate__campaign", "candidate__snapshot", "parent")
        .filter(candidate=version)
        .first()
    )
    if report is None:
        raise Http404(_("No gate has looked at {version} yet.").format(version=version.label))
    return evidence(report)


def _parts(found: Evidence) -> list[tuple[str, str, list[gate_words.Row]]]:
    """Return the sections of a report: title, note, and rows of which the first names the columns."""
    pairs = _("The items themselves, in the campaign's export under these ids. Nobody knew which answer was whose.")
    nobody = _("Nobody was asked to compare answers.")
    undecided = _("Nothing was decided on it yet.")
    judges = _("As it was measured when they were made. What a report says by their scores is as good as they are.")
    unscored = _("No model's scores were asked for.")
    items = _("Figures of the candidate's answers. Fresh: no earlier gate was decided on it, and only those certify.")
    gone = _("The file of the comparison is not there, so its prompts cannot be listed.")
    suite = _("Its answers are in the run's suite.jsonl.")
    if len(found.items) > gate_words.MOST_ITEMS:
        items += " " + _("The first {n} are listed.").format(n=gate_words.MOST_ITEMS)
    if len(found.suite_items) > gate_words.MOST_ITEMS:
        suite += " " + _("The first {n} are listed.").format(n=gate_words.MOST_ITEMS)
    more = [(_("Items of the suite"), suite, gate_words.suite_rows(found))] if found.suite_items else []
    return [
        (_("Figures"), "", gate_words.figure_rows(found.report)),
        (_("What was decided on it"), "" if found.decisions else undecided, gate_words.decision_rows(found)),
        (_("Blind pairs"), pairs if found.pairs else nobody, gate_words.pair_rows(found)),
        (_("Models whose scores count"), judges if found.judges else unscored, gate_words.judge_rows(found)),
        (_("Held-out prompts"), items if found.items else gone, gate_words.item_rows(found)),
        *more,
    ]


@signed_in
@require_GET
def gate_report(request: SignedInRequest, version_id: int) -> HttpResponse:
    """Return the report as a page."""
    found = _evidence(request, version_id)
    context = {
        "report": found.report,
        "title": gate_words.title(found.report),
        "verdict": gate_words.verdict(found.report),
        "facts": gate_words.facts(found),
        "parts": [(title, note, rows[0], rows[1:]) for title, note, rows in _parts(found)],
    }
    return campaign_page_of(request, found.report.candidate.campaign, "models/gate.html", context, tab="models")


@signed_in
@require_GET
def gate_pdf(request: SignedInRequest, version_id: int) -> HttpResponse:
    """Return the report as a PDF file."""
    from frontend.gate_pdf import render  # loaded when the first one is asked for

    found = _evidence(request, version_id)
    report = found.report
    written = render(
        title=gate_words.title(report),
        verdict=gate_words.verdict(report),
        facts=gate_words.facts(found),
        sections=_parts(found),
    )
    response = HttpResponse(written, content_type="application/pdf")
    name = f"gate-campaign-{report.candidate.campaign_id}-{report.candidate.label}.pdf"
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return response
