"""Webhooks over REST, for leads: who is told what, and what became of each message."""

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
from annotation.api.pagination import PagedView
from annotation.api.parsing import checked
from annotation.models import Delivery, Webhook
from annotation.permissions import LARGEST_ID
from annotation.services import webhooks
from annotation.webhooks import EVENTS


class WebhookIn(serializers.Serializer):
    url = serializers.CharField(max_length=500, help_text="Begins with https:// and leads to a public address.")
    events = serializers.ListField(
        child=serializers.ChoiceField(choices=list(EVENTS)), min_length=1, max_length=len(EVENTS)
    )


class WebhookOut(serializers.Serializer):
    id = serializers.IntegerField()
    url = serializers.CharField()
    events = serializers.ListField(child=serializers.CharField())
    is_active = serializers.BooleanField(help_text="False after the receiver answered 410, which means gone.")
    created_at = serializers.DateTimeField()


class WebhookMadeOut(WebhookOut):
    secret = serializers.CharField(help_text="Signs every message; told in this one answer and never again.")


class DeliveryOut(serializers.Serializer):
    id = serializers.IntegerField()
    message_id = serializers.CharField()
    event = serializers.CharField()
    state = serializers.ChoiceField(choices=Delivery.State.choices)
    attempts = serializers.IntegerField()
    status_code = serializers.IntegerField(allow_null=True)
    error = serializers.CharField()
    body = serializers.CharField()
    next_at = serializers.DateTimeField()
    created_at = serializers.DateTimeField()
    done_at = serializers.DateTimeField(allow_null=True)


def webhook_for(request: Request, campaign_id: int, webhook_id: int) -> Webhook:
    campaign = permissions.campaign_for(request.user, campaign_id, Action.CONFIGURE)
    found = Webhook.objects.filter(campaign=campaign, pk=min(webhook_id, LARGEST_ID)).first()
    if found is None:
        raise Http404("There is no such webhook.")
    found.campaign = campaign
    return found


class WebhookList(PagedView):
    @extend_schema(operation_id="webhooks_list", responses=WebhookOut(many=True), tags=["campaigns"])
    def get(self, request: Request, campaign_id: int) -> Response:
        """Return who is told what happens in the campaign, newest first."""
        campaign = permissions.campaign_for(request.user, campaign_id, Action.CONFIGURE)
        return self.paged(Webhook.objects.filter(campaign=campaign), WebhookOut)

    @extend_schema(operation_id="webhooks_add", request=WebhookIn, responses={201: WebhookMadeOut}, tags=["campaigns"])
    def post(self, request: Request, campaign_id: int) -> Response:
        """Add a receiver. Messages are signed as Standard Webhooks has it; the secret is in this answer alone."""
        campaign = permissions.campaign_for(request.user, campaign_id, Action.CONFIGURE)
        given = checked(WebhookIn, request.data)
        made, secret = webhooks.add(campaign=campaign, url=given["url"], wanted=given["events"], actor=caller(request))
        return Response({**WebhookOut(made).data, "secret": secret}, status=status.HTTP_201_CREATED)


class WebhookDetail(APIView):
    @extend_schema(operation_id="webhooks_remove", responses={204: None}, tags=["campaigns"])
    def delete(self, request: Request, campaign_id: int, webhook_id: int) -> Response:
        """Take a receiver out; what waits for it is not sent."""
        webhooks.remove(webhook=webhook_for(request, campaign_id, webhook_id), actor=caller(request))
        return Response(status=status.HTTP_204_NO_CONTENT)


class DeliveryList(PagedView):
    @extend_schema(operation_id="webhooks_deliveries", responses=DeliveryOut(many=True), tags=["campaigns"])
    def get(self, request: Request, campaign_id: int, webhook_id: int) -> Response:
        """Return the messages of the last thirty days and what became of each, newest first."""
        webhook = webhook_for(request, campaign_id, webhook_id)
        return self.paged(Delivery.objects.filter(webhook=webhook), DeliveryOut)
