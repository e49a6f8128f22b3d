"""Data in: a file or a body of rows, in constant memory, and the file of what was refused."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from io import BytesIO
from typing import BinaryIO, cast

from django.http import FileResponse, Http404, HttpResponseBase
from django.urls import reverse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.decorators import api_view, parser_classes, renderer_classes
from rest_framework.exceptions import ValidationError
from rest_framework.parsers import MultiPartParser
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from annotation import permissions
from annotation.access import Action
from annotation.api.callers import caller
from annotation.api.exchange import LINES_TYPE, LinesRenderer
from annotation.api.parsing import BODY_PARSERS, checked_query
from annotation.api.serializers import ImportOut, ImportQuery
from annotation.errors import Invalid
from annotation.importing import attachments, formats, mapping, refusals
from annotation.importing.attachments import Files
from annotation.importing.rows import Row
from annotation.permissions import LARGEST_ID

BINARY = {"type": "string", "format": "binary"}


@extend_schema(
    operation_id="campaigns_import",
    parameters=[ImportQuery],
    request={
        **dict.fromkeys([*formats.BY_CONTENT_TYPE, attachments.ZIP_TYPES[0]], BINARY),
        LINES_TYPE: {"type": "string"},
        "multipart/form-data": {"type": "object", "properties": {"file": BINARY}, "required": ["file"]},
    },
    responses={200: ImportOut, 207: ImportOut},
    tags=["campaigns"],
)
@api_view(["POST"])
@parser_classes([*BODY_PARSERS, MultiPartParser])
def import_rows(request: Request, campaign_id: int) -> Response:
    """Make tasks from JSON Lines, JSON, CSV, TSV, Parquet or Arrow, as the body or the file of a form.

    Any of them may be packed with gzip, or lie in a ZIP archive beside the images that its rows name. For leads and
    engineers. The layout is told by the columns; `mapping` names the columns of any other. 200: every row was
    accepted. 207: the bad rows are reported with number and reason, the good ones are kept; `refused` is where all of
    them can be fetched, to be mended and sent again. 422: there was no good row, in the shape of every error, with
    `errors` by line number. A row whose id is already there counts as existing and changes nothing, so an import that
    broke off can simply be sent again.
    """
    campaign = permissions.campaign_for(request.user, campaign_id, Action.IMPORT)
    columns = mapping.of_json(checked_query(ImportQuery, request)["mapping"])
    rows, files = _opened(request)
    report, event = refusals.import_and_keep(
        campaign=campaign, rows=rows, actor=caller(request), columns=columns, files=files
    )
    refused = None
    if event is not None:
        refused = request.build_absolute_uri(reverse("api-import-refused", args=[campaign.pk, event.pk]))
    if report.failed and not (report.created or report.existing):
        reasons = {str(error.line): [error.reason] for error in report.errors}
        message = f"None of the {report.failed} lines could be imported; errors gives the reason of each"
        raise Invalid(f"{message}, and {refused} the lines themselves.", reasons)
    code = status.HTTP_207_MULTI_STATUS if report.failed else status.HTTP_200_OK
    return Response(ImportOut({**asdict(report), "refused": refused}).data, status=code)


@extend_schema(
    operation_id="campaigns_import_refused",
    responses={(200, LINES_TYPE): OpenApiTypes.STR},
    tags=["campaigns"],
)
@api_view(["GET"])
@renderer_classes([JSONRenderer, LinesRenderer])
def refused_rows(request: Request, campaign_id: int, event_id: int) -> HttpResponseBase:
    """Stream what an import refused, as JSON Lines: number, reason and the row itself; for leads and engineers.

    Mend the rows in it and send that file: it is read like any other. It is kept for 30 days.
    """
    campaign = permissions.campaign_for(request.user, campaign_id, Action.IMPORT)
    event = refusals.report_of(campaign, min(event_id, LARGEST_ID))
    file = refusals.open_refused(event) if event else None
    if file is None:
        raise Http404("There is no such file of refused rows, or it was deleted after 30 days.")
    return FileResponse(file, as_attachment=True, filename=f"refused-{event_id}.jsonl", content_type=LINES_TYPE)


def _opened(request: Request) -> tuple[Iterator[Row], Files]:
    if not request.content_type.startswith("multipart/"):
        # Without a body there is nothing to parse, and the data are an empty object.
        stream = BytesIO() if isinstance(request.data, Mapping) else request.data
        if request.META.get("HTTP_TRANSFER_ENCODING", "").lower() == "chunked":
            # Django reads as many bytes as Content-Length says, so without one a body would be taken for empty.
            stream = request.META["wsgi.input"]
        return attachments.opened(cast(BinaryIO, stream), content_type=request.content_type)
    file = request.FILES.get("file")
    if file is None:
        raise ValidationError({"file": ["Send the file in the field named file."]})
    return attachments.opened(cast(BinaryIO, file), name=file.name or "", content_type=file.content_type or "")
