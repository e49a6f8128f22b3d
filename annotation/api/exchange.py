"""Data out by the line, in constant memory."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from django.db.models import Count, Max
from django.http import HttpResponseNotModified, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.utils.text import slugify
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.decorators import api_view, renderer_classes
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from annotation import column_examples, dataset_views, datasets, parquet, permissions
from annotation.access import Action
from annotation.api.callers import caller
from annotation.api.export_shapes import FILES, ExportOffer, ExportQuery, ExportSchemaOut, ExportSchemaQuery, filters_of
from annotation.api.parsing import checked_query
from annotation.export_formats import export_format, offered, source_of
from annotation.feedback import kind
from annotation.models import Adjudication, Campaign, Event, Feedback, Gold, Image, Prompt, QualityReport
from annotation.services import disclosure

# Rows are sent in pieces of about this size: one write per row would be slow, and a big piece would be late.
PIECE_BYTES = 64 * 1024
LINES_TYPE = "application/x-ndjson"
PARQUET_TYPE = "application/vnd.apache.parquet"
# So many judgements back, one with a lower id may still come after one with a higher: both were sent at once.
AT_ONCE = 1000


class LinesRenderer(BaseRenderer):
    """Lets a client ask for JSON Lines by ``Accept``; the stream itself is written by the view."""

    media_type = LINES_TYPE
    format = "jsonl"

    def render(self, data: Any, accepted_media_type: str | None = None, renderer_context: Any = None) -> bytes:
        """Return errors, the only thing that is rendered here, as one line of JSON."""
        return json.dumps(data, ensure_ascii=False).encode() + b"\n"


@extend_schema(
    operation_id="campaigns_export",
    parameters=[
        ExportQuery,
        OpenApiParameter(
            "If-None-Match", str, OpenApiParameter.HEADER, description="An ETag: 304 when nothing is new."
        ),
    ],
    responses={
        (200, LINES_TYPE): OpenApiTypes.STR,
        (200, "application/gzip"): OpenApiTypes.BINARY,
        (200, PARQUET_TYPE): OpenApiTypes.BINARY,
        304: OpenApiResponse(description="What you have is what there is."),
    },
    tags=["campaigns"],
)
@api_view(["GET"])
@renderer_classes([JSONRenderer, LinesRenderer])
def export(request: Request, campaign_id: int) -> HttpResponseBase:
    """Stream a view of the judgements, oldest first; for leads and engineers.

    The columns are those that TRL and `datasets` read as they are, or those of another project by `layout`;
    `export/schema/` describes them. A prompt stands in one split only. With ``Accept-Encoding: gzip`` the stream is
    compressed on the way; with ``file=jsonl.gz`` the file is. ``ETag`` tells whether there is anything new. An export
    that broke off goes on with ``through`` from the header ``Export-Through``, ``after`` the last but one judgement
    that was read whole, and ``skip`` for the rows that are there of the next one.
    """
    campaign = permissions.campaign_for(request.user, campaign_id, Action.EXPORT)
    asked = checked_query(ExportQuery, request)
    file = "jsonl.gz" if asked["gzip"] and asked["file"] == "jsonl" else asked["file"]
    newest = Feedback.objects.filter(campaign=campaign).order_by("-id").values_list("id", flat=True).first() or 0
    through = min(newest, asked.get("through", newest))
    encodings = {part.split(";")[0].strip() for part in request.META.get("HTTP_ACCEPT_ENCODING", "").split(",")}
    packed = file == "jsonl" and "gzip" in encodings
    filters = filters_of(asked)
    site = request.build_absolute_uri("/").rstrip("/")
    tag = export_tag(campaign, {**asked, "through": through, "packed": packed, "site": site})
    if tag in {one.strip().removeprefix("W/") for one in request.META.get("HTTP_IF_NONE_MATCH", "").split(",")}:
        return _headed(HttpResponseNotModified(), tag, through)
    layout = export_format(asked["layout"]) if "layout" in asked else None
    view = source_of(layout, *offered(kind(campaign.kind), campaign.options)) if layout else asked["view"]
    rows = datasets.rows(campaign, view, filters, after_id=asked["after"], through_id=through, site=site)
    disclosure.note(campaign=campaign, actor=caller(request), what="exported", target=layout.name if layout else view)
    if layout:
        rows = layout.convert(rows)
    if asked["skip"]:
        rows = islice(rows, asked["skip"], None)
    if file == "parquet":
        shown = layout or dataset_views.view(view)
        like = column_examples.row_of(shown.name, shown.columns)
        response = StreamingHttpResponse(parquet.packed(rows, like=like), content_type=PARQUET_TYPE)
    elif file == "jsonl.gz":
        pieces = compressed(in_pieces(datasets.lines(rows)))
        response = StreamingHttpResponse(pieces, content_type="application/gzip")
    elif packed:
        response = StreamingHttpResponse(compressed(in_pieces(datasets.lines(rows))), content_type=LINES_TYPE)
        response["Content-Encoding"] = "gzip"
    else:
        response = StreamingHttpResponse(in_pieces(datasets.lines(rows)), content_type=LINES_TYPE)
    file_name = f"{slugify(campaign.name) or 'campaign'}-{layout.name if layout else view}.{file}"
    response["Content-Disposition"] = f'attachment; filename="{file_name}"'
    response["X-Accel-Buffering"] = "no"  # a proxy in front must not collect the stream before it sends
    return _headed(response, tag, through)


def _headed(response: HttpResponseBase, tag: str, through: int) -> HttpResponseBase:
    response["ETag"] = tag
    response["Cache-Control"] = "private, no-cache"
    response["Export-Through"] = str(through)
    response["Vary"] = "Accept-Encoding, Authorization, Cookie"
    return response


def export_tag(campaign: Campaign, asked: dict[str, Any]) -> str:
    """Return what stands for an export's bytes: what was asked, and all that can change them. Seven statements.

    Judgements only come in addition, also when one is amended; prompts and images too. A name may change.
    """
    state = {
        "asked": asked,
        "name": campaign.name,
        "options": campaign.options,
        "late": Feedback.objects.filter(campaign=campaign, id__gt=asked["through"] - AT_ONCE).count(),
        "prompts": Prompt.objects.filter(campaign=campaign).order_by("-id").values_list("id", flat=True).first(),
        "image": Image.objects.filter(campaign=campaign).exists(),
        "decided": Adjudication.objects.filter(campaign=campaign).order_by("-id").values_list("id", flat=True).first(),
        "report": str(QualityReport.objects.filter(campaign=campaign).values_list("made_at", flat=True).first()),
        "gold": Gold.objects.filter(task__campaign=campaign).aggregate(n=Count("pk"), last=Max("pk")),
        # Who had their data erased takes it out of what was there.
        "erased": Event.objects.filter(action="person.erased").order_by("-id").values_list("id", flat=True).first(),
    }
    return f'"{datasets.content_hash(state)[:32]}"'


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
    asked = checked_query(ExportSchemaQuery, request)
    if layout := asked.get("layout"):
        found = export_format(layout)
        told = {"name": found.name, "title": found.title, "columns": found.columns, "image_columns": {}}
        return Response(ExportSchemaOut(told).data)
    return Response(ExportSchemaOut(dataset_views.view(asked["view"])).data)


@extend_schema(operation_id="campaigns_export_offer", responses=ExportOffer, tags=["campaigns"])
@api_view(["GET"])
def export_offer(request: Request, campaign_id: int) -> Response:
    """Return the views and layouts that this campaign's judgements give rows for, and the kinds of files."""
    campaign = permissions.campaign_for(request.user, campaign_id, Action.EXPORT)
    views, layouts = offered(kind(campaign.kind), campaign.options)
    return Response({"views": views, "layouts": layouts, "files": list(FILES)})
