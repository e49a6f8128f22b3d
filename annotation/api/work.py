"""The annotator's side: take an item, judge it, hand it back, keep a draft."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.decorators import api_view
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from annotation import permissions
from annotation.access import Action
from annotation.api.callers import caller
from annotation.api.parsing import checked
from annotation.api.serializers import AssignmentOut, NextIn, SkipIn, SubmitIn, SubmitOut, as_shown
from annotation.services import members, queue, submission

# The fields of a submit that are not the kind's own.
ENVELOPE = tuple(SubmitIn().fields.keys())


def _fields(request: Request) -> dict[str, Any]:
    if not isinstance(request.data, dict):
        raise ValidationError("The body must be a JSON object.")
    return request.data


@extend_schema(operation_id="work_next", request=NextIn, responses={200: AssignmentOut, 204: None}, tags=["work"])
@api_view(["POST"])
def next_item(request: Request, campaign_id: int) -> Response:
    """Return the item you hold, or a new one on a lease; 204 when there is none for you."""
    campaign = permissions.campaign_for(request.user, campaign_id, Action.JUDGE)
    asked = checked(NextIn, _fields(request))
    assignment = queue.next_task(user=caller(request), campaign=campaign, ahead=asked["ahead"])
    if assignment is None:
        return Response(status=status.HTTP_204_NO_CONTENT)
    return Response(as_shown(assignment, campaign))


@extend_schema(operation_id="work_agree", request=None, responses={204: None}, tags=["work"])
@api_view(["POST"])
def agree(request: Request, campaign_id: int) -> Response:
    """Say that you were told what you may have to read in this campaign, and want to judge all the same."""
    campaign = permissions.campaign_for(request.user, campaign_id, Action.JUDGE)
    members.agree(campaign=campaign, user=caller(request))
    return Response(status=status.HTTP_204_NO_CONTENT)


@extend_schema(operation_id="work_leave", request=None, responses={204: None}, tags=["work"])
@api_view(["POST"])
def leave(request: Request, campaign_id: int) -> Response:
    """Leave the campaign; nobody asks why. What you judged stays, what you hold goes back."""
    campaign = permissions.campaign_for(request.user, campaign_id, Action.JUDGE)
    members.leave(campaign=campaign, user=caller(request))
    return Response(status=status.HTTP_204_NO_CONTENT)


@extend_schema(operation_id="work_hand_back", request=None, responses={204: None}, tags=["work"])
@api_view(["POST"])
def hand_back(request: Request, campaign_id: int) -> Response:
    """Give back, unjudged, all items you hold in this campaign."""
    campaign = permissions.campaign_for(request.user, campaign_id, Action.JUDGE)
    members.hand_back(campaign=campaign, user=caller(request))
    return Response(status=status.HTTP_204_NO_CONTENT)


@extend_schema(operation_id="work_submit", request=SubmitIn, responses=SubmitOut, tags=["work"])
@api_view(["POST"])
def submit(request: Request, key: str) -> Response:
    """Store your judgement of the item as shown: 1 is the first answer shown, not the first one stored."""
    assignment = permissions.assignment_for(request.user, key)
    fields = dict(_fields(request))
    envelope = checked(SubmitIn, {name: fields.pop(name) for name in ENVELOPE if name in fields})
    feedback = submission.submit(
        assignment=assignment,
        data=fields,
        client_key=envelope.get("client_key", assignment.key),
        active_seconds=envelope.get("active_seconds"),
        behaviour=envelope.get("behaviour"),
        flagged=envelope.get("flagged", False),
    )
    return Response({"feedback": feedback.pk, "version": feedback.version})


@extend_schema(operation_id="work_skip", request=SkipIn, responses={204: None}, tags=["work"])
@api_view(["POST"])
def skip(request: Request, key: str) -> Response:
    """Hand the item back with a reason; it goes to somebody else and never to you again."""
    assignment = permissions.assignment_for(request.user, key)
    submission.skip(assignment=assignment, **checked(SkipIn, _fields(request)))
    return Response(status=status.HTTP_204_NO_CONTENT)


@extend_schema(
    operation_id="work_draft",
    request={"application/json": {"type": "object", "additionalProperties": True}},
    responses={204: None},
    tags=["work"],
)
@api_view(["POST"])
def draft(request: Request, key: str) -> Response:
    """Keep what you have typed so far; it comes back with the item."""
    assignment = permissions.assignment_for(request.user, key)
    submission.save_draft(assignment=assignment, draft=_fields(request))
    return Response(status=status.HTTP_204_NO_CONTENT)
