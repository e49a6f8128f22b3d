"""Campaigns, and what is in them: tasks and feedback."""

from __future__ import annotations

from typing import Any

from django.db.models import Prefetch
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.decorators import api_view
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from annotation import permissions
from annotation.access import Action
from annotation.api.callers import caller
from annotation.api.campaign_serializers import CampaignChange, CampaignDetailOut, CampaignIn, CampaignOut, TemplateOut
from annotation.api.pagination import PagedView
from annotation.api.parsing import checked, checked_query
from annotation.api.serializers import FeedbackOut, FeedbackQuery, TaskOut, TasksQuery
from annotation.campaign_templates import templates
from annotation.models import Campaign, Feedback, Membership, Task, User
from annotation.services import campaigns, disclosure, settings


def _with_my_roles(user: User) -> Prefetch:
    return Prefetch("memberships", queryset=Membership.objects.filter(user=user), to_attr="my_memberships")


def _detail(campaign: Campaign, user: User) -> dict[str, Any]:
    """Return the campaign as it is stored now, as `user` may see it."""
    stored = Campaign.objects.prefetch_related(_with_my_roles(user)).get(pk=campaign.pk)
    return CampaignDetailOut(stored, context={"user": user}).data


class CampaignList(PagedView):
    @extend_schema(operation_id="campaigns_list", responses=CampaignOut(many=True), tags=["campaigns"])
    def get(self, request: Request) -> Response:
        """Return the campaigns you have a role in, newest first."""
        mine = Campaign.objects.visible_to(caller(request)).prefetch_related(_with_my_roles(caller(request)))
        return self.paged(mine, CampaignOut)

    @extend_schema(
        operation_id="campaigns_create", request=CampaignIn, responses={201: CampaignDetailOut}, tags=["campaigns"]
    )
    def post(self, request: Request) -> Response:
        """Create a campaign, as a draft, with yourself as its lead; for staff, and for who leads one already."""
        if not permissions.may_create(request.user):
            permissions.turn_away(
                request.user, "Only staff, and people who lead a campaign already, may create one; ask one."
            )
        asked = checked(CampaignIn, request.data)
        asked.pop("attune_campaign", None)
        campaign = campaigns.create(actor=caller(request), **asked)
        return Response(_detail(campaign, caller(request)), status=status.HTTP_201_CREATED)


class CampaignDetail(APIView):
    @extend_schema(operation_id="campaigns_read", responses=CampaignDetailOut, tags=["campaigns"])
    def get(self, request: Request, campaign_id: int) -> Response:
        """Return one campaign with its guideline, its options and the schema of its answers."""
        return Response(_detail(permissions.campaign_for(request.user, campaign_id, Action.SEE), caller(request)))

    @extend_schema(
        operation_id="campaigns_change", request=CampaignChange, responses=CampaignDetailOut, tags=["campaigns"]
    )
    def patch(self, request: Request, campaign_id: int) -> Response:
        """Change what is given and leave the rest; another guideline text becomes a new version."""
        campaign = permissions.campaign_for(request.user, campaign_id, Action.CONFIGURE)
        change = checked(CampaignChange, request.data, partial=True)
        guideline = change.pop("guideline", None)
        if change:
            campaigns.update(campaign=campaign, actor=caller(request), **change)
        if guideline is not None:
            campaigns.write_guideline(campaign=campaign, text=guideline, actor=caller(request))
        return Response(_detail(campaign, caller(request)))

    @extend_schema(operation_id="campaigns_delete", responses={204: None}, tags=["campaigns"])
    def delete(self, request: Request, campaign_id: int) -> Response:
        """Take a campaign that is closed, or was never opened, out of sight; it can be brought back for 30 days."""
        campaign = permissions.campaign_for(request.user, campaign_id, Action.CONFIGURE)
        campaigns.delete_campaign(campaign=campaign, actor=caller(request))
        return Response(status=status.HTTP_204_NO_CONTENT)


@extend_schema(operation_id="campaigns_restore", request=None, responses=CampaignDetailOut, tags=["campaigns"])
@api_view(["POST"])
def restore_campaign(request: Request, campaign_id: int) -> Response:
    """Bring back a campaign that was deleted in the last 30 days; for who led it, and at any time for admins."""
    campaign = permissions.deleted_campaign_for(request.user, campaign_id)
    campaigns.restore_campaign(campaign=campaign, actor=caller(request))
    return Response(_detail(campaign, caller(request)))


@extend_schema(operation_id="campaigns_settings", responses=OpenApiTypes.OBJECT, tags=["campaigns"])
@api_view(["GET"])
def campaign_settings(request: Request, campaign_id: int) -> Response:
    """Return the campaign's settings and its items with a right answer; with a name added, they create another one.

    For leads and engineers.
    """
    campaign = permissions.campaign_for(request.user, campaign_id, Action.READ)
    return Response(settings.whole_of(campaign))


@extend_schema(operation_id="campaigns_templates", responses=TemplateOut(many=True), tags=["campaigns"])
@api_view(["GET"])
def campaign_templates(request: Request) -> Response:
    """Return the built-in templates; the settings of one, with a name added, create a campaign."""
    return Response(TemplateOut(templates().values(), many=True).data)


@extend_schema(operation_id="campaigns_open", request=None, responses=CampaignDetailOut, tags=["campaigns"])
@api_view(["POST"])
def open_campaign(request: Request, campaign_id: int) -> Response:
    """Hand out items from now on."""
    campaign = permissions.campaign_for(request.user, campaign_id, Action.CONFIGURE)
    campaigns.open_campaign(campaign=campaign, actor=caller(request))
    return Response(_detail(campaign, caller(request)))


@extend_schema(operation_id="campaigns_pause", request=None, responses=CampaignDetailOut, tags=["campaigns"])
@api_view(["POST"])
def pause_campaign(request: Request, campaign_id: int) -> Response:
    """Hand out nothing new; what people hold may still be submitted."""
    campaign = permissions.campaign_for(request.user, campaign_id, Action.CONFIGURE)
    campaigns.pause_campaign(campaign=campaign, actor=caller(request))
    return Response(_detail(campaign, caller(request)))


@extend_schema(operation_id="campaigns_close", request=None, responses=CampaignDetailOut, tags=["campaigns"])
@api_view(["POST"])
def close_campaign(request: Request, campaign_id: int) -> Response:
    """End the campaign for good; it can be read and exported."""
    campaign = permissions.campaign_for(request.user, campaign_id, Action.CONFIGURE)
    campaigns.close_campaign(campaign=campaign, actor=caller(request))
    return Response(_detail(campaign, caller(request)))


class TaskList(PagedView):
    @extend_schema(operation_id="tasks_list", parameters=[TasksQuery], responses=TaskOut(many=True), tags=["campaigns"])
    def get(self, request: Request, campaign_id: int) -> Response:
        """Return the campaign's tasks with where their answers come from; for leads and engineers."""
        campaign = permissions.campaign_for(request.user, campaign_id, Action.READ)
        asked = checked_query(TasksQuery, request)
        tasks = Task.objects.filter(campaign=campaign)
        if "state" in asked:
            tasks = tasks.filter(state=asked["state"])
        if "batch" in asked:
            tasks = tasks.filter(batch=asked["batch"])
        if asked["audit"] is not None:
            tasks = tasks.filter(is_audit=asked["audit"])
        return self.paged(tasks, TaskOut, tags=campaign.tags)


class FeedbackList(PagedView):
    @extend_schema(
        operation_id="feedback_list", parameters=[FeedbackQuery], responses=FeedbackOut(many=True), tags=["campaigns"]
    )
    def get(self, request: Request, campaign_id: int) -> Response:
        """Return what people said, under their pseudonyms; for leads and engineers."""
        campaign = permissions.campaign_for(request.user, campaign_id, Action.READ)
        asked = checked_query(FeedbackQuery, request)
        feedback = Feedback.objects.filter(campaign=campaign).select_related("task", "user")
        if asked["current"]:
            feedback = feedback.current()
        if "batch" in asked:
            feedback = feedback.filter(task__batch=asked["batch"])
        page = self.paged(feedback, FeedbackOut, options=campaign.options)
        disclosure.note(campaign=campaign, actor=caller(request), what="listed")
        return page
