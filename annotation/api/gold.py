"""The right answer to an item, for leads and engineers. Annotators get no sign of it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from django.http import Http404
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers, status
from rest_framework.decorators import api_view
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from annotation import known, leaks, permissions
from annotation.access import Action
from annotation.api.callers import caller
from annotation.api.pagination import IdCursorPagination
from annotation.api.parsing import checked, checked_query
from annotation.models import Feedback, Gold, Task
from annotation.permissions import LARGEST_ID
from annotation.services import gold


class HitsOut(serializers.Serializer):
    """A share with its 95 % interval; null where there are no cases."""

    estimate = serializers.FloatField(allow_null=True)
    low = serializers.FloatField(allow_null=True)
    high = serializers.FloatField(allow_null=True)
    n = serializers.IntegerField()


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
    purpose = serializers.ChoiceField(
        choices=Gold.Purpose.choices,
        required=False,
        help_text="When people are given it; mixed unless it had another.",
    )


class GoldOut(serializers.Serializer):
    id = serializers.IntegerField(source="gold.pk")
    task = serializers.IntegerField(source="gold.task_id")
    external_id = serializers.CharField(source="gold.task.external_id")
    gold = serializers.SerializerMethodField()
    retired_at = serializers.DateTimeField(source="gold.retired_at", allow_null=True)
    created_at = serializers.DateTimeField(source="gold.created_at")
    judgements = serializers.IntegerField()
    right = serializers.SerializerMethodField()
    doubtful = serializers.BooleanField(
        source="is_doubtful", help_text="People contradict it more often than not: it may be what is wrong."
    )

    @extend_schema_field(GoldIO)
    def get_gold(self, one: known.Known) -> dict[str, Any]:
        return gold.as_given(one.gold)

    @extend_schema_field(HitsOut)
    def get_right(self, one: known.Known) -> dict[str, Any]:
        return asdict(one.right)


class FromJudgement(serializers.Serializer):
    judgement = serializers.IntegerField(
        min_value=1, max_value=LARGEST_ID, help_text="One of the item's that stands; what it says becomes the answer."
    )
    tolerance = serializers.DictField(child=serializers.FloatField(allow_null=True), required=False)
    purpose = serializers.ChoiceField(choices=Gold.Purpose.choices, required=False)


class GoldQuery(serializers.Serializer):
    purpose = serializers.ChoiceField(choices=Gold.Purpose.choices, required=False)
    retired = serializers.BooleanField(required=False, allow_null=True, default=None)
    search = serializers.CharField(max_length=200, required=False, help_text="In the item's id or text.")


class GoldList(GenericAPIView):
    pagination_class = IdCursorPagination
    serializer_class = GoldOut
    queryset = Gold.objects.none()  # for the document alone

    @extend_schema(operation_id="gold_list", parameters=[GoldQuery], responses=GoldOut(many=True), tags=["campaigns"])
    def get(self, request: Request, campaign_id: int) -> Response:
        """Return the items whose answer is known, the newest first, with how often people are right about each."""
        campaign = permissions.campaign_for(request.user, campaign_id, Action.IMPORT)
        asked = checked_query(GoldQuery, request)
        found = known.stored(
            campaign,
            purpose=asked.get("purpose", ""),
            retired=asked["retired"],
            search=asked.get("search", ""),
        )
        rows = self.paginate_queryset(found) or []
        return self.get_paginated_response(GoldOut(known.with_results(campaign, rows), many=True).data)


@extend_schema(operation_id="gold_leaks", responses=OpenApiTypes.OBJECT, tags=["campaigns"])
@api_view(["GET"])
def gold_leaks(request: Request, campaign_id: int) -> Response:
    """Return what shows that the answers of gold can be told from outside, with the evidence."""
    return Response(leaks.report(permissions.campaign_for(request.user, campaign_id, Action.IMPORT)))


@extend_schema(operation_id="gold_retire", request=None, responses=GoldIO, tags=["campaigns"])
@api_view(["POST"])
def gold_retire(request: Request, campaign_id: int, task_id: int) -> Response:
    """Hand the item out as gold no more; safe to repeat. PUT of its gold brings it back."""
    stored = _gold_of(_task(request, campaign_id, task_id))
    return Response(gold.as_given(gold.retire(stored=stored, actor=caller(request))))


@extend_schema(operation_id="gold_from_judgement", request=FromJudgement, responses=GoldIO, tags=["campaigns"])
@api_view(["POST"])
def gold_from_judgement(request: Request, campaign_id: int, task_id: int) -> Response:
    """Make what somebody said of the item its right answer, as a review does."""
    task = _task(request, campaign_id, task_id)
    asked = checked(FromJudgement, request.data)
    judged = Feedback.objects.current().filter(task=task, pk=asked.pop("judgement")).first()
    if judged is None:
        raise Http404("There is no such judgement of this item, or there is a newer version of it.")
    return Response(gold.as_given(gold.from_judgement(judged=judged, actor=caller(request), **asked)))


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


def _gold_of(task: Task) -> Gold:
    stored = Gold.objects.filter(task=task).first()
    if stored is None:
        raise Http404("This item has no gold.")
    stored.task = task
    return stored


def _task(request: Request, campaign_id: int, task_id: int) -> Task:
    campaign = permissions.campaign_for(request.user, campaign_id, Action.IMPORT)
    task = Task.objects.filter(campaign=campaign, pk=min(task_id, LARGEST_ID)).first()
    if task is None:
        raise Http404("There is no such item.")
    task.campaign = campaign
    return task
