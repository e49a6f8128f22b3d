"""How a campaign runs, and how much each person worked, as numbers."""

from __future__ import annotations

from dataclasses import asdict

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import api_view
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from annotation import by_policy, hours, operations, permissions, sums
from annotation.access import Action
from annotation.api.parsing import checked_query
from annotation.api.wellbeing import ExposureOut
from annotation.exposure import exposure


class QueueOut(serializers.Serializer):
    open_items = serializers.IntegerField(help_text="That still want judgements.")
    free_seats = serializers.IntegerField(help_text="Judgements that could be begun now.")
    leases = serializers.IntegerField(help_text="Items that somebody holds.")
    judgements = serializers.IntegerField()
    oldest_seconds = serializers.FloatField(allow_null=True, help_text="Since the oldest open item came in.")


class VolumeOut(serializers.Serializer):
    round = serializers.IntegerField(allow_null=True)
    policy = serializers.CharField()
    items = serializers.IntegerField()
    open_items = serializers.IntegerField()
    judgements = serializers.IntegerField()
    wanted = serializers.IntegerField()
    oldest_seconds = serializers.FloatField(allow_null=True)


class RateOut(serializers.Serializer):
    estimate = serializers.FloatField(allow_null=True)
    low = serializers.FloatField(allow_null=True, help_text="Of the 95 % interval (Wilson).")
    high = serializers.FloatField(allow_null=True)
    n = serializers.IntegerField()


class AgreedOut(serializers.Serializer):
    round = serializers.IntegerField(allow_null=True)
    policy = serializers.CharField()
    dimension = serializers.CharField()
    judgements = serializers.IntegerField()
    items = serializers.IntegerField(help_text="Items, or answers, that two or more people judged.")
    alpha = serializers.FloatField(allow_null=True, help_text="Krippendorff's.")
    low = serializers.FloatField(allow_null=True, help_text="Of the 95 % interval (bootstrap over items).")
    high = serializers.FloatField(allow_null=True)
    undefined = serializers.CharField(help_text="Why there is no alpha: single, constant; or empty.")


class WinsOut(serializers.Serializer):
    round = serializers.IntegerField(allow_null=True)
    batch = serializers.CharField()
    policy = serializers.CharField(help_text="The later one, whose win rate it is.")
    other = serializers.CharField()
    won = serializers.IntegerField()
    lost = serializers.IntegerField()
    ties = serializers.IntegerField()
    rate = RateOut(help_text="A tie counts half.")


class SeverityOut(serializers.Serializer):
    round = serializers.IntegerField(allow_null=True)
    policy = serializers.CharField()
    levels = serializers.ListField(
        child=serializers.IntegerField(), help_text="Judgements of answers: none, minor, moderate, severe."
    )
    safe = RateOut()


class CampaignMetricsOut(serializers.Serializer):
    queue = QueueOut()
    volumes = VolumeOut(many=True, help_text="By round and policy.")
    exposure = ExposureOut(many=True)
    agreement = AgreedOut(many=True, help_text="By round, policy and dimension.")
    wins = WinsOut(many=True, help_text="Between policies, by batch.")
    severity = SeverityOut(many=True, help_text="By round and policy; empty where nobody is asked.")
    late = serializers.IntegerField(help_text="Items whose last judgements are being counted and not in here yet.")


class HoursQuery(serializers.Serializer):
    since = serializers.DateField(required=False, help_text="The first day; that of this month when left out.")
    until = serializers.DateField(required=False, help_text="The last day; today when left out.")


class HoursOut(serializers.Serializer):
    username = serializers.CharField()
    pseudonym = serializers.CharField()
    day = serializers.DateField()
    items = serializers.IntegerField()
    corrections = serializers.IntegerField()
    skipped = serializers.IntegerField()
    active_seconds = serializers.FloatField(help_text="In which the page was open and used.")
    unmeasured = serializers.IntegerField(help_text="Judgements for which no time is known.")


@extend_schema(operation_id="campaigns_metrics", responses=CampaignMetricsOut, tags=["campaigns"])
@api_view(["GET"])
def campaign_metrics(request: Request, campaign_id: int) -> Response:
    """Return what waits and for how long, and by round and policy volume, agreement, win rates and severity."""
    campaign = permissions.campaign_for(request.user, campaign_id, Action.READ)
    known = sums.of(campaign)
    body = {
        "queue": operations.queue(campaign, known),
        "volumes": operations.volumes(campaign, known),
        "exposure": exposure(campaign, known=known),
        "agreement": by_policy.agreed(campaign, known, every_dimension=True),
        "wins": by_policy.wins(known),
        "severity": by_policy.severities(known),
        "late": known.late,
    }
    return Response(CampaignMetricsOut(body).data)


@extend_schema(
    operation_id="campaigns_hours", parameters=[HoursQuery], responses=HoursOut(many=True), tags=["campaigns"]
)
@api_view(["GET"])
def campaign_hours(request: Request, campaign_id: int) -> Response:
    """Return how much each person worked on each day, by name, for their pay; for leads."""
    campaign = permissions.campaign_for(request.user, campaign_id, Action.PEOPLE)
    asked = checked_query(HoursQuery, request)
    first, today = hours.this_month(timezone.localdate())
    since, until = asked.get("since", first), asked.get("until", today)
    try:
        days = hours.by_day(campaign, since, until)
    except OverflowError:
        raise ValidationError({"until": ["There is no such time."]}) from None
    return Response(HoursOut([asdict(one) for one in days], many=True).data)
