"""The batches of a campaign, which comes first, and how many people judge the items that are there."""

from __future__ import annotations

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
from annotation.importing.items import MAX_PRIORITY, MAX_WANTED
from annotation.reach import out_of_reach
from annotation.services import batches, overlap


class TaskBatchOut(serializers.Serializer):
    name = serializers.CharField()
    items = serializers.IntegerField()
    complete = serializers.IntegerField()
    wanted = serializers.IntegerField(help_text="Judgements.")
    done = serializers.IntegerField()
    priority = serializers.IntegerField(help_text="Higher comes first.")


class PriorityIn(serializers.Serializer):
    batch = serializers.CharField(max_length=60)
    priority = serializers.IntegerField(min_value=-MAX_PRIORITY, max_value=MAX_PRIORITY)


class OverlapIn(serializers.Serializer):
    wanted = serializers.IntegerField(
        min_value=1, max_value=MAX_WANTED, allow_null=True, help_text="People per item; null: as the settings say."
    )
    batch = serializers.CharField(max_length=60, default="", allow_blank=True, help_text="Only the items of this one.")


class OverlapOut(serializers.Serializer):
    changed = serializers.IntegerField(help_text="Items.")
    warnings = serializers.ListField(
        child=serializers.CharField(), help_text="Why items wait, such as that they want more people than there are."
    )


@extend_schema(operation_id="campaigns_overlap", request=OverlapIn, responses=OverlapOut, tags=["campaigns"])
@api_view(["POST"])
def change_overlap(request: Request, campaign_id: int) -> Response:
    """Have another number of people judge the items that are there already; for leads.

    More people open complete items again; fewer take nothing away. Items with a right answer, and those that a reviewer
    decided, stay as they are.
    """
    campaign = permissions.campaign_for(request.user, campaign_id, Action.CONFIGURE)
    changed = overlap.change(campaign=campaign, actor=caller(request), **checked(OverlapIn, request.data))
    told = {"changed": changed, "warnings": [one.reason for one in out_of_reach(campaign)]}
    return Response(OverlapOut(told).data)


class Batches(APIView):
    @extend_schema(operation_id="campaigns_batches", responses=TaskBatchOut(many=True), tags=["campaigns"])
    def get(self, request: Request, campaign_id: int) -> Response:
        """Return how far each batch is, those that come first before the others; for leads and engineers."""
        campaign = permissions.campaign_for(request.user, campaign_id, Action.READ)
        return Response(TaskBatchOut(batches.batches(campaign), many=True).data)

    @extend_schema(
        operation_id="campaigns_prioritise", request=PriorityIn, responses=TaskBatchOut(many=True), tags=["campaigns"]
    )
    def post(self, request: Request, campaign_id: int) -> Response:
        """Give the open items of a batch another priority; for leads."""
        campaign = permissions.campaign_for(request.user, campaign_id, Action.CONFIGURE)
        batches.prioritise(campaign=campaign, actor=caller(request), **checked(PriorityIn, request.data))
        return self.get(request, campaign_id)
