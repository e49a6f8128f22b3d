"""A guard version over REST: its tiers, its lines and what others would do, and the new version that a change makes."""

from __future__ import annotations

from typing import Any

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
from training.api.guards import IntervalOut
from training.api.views import person
from training.models import ModelVersion
from training.recipes.tiers import ANSWERS
from training.services import guard_documents, guard_latency, guard_versions


class GuardPointOut(serializers.Serializer):
    value = serializers.FloatField(help_text="Texts of at least this risk are held back.")
    risky = serializers.IntegerField(help_text="Texts that the recall is shown on.")
    misses = serializers.IntegerField()
    recall_bound = serializers.FloatField(help_text="The recall that is shown with this confidence.")
    confidence = serializers.FloatField()
    catches = IntervalOut(help_text="Of risky texts that nothing was chosen on.")
    false_refusals = IntervalOut(help_text="Of safe ones.")


class ClaimOut(serializers.Serializer):
    recall = serializers.FloatField()
    needed = serializers.IntegerField(help_text="Risky texts that it takes to show it, none of them missed.")
    enough = serializers.BooleanField()


class SideOut(serializers.Serializer):
    name = serializers.CharField(help_text="prompt or answer.")
    check = serializers.CharField()
    line = serializers.JSONField(help_text="As it stands.")
    measured = serializers.JSONField(help_text="Of the line as the guard was made; null where it was not.")
    curve = GuardPointOut(many=True)
    claims = ClaimOut(many=True)
    largest = serializers.FloatField(help_text="The largest recall that its risky texts can show, none of them missed.")
    refuses_many = serializers.BooleanField(help_text="Whether the line refuses more than 5 % of safe texts.")
    gentle = GuardPointOut(allow_null=True, help_text="The known line of the highest recall that does not.")


class LatencyOut(serializers.Serializer):
    side = serializers.CharField()
    n = serializers.IntegerField(help_text="Verdicts, the newest of this server's log.")
    median = serializers.FloatField(help_text="Milliseconds.")
    p95 = serializers.FloatField()
    held = serializers.IntegerField(help_text="Of them, texts that were held back.")
    failed = serializers.IntegerField(help_text="Of them, texts that could not be read.")


class DocumentShape(serializers.Serializer):
    id = serializers.CharField(max_length=120, help_text="By which it is cited: without colons and brackets.")
    text = serializers.CharField(max_length=guard_documents.LONGEST)
    version = serializers.CharField(max_length=120, allow_blank=True, required=False, default="")


class GuardVersionOut(serializers.Serializer):
    tiers = serializers.JSONField(help_text="By tier: answer (refuse or documents) and person.")
    sides = SideOut(many=True)
    documents = DocumentShape(many=True, help_text="What safe answers quote.")
    documents_sha256 = serializers.CharField(source="digest", allow_blank=True, help_text="Empty without documents.")
    regenerations = serializers.IntegerField()
    latency = LatencyOut(many=True)


class TierIn(serializers.Serializer):
    answer = serializers.ChoiceField(choices=ANSWERS)
    person = serializers.BooleanField()


class GuardEdit(serializers.Serializer):
    tiers = serializers.DictField(child=TierIn(), required=False)
    lines = serializers.DictField(
        child=serializers.FloatField(), required=False, help_text="A threshold by side, prompt or answer."
    )
    documents = DocumentShape(many=True, required=False, help_text="All of them: one that is left out is removed.")


class GuardVersion(APIView):
    @extend_schema(operation_id="versions_guard", responses=GuardVersionOut, tags=["training"])
    def get(self, request: Request, version_id: int) -> Response:
        """Return what a guard version does with each tier, its lines, and what others would do."""
        version = permissions.version_for(request.user, version_id)
        found = guard_versions.shown(version) if version.kind == ModelVersion.Kind.GUARD else None
        if found is None:
            raise NotFound("This version is no guard that can be read.")
        told: dict[str, Any] = {
            **vars(found),
            "digest": found.digest,
            "latency": guard_latency.of_campaign(version.campaign_id),
        }
        return Response(GuardVersionOut(told).data)

    @extend_schema(
        operation_id="versions_guard_edit", request=GuardEdit, responses={201: shapes.VersionOut}, tags=["training"]
    )
    def post(self, request: Request, version_id: int) -> Response:
        """Make a new version with other tiers, lines or documents; the one it is made of stays as it is."""
        version = permissions.version_for(request.user, version_id, Action.STEER)
        if version.kind != ModelVersion.Kind.GUARD:
            raise NotFound("This version is no guard.")
        change = checked(GuardEdit, request.data)
        made = guard_versions.edit(
            version=version,
            actor=person(request),
            tiers=change.get("tiers"),
            lines=change.get("lines"),
            documents=change.get("documents"),
        )
        return Response(shapes.VersionOut(made).data, status=status.HTTP_201_CREATED)
