"""Items set aside for later: putting one on one's pile, reading it, and taking an item up again."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.decorators import api_view
from rest_framework.request import Request
from rest_framework.response import Response

from annotation import permissions
from annotation.access import Action
from annotation.api.callers import caller
from annotation.api.parsing import checked
from annotation.api.serializers import AssignmentOut, MessageOut, as_shown
from annotation.models import Assignment
from annotation.services import setting_aside


class SetAsideIn(serializers.Serializer):
    draft = serializers.DictField(
        child=serializers.JSONField(),
        required=False,
        help_text="What you have typed so far; left out, the draft stays as it is.",
    )


class SetAsideOut(serializers.Serializer):
    """An item on your pile for later."""

    key = serializers.CharField()
    prompt = MessageOut(many=True, source="task.content.messages")
    draft = serializers.DictField(child=serializers.JSONField(), allow_null=True)
    since = serializers.DateTimeField(source="closed_at")
    wanted = serializers.SerializerMethodField(
        help_text="Whether it still wants a judgement that nobody is at work on."
    )

    def get_wanted(self, assignment: Assignment) -> bool:
        return setting_aside.is_wanted(assignment)


@extend_schema(operation_id="work_pile", responses=SetAsideOut(many=True), tags=["work"])
@api_view(["GET"])
def pile(request: Request, campaign_id: int) -> Response:
    """Return what you have set aside in this campaign, the oldest first."""
    campaign = permissions.campaign_for(request.user, campaign_id, Action.JUDGE)
    return Response(SetAsideOut(setting_aside.pile(user=caller(request), campaign=campaign), many=True).data)


@extend_schema(operation_id="work_set_aside", request=SetAsideIn, responses={204: None}, tags=["work"])
@api_view(["POST"])
def set_aside(request: Request, key: str) -> Response:
    """Put the item on your pile for later, draft and all. Its seat goes back, so somebody else may judge it first."""
    assignment = permissions.assignment_for(request.user, key)
    setting_aside.set_aside(assignment=assignment, **checked(SetAsideIn, request.data))
    return Response(status=status.HTTP_204_NO_CONTENT)


@extend_schema(operation_id="work_take_up", request=None, responses=AssignmentOut, tags=["work"])
@api_view(["POST"])
def take_up(request: Request, key: str) -> Response:
    """Return an item of your pile on a new lease; 409 when other people have judged it meanwhile."""
    assignment = setting_aside.take_up(assignment=permissions.assignment_for(request.user, key))
    return Response(as_shown(assignment, assignment.campaign))


@extend_schema(operation_id="work_let_go", request=None, responses={204: None}, tags=["work"])
@api_view(["POST"])
def let_go(request: Request, key: str) -> Response:
    """Take the item off your pile; it is the queue's again."""
    setting_aside.let_go(assignment=permissions.assignment_for(request.user, key))
    return Response(status=status.HTTP_204_NO_CONTENT)
