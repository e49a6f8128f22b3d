"""The playground over REST: talk to any policy, or to two side by side, and make a turn an item of the campaign."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.decorators import api_view
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from annotation.access import Action
from annotation.api.parsing import checked
from annotation.permissions import LARGEST_ID
from annotation.services import profile_text
from training import permissions
from training.api.views import person, version_of
from training.models import Chat, ChatTurn
from training.recipes.chat import MAX_CHARACTERS, MODES
from training.services import playground


class PlaygroundIn(serializers.Serializer):
    policy = serializers.IntegerField(min_value=1, max_value=LARGEST_ID, help_text="Id of the policy to talk to.")
    beside = serializers.IntegerField(
        min_value=1, max_value=LARGEST_ID, required=False, help_text="Id of the policy beside it; it may be the same."
    )
    temperature = serializers.FloatField(
        min_value=0, max_value=playground.MAX_TEMPERATURE, default=playground.TEMPERATURE
    )
    max_new_tokens = serializers.IntegerField(
        min_value=1, max_value=playground.MAX_NEW_TOKENS, default=playground.NEW_TOKENS
    )
    system = serializers.CharField(
        max_length=MAX_CHARACTERS, allow_blank=True, default="", help_text="Said to the models before everything else."
    )
    mode = serializers.ChoiceField(
        choices=MODES, required=False, help_text="Of a policy with modes; negative is for the red team."
    )
    beside_mode = serializers.ChoiceField(choices=MODES, required=False, help_text="The same for the one beside it.")
    as_user = serializers.CharField(
        max_length=20, required=False, help_text="Of a policy that knows its users: whom, by pseudonym."
    )
    beside_user = serializers.CharField(max_length=20, required=False, help_text="The same for the one beside it.")
    says = serializers.CharField(
        max_length=profile_text.MOST,
        required=False,
        allow_blank=True,
        help_text="Of a policy that learned to read it: what somebody says of the answers they like, in place of what "
        "its user says; also of somebody it never met.",
    )
    beside_says = serializers.CharField(
        max_length=profile_text.MOST, required=False, allow_blank=True, help_text="The same for the one beside it."
    )


class PlaygroundMessageIn(serializers.Serializer):
    message = serializers.CharField(max_length=MAX_CHARACTERS)
    client_key = serializers.CharField(max_length=64, help_text="A fresh one each time; again is the same turn.")
    goes_on = serializers.IntegerField(
        min_value=0, max_value=1, default=0, help_text="Place of the answer to the turn before that was given, to all."
    )


class PlaygroundTurnIn(serializers.Serializer):
    turn = serializers.IntegerField(min_value=1, max_value=LARGEST_ID, help_text="Number of the turn.")


class PlaygroundAnswerOut(serializers.Serializer):
    policy = serializers.CharField()
    mode = serializers.CharField(allow_blank=True)
    user = serializers.CharField(allow_blank=True, help_text="The pseudonym of whom it answers; blank for anybody.")
    text = serializers.CharField(allow_blank=True, help_text="As far as it is written.")
    source = serializers.CharField(  # type: ignore[assignment]
        help_text="model, or what a guard said in its place: grounded, refused."
    )


class PlaygroundTurnOut(serializers.Serializer):
    number = serializers.IntegerField()
    state = serializers.ChoiceField(choices=ChatTurn.State.choices)
    message = serializers.CharField()
    answers = PlaygroundAnswerOut(many=True, help_text="One of each model; none before they begin.")
    chosen = serializers.IntegerField(allow_null=True, help_text="The place, from 0, of the answer that goes on.")
    item = serializers.CharField(allow_blank=True, help_text="External id of the item it became.")
    error = serializers.CharField(allow_blank=True)


class PlaygroundOut(serializers.Serializer):
    id = serializers.IntegerField()
    state = serializers.ChoiceField(choices=Chat.State.choices)
    policies = serializers.ListField(child=serializers.CharField(), help_text="Labels of one or two versions.")
    settings = serializers.DictField(child=serializers.JSONField())
    turns = PlaygroundTurnOut(many=True)


class PlaygroundItemOut(serializers.Serializer):
    item = serializers.CharField(help_text="External id of the item that people can judge now.")


def _turn_json(chat: Chat, turn: ChatTurn, saved: set[str]) -> dict[str, Any]:
    said = zip(chat.speakers, chat.modes, chat.users, turn.answers, strict=False)
    name = playground.external_id(turn)
    return {
        "number": turn.number,
        "state": turn.state,
        "message": turn.message,
        "answers": [
            {
                "policy": one.label,
                "mode": mode,
                "user": user,
                "text": answer["text"],
                "source": answer.get("source", "model"),
            }
            for one, mode, user, answer in said
        ],
        "chosen": turn.chosen,
        "item": name if name in saved else "",
        "error": turn.error,
    }


def _json(chat: Chat) -> dict[str, Any]:
    turns = list(chat.turns.order_by("number"))
    saved = playground.saved(chat, turns)
    return PlaygroundOut(
        {
            "id": chat.pk,
            "state": chat.state,
            "policies": [one.label for one in chat.speakers],
            "settings": chat.settings,
            "turns": [_turn_json(chat, turn, saved) for turn in turns],
        }
    ).data


def _open(request: Request, campaign_id: int, *needs: Action) -> Chat:
    campaign = permissions.training_of(request.user, campaign_id, *(needs or (Action.TRAIN,)))
    chat = playground.current(campaign=campaign, user=person(request))
    if chat is None:
        raise NotFound("You have no playground open here.")
    return chat


class Playground(APIView):
    @extend_schema(operation_id="playground_read", responses=PlaygroundOut, tags=["chats"])
    def get(self, request: Request, campaign_id: int) -> Response:
        """Return your open playground. Ask again while its last turn is waiting or answering: the answers grow."""
        return Response(_json(_open(request, campaign_id)))

    @extend_schema(
        operation_id="playground_start", request=PlaygroundIn, responses={201: PlaygroundOut}, tags=["chats"]
    )
    def post(self, request: Request, campaign_id: int) -> Response:
        """Open a playground with these models in place of the one that you had."""
        campaign = permissions.training_of(request.user, campaign_id, Action.TRAIN)
        given = checked(PlaygroundIn, request.data)
        for name in ("policy", "beside"):
            if name in given:
                given[name] = version_of(campaign, given, name)
        chat = playground.start(campaign=campaign, user=person(request), **given)
        return Response(_json(chat), status=status.HTTP_201_CREATED)


@extend_schema(
    operation_id="playground_say", request=PlaygroundMessageIn, responses={201: PlaygroundTurnOut}, tags=["chats"]
)
@api_view(["POST"])
def playground_say(request: Request, campaign_id: int) -> Response:
    """Say something to every model of your playground; their answers begin to grow in the turn this makes."""
    chat = _open(request, campaign_id)
    turn = playground.say(chat=chat, **checked(PlaygroundMessageIn, request.data))
    body = PlaygroundTurnOut(_turn_json(chat, turn, playground.saved(chat, [turn]))).data
    return Response(body, status=status.HTTP_201_CREATED)


@extend_schema(
    operation_id="playground_save", request=PlaygroundTurnIn, responses={201: PlaygroundItemOut}, tags=["chats"]
)
@api_view(["POST"])
def playground_save(request: Request, campaign_id: int) -> Response:
    """Make an answered turn an item that people judge; the same one whenever it is asked again."""
    chat = _open(request, campaign_id, Action.IMPORT)
    turn = chat.turns.filter(number=checked(PlaygroundTurnIn, request.data)["turn"]).first()
    if turn is None:
        raise NotFound("There is no such turn in your playground.")
    turn.chat = chat
    task = playground.make_item(turn=turn, actor=person(request))
    return Response({"item": task.external_id}, status=status.HTTP_201_CREATED)


@extend_schema(operation_id="playground_end", request=None, responses={204: None}, tags=["chats"])
@api_view(["POST"])
def playground_end(request: Request, campaign_id: int) -> Response:
    """End your playground, if one is open; items made of it stay."""
    campaign = permissions.training_of(request.user, campaign_id, Action.TRAIN)
    playground.end(campaign=campaign, user=person(request))
    return Response(status=status.HTTP_204_NO_CONTENT)
