"""Practice and test before the first item, and attention checks: for who takes them, and for their lead."""

from __future__ import annotations

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.decorators import api_view
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from annotation import permissions
from annotation.access import Action
from annotation.api.callers import caller
from annotation.api.parsing import checked
from annotation.api.serializers import as_shown
from annotation.models import Assignment, Campaign, Task
from annotation.permissions import LARGEST_ID
from annotation.services import attention, trials
from annotation.services.queue import shown_order


class TrialOut(serializers.Serializer):
    """Where somebody is: `item` is what to answer now; without one, begin, or it is over."""

    number = serializers.IntegerField(allow_null=True, help_text="0: practice; null: nothing begun.")
    answered = serializers.IntegerField()
    items = serializers.IntegerField()
    tries_left = serializers.IntegerField()
    right = serializers.FloatField(allow_null=True)
    passed = serializers.BooleanField(allow_null=True)
    qualified = serializers.BooleanField(help_text="Whether the campaign's items are open to you.")
    item = serializers.DictField(child=serializers.JSONField(), allow_null=True)


class TrialAnswerIn(serializers.Serializer):
    item = serializers.IntegerField(min_value=1, max_value=LARGEST_ID, help_text="The id of the item that was shown.")
    answer = serializers.DictField(child=serializers.JSONField(), help_text="The fields of a submit.")


class ThingOut(serializers.Serializer):
    name = serializers.CharField()
    is_hit = serializers.BooleanField()
    score = serializers.FloatField()
    sentence = serializers.CharField()


class TrialAnswerOut(serializers.Serializer):
    compared = ThingOut(many=True, help_text="What was right and what not; of practice only.")
    next = TrialOut()


class TrialView(APIView):
    @extend_schema(operation_id="work_trial", responses=TrialOut, tags=["work"])
    def get(self, request: Request, campaign_id: int) -> Response:
        """Return where you are in practice and test, with the item to answer now."""
        return Response(_where(request, permissions.campaign_for(request.user, campaign_id, Action.JUDGE)))

    @extend_schema(operation_id="work_trial_begin", request=None, responses=TrialOut, tags=["work"])
    def post(self, request: Request, campaign_id: int) -> Response:
        """Begin practice, or after it the next try at the test; one that goes on goes on."""
        campaign = permissions.campaign_for(request.user, campaign_id, Action.JUDGE)
        trials.begin(user=caller(request), campaign=campaign)
        return Response(_where(request, campaign))


@extend_schema(operation_id="work_trial_answer", request=TrialAnswerIn, responses=TrialAnswerOut, tags=["work"])
@api_view(["POST"])
def trial_answer(request: Request, campaign_id: int) -> Response:
    """Answer an item of practice or test. After practice you are told what was right. No judgement is made of it."""
    campaign = permissions.campaign_for(request.user, campaign_id, Action.JUDGE)
    asked = checked(TrialAnswerIn, request.data)
    done = trials.answer(user=caller(request), campaign=campaign, task_id=asked["item"], data=asked["answer"])
    campaign = permissions.campaign_for(request.user, campaign_id, Action.JUDGE)
    compared = ThingOut(done.compared, many=True).data
    return Response({"compared": compared, "next": _where(request, campaign)})


@extend_schema(operation_id="work_checks_seen", request=None, responses={204: None}, tags=["work"])
@api_view(["POST"])
def checks_seen(request: Request, campaign_id: int) -> Response:
    """Say that you read that you missed attention checks."""
    campaign = permissions.campaign_for(request.user, campaign_id, Action.JUDGE)
    attention.seen(campaign=campaign, user=caller(request))
    return Response(status=status.HTTP_204_NO_CONTENT)


@extend_schema(operation_id="campaigns_trials", responses=OpenApiTypes.OBJECT, tags=["campaigns"])
@api_view(["GET"])
def trial_results(request: Request, campaign_id: int) -> Response:
    """Return every practice and try at the test, the newest first, under pseudonyms."""
    campaign = permissions.campaign_for(request.user, campaign_id, Action.IMPORT)
    return Response({"results": [_result(one) for one in trials.results(campaign)]})


@extend_schema(operation_id="campaigns_checks", responses=OpenApiTypes.OBJECT, tags=["campaigns"])
@api_view(["GET"])
def check_results(request: Request, campaign_id: int) -> Response:
    """Return who judged attention checks, with those they missed as evidence, and who is told or paused."""
    campaign = permissions.campaign_for(request.user, campaign_id, Action.IMPORT)
    rows = [
        {
            "annotator": one.user.pseudonym,
            "checks": len(one.checks),
            "missed": [
                {"task": check.feedback.task_id, "compared": [part.sentence for part in check.compared]}
                for check in one.missed
            ],
            "warned_at": one.warned_at,
            "paused_at": one.paused_at,
        }
        for one in attention.standings(campaign)
    ]
    return Response({"results": rows})


@extend_schema(operation_id="campaigns_lift", request=None, responses={204: None}, tags=["campaigns"])
@api_view(["POST"])
def lift(request: Request, campaign_id: int, pseudonym: str) -> Response:
    """Let a person go on who was paused; their checks count from nothing."""
    campaign = permissions.campaign_for(request.user, campaign_id, Action.PEOPLE)
    attention.lift(campaign=campaign, pseudonym=pseudonym, actor=caller(request))
    return Response(status=status.HTTP_204_NO_CONTENT)


@extend_schema(operation_id="campaigns_admit", request=None, responses={204: None}, tags=["campaigns"])
@api_view(["POST"])
def admit(request: Request, campaign_id: int, pseudonym: str) -> Response:
    """Let a person judge whatever their test says."""
    campaign = permissions.campaign_for(request.user, campaign_id, Action.PEOPLE)
    trials.admit(campaign=campaign, pseudonym=pseudonym, actor=caller(request))
    return Response(status=status.HTTP_204_NO_CONTENT)


def _where(request: Request, campaign: Campaign) -> dict[str, Any]:
    user = caller(request)
    now = trials.step(user=user, campaign=campaign)
    trial = now.trial
    return {
        "number": trial.number if trial else None,
        "answered": now.answered,
        "items": len(trial.tasks) if trial else 0,
        "tries_left": now.tries_left,
        "right": trial.right if trial else None,
        "passed": trial.passed if trial else None,
        "qualified": campaign.qualified,
        "item": _item(now.task, campaign, request) if now.task else None,
    }


def _item(task: Task, campaign: Campaign, request: Request) -> dict[str, Any]:
    order = shown_order(task=task, user=caller(request))
    as_if_held = Assignment(key="", task=task, campaign=campaign, user=caller(request), shown_order=order)
    shown = as_shown(as_if_held, campaign)
    return {"id": task.pk, **{name: one for name, one in shown.items() if name not in ("key", "draft", "expires_at")}}


def _result(one: Any) -> dict[str, Any]:
    return {
        "annotator": one.user.pseudonym,
        "number": one.number,
        "items": len(one.tasks),
        "right": one.right,
        "passed": one.passed,
        "created_at": one.created_at,
        "ended_at": one.ended_at,
    }
