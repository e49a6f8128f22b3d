"""How far a campaign's judgements can be trusted."""

from __future__ import annotations

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.decorators import api_view
from rest_framework.request import Request
from rest_framework.response import Response

from annotation import permissions
from annotation.access import Action
from annotation.services import quality


@extend_schema(operation_id="campaigns_quality", responses={200: OpenApiTypes.OBJECT, 204: None}, tags=["campaigns"])
@api_view(["GET"])
def report(request: Request, campaign_id: int) -> Response:
    """Return agreement by part and dimension, people's reliability, policies ranked, and what else decides.

    People are named by their pseudonyms. 204 before the first judgement, and until the background has made the first
    report of a large campaign. For leads, engineers and reviewers; policies are left out for reviewers.
    """
    campaign = permissions.campaign_for(request.user, campaign_id, Action.MEASURE)
    stored = quality.current(campaign)
    if stored is None:
        return Response(status=status.HTTP_204_NO_CONTENT)
    figures = {**stored.figures, "made_at": stored.made_at}
    if not permissions.may(request.user, campaign, Action.READ):
        figures = quality.without_policies(figures)
    return Response(figures)
