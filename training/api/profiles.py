"""What a person says of the answers they like, over REST: one's own, and nobody else's."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from annotation.api.parsing import checked
from annotation.models import User
from annotation.services import profile_text
from training.api.views import person
from training.services import profiles


class ProfileTextIn(serializers.Serializer):
    text = serializers.CharField(
        max_length=profile_text.MOST, allow_blank=True, help_text="What you like in answers; empty takes it away."
    )


class ProfileTextOut(serializers.Serializer):
    text = serializers.CharField(allow_blank=True)
    read_in = serializers.ListField(
        child=serializers.CharField(), help_text="Names of your campaigns whose policies read it."
    )


def _json(user: User) -> dict[str, object]:
    return dict(ProfileTextOut({"text": user.profile_text, "read_in": profiles.asking(user)}).data)


class OwnProfileText(APIView):
    @extend_schema(operation_id="own_profile_text", responses=ProfileTextOut, tags=["authentication"])
    def get(self, request: Request) -> Response:
        """Return what you say of the answers you like, and in which campaigns policies read it."""
        return Response(_json(person(request)))

    @extend_schema(
        operation_id="own_profile_text_save", request=ProfileTextIn, responses=ProfileTextOut, tags=["authentication"]
    )
    def put(self, request: Request) -> Response:
        """Say what you like in answers, in place of what you said before. It goes into what is frozen from now on."""
        profile_text.set_text(user=person(request), text=checked(ProfileTextIn, request.data)["text"])
        return Response(_json(person(request)))
