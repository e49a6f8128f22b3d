"""Data out by the line, in constant memory."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Iterator
from typing import Any

from django.http import HttpResponseBase, StreamingHttpResponse
from django.utils.text import slugify
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.decorators import api_view, renderer_classes
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from annotation import dataset_views, datasets, permissions
from annotation.access import Action
from annotation.api.parsing import checked_query
from annotation.api.serializers import ExportQuery, ExportSchemaOut, ExportSchemaQuery

# Rows are sent in pieces of about this size: one write per row would be slow, and a big piece would be late.
PIECE_BYTES = 64 * 1024
LINES_TYPE = "application/x-ndjson"


class LinesRenderer(BaseRenderer):
    """Lets a client ask for JSON Lines by ``Accept``; the stream itself is written by the view."""

    media_type = LINES_TYPE
    format = "jsonl"

    def render(self, data: Any, accepted_media_type: str | None = None, renderer_context: Any = None) -> bytes:
        """Return errors, the only thing that is rendered here, as one line of JSON."""
        return json.dumps(data, ensure_ascii=False).encode() + b"\n"


@extend_schema(
    operation_id="campaigns_export",
    parameters=[ExportQuery],
    responses={(200, LINES_TYPE): OpenApiTypes.STR, (200, "application/gzip"): OpenApiTypes.BINARY},
    tags=["campaigns"],
)
@api_view(["GET"])
@renderer_classes([JSONRenderer, LinesRenderer])
def export(request: Request, campaign_id: int) -> HttpResponseBase:
    """Stream a view of the judgements as JSON Lines, oldest first; for leads and engineers.

    The columns are those that TRL and `datasets` read as they are; `export/schema/` describes them. A prompt stands
    in one split only. With ``Accept-Encoding: gzip`` the stream is compressed on the way; with ``gzip=1`` the file is.
    """
    campaign = permissions.campaign_for(request.user, campaign_id, Action.EXPORT)
    asked = checked_query(ExportQuery, request)
    rows = datasets.rows(
        campaign,
        asked["view"],
        split=asked.get("split"),
        batches=asked.get("batch"),
        include_audit=asked["audit"],
        include_simulated=asked["simulated"],
        after_id=asked["after"],
        site=request.build_absolute_uri("/").rstrip("/"),
    )
    pieces: Iterator[bytes] = in_pieces(datasets.lines(rows))
    encodings = {part.split(";")[0].strip() for part in request.META.get("HTTP_ACCEPT_ENCODING", "").split(",")}
    name = f"{slugify(campaign.name) or 'campaign'}-{asked['view']}.jsonl"
    if asked["gzip"]:
        response = StreamingHttpResponse(compressed(pieces), content_type="application/gzip")
        name += ".gz"
    elif "gzip" in encodings:
        response = StreamingHttpResponse(compressed(pieces), content_type=LINES_TYPE)
        response["Content-Encoding"] = "gzip"
    else:
        response = StreamingHttpResponse(pieces, content_type=LINES_TYPE)
    response["Vary"] = "Accept-Encoding"
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    response["X-Accel-Buffering"] = "no"  # a proxy in front must not collect the stream before it sends
    return response


def in_pieces(lines: Iterable[str]) -> Iterator[bytes]:
    """Return the lines joined: the first one at once, the others in pieces of about PIECE_BYTES."""
    waiting: list[str] = []
    size = 0
    limit = 0
    for line in lines:
        waiting.append(line)
        size += len(line)
        if size > limit:
            yield "".join(waiting).encode()
            waiting, size, limit = [], 0, PIECE_BYTES
    if waiting:
        yield "".join(waiting).encode()


def compressed(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Return the pieces as one gzip stream, flushed after each, so that what is ready arrives."""
    packer = zlib.compressobj(level=1, wbits=31)
    for piece in pieces:
        yield packer.compress(piece) + packer.flush(zlib.Z_SYNC_FLUSH)
    yield packer.flush()


@extend_schema(
    operation_id="campaigns_export_schema",
    parameters=[ExportSchemaQuery],
    responses=ExportSchemaOut,
    tags=["campaigns"],
)
@api_view(["GET"])
def export_schema(request: Request, campaign_id: int) -> Response:
    """Return what the columns of an export mean."""
    permissions.campaign_for(request.user, campaign_id, Action.EXPORT)
    return Response(ExportSchemaOut(dataset_views.view(checked_query(ExportSchemaQuery, request)["view"])).data)
