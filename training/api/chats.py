"""Chats with the policy over REST: one's own to hold, and for leads and engineers all of a campaign to read."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.decorators import api_view
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from annotation.access import Action
from annotation.api.pagination import PagedView
from annotation.api.parsing import checked
from annotation.permissions import campaign_for, may
from training import permissions
from training.api.views import person
from training.models import Chat, ChatTurn
from training.recipes.chat import MAX_CHARACTERS
from training.services import chats


class ShownAnswerOut(serializers.Serializer):
    text = serializers.CharField(allow_blank=True, help_text="As far as it is written.")


class ChatTurnOut(serializers.Serializer):
    number = serializers.IntegerField()
    state = serializers.ChoiceField(choices=ChatTurn.State.choices)
    message = serializers.CharField()
    answers = ShownAnswerOut(many=True, help_text="In the order in which they are shown; none before they begin.")
    chosen = serializers.IntegerField(allow_null=True, help_text="The place, from 0, of the answer that goes on.")
    assignment = serializers.CharField(allow_null=True, help_text="Key of the item the judgement is about.")
    error = serializers.CharField(allow_blank=True, help_text="Why it failed; say it again, or something else.")
    created_at = serializers.DateTimeField()
    answered_at = serializers.DateTimeField(allow_null=True)
    chosen_at = serializers.DateTimeField(allow_null=True)


class ChatOut(serializers.Serializer):
    id = serializers.IntegerField()
    campaign = serializers.IntegerField(source="campaign_id")
    mode = serializers.ChoiceField(choices=["helpful", "red_team"], help_text="Which of two answers is chosen.")
    state = serializers.ChoiceField(choices=Chat.State.choices)
    annotator = serializers.CharField(source="user.pseudonym")
    policy = serializers.SerializerMethodField(
        help_text="Label of the version that answers; null for people who only judge, who are not told.",
    )
    created_at = serializers.DateTimeField()
    ended_at = serializers.DateTimeField(allow_null=True)

    def get_policy(self, chat: Chat) -> str | None:
        return chat.policy.label if self.context.get("reads_policies") else None


class ChatDetailOut(ChatOut):
    turns = ChatTurnOut(many=True)


class MessageIn(serializers.Serializer):
    message = serializers.CharField(max_length=MAX_CHARACTERS)
    client_key = serializers.CharField(max_length=64, help_text="A fresh one each time; again is the same turn.")


class ChoiceIn(serializers.Serializer):
    """Besides these, the fields of the campaign's kind, as when an item is submitted."""

    client_key = serializers.CharField(max_length=64, help_text="A fresh one each time; again changes nothing.")
    goes_on = serializers.ChoiceField(
        choices=["0", "1"], required=False, help_text="Where neither is preferred: the place of the one that goes on."
    )
    active_seconds = serializers.FloatField(required=False, allow_null=True)
    behaviour = serializers.JSONField(required=False)


ENVELOPE = tuple(ChoiceIn().fields.keys())


def _turn_json(turn: ChatTurn) -> dict[str, Any]:
    shown = [turn.answers[position] for position in turn.shown_order if position < len(turn.answers)]
    return {
        "number": turn.number,
        "state": turn.state,
        "message": turn.message,
        "answers": [{"text": answer["text"]} for answer in shown],
        "chosen": None if turn.chosen is None else turn.shown_order.index(turn.chosen),
        "assignment": None if turn.assignment is None else turn.assignment.key,
        "error": turn.error,
        "created_at": turn.created_at,
        "answered_at": turn.answered_at,
        "chosen_at": turn.chosen_at,
    }


def _reads_policies(request: Request, chat: Chat) -> bool:
    return may(request.user, chat.campaign, Action.READ)


def _chat_json(chat: Chat, *, reads_policies: bool) -> dict[str, Any]:
    row = ChatOut(chat, context={"reads_policies": reads_policies}).data
    turns = chat.turns.select_related("assignment").order_by("number")
    return {**row, "turns": ChatTurnOut([_turn_json(turn) for turn in turns], many=True).data}


class ChatList(PagedView):
    @extend_schema(operation_id="chats_list", responses=ChatOut(many=True), tags=["chats"])
    def get(self, request: Request, campaign_id: int) -> Response:
        """Return your chats in this campaign, newest first; leads and engineers get everybody's."""
        campaign = campaign_for(request.user, campaign_id, Action.JUDGE, Action.READ)
        reads_all = may(request.user, campaign, Action.READ)
        found = Chat.objects.filter(campaign=campaign, purpose=Chat.Purpose.WORK).select_related("policy", "user")
        if not reads_all:
            found = found.filter(user=person(request))
        return self.paged(found, ChatOut, reads_policies=reads_all)

    @extend_schema(operation_id="chats_start", request=None, responses={201: ChatDetailOut}, tags=["chats"])
    def post(self, request: Request, campaign_id: int) -> Response:
        """Return your open chat with the policy in use; a new one when there is none."""
        campaign = campaign_for(request.user, campaign_id, Action.JUDGE)
        chat = chats.start(campaign=campaign, user=person(request))
        body = _chat_json(chat, reads_policies=_reads_policies(request, chat))
        return Response(body, status=status.HTTP_201_CREATED)


@extend_schema(operation_id="chats_read", responses=ChatDetailOut, tags=["chats"])
@api_view(["GET"])
def chat_detail(request: Request, chat_id: int) -> Response:
    """Return a chat with its turns. Ask again while the last turn is waiting or answering: its answers grow."""
    chat = permissions.chat_for(request.user, chat_id)
    return Response(_chat_json(chat, reads_policies=_reads_policies(request, chat)))


@extend_schema(operation_id="chats_say", request=MessageIn, responses={201: ChatTurnOut}, tags=["chats"])
@api_view(["POST"])
def chat_say(request: Request, chat_id: int) -> Response:
    """Say something in your chat; two answers begin to grow in the turn this makes."""
    chat = permissions.own_chat_for(request.user, chat_id)
    turn = chats.say(chat=chat, **checked(MessageIn, request.data))
    return Response(ChatTurnOut(_turn_json(turn)).data, status=status.HTTP_201_CREATED)


@extend_schema(operation_id="chats_choose", request=ChoiceIn, responses=ChatTurnOut, tags=["chats"])
@api_view(["POST"])
def chat_choose(request: Request, chat_id: int) -> Response:
    """Judge the two answers to your last message as shown, as you would an item; one of them goes on."""
    chat = permissions.own_chat_for(request.user, chat_id)
    if not isinstance(request.data, dict):
        raise ValidationError("The body must be a JSON object.")
    fields = dict(request.data)
    envelope = checked(ChoiceIn, {name: fields.pop(name) for name in ENVELOPE if name in fields})
    turn = chat.turns.order_by("-number").first()
    if turn is None:
        raise chats.nothing_to_choose()
    chosen = chats.choose(
        turn=turn,
        data={**fields, **({"goes_on": envelope["goes_on"]} if "goes_on" in envelope else {})},
        client_key=envelope["client_key"],
        active_seconds=envelope.get("active_seconds"),
        behaviour=envelope.get("behaviour"),
    )
    return Response(ChatTurnOut(_turn_json(chosen)).data)


@extend_schema(operation_id="chats_end", request=None, responses=ChatDetailOut, tags=["chats"])
@api_view(["POST"])
def chat_end(request: Request, chat_id: int) -> Response:
    """End your chat; what was judged stays."""
    chat = permissions.own_chat_for(request.user, chat_id)
    chats.end(chat=chat)
    chat.refresh_from_db(fields=["state", "ended_at"])
    return Response(_chat_json(chat, reads_policies=_reads_policies(request, chat)))
