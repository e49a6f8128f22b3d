"""Loops and rounds over REST."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.decorators import api_view
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from annotation.access import Action
from annotation.api.pagination import PagedView
from annotation.api.parsing import checked
from training import permissions
from training.api import serializers as shapes
from training.api import typed
from training.api.views import person, report_json
from training.models import Loop, Round, Run
from training.services import asked, gates, moves, rounds


class LoopDetail(APIView):
    @extend_schema(operation_id="loop_read", responses=shapes.LoopOut, tags=["training"])
    def get(self, request: Request, campaign_id: int) -> Response:
        """Return the campaign's loop."""
        return Response(shapes.LoopOut(permissions.loop_for(request.user, campaign_id)).data)

    @extend_schema(
        operation_id="loop_create", request=shapes.LoopIn, responses={201: shapes.LoopOut}, tags=["training"]
    )
    def post(self, request: Request, campaign_id: int) -> Response:
        """Give the campaign a loop; it is paused until a round is started."""
        campaign = permissions.training_of(request.user, campaign_id, Action.STEER)
        given = checked(shapes.LoopIn, request.data)
        typed.refuse_mistyped_settings(given["settings"], {})
        loop = rounds.create_loop(campaign=campaign, actor=person(request), **given)
        return Response(shapes.LoopOut(loop).data, status=status.HTTP_201_CREATED)

    @extend_schema(operation_id="loop_change", request=shapes.LoopChange, responses=shapes.LoopOut, tags=["training"])
    def patch(self, request: Request, campaign_id: int) -> Response:
        """Change the settings given and leave the rest."""
        loop = permissions.loop_for(request.user, campaign_id, Action.STEER)
        change = checked(shapes.LoopChange, request.data)
        typed.refuse_mistyped_settings(change["settings"], loop.settings)
        loop = rounds.configure(loop=loop, actor=person(request), **change)
        return Response(shapes.LoopOut(loop).data)


@extend_schema(operation_id="loop_pause", request=None, responses=shapes.LoopOut, tags=["training"])
@api_view(["POST"])
def loop_pause(request: Request, campaign_id: int) -> Response:
    """Pause the loop: what runs finishes, and no round advances until one is resumed."""
    loop = rounds.pause(loop=permissions.loop_for(request.user, campaign_id, Action.STEER), actor=person(request))
    return Response(shapes.LoopOut(loop).data)


@extend_schema(operation_id="loop_asked", responses=shapes.AskedOut(many=True), tags=["training"])
@api_view(["GET"])
def loop_asked(request: Request, campaign_id: int) -> Response:
    """Return, of the newest rounds, what people were asked about and how often the reward model agreed with them.

    On the pairs that the selection rule chose, and on the audit slice, which is drawn at random and never learned from.
    """
    return Response(shapes.AskedOut(asked.of_loop(permissions.loop_for(request.user, campaign_id)), many=True).data)


class RoundList(PagedView):
    @extend_schema(operation_id="rounds_list", responses=shapes.RoundOut(many=True), tags=["training"])
    def get(self, request: Request, campaign_id: int) -> Response:
        """Return the rounds of the campaign's loop, newest first; none when it has no loop."""
        campaign = permissions.training_of(request.user, campaign_id)
        found = Round.objects.filter(loop__campaign=campaign).select_related("loop")
        return self.paged(found, shapes.RoundOut)

    @extend_schema(operation_id="rounds_start", request=None, responses={201: shapes.RoundDetailOut}, tags=["training"])
    def post(self, request: Request, campaign_id: int) -> Response:
        """Start the next round."""
        loop: Loop = permissions.loop_for(request.user, campaign_id, Action.STEER)
        round = rounds.start_round(loop=loop, actor=person(request))
        return Response(round_json(round), status=status.HTTP_201_CREATED)


def round_json(round: Round) -> dict[str, Any]:
    batches = []
    for batch in (round.batch, gates.batch(round)):
        done, total, open_ = moves.task_counts(round, batch)
        batches.append({"batch": batch, "done": done, "total": total, "open": open_})
    return {
        **shapes.RoundOut(round).data,
        "prompts": round.prompts,
        "runs": shapes.RunOut(Run.objects.filter(round=round).order_by("pk"), many=True).data,
        "batches": batches,
        "gate_report": report_json(round.candidate),
    }


@extend_schema(operation_id="rounds_read", responses=shapes.RoundDetailOut, tags=["training"])
@api_view(["GET"])
def round_detail(request: Request, round_id: int) -> Response:
    """Return one round with its runs, the state of its pairs, and the gate's report once there is one."""
    return Response(round_json(permissions.round_for(request.user, round_id)))


@extend_schema(
    operation_id="rounds_finish_labelling",
    request=shapes.FinishIn,
    responses=shapes.RoundDetailOut,
    tags=["training"],
)
@api_view(["POST"])
def round_finish_labelling(request: Request, round_id: int) -> Response:
    """Go on with what is judged now, and withdraw the other pairs; at a gate with too few only for a reason."""
    round = permissions.round_for(request.user, round_id, Action.STEER)
    reason = checked(shapes.FinishIn, request.data)["reason"]
    return Response(round_json(rounds.finish_labelling(round=round, actor=person(request), reason=reason)))


@extend_schema(operation_id="rounds_resume", request=None, responses=shapes.RoundDetailOut, tags=["training"])
@api_view(["POST"])
def round_resume(request: Request, round_id: int) -> Response:
    """Go on where the round stalled or its loop was paused; what failed is tried again."""
    round = permissions.round_for(request.user, round_id, Action.STEER)
    return Response(round_json(rounds.resume(round=round, actor=person(request))))


@extend_schema(operation_id="rounds_cancel", request=None, responses=shapes.RoundDetailOut, tags=["training"])
@api_view(["POST"])
def round_cancel(request: Request, round_id: int) -> Response:
    """End the round: its runs are stopped, its open pairs withdrawn; the policy in use stays in use."""
    round = permissions.round_for(request.user, round_id, Action.STEER)
    return Response(round_json(rounds.cancel(round=round, actor=person(request))))
