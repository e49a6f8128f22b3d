"""Bringing items into a campaign from the browser, and what came of each line."""

from __future__ import annotations

import json
from collections.abc import Iterable

from django.http import Http404, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_GET, require_http_methods

from annotation.errors import AnnotationError
from annotation.models import Campaign, Event
from annotation.permissions import LARGEST_ID
from annotation.services import events, intake
from annotation.services.lines import read_lines
from frontend.decorators import campaign_page
from frontend.forms.imports import ImportForm
from frontend.http import SignedInRequest, say
from frontend.lead_pages import campaign_page_of, sent
from training.permissions import READERS

REPORT = "tasks.lines_refused"

# One example per layout that the import takes, ready to be pasted.
LAYOUTS = (
    (
        "A prompt and two answers",
        "The usual one. A prompt may also be a list of messages; id, origin and priority may be left out.",
        '{"id": "q-1", "prompt": "Why is the sky blue?", "completions": [{"text": "Because of scattering.", "origin": '
        '"model-a"}, {"text": "It reflects the sea.", "origin": "model-b"}]}',
    ),
    (
        "Chosen and rejected",
        "What preference data sets look like; judged blind again.",
        '{"prompt": [{"role": "user", "content": "Why is the sky blue?"}], "chosen": "Because of scattering.", '
        '"rejected": "It reflects the sea."}',
    ),
    (
        "HH-RLHF transcripts",
        "Two whole conversations that differ in the last turn.",
        r'{"chosen": "\n\nHuman: Why is the sky blue?\n\nAssistant: Because of scattering.", "rejected": '
        r'"\n\nHuman: Why is the sky blue?\n\nAssistant: It reflects the sea."}',
    ),
)


@campaign_page(*READERS)
@require_http_methods(["GET", "POST"])
def campaign_import(request: SignedInRequest, campaign: Campaign) -> HttpResponse:
    """Return the form and, with ``?report=``, what the last import refused; POST imports and comes back here."""
    form = ImportForm(sent(request), request.FILES or None)
    if request.method == "POST" and form.is_valid():
        try:
            report = intake.import_lines(campaign=campaign, lines=_lines(form), actor=request.user)
        except AnnotationError as error:
            form.add_error(None, str(error))
        else:
            return _told(request, campaign, report)
    context = {"form": form, "layouts": LAYOUTS, "report": _report(request, campaign)}
    status = 422 if form.errors else 200
    return campaign_page_of(request, campaign, "campaigns/import.html", context, tab="campaign-import", status=status)


def _lines(form: ImportForm) -> Iterable[str | bytes]:
    file = form.cleaned_data.get("file")
    # Not `str.splitlines`: it also breaks at characters that JSON allows inside a string.
    return read_lines(file) if file else form.cleaned_data["text"].replace("\r\n", "\n").split("\n")


def _told(request: SignedInRequest, campaign: Campaign, report: intake.ImportReport) -> HttpResponse:
    """Return a redirect to what came of the import; refused lines are kept with an event, to be read again."""
    back = redirect("campaign-import", campaign.pk)
    if report.failed:
        event = events.record(
            campaign=campaign,
            actor=request.user,
            action=REPORT,
            target=f"{report.failed} lines",
            detail={
                "created": report.created,
                "existing": report.existing,
                "failed": report.failed,
                "errors": [[error.line, error.reason] for error in report.errors],
            },
        )
        back["Location"] += f"?report={event.pk}"
    elif report.created or report.existing:
        say(request, f"New items: {report.created}. There already, and left as they are: {report.existing}.")
    else:
        say(request, "There was no line in it, so nothing was imported.")
    return back


def _report(request: SignedInRequest, campaign: Campaign) -> Event | None:
    given = request.GET.get("report", "")
    if not (given.isascii() and given.isdecimal() and len(given) < 19):
        return None
    return Event.objects.filter(pk=int(given), campaign=campaign, action=REPORT).first()


@campaign_page(*READERS)
@require_GET
def import_errors(request: SignedInRequest, campaign: Campaign, event_id: int) -> HttpResponse:
    """Return the refused lines of an import as JSON Lines: {"line", "reason"}."""
    event = Event.objects.filter(pk=min(event_id, LARGEST_ID), campaign=campaign, action=REPORT).first()
    if event is None:
        raise Http404("There is no such report.")
    lines = (
        json.dumps({"line": line, "reason": reason}, ensure_ascii=False) + "\n"
        for line, reason in event.detail["errors"]
    )
    response = HttpResponse("".join(lines), content_type="application/x-ndjson; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="refused-lines-{event.pk}.jsonl"'
    return response
