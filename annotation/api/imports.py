"""Data in: a file or a body of rows, in constant memory, and the file of what was refused."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
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
from rest_framework.parsers import BaseParser, MultiPartParser
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from annotation import permissions
from annotation.access import Action
from annotation.api.callers import caller
from annotation.api.exchange import LINES_TYPE, LinesRenderer
from annotation.api.parsing import BODY_PARSERS, OctetsParser, checked_query
from annotation.api.serializers import ImportOut, ImportQuery
from annotation.api.upload_serializers import PartQuery, UploadOut, UploadQuery
from annotation.errors import Invalid
from annotation.importing import attachments, formats, mapping, partial, refusals, uploads
from annotation.importing.attachments import Files
from annotation.importing.rows import Row
from annotation.models import Campaign, User
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
    broke off can simply be sent again. A large file is better uploaded in parts first (`upload/`), so that a broken
    connection costs one part; then name it in `upload`. It is kept for a day, so that it can be imported again.
    """
    campaign = permissions.campaign_for(request.user, campaign_id, Action.IMPORT)
    asked = checked_query(ImportQuery, request)
    columns = mapping.of_json(asked["mapping"])
    rows, files = _uploaded(campaign, caller(request), asked["upload"]) if asked["upload"] else _opened(request)
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


class Upload(APIView):
    """A large file, sent in parts before it is imported; for leads and engineers."""

    parser_classes: Sequence[type[BaseParser]] = [OctetsParser]

    @extend_schema(
        operation_id="campaigns_upload_read", parameters=[UploadQuery], responses=UploadOut, tags=["campaigns"]
    )
    def get(self, request: Request, campaign_id: int) -> Response:
        """Return how much of a file is there: begin, and after any interruption go on, at that byte."""
        campaign = permissions.campaign_for(request.user, campaign_id, Action.IMPORT)
        asked, user = checked_query(UploadQuery, request), caller(request)
        token = partial.token_of(campaign=campaign, user=user, **asked)
        there = partial.there(campaign=campaign, user=user, token=token, size=asked["size"])
        return _upload(token, asked["size"], there)

    @extend_schema(
        operation_id="campaigns_upload_part",
        parameters=[PartQuery],
        request={"application/octet-stream": BINARY},
        responses=UploadOut,
        tags=["campaigns"],
    )
    def put(self, request: Request, campaign_id: int) -> Response:
        """Store the part of a file that begins at byte `at`, at most 64 MiB; sending one again changes nothing.

        409: it does not follow on what is there; `errors.at` says where to go on. A part that was cut off on its way
        is not stored. What has arrived is kept for a day. When the last part is there, import the file by its token.
        """
        campaign = permissions.campaign_for(request.user, campaign_id, Action.IMPORT)
        asked, user = checked_query(PartQuery, request), caller(request)
        body = BytesIO() if isinstance(request.data, Mapping) else cast(BinaryIO, request.data)
        there = partial.add(campaign=campaign, user=user, body=body, **asked)
        asked.pop("at")
        return _upload(partial.token_of(campaign=campaign, user=user, **asked), asked["size"], there)


def _upload(token: str, size: int, there: int) -> Response:
    told = {"upload": token, "size": size, "there": there, "part_bytes": partial.PART_BYTES}
    return Response(UploadOut(told).data)


def _uploaded(campaign: Campaign, user: User, token: str) -> tuple[Iterator[Row], Files]:
    path = uploads.find(campaign=campaign, user=user, token=token)
    file = uploads.read(path) if path else None
    if path is None or file is None:
        reason = "There is no such upload, or it is not whole yet, or a day has passed; upload the file again."
        raise Invalid(reason, {"upload": [reason]})
    return attachments.opened(file, name=uploads.name_of(path))


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
