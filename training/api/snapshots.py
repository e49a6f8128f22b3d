"""Frozen data sets over REST: freezing, reading, comparing, and what evaluation suites they overlap with."""

from __future__ import annotations

import dataclasses
import json
from itertools import islice

from django.http import StreamingHttpResponse
from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.decorators import api_view, renderer_classes
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from annotation.access import Action
from annotation.api.exchange import LINES_TYPE, LinesRenderer
from annotation.api.pagination import PagedView
from annotation.api.parsing import checked, checked_query
from training import permissions
from training.api import snapshot_shapes as shapes
from training.api.views import person
from training.models import Snapshot
from training.services import contamination, publishing, snapshot_diff, snapshots

MOST_OVERLAPS = 1000


class SnapshotList(PagedView):
    @extend_schema(operation_id="snapshots_list", responses=shapes.SnapshotOut(many=True), tags=["training"])
    def get(self, request: Request, campaign_id: int) -> Response:
        """Return the frozen data sets of a campaign, newest first."""
        campaign = permissions.training_of(request.user, campaign_id)
        return self.paged(Snapshot.objects.filter(campaign=campaign), shapes.SnapshotOut)

    @extend_schema(
        operation_id="snapshots_freeze",
        request=shapes.SnapshotIn,
        responses={201: shapes.SnapshotOut},
        tags=["training"],
    )
    def post(self, request: Request, campaign_id: int) -> Response:
        """Freeze a view of the judgements; the same rows give the same snapshot."""
        campaign = permissions.training_of(request.user, campaign_id, Action.EXPORT)
        given = checked(shapes.SnapshotIn, request.data)
        # What was checked, as plain JSON: so it is stored.
        filters = json.loads(json.dumps(given.get("filters", {})))
        permissions.suites_for(request.user, filters.get("decontaminate", {}).get("suites", ()))
        snapshot = snapshots.freeze(
            campaign=campaign, view=given["view"], filters=filters, licence=given["licence"], actor=person(request)
        )
        return Response(shapes.SnapshotOut(snapshot).data, status=status.HTTP_201_CREATED)


@extend_schema(operation_id="snapshots_read", responses=shapes.SnapshotDetailOut, tags=["training"])
@api_view(["GET"])
def snapshot_detail(request: Request, snapshot_id: int) -> Response:
    """Return a frozen data set with its card."""
    return Response(shapes.SnapshotDetailOut(permissions.snapshot_for(request.user, snapshot_id)).data)


@extend_schema(operation_id="snapshots_rows", responses={(200, LINES_TYPE): OpenApiTypes.STR}, tags=["training"])
@api_view(["GET"])
@renderer_classes([JSONRenderer, LinesRenderer])
def snapshot_rows(request: Request, snapshot_id: int) -> HttpResponseBase:
    """Stream the rows of a frozen data set: the bytes that its sha256 is of."""
    snapshot = permissions.snapshot_for(request.user, snapshot_id, Action.EXPORT)
    response = StreamingHttpResponse(snapshots.content(snapshot), content_type=LINES_TYPE)
    response["ETag"] = f'"{snapshot.sha256}"'
    response["Content-Disposition"] = f'attachment; filename="snapshot-{snapshot.pk}-{snapshot.view}.jsonl"'
    return response


@extend_schema(
    operation_id="snapshots_folder", responses={(200, "application/zip"): OpenApiTypes.BINARY}, tags=["training"]
)
@api_view(["GET"])
def snapshot_folder(request: Request, snapshot_id: int) -> HttpResponseBase:
    """Return the folder that a hub holds as a ZIP archive: the card, and the rows by split."""
    snapshot = permissions.snapshot_for(request.user, snapshot_id, Action.EXPORT)
    snapshots.require_file(snapshot)
    response = StreamingHttpResponse(publishing.packed(snapshot), content_type="application/zip")
    response["Content-Disposition"] = f'attachment; filename="snapshot-{snapshot.pk}-{snapshot.view}.zip"'
    return response


@extend_schema(
    operation_id="snapshots_diff", parameters=[shapes.DiffQuery], responses=shapes.DiffOut, tags=["training"]
)
@api_view(["GET"])
def snapshot_difference(request: Request, snapshot_id: int) -> Response:
    """Return what changed from the older snapshot to this one: added, removed and changed rows."""
    newer = permissions.snapshot_for(request.user, snapshot_id, Action.EXPORT)
    asked = checked_query(shapes.DiffQuery, request)
    older = permissions.snapshot_for(request.user, asked["older"], Action.EXPORT)
    return Response(dataclasses.asdict(snapshot_diff.difference(older, newer)))


@extend_schema(
    operation_id="snapshots_overlaps",
    parameters=[shapes.OverlapsQuery],
    responses=shapes.OverlapsOut,
    tags=["training"],
)
@api_view(["GET"])
def snapshot_overlaps(request: Request, snapshot_id: int) -> Response:
    """Return the rows that share words with evaluation suites. Freeze anew with `decontaminate` to leave them out."""
    snapshot = permissions.snapshot_for(request.user, snapshot_id, Action.EXPORT)
    asked = checked_query(shapes.OverlapsQuery, request)
    permissions.suites_for(request.user, asked["suite"])
    suites = contamination.Suites(asked["suite"], n=asked["n"])
    snapshots.require_file(snapshot)
    found = list(islice(contamination.overlaps(snapshots.lines(snapshot), suites), MOST_OVERLAPS + 1))
    rows = [dataclasses.asdict(one) for one in found[:MOST_OVERLAPS]]
    return Response({"rows": rows, "more": len(found) > MOST_OVERLAPS})


@extend_schema(operation_id="snapshots_push", request=shapes.PushIn, responses={201: shapes.PushOut}, tags=["training"])
@api_view(["POST"])
def snapshot_push(request: Request, snapshot_id: int) -> Response:
    """Push a frozen data set with its card to the hub that whoever runs the server named."""
    snapshot = permissions.snapshot_for(request.user, snapshot_id, Action.EXPORT)
    repository = checked(shapes.PushIn, request.data)["repository"]
    told = publishing.push(snapshot=snapshot, repository=repository, actor=person(request))
    return Response(told, status=status.HTTP_201_CREATED)
