"""The right answer to an item, for leads and engineers. Annotators get no sign of it."""

from __future__ import annotations

from django.http import Http404
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from annotation import permissions
from annotation.access import Action
from annotation.api.callers import caller
from annotation.api.parsing import checked
from annotation.models import Gold, Task
from annotation.permissions import LARGEST_ID
from annotation.services import gold


class GoldIO(serializers.Serializer):
    answer = serializers.DictField(
        child=serializers.JSONField(),
        help_text="The fields of a submit, with the answers as the item has them: _1 is the first of its row.",
    )
    tolerance = serializers.DictField(
        child=serializers.FloatField(allow_null=True),
        required=False,
        help_text="What is compared, and how far off still counts: preference, order, safe, severity, harms, better, "
        "safer, or an attribute or a principle by name. null leaves it out; what is not named is as usual.",
    )


class ItemGold(APIView):
    @extend_schema(operation_id="gold_read", responses={200: GoldIO, 204: None}, tags=["campaigns"])
    def get(self, request: Request, campaign_id: int, task_id: int) -> Response:
        """Return the right answer to an item; 204 when it has none."""
        stored = Gold.objects.select_related("task__campaign").filter(task=_task(request, campaign_id, task_id)).first()
        return Response(gold.as_given(stored)) if stored else Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(operation_id="gold_set", request=GoldIO, responses=GoldIO, tags=["campaigns"])
    def put(self, request: Request, campaign_id: int, task_id: int) -> Response:
        """Set the right answer to an item, in place of another one. It is checked like a judgement."""
        task = _task(request, campaign_id, task_id)
        stored = gold.set_gold(task=task, value=checked(GoldIO, request.data), actor=caller(request))
        return Response(gold.as_given(stored))

    @extend_schema(operation_id="gold_remove", responses={204: None}, tags=["campaigns"])
    def delete(self, request: Request, campaign_id: int, task_id: int) -> Response:
        """Make the item one without a right answer."""
        gold.take_away(task=_task(request, campaign_id, task_id), actor=caller(request))
        return Response(status=status.HTTP_204_NO_CONTENT)


def _task(request: Request, campaign_id: int, task_id: int) -> Task:
    campaign = permissions.campaign_for(request.user, campaign_id, Action.IMPORT)
    task = Task.objects.filter(campaign=campaign, pk=min(task_id, LARGEST_ID)).first()
    if task is None:
        raise Http404("There is no such item.")
    task.campaign = campaign
    return task
