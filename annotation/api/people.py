"""What the people of a campaign can do, and which items wait for somebody who can."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import api_view
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from annotation import permissions
from annotation.access import Action, roles_for
from annotation.api.callers import caller
from annotation.api.parsing import checked
from annotation.models import Membership, Role
from annotation.reach import out_of_reach
from annotation.services import members, people


class SkillsIn(serializers.Serializer):
    username = serializers.CharField(max_length=150)
    skills = serializers.ListField(
        child=serializers.CharField(max_length=40), help_text='Words, and languages as "lang:de".'
    )


class SkillsOut(serializers.Serializer):
    username = serializers.CharField(source="user.username")
    role = serializers.ChoiceField(choices=Role.choices)
    skills = serializers.ListField(child=serializers.CharField())


class HeldBackOut(serializers.Serializer):
    username = serializers.CharField(max_length=150, source="user.username")
    held_back = serializers.SerializerMethodField(help_text="Whether they are given nothing more for now.")

    def get_held_back(self, membership: Membership) -> bool:
        return membership.held_back_at is not None


class HoldBackIn(serializers.Serializer):
    username = serializers.CharField(max_length=150)
    held_back = serializers.BooleanField()


class OutOfReachOut(serializers.Serializer):
    items = serializers.IntegerField()
    needs = serializers.ListField(child=serializers.CharField(), help_text="Empty: anybody may who judges here.")
    wanted = serializers.IntegerField(help_text="People who should judge each.")
    able = serializers.IntegerField(help_text="People here who can.")
    reason = serializers.CharField()


class Skills(APIView):
    @extend_schema(operation_id="campaigns_skills", responses=SkillsOut(many=True), tags=["campaigns"])
    def get(self, request: Request, campaign_id: int) -> Response:
        """Return the people of the campaign and what each can do; for leads."""
        campaign = permissions.campaign_for(request.user, campaign_id, Action.PEOPLE)
        members = Membership.objects.filter(campaign=campaign).select_related("user")
        return Response(SkillsOut(members.order_by("user__username", "role"), many=True).data)

    @extend_schema(
        operation_id="campaigns_set_skills", request=SkillsIn, responses=SkillsOut(many=True), tags=["campaigns"]
    )
    def post(self, request: Request, campaign_id: int) -> Response:
        """Say what a person can do, in place of what was said before; for leads."""
        campaign = permissions.campaign_for(request.user, campaign_id, Action.PEOPLE)
        people.set_skills(campaign=campaign, actor=caller(request), **checked(SkillsIn, request.data))
        return self.get(request, campaign_id)


class HeldBackPeople(APIView):
    @extend_schema(operation_id="campaigns_held_back", responses=HeldBackOut(many=True), tags=["campaigns"])
    def get(self, request: Request, campaign_id: int) -> Response:
        """Return who judges in the campaign, and whom its lead holds back; for leads."""
        campaign = permissions.campaign_for(request.user, campaign_id, Action.PEOPLE)
        judging = Membership.objects.filter(campaign=campaign, role__in=roles_for(Action.JUDGE)).select_related("user")
        return Response(HeldBackOut(judging.order_by("user__username", "role"), many=True).data)

    @extend_schema(
        operation_id="campaigns_hold_back", request=HoldBackIn, responses=HeldBackOut(many=True), tags=["campaigns"]
    )
    def post(self, request: Request, campaign_id: int) -> Response:
        """Give a person nothing more for now, or let them judge again; what they hold goes back to the queue."""
        campaign = permissions.campaign_for(request.user, campaign_id, Action.PEOPLE)
        members.hold_back(campaign=campaign, actor=caller(request), **checked(HoldBackIn, request.data))
        return self.get(request, campaign_id)


@extend_schema(operation_id="campaigns_out_of_reach", responses=OutOfReachOut(many=True), tags=["campaigns"])
@api_view(["GET"])
def waiting_items(request: Request, campaign_id: int) -> Response:
    """Return the open items that too few people may judge or have the skills for, and why; for leads and engineers.

    With 0 items: the settings ask more people for each item to come than there are.
    """
    campaign = permissions.campaign_for(request.user, campaign_id, Action.READ)
    return Response(OutOfReachOut(out_of_reach(campaign), many=True).data)
