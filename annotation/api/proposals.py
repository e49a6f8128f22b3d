"""Principles proposed out of a critique, for who writes it."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from annotation import permissions
from annotation.api.parsing import checked
from annotation.extraction.base import VERDICTS
from annotation.feedback.principled_critique import PrincipledCritique
from annotation.models import Proposal
from annotation.services import proposals


class CritiqueIn(serializers.Serializer):
    critique = serializers.CharField(max_length=PrincipledCritique.MAX_TEXT, allow_blank=True)


class EvidenceOut(serializers.Serializer):
    text = serializers.CharField()
    start = serializers.IntegerField(help_text="Characters into the critique.")
    end = serializers.IntegerField()


class ProposedOut(serializers.Serializer):
    statement = serializers.CharField()
    key = serializers.CharField(allow_null=True, help_text="The campaign's own principle that it is, if it is one.")
    answer = serializers.ChoiceField(choices=VERDICTS)
    evidence = EvidenceOut()
    by = serializers.CharField(help_text="Which extractor proposed it; submit it as principle_1_proposed_by.")
    absence = serializers.BooleanField(help_text="Whether yes says that something is not there.")


class ProposalOut(serializers.Serializer):
    id = serializers.IntegerField()
    state = serializers.ChoiceField(choices=Proposal.State.choices)
    said = serializers.CharField(help_text="What became of it, in a sentence; empty while it is under way.")
    proposals = ProposedOut(many=True)


class Proposals(APIView):
    @extend_schema(operation_id="work_proposals", responses={200: ProposalOut, 204: None}, tags=["work"])
    def get(self, request: Request, key: str) -> Response:
        """Return what was last proposed for the item you hold; 204 when nothing was asked for."""
        assignment = permissions.assignment_for(request.user, key)
        found = Proposal.objects.filter(assignment=assignment).order_by("-asked_at").first()
        return Response(_as_shown(found)) if found else Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(
        operation_id="work_propose", request=CritiqueIn, responses={200: ProposalOut, 202: ProposalOut}, tags=["work"]
    )
    def post(self, request: Request, key: str) -> Response:
        """Ask which principles your critique speaks of. 202: a worker has been asked; look again in a second or two.

        Nothing that is proposed is stored as a judgement; submit what you confirm.
        """
        assignment = permissions.assignment_for(request.user, key)
        proposal = proposals.ask(assignment=assignment, critique=checked(CritiqueIn, request.data)["critique"])
        is_over = bool(proposals.in_words(proposal))
        return Response(_as_shown(proposal), status=status.HTTP_200_OK if is_over else status.HTTP_202_ACCEPTED)


def _as_shown(proposal: Proposal) -> dict[str, Any]:
    return {
        "id": proposal.pk,
        "state": proposal.state,
        "said": proposals.in_words(proposal),
        "proposals": (proposal.result or {}).get("proposals", []),
    }
