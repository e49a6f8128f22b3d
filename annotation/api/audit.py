"""The audit trail: who changed what, from which value to which."""

from __future__ import annotations

from typing import Any

from django.http import Http404
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from annotation import permissions
from annotation.access import Action
from annotation.api.callers import caller
from annotation.api.pagination import PagedView
from annotation.api.parsing import checked_query
from annotation.models import Event


class EventsQuery(serializers.Serializer):
    action = serializers.CharField(max_length=60, required=False, help_text='Begins with this, such as "campaign."')
    actor = serializers.CharField(max_length=150, required=False, help_text="A username.")
    target = serializers.CharField(max_length=80, required=False, help_text="Has this in its name.")
    since = serializers.DateTimeField(required=False)
    until = serializers.DateTimeField(required=False, help_text="Itself left out.")


class EventOut(serializers.Serializer):
    id = serializers.IntegerField()
    campaign = serializers.IntegerField(source="campaign_id", allow_null=True)
    actor = serializers.CharField(allow_null=True, help_text="null: the system itself, or somebody who was deleted.")
    action = serializers.CharField()
    target = serializers.CharField()
    detail = serializers.DictField(
        child=serializers.JSONField(allow_null=True), help_text='What changed is {"from": old, "to": new}.'
    )
    created_at = serializers.DateTimeField()


class CampaignEvents(PagedView):
    @extend_schema(
        operation_id="campaigns_events", parameters=[EventsQuery], responses=EventOut(many=True), tags=["campaigns"]
    )
    def get(self, request: Request, campaign_id: int) -> Response:
        """Return who changed what in the campaign, the newest first; for leads."""
        campaign = permissions.campaign_for(request.user, campaign_id, Action.AUDIT)
        return _listed(self, request, Event.objects.filter(campaign=campaign))


class ServerEvents(PagedView):
    @extend_schema(
        operation_id="server_events", parameters=[EventsQuery], responses=EventOut(many=True), tags=["campaigns"]
    )
    def get(self, request: Request) -> Response:
        """Return who changed what on the whole server, tokens and locked accounts included; for admins."""
        if not permissions.administers(caller(request)):
            raise Http404("There is nothing here.")
        return _listed(self, request, Event.objects.all())


def _listed(view: PagedView, request: Request, events: Any) -> Response:
    return view.paged(events.narrowed(**checked_query(EventsQuery, request)).select_related("actor"), EventOut)
