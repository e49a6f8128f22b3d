"""The images of a campaign, for its people: by session in a page, by token for a script."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

from django.conf import settings
from django.db.models.fields.files import FieldFile
from django.http import FileResponse, Http404, HttpResponse, HttpResponseBase, HttpResponseRedirect
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.views import APIView

from annotation import permissions

DAY = 86_400
_ANY = {(200, "image/*"): OpenApiTypes.BINARY}


class NoNegotiation(BaseContentNegotiation):
    """A page asks for any image and a script for anything: an image has the type it has, and errors are JSON."""

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        first = next(iter(renderers))
        return first, first.media_type or ""


class ImageFile(APIView):
    """The whole image, as it was encoded at import."""

    content_negotiation_class = NoNegotiation

    @extend_schema(operation_id="campaigns_image", responses=_ANY, tags=["campaigns"])
    def get(self, request: Request, campaign_id: int, sha256: str) -> HttpResponseBase:
        """Return an image of a campaign in which you have a role, by the hash that parts of messages name it by."""
        image = permissions.image_for(request.user, campaign_id, sha256)
        return _sent(request, image.file, image.media_type, image.sha256)


class ImageThumbnail(APIView):
    """The image made small."""

    content_negotiation_class = NoNegotiation

    @extend_schema(operation_id="campaigns_image_thumbnail", responses=_ANY, tags=["campaigns"])
    def get(self, request: Request, campaign_id: int, sha256: str) -> HttpResponseBase:
        """Return the same image as WebP with at most 640 pixels a side."""
        image = permissions.image_for(request.user, campaign_id, sha256)
        return _sent(request, image.thumbnail, "image/webp", f"{image.sha256}-small")


def _sent(request: Request, file: FieldFile, media_type: str, tag: str) -> HttpResponseBase:
    """Return the bytes, or where proxy or storage send them from. Never anything that a browser would run."""
    response: HttpResponseBase
    if request.META.get("HTTP_IF_NONE_MATCH") == f'"{tag}"':
        response = HttpResponse(status=304)
    elif settings.ATTUNE_IMAGES_ACCEL:
        response = HttpResponse(content_type=media_type)
        response["X-Accel-Redirect"] = settings.ATTUNE_IMAGES_ACCEL + quote(str(file.name))
    elif settings.ATTUNE_IMAGES_ORIGIN:
        response = HttpResponseRedirect(file.storage.url(file.name))
        # The address is signed for a few minutes.
        response["Cache-Control"] = "private, max-age=120"
        return response
    else:
        response = FileResponse(_opened(file), content_type=media_type)
    response["ETag"] = f'"{tag}"'
    # The address is the content's hash, so what is under it never changes.
    response["Cache-Control"] = f"private, max-age={DAY}, immutable"
    response["Content-Security-Policy"] = "default-src 'none'; sandbox"
    response["X-Content-Type-Options"] = "nosniff"
    response["Cross-Origin-Resource-Policy"] = "same-origin"
    return response


def _opened(file: FieldFile) -> Any:
    try:
        return file.storage.open(str(file.name))
    except FileNotFoundError:
        raise Http404("The file of this image is no longer in the storage; restore it from a backup.") from None
