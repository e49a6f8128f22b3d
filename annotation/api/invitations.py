"""Links that let people into a campaign."""

from __future__ import annotations

from django.urls import reverse
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.decorators import api_view
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from annotation import permissions
from annotation.access import Action
from annotation.api.callers import caller
from annotation.api.pagination import PagedView
from annotation.api.parsing import checked
from annotation.models import Invitation, Role
from annotation.services import invitations


class InvitationIn(serializers.Serializer):
    role = serializers.ChoiceField(choices=Role.choices, default=Role.ANNOTATOR)
    days = serializers.IntegerField(default=invitations.DAYS, min_value=1, max_value=invitations.MOST_DAYS)
    most_uses = serializers.IntegerField(default=1, min_value=1, max_value=invitations.MOST_USES)


class InvitationOut(serializers.Serializer):
    id = serializers.IntegerField()
    role = serializers.ChoiceField(choices=Role.choices)
    email = serializers.CharField()
    most_uses = serializers.IntegerField()
    uses = serializers.IntegerField()
    expires_at = serializers.DateTimeField()
    revoked_at = serializers.DateTimeField(allow_null=True)
    is_open = serializers.BooleanField()


class NewInvitationOut(InvitationOut):
    link = serializers.SerializerMethodField(help_text="Shown this once; only its hash is stored.")

    def get_link(self, invitation: Invitation) -> str:
        path = reverse("invitation", args=[self.context["secret"]])
        return str(self.context["request"].build_absolute_uri(path))


class Invitations(PagedView):
    @extend_schema(operation_id="invitations_list", responses=InvitationOut(many=True), tags=["campaigns"])
    def get(self, request: Request, campaign_id: int) -> Response:
        """Return the campaign's invitations, the newest first; for leads."""
        campaign = permissions.campaign_for(request.user, campaign_id, Action.PEOPLE)
        return self.paged(Invitation.objects.filter(campaign=campaign), InvitationOut)

    @extend_schema(
        operation_id="invitations_make", request=InvitationIn, responses={201: NewInvitationOut}, tags=["campaigns"]
    )
    def post(self, request: Request, campaign_id: int) -> Response:
        """Make a link that gives whoever opens it this role in the campaign, until it ends or is used up; for leads."""
        campaign = permissions.campaign_for(request.user, campaign_id, Action.PEOPLE)
        made = invitations.invite(campaign=campaign, actor=caller(request), **checked(InvitationIn, request.data))
        context = {"secret": made.secret, "request": request}
        return Response(NewInvitationOut(made.invitation, context=context).data, status=status.HTTP_201_CREATED)


@extend_schema(operation_id="invitations_revoke", request=None, responses={204: None}, tags=["campaigns"])
@api_view(["DELETE"])
def revoke_invitation(request: Request, campaign_id: int, invitation_id: int) -> Response:
    """Make the link useless; who came by it stays. For leads."""
    campaign = permissions.campaign_for(request.user, campaign_id, Action.PEOPLE)
    known = invitation_id <= permissions.LARGEST_ID
    if not known or not invitations.revoke(campaign=campaign, invitation_id=invitation_id, actor=caller(request)):
        raise NotFound("There is no such open invitation.")
    return Response(status=status.HTTP_204_NO_CONTENT)
