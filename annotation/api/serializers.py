"""The JSON shapes of imports, tasks and feedback, as they come in and as they go out."""

from __future__ import annotations

from typing import Any

from django.urls import reverse
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from annotation import routing
from annotation.access import SCOPES
from annotation.behaviour import MEASURES
from annotation.feedback import kind as feedback_kind
from annotation.messages import Content, Message, addressed, answer_of, references, text_of
from annotation.models import Assignment, Campaign, Feedback, Task
from annotation.services.tokens import DAYS, MOST_DAYS
from annotation.skips import SKIP_REASONS

LARGEST_SMALL = 32767  # PositiveSmallIntegerField


class TokenIn(serializers.Serializer):
    username = serializers.CharField(max_length=150)
    password = serializers.CharField(max_length=4096, trim_whitespace=False)
    name = serializers.CharField(max_length=80, default="", allow_blank=True, help_text="What you call it.")
    scopes = serializers.ListField(
        child=serializers.ChoiceField(choices=list(SCOPES)),
        required=False,
        min_length=1,
        help_text="What it may be used for; left out, for everything you may do.",
    )
    days = serializers.IntegerField(
        default=DAYS, allow_null=True, min_value=1, max_value=MOST_DAYS, help_text="After these it ends; null: never."
    )


class TokenOut(serializers.Serializer):
    token = serializers.CharField()
    expiry = serializers.DateTimeField(allow_null=True)
    scopes = serializers.ListField(child=serializers.CharField())


class OwnTokenOut(serializers.Serializer):
    id = serializers.IntegerField()
    name = serializers.CharField()
    begins_with = serializers.CharField(source="token.token_key")
    scopes = serializers.ListField(child=serializers.CharField())
    created_at = serializers.DateTimeField(source="token.created")
    expiry = serializers.DateTimeField(source="token.expiry", allow_null=True)
    last_used_at = serializers.DateTimeField(allow_null=True, help_text="To the hour.")


class LineErrorOut(serializers.Serializer):
    line = serializers.IntegerField()
    reason = serializers.CharField()


class ImportQuery(serializers.Serializer):
    mapping = serializers.CharField(
        default="",
        allow_blank=True,
        trim_whitespace=False,
        max_length=8000,
        help_text=(
            'Which columns are what, as JSON: {"prompt": "question", "completions": ["a", "b"], "id": "uid", "domain": '
            '"topic", "batch": "part", "labels": ["score"]}; also "wanted", "priority", "requires", "language" '
            'and "about". "per_item": 2 makes pairs of more answers; "together": '
            '"uid" puts rows with the same value there into one item.'
        ),
    )
    upload = serializers.CharField(
        default="",
        allow_blank=True,
        max_length=64,
        help_text="The token of a file that was uploaded in parts and is whole; then the request has no body.",
    )


class ImportOut(serializers.Serializer):
    created = serializers.IntegerField()
    existing = serializers.IntegerField()
    blank = serializers.IntegerField()
    failed = serializers.IntegerField()
    errors = LineErrorOut(  # type: ignore[assignment]
        many=True, help_text="The first thousand of the lines that failed."
    )
    refused = serializers.URLField(
        allow_null=True, help_text="Where every row that failed can be fetched, with its reason, as JSON Lines."
    )


class TasksQuery(serializers.Serializer):
    state = serializers.ChoiceField(choices=Task.State.choices, required=False)
    batch = serializers.CharField(max_length=60, required=False, allow_blank=True)
    audit = serializers.BooleanField(required=False, allow_null=True, default=None)


class TaskOut(serializers.Serializer):
    """A task as a lead or an engineer sees it, with where its answers come from."""

    id = serializers.IntegerField()
    external_id = serializers.CharField()
    state = serializers.ChoiceField(choices=Task.State.choices)
    wanted = serializers.IntegerField()
    done = serializers.IntegerField()
    seats = serializers.IntegerField()
    priority = serializers.IntegerField()
    is_audit = serializers.BooleanField()
    batch = serializers.CharField()
    requires = serializers.SerializerMethodField(help_text="What people must be able to do to be given it.")
    about = serializers.SerializerMethodField(help_text="What it is about that people may decline to read.")
    meta = serializers.DictField(child=serializers.JSONField())
    prompt = serializers.SerializerMethodField()
    completions = serializers.SerializerMethodField()
    created_at = serializers.DateTimeField()

    def get_requires(self, task: Task) -> list[str]:
        return routing.names(self.context["tags"], task.tags, routing.NEEDS)

    def get_about(self, task: Task) -> list[str]:
        return routing.names(self.context["tags"], task.tags, routing.ABOUT)

    def get_prompt(self, task: Task) -> list[dict[str, Any]]:
        return [_message(message, task.campaign_id) for message in task.content["messages"]]

    def get_completions(self, task: Task) -> list[dict[str, Any]]:
        answers = [answer_of(completion) for completion in task.content["completions"]]
        origins = task.meta.get("origins") or [""] * len(answers)
        return [
            {"text": text_of(answer), "origin": origin, **_images(answer, task.campaign_id)}
            for answer, origin in zip(answers, origins, strict=True)
        ]


def _message(message: Message, campaign_id: int) -> dict[str, Any]:
    content = message["content"]
    return {"role": message["role"], "content": text_of(content), **_images(content, campaign_id)}


def _images(content: Content, campaign_id: int) -> dict[str, Any]:
    """Return where the images are; nothing for plain text."""
    found = references(addressed(content, lambda sha256: reverse("api-image", args=[campaign_id, sha256])))
    return {"images": found} if found else {}


class NextIn(serializers.Serializer):
    ahead = serializers.BooleanField(default=False, help_text="Ask for the item behind the one on screen.")


class ImageOut(serializers.Serializer):
    url = serializers.CharField(help_text="Its address on this server; send your token when you ask for it.")
    sha256 = serializers.CharField()
    width = serializers.IntegerField()
    height = serializers.IntegerField()
    alt = serializers.CharField(help_text="What is on it, in words; often empty.")


class MessageOut(serializers.Serializer):
    role = serializers.CharField()
    content = serializers.CharField(help_text="The text of the message, without its images.")
    images = ImageOut(many=True, required=False)


class AssignmentOut(serializers.Serializer):
    """What an annotator gets to see; `as_shown` makes it."""

    key = serializers.CharField()
    campaign = serializers.IntegerField()
    kind = serializers.CharField()
    prompt = MessageOut(many=True)
    completions = serializers.ListField(child=serializers.CharField(), help_text="In the order shown.")
    turn = serializers.IntegerField(
        allow_null=True, help_text="Which turn of the assistant the first completion is, where turns are judged."
    )
    between = serializers.ListField(
        child=MessageOut(many=True), allow_null=True, help_text="What follows each completion, where turns are judged."
    )
    dialogues = serializers.ListField(
        child=MessageOut(many=True),
        allow_null=True,
        help_text="The completions as messages after the prompt, in the order shown, where whole dialogues are judged.",
    )
    completion_images = serializers.ListField(
        child=ImageOut(many=True), required=False, help_text="The images of each answer, where there are any."
    )
    options = serializers.DictField(child=serializers.JSONField())
    draft = serializers.DictField(child=serializers.JSONField(), allow_null=True)
    expires_at = serializers.DateTimeField()


def as_shown(assignment: Assignment, campaign: Campaign) -> dict[str, Any]:
    """Return the item in the order shown, with nothing that tells who wrote what or which answer is stored first."""
    content = assignment.task.content
    answers, rests = content["completions"], content.get("dialogues")
    shown = [answer_of(answers[position]) for position in assignment.shown_order]
    images = [_images(answer, campaign.pk).get("images", []) for answer in shown]
    return {
        "key": assignment.key,
        "campaign": campaign.pk,
        "kind": campaign.kind,
        "prompt": [_message(message, campaign.pk) for message in content["messages"]],
        "completions": [answers[position]["text"] for position in assignment.shown_order],
        "turn": content.get("turn"),
        "between": content.get("between"),
        "dialogues": [rests[position] for position in assignment.shown_order] if rests else None,
        **({"completion_images": images} if any(images) else {}),
        "options": campaign.options,
        "draft": assignment.draft,
        "expires_at": assignment.expires_at,
    }


class BehaviourIn(serializers.Serializer):
    """How the page was used. What cannot be true is left out; nothing in here makes a judgement be refused."""

    first_action_seconds = serializers.FloatField(required=False, help_text=MEASURES["first_action_seconds"])
    changes = serializers.IntegerField(required=False, help_text=MEASURES["changes"])
    read = serializers.ListField(
        child=serializers.FloatField(allow_null=True),
        required=False,
        help_text=f"{MEASURES['read']}. In the order shown.",
    )
    typed = serializers.IntegerField(required=False, help_text=MEASURES["typed"])
    pasted = serializers.IntegerField(required=False, help_text=MEASURES["pasted"])


@extend_schema_field(BehaviourIn)
class BehaviourField(serializers.JSONField):
    """Takes any JSON, because a broken clock must not cost a judgement."""


class SubmitIn(serializers.Serializer):
    """The kind's own fields (see `submit_schema` of the campaign), and beside them:"""

    client_key = serializers.RegexField(
        r"\A[\x21-\x7e]{1,64}\Z",
        required=False,
        help_text=(
            "Names this submit. The same key again changes nothing and gives the same answer; another key for the "
            "same assignment amends the judgement. Left out, it is the assignment's key."
        ),
    )
    active_seconds = serializers.FloatField(min_value=0, max_value=1_000_000, required=False, allow_null=True)
    behaviour = BehaviourField(required=False, allow_null=True)
    flagged = serializers.BooleanField(required=False, help_text="Asks a reviewer to look at the item.")


class SubmitOut(serializers.Serializer):
    feedback = serializers.IntegerField()
    version = serializers.IntegerField()


class SkipIn(serializers.Serializer):
    reason = serializers.ChoiceField(choices=list(SKIP_REASONS.items()))
    note = serializers.CharField(allow_blank=True, default="", max_length=10_000)


class FeedbackQuery(serializers.Serializer):
    current = serializers.BooleanField(default=True, help_text="Leave out judgements that were amended.")
    batch = serializers.CharField(max_length=60, required=False, allow_blank=True)


class FeedbackOut(serializers.Serializer):
    id = serializers.IntegerField()
    task = serializers.CharField(source="task.external_id")
    batch = serializers.CharField(source="task.batch")
    annotator = serializers.CharField(source="user.pseudonym")
    simulated = serializers.BooleanField(source="user.is_simulated")
    kind = serializers.CharField()
    payload = serializers.DictField(child=serializers.JSONField())
    description = serializers.SerializerMethodField()
    shown_order = serializers.ListField(child=serializers.IntegerField())
    version = serializers.IntegerField()
    is_current = serializers.BooleanField()
    guideline_version = serializers.IntegerField()
    seconds = serializers.FloatField(allow_null=True)
    active_seconds = serializers.FloatField(allow_null=True)
    flagged = serializers.BooleanField()
    created_at = serializers.DateTimeField()

    def get_description(self, feedback: Feedback) -> str:
        return feedback_kind(feedback.kind).describe(feedback.payload, options=self.context["options"])
