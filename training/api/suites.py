"""Safety suites over REST: kept for a campaign, and put to people."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from typing import BinaryIO

from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.decorators import api_view
from rest_framework.parsers import BaseParser, MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response

from annotation.access import Action
from annotation.api.pagination import PagedView
from annotation.api.parsing import StrictJSONParser, checked
from annotation.permissions import LARGEST_ID, campaign_for
from training import permissions
from training.api.views import person
from training.models import Suite
from training.services import baselines, safety_suites


class SuiteIn(serializers.Serializer):
    name = serializers.CharField(max_length=120)
    rows = serializers.ListField(
        child=serializers.DictField(child=serializers.JSONField(allow_null=True)),
        min_length=1,
        help_text="Questions in LabSafety Bench's layout: Question, with the options A to D in it, and Correct Answer; "
        "Category, Topic, Level and Image Path if you like: an image is a data URI, and each is sent or none. Or its "
        "open scenarios: Scenario, LabSafety_Related_Issues, Decisions, Topic and Subject.",
    )


class SuiteFileIn(serializers.Serializer):
    file = serializers.FileField(
        help_text="The same rows as JSON Lines or a JSON list, packed with gzip or not, or a ZIP archive of that and "
        "of the images that they name."
    )
    name = serializers.CharField(max_length=120, required=False, help_text="Left out: what the file is called.")


class SuiteOut(serializers.ModelSerializer):
    class Meta:
        model = Suite
        fields = ("id", "name", "view", "path", "questions", "with_image", "points", "categories", "created_at")
        extra_kwargs = {
            "path": {"help_text": "What a run names as its suite."},
            "view": {"help_text": "suite (recipe safety-suite) or scenarios (recipe safety-scenarios)."},
        }


class SuiteAskIn(serializers.Serializer):
    campaign = serializers.IntegerField(
        min_value=1,
        max_value=LARGEST_ID,
        help_text="Id of a campaign that asks for a letter (template suite-questions).",
    )
    purpose = serializers.ChoiceField(
        choices=baselines.QUALIFYING,
        required=False,
        help_text="What people qualify by before their first item; when left out, a reference line beside policies.",
    )


class SuiteAskedOut(serializers.Serializer):
    created = serializers.IntegerField()
    existing = serializers.IntegerField()
    unsupported = serializers.IntegerField(help_text="Questions whose image did not come along: they are not asked.")


class SuiteList(PagedView):
    parser_classes: Sequence[type[BaseParser]] = [StrictJSONParser, MultiPartParser]

    @extend_schema(operation_id="suites_list", responses=SuiteOut(many=True), tags=["training"])
    def get(self, request: Request, campaign_id: int) -> Response:
        """Return the safety suites of a campaign, newest first."""
        campaign = permissions.training_of(request.user, campaign_id)
        return self.paged(Suite.objects.filter(campaign=campaign), SuiteOut)

    @extend_schema(
        operation_id="suites_add",
        request={"application/json": SuiteIn, "multipart/form-data": SuiteFileIn},
        responses={201: SuiteOut},
        tags=["training"],
    )
    def post(self, request: Request, campaign_id: int) -> Response:
        """Keep a suite, of rows or of a file; the same questions again are the same one under the new name."""
        campaign = permissions.training_of(request.user, campaign_id, Action.TRAIN)
        file: BinaryIO
        if request.content_type.startswith("multipart/"):
            sent = checked(SuiteFileIn, request.data)
            file, name = sent["file"], sent.get("name") or sent["file"].name[:120]
        else:
            given = checked(SuiteIn, request.data)
            file, name = io.BytesIO("".join(json.dumps(row) + "\n" for row in given["rows"]).encode()), given["name"]
        suite = safety_suites.add(campaign=campaign, name=name, file=file, actor=person(request))
        return Response(SuiteOut(suite).data, status=status.HTTP_201_CREATED)


@extend_schema(operation_id="suites_ask", request=SuiteAskIn, responses={201: SuiteAskedOut}, tags=["training"])
@api_view(["POST"])
def suite_ask(request: Request, suite_id: int) -> Response:
    """Put the questions of a suite into the queue of a campaign, each once; people answer them blind."""
    suite = permissions.suite_for(request.user, suite_id, Action.TRAIN)
    given = checked(SuiteAskIn, request.data)
    where = campaign_for(request.user, given["campaign"], Action.IMPORT)
    asked = baselines.ask(campaign=where, path=suite.path, actor=person(request), purpose=given.get("purpose", ""))
    return Response(SuiteAskedOut(asked).data, status=status.HTTP_201_CREATED)
