"""What reward models are worth, as numbers: on fresh pairs, and what more labels would bring."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import api_view
from rest_framework.request import Request
from rest_framework.response import Response

from training import permissions
from training.services import fresh_pairs, learning_curve, mismatch, mismatch_trend


class FreshOut(serializers.Serializer):
    model = serializers.CharField(source="version.label")
    version = serializers.IntegerField(source="version.pk")
    run = serializers.IntegerField(source="run.pk")
    snapshot = serializers.IntegerField(source="snapshot.pk", help_text="The pairs it was measured on.")
    pairs = serializers.IntegerField(source="snapshot.rows")
    measured_at = serializers.DateTimeField(allow_null=True)
    metrics = serializers.JSONField(
        help_text="accuracy and all_pairs_right with intervals, calibration_error, brier, reliability."
    )


class PointOut(serializers.Serializer):
    model = serializers.CharField(source="label")
    pairs = serializers.IntegerField()
    accuracy = serializers.FloatField()
    error = serializers.FloatField(help_text="Standard error of the accuracy.")


class ForecastOut(serializers.Serializer):
    points = PointOut(many=True)
    recipe = serializers.CharField()
    labels = serializers.IntegerField(help_text="How many more are meant.")
    now = serializers.FloatField(allow_null=True)
    then = serializers.FloatField(allow_null=True)
    gain = serializers.FloatField(allow_null=True, help_text="Of held-out accuracy, by the labels meant.")
    low = serializers.FloatField(allow_null=True, help_text="Of its 95 % interval.")
    high = serializers.FloatField(allow_null=True)
    undefined = serializers.CharField(help_text="Why there is no gain: none, few; or empty.")


class RewardFiguresOut(serializers.Serializer):
    fresh_pairs = FreshOut(many=True, help_text="The newest measurement first.")
    next_labels = ForecastOut()
    alarms = serializers.ListField(
        child=serializers.CharField(), help_text="Where the reward and what people want part, and what to do."
    )


@extend_schema(operation_id="campaigns_reward_figures", responses=RewardFiguresOut, tags=["training"])
@api_view(["GET"])
def reward_figures(request: Request, campaign_id: int) -> Response:
    """Return how reward models do on pairs judged after them, and what the next labels would bring."""
    campaign = permissions.training_of(request.user, campaign_id)
    forecast = {**asdict(learning_curve.of_campaign(campaign)), "labels": learning_curve.NEXT}
    body: dict[str, Any] = {"fresh_pairs": fresh_pairs.of_campaign(campaign), "next_labels": forecast}
    body["alarms"] = [str(one) for one in mismatch.alarms(campaign)]
    return Response(RewardFiguresOut(body).data)


class RhoOut(serializers.Serializer):
    estimate = serializers.FloatField(allow_null=True)
    low = serializers.FloatField(allow_null=True, help_text="Of the 95 % interval (bootstrap).")
    high = serializers.FloatField(allow_null=True)
    n = serializers.IntegerField()


class CheckpointOut(serializers.Serializer):
    label = serializers.CharField()  # type: ignore[assignment]
    distance = serializers.FloatField(help_text="The way from the first policy: √KL of its steps, added up.")
    proxy = serializers.FloatField(help_text="The reward model's win rates on the way, as log-odds, added up.")
    human = serializers.FloatField(help_text="The same of people.")


class StepOut(serializers.Serializer):
    round = serializers.IntegerField()
    candidate = serializers.CharField()
    parent = serializers.CharField()  # type: ignore[assignment]
    verdict = serializers.CharField()
    human = serializers.JSONField(allow_null=True, help_text="Win rate over the parent, with interval and n.")
    reward = serializers.JSONField(allow_null=True)
    kl = serializers.JSONField(allow_null=True)
    over_refusal = serializers.JSONField(
        source="refusals", allow_null=True, help_text="Safe prompts of the gate's suite that the candidate refuses."
    )
    reward_model = serializers.CharField(source="judged.model", help_text="Which model scored the gate; or empty.")
    rho = RhoOut(
        source="judged.rho", help_text="Spearman's, over the gate's prompts, between the reward model and people."
    )
    rho_length_and_refusals_fixed = RhoOut(source="judged.fixed", help_text="The partial correlation of the ranks.")
    reward_accuracy = serializers.JSONField(
        source="judged.accuracy", allow_null=True, help_text="Of the reward model on the gate's pairs, with n."
    )
    reward_accuracy_before = serializers.JSONField(
        source="judged.before", allow_null=True, help_text="The same on pairs held out when it was made."
    )


class CurveOut(serializers.Serializer):
    way = serializers.CharField(help_text="rl: d(α − β log d); best_of_n: d(α − βd).")
    alpha = serializers.FloatField()
    beta = serializers.FloatField()
    best = serializers.FloatField(allow_null=True, help_text="Where it is highest; null where it only rises.")
    off = serializers.FloatField(help_text="Root mean square of what lies between it and the points.")


class MismatchOut(serializers.Serializer):
    alarms = serializers.ListField(child=serializers.CharField())
    steps = StepOut(many=True, help_text="The oldest round first.")
    way = CheckpointOut(many=True, help_text="From the first policy to the newest candidate.")
    link = RhoOut(help_text="Spearman's, between both scores along the way.")
    curves = CurveOut(many=True)


@extend_schema(operation_id="campaigns_mismatch", responses=MismatchOut, tags=["training"])
@api_view(["GET"])
def mismatch_over_rounds(request: Request, campaign_id: int) -> Response:
    """Return over the rounds whether policies that gain reward are better for people too, and an alarm."""
    trend = mismatch_trend.of_campaign(permissions.training_of(request.user, campaign_id))
    body = {**vars(trend), "alarms": [str(one) for one in trend.alarms]}
    return Response(MismatchOut(body).data)
