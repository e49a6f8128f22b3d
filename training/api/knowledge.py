"""The documents that a campaign's guard quotes, over REST: read with their versions, changed, and put to use."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from annotation.access import Action
from annotation.api.parsing import checked, checked_query
from annotation.models import Campaign
from training import permissions
from training.api.views import person
from training.errors import Invalid
from training.services import guard_documents, knowledge


class KnowledgeQuery(serializers.Serializer):
    history = serializers.BooleanField(
        required=False, default=False, help_text="Every version there was, the newest first."
    )
    document = serializers.CharField(
        required=False, default="", max_length=120, help_text="Of one document alone, by its name."
    )


class KnowledgeDocumentOut(serializers.Serializer):
    name = serializers.CharField(help_text="By which it is cited.")
    number = serializers.IntegerField(help_text="Of the version, from 1.")
    text = serializers.CharField(allow_blank=True, help_text="Empty where it was removed.")
    removed = serializers.BooleanField()
    owner = serializers.CharField(source="owner.username", default=None, allow_null=True)
    changed_by = serializers.CharField(source="changed_by.username", default=None, allow_null=True)
    note = serializers.CharField(allow_blank=True)
    at = serializers.DateTimeField()


class StandingOut(serializers.Serializer):
    version = serializers.CharField(
        source="version.label", default=None, allow_null=True, help_text="Null where the loop's own folder is in use."
    )
    current = serializers.BooleanField(source="is_current", help_text="Whether it answers from these documents.")
    differs = serializers.ListField(child=serializers.CharField(), help_text="Documents that are other ones there.")


class KnowledgeOut(serializers.Serializer):
    documents = KnowledgeDocumentOut(many=True)
    guard = StandingOut(allow_null=True, help_text="The guard in use; null where the loop names none.")


class KnowledgeDocumentIn(serializers.Serializer):
    name = serializers.CharField(max_length=120)
    text = serializers.CharField(max_length=guard_documents.LONGEST, required=False, allow_blank=True, default="")
    removed = serializers.BooleanField(required=False, default=False)
    owner = serializers.CharField(required=False, help_text="A username; as it was, or you, if left out.")
    note = serializers.CharField(max_length=knowledge.LONGEST_NOTE, required=False, allow_blank=True, default="")
    seen = serializers.IntegerField(
        required=False, min_value=0, help_text="The version that you have seen: refused where there is another by now."
    )


class KnowledgeIn(serializers.Serializer):
    documents = KnowledgeDocumentIn(many=True, required=False, help_text="To change; others stay as they are.")
    use = serializers.BooleanField(
        required=False, default=False, help_text="Have the guard in use answer from the documents as they are then."
    )


def _body(campaign: Campaign, *, history: bool = False, name: str = "") -> dict[str, Any]:
    now = knowledge.standing(campaign)
    rows = knowledge.history(campaign) if history else knowledge.documents(campaign)
    rows = rows.filter(name=name) if name else rows
    return dict(KnowledgeOut({"documents": rows, "guard": now if now.guarded else None}).data)


class Knowledge(APIView):
    @extend_schema(
        operation_id="knowledge_read",
        parameters=[KnowledgeQuery],
        responses=KnowledgeOut,
        tags=["training"],
    )
    def get(self, request: Request, campaign_id: int) -> Response:
        """Return the documents as they are now, and whether the guard in use answers from them."""
        campaign = permissions.training_of(request.user, campaign_id)
        asked = checked_query(KnowledgeQuery, request)
        return Response(_body(campaign, history=asked["history"], name=asked["document"]))

    @extend_schema(operation_id="knowledge_change", request=KnowledgeIn, responses=KnowledgeOut, tags=["training"])
    def patch(self, request: Request, campaign_id: int) -> Response:
        """Make new versions of documents, all or none; with `use` the guard in use answers from them at once."""
        campaign = permissions.training_of(request.user, campaign_id, Action.STEER)
        change = checked(KnowledgeIn, request.data)
        actor = person(request)
        with transaction.atomic():
            for one in change.get("documents", []):
                known = {"campaign": campaign, "actor": actor, "name": one["name"], "note": one["note"]}
                known["seen"] = one.get("seen")
                if one["removed"]:
                    knowledge.remove(**known)
                    continue
                owner = None
                if (
                    "owner" in one
                    and (owner := knowledge.owners(campaign).filter(username=one["owner"]).first()) is None
                ):
                    message = f"Nobody called {one['owner']} may own a document here."
                    raise Invalid(message, {"documents": [message]})
                knowledge.write(**known, text=one["text"], owner=owner)
            if change["use"]:
                knowledge.put_to_use(campaign=campaign, actor=actor)
        return Response(_body(campaign))
