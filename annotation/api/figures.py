"""How a campaign is doing: progress and agreement."""

from __future__ import annotations

from dataclasses import asdict

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.decorators import api_view
from rest_framework.request import Request
from rest_framework.response import Response

from annotation import permissions
from annotation.access import Action
from annotation.agreement import campaign_agreement
from annotation.api.callers import caller
from annotation.overlap import region_agreement
from annotation.progress import campaign_progress, my_progress


@extend_schema(operation_id="campaigns_progress", responses=OpenApiTypes.OBJECT, tags=["campaigns"])
@api_view(["GET"])
def progress(request: Request, campaign_id: int) -> Response:
    """Return the campaign's figures and people; for leads and engineers."""
    campaign = permissions.campaign_for(request.user, campaign_id, Action.READ)
    return Response(asdict(campaign_progress(campaign)))


@extend_schema(operation_id="campaigns_my_progress", responses=OpenApiTypes.OBJECT, tags=["campaigns"])
@api_view(["GET"])
def own_progress(request: Request, campaign_id: int) -> Response:
    """Return how far you are in this campaign, and nothing about anybody else."""
    campaign = permissions.campaign_for(request.user, campaign_id, Action.SEE)
    return Response(asdict(my_progress(caller(request), campaign)))


@extend_schema(operation_id="campaigns_agreement", responses=OpenApiTypes.OBJECT, tags=["campaigns"])
@api_view(["GET"])
def agreement(request: Request, campaign_id: int) -> Response:
    """Return how far people agree on each dimension of the kind, with intervals, or the reason why that is undefined.

    Where regions of images are marked, ``marked_regions`` says how far people mark the same places. For leads and
    engineers.
    """
    campaign = permissions.campaign_for(request.user, campaign_id, Action.READ)
    figures = {name: asdict(found) for name, found in campaign_agreement(campaign).items()}
    if (regions := region_agreement(campaign)) is not None:
        figures["marked_regions"] = asdict(regions)
    return Response(figures)
