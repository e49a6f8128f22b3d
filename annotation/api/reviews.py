"""Reviewing over REST: items on which people differ, what they said, and what stands."""

from __future__ import annotations

from typing import Any

from django.http import Http404
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import api_view
from rest_framework.request import Request
from rest_framework.response import Response

from annotation import permissions
from annotation.access import Action
from annotation.api.callers import caller
from annotation.api.parsing import checked
from annotation.feedback import kind
from annotation.models import Adjudication, Campaign, Cause, Feedback, Task
from annotation.permissions import LARGEST_ID
from annotation.services import returning, reviews


class ConflictOut(serializers.Serializer):
    task = serializers.IntegerField(source="task.pk")
    external_id = serializers.CharField(source="task.external_id")
    judgements = serializers.IntegerField()
    agreement = serializers.FloatField(help_text="Share of pairs of judgements that say the same.")


class ConflictsOut(serializers.Serializer):
    results = ConflictOut(many=True)
    causes = serializers.DictField(
        child=serializers.IntegerField(), help_text="How often reviewers named each cause, of decisions that stand."
    )


class DecisionOut(serializers.Serializer):
    judgement = serializers.IntegerField(source="feedback_id")
    reviewer = serializers.CharField(source="reviewer.pseudonym")
    cause = serializers.ChoiceField(choices=Cause.choices)
    note = serializers.CharField()
    created_at = serializers.DateTimeField()


class JudgedOut(serializers.Serializer):
    judgement = serializers.IntegerField()
    annotator = serializers.CharField()
    verdict = serializers.CharField(help_text="In words, answers numbered as the item has them.")
    answer = serializers.DictField(child=serializers.JSONField(), help_text="As fields, with comments and reasons.")
    seconds = serializers.FloatField(allow_null=True)
    is_review = serializers.BooleanField()
    returned = serializers.CharField(allow_null=True, help_text="A reviewer's note that its author has not settled.")


class ReviewOut(serializers.Serializer):
    task = serializers.IntegerField()
    external_id = serializers.CharField()
    judgements = JudgedOut(many=True)
    decision = DecisionOut(allow_null=True)


class _About(serializers.Serializer):
    cause = serializers.ChoiceField(choices=Cause.choices, help_text="Why people differed.")
    note = serializers.CharField(max_length=reviews.MOST_NOTE, required=False, allow_blank=True, default="")


class AcceptIn(_About):
    judgement = serializers.IntegerField(min_value=1, max_value=LARGEST_ID)


class OverrideIn(_About):
    answer = serializers.DictField(
        child=serializers.JSONField(), help_text="The fields of a submit, answers numbered as the item has them."
    )


class ReturnIn(serializers.Serializer):
    judgement = serializers.IntegerField(min_value=1, max_value=LARGEST_ID)
    note = serializers.CharField(max_length=returning.MOST, help_text="What is to be looked at again.")


@extend_schema(operation_id="reviews_list", responses=ConflictsOut, tags=["campaigns"])
@api_view(["GET"])
def conflicts(request: Request, campaign_id: int) -> Response:
    """Return items without a decision on which people differ, the widest apart first; none that you judged yourself."""
    campaign = permissions.campaign_for(request.user, campaign_id, Action.REVIEW)
    found = reviews.conflicts(campaign, reviewer=caller(request))
    return Response(ConflictsOut({"results": found, "causes": reviews.causes(campaign)}).data)


@extend_schema(operation_id="reviews_read", responses=ReviewOut, tags=["campaigns"])
@api_view(["GET"])
def item(request: Request, campaign_id: int, task_id: int) -> Response:
    """Return what everybody said of an item, under pseudonyms, and what stands; you are not handed it any more."""
    task = _task(request, campaign_id, task_id)
    reviews.look(task=task, reviewer=caller(request))
    return Response(_shown(task))


@extend_schema(operation_id="reviews_accept", request=AcceptIn, responses=DecisionOut, tags=["campaigns"])
@api_view(["POST"])
def accept(request: Request, campaign_id: int, task_id: int) -> Response:
    """Let a judgement stand for its item; all others are kept."""
    task = _task(request, campaign_id, task_id)
    asked = checked(AcceptIn, request.data)
    judged = _judged(task, asked.pop("judgement"))
    return Response(DecisionOut(reviews.accept(feedback=judged, actor=caller(request), **asked)).data)


@extend_schema(operation_id="reviews_override", request=OverrideIn, responses=DecisionOut, tags=["campaigns"])
@api_view(["POST"])
def override(request: Request, campaign_id: int, task_id: int) -> Response:
    """Let your own answer stand for the item; it is no vote, and agreement leaves it out."""
    task = _task(request, campaign_id, task_id)
    asked = checked(OverrideIn, request.data)
    decided = reviews.override(task=task, data=asked.pop("answer"), actor=caller(request), **asked)
    return Response(DecisionOut(decided).data)


@extend_schema(operation_id="reviews_return", request=ReturnIn, responses=ReviewOut, tags=["campaigns"])
@api_view(["POST"])
def give_back(request: Request, campaign_id: int, task_id: int) -> Response:
    """Send a judgement back to its author with a note; it stands until they send a new version."""
    task = _task(request, campaign_id, task_id)
    asked = checked(ReturnIn, request.data)
    returning.give_back(feedback=_judged(task, asked["judgement"]), note=asked["note"], actor=caller(request))
    return Response(_shown(task))


def _task(request: Request, campaign_id: int, task_id: int) -> Task:
    campaign: Campaign = permissions.campaign_for(request.user, campaign_id, Action.REVIEW)
    task = Task.objects.filter(campaign=campaign, pk=min(task_id, LARGEST_ID)).first()
    if task is None:
        raise Http404("There is no such item.")
    task.campaign = campaign
    return task


def _judged(task: Task, number: int) -> Feedback:
    found = Feedback.objects.filter(task=task, pk=number).first()
    if found is None:
        raise Http404("There is no such judgement of this item.")
    return found


def _shown(task: Task) -> dict[str, Any]:
    feedback_kind = kind(task.campaign.kind)
    options = task.campaign.options
    order = range(len(task.content["completions"]))
    rows = []
    for one in reviews.judgements(task):
        waiting = getattr(one, "returned", None)
        rows.append(
            {
                "judgement": one.pk,
                "annotator": one.user.pseudonym,
                "verdict": feedback_kind.verdict(one.payload, options=options),
                "answer": feedback_kind.initial(one.payload, shown_order=order),
                "seconds": one.active_seconds if one.active_seconds is not None else one.seconds,
                "is_review": one.is_review,
                "returned": waiting.note if waiting and waiting.settled_at is None else None,
            }
        )
    decision: Adjudication | None = reviews.decision(task)
    shown = {"task": task.pk, "external_id": task.external_id, "judgements": rows, "decision": decision}
    return dict(ReviewOut(shown).data)
