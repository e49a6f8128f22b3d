"""What people had to read, and what each would rather not: the latter for themselves only."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import api_view
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from annotation import permissions
from annotation.access import Action
from annotation.api.callers import caller
from annotation.api.parsing import checked
from annotation.exposure import exposure
from annotation.models import Campaign, User
from annotation.services import wellbeing


class ExposureOut(serializers.Serializer):
    category = serializers.CharField()
    week = serializers.IntegerField(help_text="Judgements since Monday.")
    total = serializers.IntegerField()


class WellbeingOut(serializers.Serializer):
    categories = serializers.ListField(child=serializers.CharField(), help_text="What items here are about.")
    declined = serializers.ListField(child=serializers.CharField(), help_text="Those you are handed no items of.")
    exposure = ExposureOut(many=True, help_text="What you judged so far.")


class DeclineIn(serializers.Serializer):
    declined = serializers.ListField(child=serializers.CharField(max_length=40))


def _own(campaign: Campaign, user: User) -> dict[str, Any]:
    return WellbeingOut(
        {
            "categories": wellbeing.categories(campaign),
            "declined": campaign.declined,
            "exposure": exposure(campaign, user),
        }
    ).data


class Wellbeing(APIView):
    @extend_schema(operation_id="work_wellbeing", responses=WellbeingOut, tags=["work"])
    def get(self, request: Request, campaign_id: int) -> Response:
        """Return what items here are about, what you declined, and how much of it you judged; nobody else sees this."""
        campaign = permissions.campaign_for(request.user, campaign_id, Action.JUDGE)
        return Response(_own(campaign, caller(request)))

    @extend_schema(operation_id="work_decline", request=DeclineIn, responses=WellbeingOut, tags=["work"])
    def post(self, request: Request, campaign_id: int) -> Response:
        """Say which categories you do not want to be handed items of. It counts against nobody, and nobody sees it."""
        campaign = permissions.campaign_for(request.user, campaign_id, Action.JUDGE)
        wellbeing.decline(campaign=campaign, user=caller(request), **checked(DeclineIn, request.data))
        return Response(_own(campaign, caller(request)))


@extend_schema(operation_id="campaigns_exposure", responses=ExposureOut(many=True), tags=["campaigns"])
@api_view(["GET"])
def campaign_exposure(request: Request, campaign_id: int) -> Response:
    """Return how many judgements were about what, of everybody together; for leads and engineers."""
    campaign = permissions.campaign_for(request.user, campaign_id, Action.READ)
    return Response(ExposureOut(exposure(campaign), many=True).data)
