"""Bringing items into a campaign from the browser, and what came of each line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from io import BytesIO
from typing import BinaryIO

from django.http import FileResponse, Http404, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_GET, require_http_methods

from annotation.access import Action
from annotation.errors import AnnotationError
from annotation.feedback import kind
from annotation.feedback.scoped import bounds
from annotation.importing import attachments, refusals, uploads
from annotation.importing.attachments import Files
from annotation.importing.mapping import Columns
from annotation.importing.previewing import columns_of, first_rows, preview
from annotation.importing.rows import Row
from annotation.models import Campaign, Event
from annotation.permissions import LARGEST_ID
from annotation.services.intake import ImportReport
from frontend.decorators import campaign_page
from frontend.forms.imports import ColumnsForm, ImportForm
from frontend.http import SignedInRequest, say
from frontend.lead_pages import campaign_page_of, sent

PASTED = "pasted.txt"
LINES_TYPE = "application/x-ndjson; charset=utf-8"

# One example per layout that the import takes, ready to be pasted.
LAYOUTS = (
    (
        _("A prompt and two answers"),
        _("The usual one. A prompt may also be a list of messages; id, origin and priority may be left out."),
        '{"id": "q-1", "prompt": "Why is the sky blue?", "completions": [{"text": "Because of scattering.", "origin": '
        '"model-a"}, {"text": "It reflects the sea.", "origin": "model-b"}]}',
    ),
    (
        _("Chosen and rejected"),
        _("What preference data sets look like; judged blind again."),
        '{"prompt": [{"role": "user", "content": "Why is the sky blue?"}], "chosen": "Because of scattering.", '
        '"rejected": "It reflects the sea."}',
    ),
    (
        _("A table"),
        _(
            "CSV with a header. Any column names will do: after the upload you say which are the prompt and the "
            "answers."
        ),
        "question,left,right\nWhy is the sky blue?,Because of scattering.,It reflects the sea.",
    ),
    (
        _("Images in prompts and answers"),
        _(
            "In a ZIP archive: this file, and the images it names beside it. Or the images as data URIs, without an "
            "archive. Nothing is fetched from the web."
        ),
        '{"prompt": "A fox in the snow", "completions": [{"image": "images/a.png", "alt": "A fox from the side"}, '
        '{"image": "images/b.png"}]}\n'
        '{"prompt": [{"role": "user", "content": [{"type": "image", "image": "images/c.jpg"}, {"type": "text", '
        '"text": "What is this?"}]}], "completions": ["A wren.", "A robin."]}',
    ),
    (
        _("HH-RLHF transcripts"),
        _("Two whole conversations that differ in the last turn."),
        r'{"chosen": "\n\nHuman: Why is the sky blue?\n\nAssistant: Because of scattering.", "rejected": '
        r'"\n\nHuman: Why is the sky blue?\n\nAssistant: It reflects the sea."}',
    ),
    (
        _("A whole dialogue"),
        _(
            "For campaigns that judge a chosen turn, each turn, or the whole of it. It ends with a turn of the "
            "assistant; turn chooses one, counted from 1."
        ),
        '{"messages": [{"role": "user", "content": "Why is the sky blue?"}, {"role": "assistant", "content": "It is '
        'the sea."}, {"role": "user", "content": "Really?"}, {"role": "assistant", "content": "No: scattering."}], '
        '"turn": 2}',
    ),
)


@campaign_page(Action.IMPORT)
@require_http_methods(["GET", "POST"])
def campaign_import(request: SignedInRequest, campaign: Campaign) -> HttpResponse:
    """Return the form and, with ``?report=``, what the last import refused.

    POST keeps the file and goes on to its preview or, with `at_once`, imports it and comes back here.
    """
    form = ImportForm(sent(request), request.FILES or None)
    if request.method == "POST" and form.is_valid():
        file, name, content_type = _file(form)
        try:
            rows, files = attachments.opened(file, name=name, content_type=content_type)
            if "preview" not in request.POST:
                return _told(request, campaign, *_imported(request, campaign, rows, Columns(), files))
            token = uploads.keep(campaign=campaign, user=request.user, file=file, name=name)
            return redirect("import-preview", campaign.pk, token)
        except AnnotationError as error:
            form.add_error(None, str(error))
    context = {"form": form, "layouts": LAYOUTS, "report": _report(request, campaign)}
    status = 422 if form.errors else 200
    return campaign_page_of(request, campaign, "campaigns/import.html", context, tab="campaign-import", status=status)


@campaign_page(Action.IMPORT)
@require_http_methods(["GET", "POST"])
def import_preview(request: SignedInRequest, campaign: Campaign, token: str) -> HttpResponse:
    """Return the first items of an upload as its columns are understood; POST with `import` imports all of it."""
    path = uploads.find(campaign=campaign, user=request.user, token=token)
    file = uploads.read(path) if path else None
    if path is None or file is None:
        text = gettext("What you uploaded is no longer here: it was imported, or a day has passed. Choose it again.")
        say(request, text)
        return redirect("campaign-import", campaign.pk)
    name = uploads.name_of(path)
    with file:
        try:
            read, _whole = first_rows(attachments.opened(file, name=name)[0])
        except AnnotationError as error:
            say(request, str(error))
            return redirect("campaign-import", campaign.pk)
        answers = bounds(kind(campaign.kind), campaign.options)[1]
        form = ColumnsForm(sent(request), names=columns_of(read), answers=answers)
        columns = form.columns() if form.is_bound and form.is_valid() else Columns()
        if "import" in request.POST and not form.errors:
            try:
                rows, files = attachments.opened(file, name=name)
                report, event = _imported(request, campaign, rows, columns, files)
            except AnnotationError as error:
                form.add_error(None, str(error))
            else:
                if report.created or report.existing or not report.failed:
                    uploads.discard(path)
                    return _told(request, campaign, report, event)
                first = report.errors[0]
                text = gettext("No row was good, so nothing was imported. Line {line}: {reason}")
                form.add_error(None, text.format(line=first.line, reason=first.reason))
        rows, files = attachments.opened(file, name=name)
        looked_at = preview(campaign=campaign, rows=rows, columns=columns, files=files)
    context = {"form": form, "name": name, "preview": looked_at}
    status = 422 if form.errors else 200
    return campaign_page_of(
        request, campaign, "campaigns/import_preview.html", context, tab="campaign-import", status=status
    )


def _file(form: ImportForm) -> tuple[BinaryIO, str, str]:
    """Return what was uploaded or pasted, its name and its content type."""
    file = form.cleaned_data.get("file")
    if file:
        return file, file.name, file.content_type or ""
    return BytesIO(form.cleaned_data["text"].replace("\r\n", "\n").encode()), PASTED, ""


def _imported(
    request: SignedInRequest, campaign: Campaign, rows: Iterator[Row], columns: Columns, files: Files
) -> tuple[ImportReport, Event | None]:
    return refusals.import_and_keep(campaign=campaign, rows=rows, actor=request.user, columns=columns, files=files)


def _told(request: SignedInRequest, campaign: Campaign, report: ImportReport, event: Event | None) -> HttpResponse:
    """Return a redirect to what came of the import; refused lines are kept with an event, to be read again."""
    back = redirect("campaign-import", campaign.pk)
    if event is not None:
        back["Location"] += f"?report={event.pk}"
    elif report.created or report.existing:
        text = gettext("New items: {created}. There already, and left as they are: {existing}.")
        say(request, text.format(created=report.created, existing=report.existing))
    else:
        say(request, gettext("There was no item in it, so nothing was imported."))
    return back


def _report(request: SignedInRequest, campaign: Campaign) -> Event | None:
    given = request.GET.get("report", "")
    if not (given.isascii() and given.isdecimal() and len(given) < 19):
        return None
    return refusals.report_of(campaign, int(given))


@campaign_page(Action.IMPORT)
@require_GET
def import_errors(request: SignedInRequest, campaign: Campaign, event_id: int) -> HttpResponseBase:
    """Return what an import refused as JSON Lines: number, reason and the row, to be mended and imported again.

    After a month the rows are gone, and the first thousand numbers and reasons are left.
    """
    event = refusals.report_of(campaign, min(event_id, LARGEST_ID))
    if event is None:
        raise Http404(gettext("There is no such report."))
    file = refusals.open_refused(event) or _reasons(event)
    name = f"refused-lines-{event.pk}.jsonl"
    return FileResponse(file, as_attachment=True, filename=name, content_type=LINES_TYPE)


def _reasons(event: Event) -> BinaryIO:
    lines = (json.dumps({"line": line, "reason": reason}) + "\n" for line, reason in event.detail["errors"])
    return BytesIO("".join(lines).encode())
