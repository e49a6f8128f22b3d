"""Reward models for people over REST: the groups that one sees, and its quiz."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import api_view
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from training import permissions
from training.services import personal


class PersonOut(serializers.Serializer):
    person = serializers.CharField(help_text="A pseudonym.")
    group = serializers.IntegerField()
    choices = serializers.IntegerField(help_text="By which the model knows them.")
    known = serializers.FloatField(help_text="Share of their other pairs that it puts right.")
    stranger = serializers.FloatField(help_text="The same without knowing them.")


class PeopleOut(serializers.Serializer):
    run = serializers.IntegerField(source="run.pk")
    people = PersonOut(many=True)
    groups = serializers.ListField(child=serializers.IntegerField(), help_text="People in each.")
    quiz = serializers.JSONField(
        help_text="group, and where more is asked: question {prompt, one, other}, first and second, each the same."
    )


@extend_schema(operation_id="versions_people", responses=PeopleOut, tags=["training"])
@api_view(["GET"])
def people(request: Request, version_id: int) -> Response:
    """Return the groups that a reward model for people sees, and the quiz by which it gets to know somebody."""
    found = personal.report(permissions.version_for(request.user, version_id))
    if found is None:
        raise NotFound("There is no report on people by this model. Run the recipe people-report on it.")
    return Response(PeopleOut(found).data)
