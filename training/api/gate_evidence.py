"""A gate's report over REST with all that its verdict rests on, for whoever checks it elsewhere."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from annotation.access import Action
from annotation.api.parsing import checked
from training import permissions
from training.api import serializers as shapes
from training.api.loops import round_json
from training.api.views import person
from training.models import GateOrder, GateReport
from training.services import gate_orders
from training.services.gate_evidence import evidence


class GatePairOut(serializers.Serializer):
    external_id = serializers.CharField()
    messages = serializers.JSONField()
    judgements = serializers.IntegerField()
    candidate_share = serializers.FloatField(allow_null=True, help_text="A tie counts one half; null: nobody judged.")


class HeldOutItemOut(serializers.Serializer):
    id = serializers.CharField()
    messages = serializers.JSONField()
    fresh = serializers.BooleanField(help_text="Whether no earlier gate was decided on it.")
    kl = serializers.FloatField(allow_null=True, help_text="Nats per answer from the current policy.")
    cost = serializers.FloatField(allow_null=True, help_text="Mean of the candidate's answers; null: not known.")
    reward_win_rate = serializers.FloatField(allow_null=True)


class SuiteItemOut(serializers.Serializer):
    id = serializers.CharField()
    measure = serializers.CharField()
    categories = serializers.ListField(child=serializers.CharField())
    candidate = serializers.BooleanField(help_text="Whether the candidate did right.")
    current = serializers.BooleanField()


class ScoringModelOut(serializers.Serializer):
    model = serializers.CharField(source="label")
    kind = serializers.CharField()
    path = serializers.CharField()
    metrics = serializers.JSONField(help_text="As measured when it was made, each figure with its interval and n.")


class GateDecisionOut(serializers.Serializer):
    action = serializers.CharField()
    actor = serializers.CharField(source="actor.pseudonym", default=None, allow_null=True, help_text="A pseudonym.")
    created_at = serializers.DateTimeField()
    detail = serializers.JSONField()


class GateEvidenceOut(serializers.Serializer):
    report = shapes.GateReportOut()
    sha256 = serializers.CharField(help_text="Of the figures.")
    answers_sha256 = serializers.CharField(help_text="Of the file of all answers; empty where it is gone.")
    run = serializers.IntegerField(source="run.pk", default=None, allow_null=True)
    seed = serializers.IntegerField(source="run.seed", default=None, allow_null=True)
    settings = serializers.JSONField(help_text="How the answers were drawn and tested.")
    limits = serializers.JSONField(help_text="The loop's settings of the gate as they stood when it opened.")
    proof = serializers.JSONField(
        help_text="Prompts and items that there were and were left out; versions made elsewhere."
    )
    guard = serializers.CharField()
    judges = ScoringModelOut(many=True)
    decisions = GateDecisionOut(many=True)
    pairs = GatePairOut(many=True)
    items = HeldOutItemOut(many=True)
    suite_items = SuiteItemOut(many=True)


class VersionGate(APIView):
    @extend_schema(operation_id="versions_gate", responses=GateEvidenceOut, tags=["training"])
    def get(self, request: Request, version_id: int) -> Response:
        """Return the report of the gate that looked at this version, with each prompt, pair and model it rests on."""
        version = permissions.version_for(request.user, version_id)
        report = GateReport.objects.select_related("candidate__campaign", "parent").filter(candidate=version).first()
        if report is None:
            raise NotFound("No gate has looked at this version yet.")
        return Response(GateEvidenceOut(evidence(report)).data)

    @extend_schema(
        operation_id="versions_send_to_gate",
        request=shapes.SendIn,
        responses={201: shapes.RoundDetailOut, 202: shapes.GateOrderOut},
        tags=["training"],
    )
    def post(self, request: Request, version_id: int) -> Response:
        """Send a policy that no round made to the gate: the round that decides on it, and on nothing else, begins.

        While another round is open it waits for its turn (202), which `DELETE` takes back.
        """
        version = permissions.version_for(request.user, version_id, Action.STEER)
        reason = checked(shapes.SendIn, request.data)["reason"]
        sent = gate_orders.send(version=version, actor=person(request), reason=reason)
        if isinstance(sent, GateOrder):
            return Response(shapes.GateOrderOut(sent).data, status=status.HTTP_202_ACCEPTED)
        return Response(round_json(sent), status=status.HTTP_201_CREATED)

    @extend_schema(operation_id="versions_withdraw_from_gate", responses={204: None}, tags=["training"])
    def delete(self, request: Request, version_id: int) -> Response:
        """Take back a version that waits for the gate, whose round has not begun."""
        version = permissions.version_for(request.user, version_id, Action.STEER)
        gate_orders.withdraw(version=version, actor=person(request))
        return Response(status=status.HTTP_204_NO_CONTENT)
