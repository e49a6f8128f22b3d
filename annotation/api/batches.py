"""The batches of a campaign, and which comes first."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from annotation import permissions
from annotation.access import Action
from annotation.api.callers import caller
from annotation.api.parsing import checked
from annotation.importing.items import MAX_PRIORITY
from annotation.services import batches


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
