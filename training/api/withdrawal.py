"""A person's own data over REST: all of it as a file, what it went into, and erasing it."""

from __future__ import annotations

import tempfile

from django.http import FileResponse
from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.decorators import api_view
from rest_framework.request import Request
from rest_framework.response import Response

from annotation import personal_data
from annotation.api.parsing import checked
from annotation.services import erasure
from training.api.views import person
from training.services import withdrawals


class SnapshotUse(serializers.Serializer):
    id = serializers.IntegerField()
    campaign = serializers.CharField()
    view = serializers.CharField()
    rows = serializers.IntegerField(help_text="Rows of yours.")
    withdrawn_at = serializers.DateTimeField(allow_null=True)


class VersionUse(serializers.Serializer):
    id = serializers.IntegerField()
    campaign = serializers.CharField()
    label = serializers.CharField()  # type: ignore[assignment]
    withdrawn_at = serializers.DateTimeField(allow_null=True)


class UsesOut(serializers.Serializer):
    snapshots = SnapshotUse(many=True)
    versions = VersionUse(many=True, help_text="Trained on one of these, or made from a model that was.")


class EraseIn(serializers.Serializer):
    confirmation = serializers.CharField(max_length=150, help_text="Your username.")


@extend_schema(
    operation_id="own_data", responses={(200, "application/zip"): OpenApiTypes.BINARY}, tags=["authentication"]
)
@api_view(["GET"])
def own_data(request: Request) -> HttpResponseBase:
    """Return all that is stored about you as a ZIP archive of JSON Lines, without passwords and tokens."""
    file = tempfile.TemporaryFile()  # noqa: SIM115 - closed by the response
    personal_data.pack(person(request), file)
    file.seek(0)
    return FileResponse(file, as_attachment=True, filename="own-data.zip", content_type="application/zip")


@extend_schema(operation_id="own_data_uses", responses=UsesOut, tags=["authentication"])
@api_view(["GET"])
def own_uses(request: Request) -> Response:
    """Return the frozen data sets and models that your judgements are in."""
    found = withdrawals.uses(person(request).pseudonym)
    told = {
        "snapshots": [
            {
                "id": one.pk,
                "campaign": one.campaign.name,
                "view": one.view,
                "rows": rows,
                "withdrawn_at": one.withdrawn_at,
            }
            for one, rows in found.snapshots
        ],
        "versions": [
            {"id": one.pk, "campaign": one.campaign.name, "label": one.label, "withdrawn_at": one.withdrawn_at}
            for one in found.versions
        ],
    }
    return Response(UsesOut(told).data)


@extend_schema(operation_id="own_data_erase", request=EraseIn, responses={204: None}, tags=["authentication"])
@api_view(["POST"])
def erase_own(request: Request) -> Response:
    """Erase all that is stored about you, and mark the data sets and models it is in. This cannot be undone."""
    confirmation = checked(EraseIn, request.data)["confirmation"]
    erasure.erase(person=person(request), actor=person(request), confirmation=confirmation)
    return Response(status=status.HTTP_204_NO_CONTENT)
