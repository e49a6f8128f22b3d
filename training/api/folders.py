"""Models to carry away over REST: a version's folder with its card, as it is or with an adapter in its weights."""

from __future__ import annotations

from django.http import StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.utils.http import content_disposition_header
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.decorators import api_view
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from annotation.access import Action
from annotation.api.parsing import checked_query
from annotation.models import User
from training import permissions
from training.api.views import person
from training.models import ModelVersion
from training.services import model_folders


class FolderQuery(serializers.Serializer):
    merged = serializers.BooleanField(default=False, help_text="Whole weights instead of an adapter.")
    confirmed = serializers.BooleanField(
        default=False, help_text="Needed for a policy without a tamper test: you take it away without one; audited."
    )


class MergingOut(serializers.Serializer):
    state = serializers.ChoiceField(choices=["none", "asked", "ready", "failed"])
    error = serializers.CharField(allow_blank=True)


@extend_schema(
    operation_id="versions_folder",
    parameters=[FolderQuery],
    responses={(200, "application/zip"): OpenApiTypes.BINARY},
    tags=["training"],
)
@api_view(["GET"])
def version_folder(request: Request, version_id: int) -> HttpResponseBase:
    """Return a ZIP archive of the model as transformers reads it, with a card of its lineage, its data and its gate."""
    version = permissions.version_for(request.user, version_id, Action.EXPORT)
    asked = checked_query(FolderQuery, request)
    return archive_of(version, merged=asked["merged"], actor=person(request), confirmed=asked["confirmed"])


def archive_of(version: ModelVersion, *, merged: bool, actor: User, confirmed: bool) -> HttpResponseBase:
    """Return a version's folder as the archive that the page offers too; raises what `model_folders.download` does."""
    pieces = model_folders.download(version=version, merged=merged, actor=actor, confirmed=confirmed)
    named = content_disposition_header(True, model_folders.file_name(version, merged=merged)) or ""
    return StreamingHttpResponse(pieces, content_type="application/zip", headers={"Content-Disposition": named})


class Merging(APIView):
    @extend_schema(operation_id="versions_merging", responses=MergingOut, tags=["training"])
    def get(self, request: Request, version_id: int) -> Response:
        """Return whether the version's adapter is in the weights of its base yet, to be downloaded."""
        return Response(_json(permissions.version_for(request.user, version_id, Action.EXPORT)))

    @extend_schema(operation_id="versions_merge", request=None, responses={202: MergingOut}, tags=["training"])
    def post(self, request: Request, version_id: int) -> Response:
        """Have a worker put the version's adapter into the weights of its base. Safe to repeat."""
        version = permissions.version_for(request.user, version_id, Action.EXPORT)
        model_folders.order_merge(version=version)
        return Response(_json(version), status=status.HTTP_202_ACCEPTED)


def _json(version: ModelVersion) -> dict[str, str]:
    state, error = model_folders.merging(version)
    return {"state": state, "error": error}
