"""A guard's drift over REST: its settings and slices, sending prompts in, and retraining."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.decorators import api_view
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from annotation.access import Action
from annotation.api.parsing import checked
from annotation.models import Campaign
from training import permissions
from training.api import serializers as shapes
from training.api.views import person
from training.models import GuardWatch
from training.services import guard_attention, guard_drift, guard_inbox, guard_prompts, guard_retraining, guard_settings


class IntervalOut(serializers.Serializer):
    estimate = serializers.FloatField()
    low = serializers.FloatField(help_text="Of the 95 % interval (Wilson).")
    high = serializers.FloatField()
    n = serializers.IntegerField()


class WeekOut(serializers.Serializer):
    index = serializers.IntegerField(source="week.index")
    begins_at = serializers.DateTimeField(source="week.begins_at")
    ends_at = serializers.DateTimeField(source="week.ends_at")
    detector = serializers.CharField(
        source="week.detector.label", default=None, help_text="The version that judged the slice; null where unknown."
    )
    trained_through = serializers.IntegerField(
        source="week.trained_through", help_text="The last slice that the detector had learned."
    )
    threshold = serializers.FloatField(source="week.threshold")
    prompts = serializers.IntegerField(source="week.prompts")
    positives = serializers.IntegerField(source="week.positives", help_text="By the detector's own labels.")
    flagged = serializers.IntegerField(source="week.flagged", help_text="Above the threshold.")
    labels = serializers.JSONField(source="week.labels", help_text="How many the slice got from whom.")
    alarm = serializers.CharField(source="week.alarm", allow_blank=True)
    misses = IntervalOut(allow_null=True, help_text="Share of jailbreaks that were not flagged, where people labelled.")
    false_alarms = IntervalOut(allow_null=True, help_text="Share of other prompts that were flagged.")


class AskedAboutOut(serializers.Serializer):
    reason = serializers.CharField(help_text="random, uncertain, monitor, all or focused.")
    asked = serializers.IntegerField()
    labelled = serializers.IntegerField()


class AttendedOut(serializers.Serializer):
    text = serializers.CharField()
    source = serializers.CharField(  # type: ignore[assignment]
        help_text="chat, api or round."
    )
    at = serializers.DateTimeField()
    tier = serializers.CharField()
    risk = serializers.FloatField(allow_null=True, help_text="By the guard's own check.")
    answered = serializers.CharField(allow_blank=True)
    labelled_by = serializers.CharField(allow_blank=True, help_text="human, once people have said.")
    jailbreak = serializers.BooleanField(allow_null=True)


class GuardOut(serializers.Serializer):
    settings = serializers.JSONField()
    run = serializers.IntegerField(allow_null=True, help_text="Of the retraining that is under way.")
    alarms = serializers.ListField(child=serializers.CharField())
    weeks = WeekOut(many=True, help_text="The newest slice first.")
    inbox = AskedAboutOut(many=True)
    attended = AttendedOut(many=True, help_text="The newest prompts that the guard wants a person for.")


class GuardChange(serializers.Serializer):
    settings = serializers.DictField(
        child=serializers.JSONField(), help_text="The settings to change; see the page “Drift”."
    )


class PromptIn(serializers.Serializer):
    text = serializers.CharField(max_length=guard_prompts.LONGEST, trim_whitespace=False)
    at = serializers.DateTimeField(required=False, help_text="When it was asked; now, if left out.")
    jailbreak = serializers.BooleanField(required=False, allow_null=True, help_text="What a person says of it.")


class PromptsIn(serializers.Serializer):
    prompts = serializers.ListField(child=PromptIn(), max_length=guard_prompts.MOST_AT_ONCE)


class PromptsOut(serializers.Serializer):
    created = serializers.IntegerField()
    existing = serializers.IntegerField()


def _body(campaign: Campaign) -> dict[str, Any]:
    watch = GuardWatch.objects.filter(campaign=campaign).first()
    weeks = guard_drift.shown(campaign)
    told = {
        "settings": guard_settings.settings_of(campaign),
        "run": watch.run_id if watch else None,
        "alarms": [str(one) for one in guard_drift.alarms(watch, weeks)],
        "weeks": weeks,
        "inbox": guard_inbox.counts(watch),
        "attended": guard_attention.newest(campaign),
    }
    return dict(GuardOut(told).data)


class GuardDetail(APIView):
    @extend_schema(operation_id="guard_read", responses=GuardOut, tags=["training"])
    def get(self, request: Request, campaign_id: int) -> Response:
        """Return what is kept of the guard's prompts, and how its detector of jailbreaks did on each slice."""
        return Response(_body(permissions.training_of(request.user, campaign_id)))

    @extend_schema(operation_id="guard_change", request=GuardChange, responses=GuardOut, tags=["training"])
    def patch(self, request: Request, campaign_id: int) -> Response:
        """Change the settings given and leave the rest."""
        campaign = permissions.training_of(request.user, campaign_id, Action.STEER)
        change = checked(GuardChange, request.data)
        guard_settings.configure(campaign=campaign, settings=change["settings"], actor=person(request))
        return Response(_body(campaign))


@extend_schema(operation_id="guard_retrain", request=None, responses={201: shapes.RunOut}, tags=["training"])
@api_view(["POST"])
def guard_retrain(request: Request, campaign_id: int) -> Response:
    """Judge the slices that are over and train the detector anew, now."""
    campaign = permissions.training_of(request.user, campaign_id, Action.STEER)
    run = guard_retraining.retrain(campaign=campaign, actor=person(request))
    return Response(shapes.RunOut(run).data, status=status.HTTP_201_CREATED)


@extend_schema(operation_id="guard_prompts", request=PromptsIn, responses={201: PromptsOut}, tags=["training"])
@api_view(["POST"])
def guard_prompts_in(request: Request, campaign_id: int) -> Response:
    """Send in prompts from outside, with labels where people gave some; each is kept once."""
    campaign = permissions.training_of(request.user, campaign_id, Action.IMPORT)
    rows = checked(PromptsIn, request.data)["prompts"]
    taken = guard_prompts.send_in(campaign=campaign, rows=rows, actor=person(request))
    return Response(PromptsOut(taken).data, status=status.HTTP_201_CREATED)
