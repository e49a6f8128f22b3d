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
from annotation.feedback.fields import MAX_COMMENT
from annotation.feedback.rewrite import MAX_TEXT, SUGGESTED, origin_of
from annotation.messages import in_words
from annotation.permissions import LARGEST_ID, campaign_for
from training import permissions
from training.api.serializers import RunOut
from training.api.views import person
from training.models import Run
from training.services import corrections, explorer


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
    images = serializers.ListField(
        child=serializers.RegexField("^[0-9a-f]{64}$"),
        max_length=8,
        default=list,
        help_text="Images of the campaign by their sha256; they stand before the prompt.",
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
        "critiques, why, credit, rewrites, duels, personal; or an error.",
    )
    people = SaidOut(many=True)


class CorrectionIn(serializers.Serializer):
    model = serializers.CharField(max_length=200, help_text="The model whose rewrite is accepted.")
    answer = serializers.IntegerField(min_value=0, max_value=explorer.MOST_ANSWERS - 1, help_text="Its place, from 0.")
    campaign = serializers.IntegerField(
        min_value=1,
        max_value=LARGEST_ID,
        help_text="An open campaign of the kind `rewrite` in which you judge.",
    )
    text = serializers.CharField(
        max_length=MAX_TEXT,
        required=False,
        help_text="The rewrite as you edited it; left out, it is taken as it is.",
    )
    comment = serializers.CharField(max_length=MAX_COMMENT, allow_blank=True, default="")
    client_key = serializers.CharField(max_length=64, help_text="A fresh one each time; the same changes nothing.")


class CorrectionOut(serializers.Serializer):
    feedback = serializers.IntegerField()
    version = serializers.IntegerField()
    task = serializers.CharField(help_text="The item's id in that campaign.")
    origin = serializers.CharField(help_text="What exports name as the answer's origin.")


def _json(run: Run) -> dict[str, Any]:
    asked = run.inputs["asked"]
    answers = explorer.answers_of(run)
    people = explorer.judgements(run.campaign, asked["prompt"], answers)
    more = {"prompt": asked["prompt"], "answers": list(map(in_words, answers)), "models": explorer.told(run)}
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
            prompt=[explorer.with_image(campaign, given["prompt"], known=given["images"])],
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
    return Response(_json(_explored(request, run_id)))


def _explored(request: Request, run_id: int) -> Run:
    run = permissions.run_for(request.user, run_id)
    if run.recipe.get("name") != explorer.RECIPE:
        raise NotFound("There is no such exploration.")
    return run


@extend_schema(
    operation_id="explorations_correct", request=CorrectionIn, responses={201: CorrectionOut}, tags=["training"]
)
@api_view(["POST"])
def correction(request: Request, run_id: int) -> Response:
    """Accept a model's rewrite of an answer as your judgement in a campaign where people write better answers.

    Accepting once more writes the next version of that judgement, and no second one.
    """
    run = _explored(request, run_id)
    given = checked(CorrectionIn, request.data)
    campaign = campaign_for(request.user, given["campaign"], Action.JUDGE)
    feedback = corrections.accept(
        run=run,
        model=given["model"],
        place=given["answer"],
        data={"text": given.get("text"), "comment": given["comment"]},
        campaign=campaign,
        user=person(request),
        client_key=given["client_key"],
    )
    payload = feedback.payload
    told = {
        "feedback": feedback.pk,
        "version": feedback.version,
        "task": feedback.task.external_id,
        "origin": origin_of(payload["text"], payload[SUGGESTED]),
    }
    return Response(CorrectionOut(told).data, status=status.HTTP_201_CREATED)
