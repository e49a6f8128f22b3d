"""The reward explorer over REST: have answers scored by several models, and read what models and people say."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.decorators import api_view
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from annotation.access import Action
from annotation.api.pagination import PagedView
from annotation.api.parsing import checked
from annotation.permissions import LARGEST_ID
from training import permissions
from training.api.serializers import RunOut
from training.api.views import person
from training.models import Run
from training.services import explorer


class ExplorationIn(serializers.Serializer):
    prompt = serializers.CharField(max_length=explorer.MOST_CHARACTERS, help_text="What the person asks.")
    answers = serializers.ListField(
        child=serializers.CharField(max_length=explorer.MOST_CHARACTERS), min_length=1, max_length=explorer.MOST_ANSWERS
    )
    versions = serializers.ListField(
        child=serializers.IntegerField(min_value=1, max_value=LARGEST_ID),
        required=False,
        help_text="Ids of the reward models to ask; when left out, the one in use and the newest.",
    )
    principles = serializers.CharField(
        max_length=2000, allow_blank=True, default="", help_text="For models that judge by principles; a; b; c."
    )


class SaidOut(serializers.Serializer):
    person = serializers.CharField(help_text="A pseudonym.")
    words = serializers.CharField()
    about = serializers.CharField(help_text="The letters of the answers; the first of them is A in the words.")
    item = serializers.CharField(source="task.external_id")


class ExplorationOut(RunOut):
    prompt = serializers.ListField(child=serializers.DictField(child=serializers.JSONField()))
    answers = serializers.ListField(child=serializers.CharField())
    models = serializers.ListField(
        child=serializers.DictField(child=serializers.JSONField()),
        help_text="By model: scores, names and values of its columns, spread, members, and what its kind can tell: "
        "critiques, why, credit, duels, personal; or an error.",
    )
    people = SaidOut(many=True)


def _json(run: Run) -> dict[str, Any]:
    asked = run.inputs["asked"]
    people = explorer.judgements(run.campaign, asked["prompt"], asked["completions"])
    more = {"prompt": asked["prompt"], "answers": asked["completions"], "models": explorer.told(run)}
    return {**RunOut(run).data, **more, "people": SaidOut(people, many=True).data}


class ExplorationList(PagedView):
    @extend_schema(operation_id="explorations_list", responses=RunOut(many=True), tags=["training"])
    def get(self, request: Request, campaign_id: int) -> Response:
        """Return what was looked at in a campaign, newest first."""
        campaign = permissions.training_of(request.user, campaign_id)
        found = Run.objects.filter(campaign=campaign, recipe__name=explorer.RECIPE).defer("result")
        return self.paged(found, RunOut)

    @extend_schema(
        operation_id="explorations_create",
        request=ExplorationIn,
        responses={201: ExplorationOut},
        tags=["training"],
    )
    def post(self, request: Request, campaign_id: int) -> Response:
        """Queue the scoring of answers; ask for it again to see what the models have said so far."""
        campaign = permissions.training_of(request.user, campaign_id, Action.TRAIN)
        given = checked(ExplorationIn, request.data)
        versions = explorer.models(campaign)
        wanted = given.get("versions")
        run = explorer.create(
            campaign=campaign,
            prompt=[{"role": "user", "content": given["prompt"]}],
            answers=given["answers"],
            versions=versions[: explorer.MOST_MODELS]
            if wanted is None
            else [one for one in versions if one.pk in wanted],
            principles=given["principles"],
            actor=person(request),
        )
        return Response(_json(run), status=status.HTTP_201_CREATED)


@extend_schema(operation_id="explorations_read", responses=ExplorationOut, tags=["training"])
@api_view(["GET"])
def exploration(request: Request, run_id: int) -> Response:
    """Return what the models have said so far of answers that were asked about, and what people said of them."""
    run = permissions.run_for(request.user, run_id)
    if run.recipe.get("name") != explorer.RECIPE:
        raise NotFound("There is no such exploration.")
    return Response(_json(run))
