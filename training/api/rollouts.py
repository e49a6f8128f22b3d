"""Branched dialogues over REST: put to people, who say which of two whole dialogues came out better."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.decorators import api_view
from rest_framework.request import Request
from rest_framework.response import Response

from annotation.access import Action
from annotation.api.parsing import checked
from annotation.permissions import LARGEST_ID, campaign_for
from training import permissions
from training.api.views import person
from training.services import rollouts


class RolloutsAskIn(serializers.Serializer):
    campaign = serializers.IntegerField(
        min_value=1,
        max_value=LARGEST_ID,
        help_text="Id of a campaign of the kind pairwise that judges whole dialogues (option scope: dialogue).",
    )


class RolloutsAskedOut(serializers.Serializer):
    created = serializers.IntegerField()
    existing = serializers.IntegerField()


@extend_schema(operation_id="runs_ask", request=RolloutsAskIn, responses={201: RolloutsAskedOut}, tags=["training"])
@api_view(["POST"])
def run_ask(request: Request, run_id: int) -> Response:
    """Put the pairs that a run of branched rollouts left into the queue of a campaign, each once.

    People see both dialogues beside each other, what they share once. The recipe `refuel` learns from what they say.
    """
    run = permissions.run_for(request.user, run_id, Action.TRAIN)
    where = campaign_for(request.user, checked(RolloutsAskIn, request.data)["campaign"], Action.IMPORT)
    asked = rollouts.ask(run=run, campaign=where, actor=person(request))
    return Response(RolloutsAskedOut(asked).data, status=status.HTTP_201_CREATED)
