"""Conversations of a person with a policy, or with two: one or two answers a turn, of which the chosen one goes on.

A turn's row is the job, as a run's is: a message only wakes a worker to look at it.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from django.db import models
from django.db.models import Q

from annotation.models import Assignment, Campaign, User
from annotation.told import ToldField

if TYPE_CHECKING:
    from training.models import ModelVersion


def new_chat_key() -> str:
    """Return an unguessable name, which the seeds of a chat's answers and their order on the screen come from."""
    return secrets.token_urlsafe(9)


class Chat(models.Model):
    class State(models.TextChoices):
        OPEN = "open", "Open"  # goes on with the next message
        ENDED = "ended", "Ended"  # final; what was judged stays

    class Purpose(models.TextChoices):
        WORK = "work", "Work"  # an annotator's: each choice is a judgement
        PLAYGROUND = "playground", "Playground"  # somebody tries models out: nothing is judged

    campaign = models.ForeignKey(Campaign, on_delete=models.PROTECT, related_name="chats")
    user = models.ForeignKey(User, on_delete=models.PROTECT, related_name="chats")
    # Who answers, from its first message to its last.
    policy = models.ForeignKey("training.ModelVersion", on_delete=models.PROTECT, related_name="chats")
    # In a playground: who answers beside it.
    beside = models.ForeignKey(
        "training.ModelVersion", null=True, blank=True, on_delete=models.PROTECT, related_name="chats_beside"
    )
    purpose = models.CharField(max_length=10, choices=Purpose.choices, default=Purpose.WORK)
    key = models.CharField(max_length=16, unique=True, default=new_chat_key, editable=False)
    # What people choose here, the campaign's option when the chat was started: the better answer, or the worse one.
    mode = models.CharField(max_length=12)
    # {"temperature", "max_new_tokens"}: as the loop had them when the chat was started, or as somebody chose; in a
    # playground also "system", "mode" and "beside_mode" of models that have modes, and
    # "as_user" and "beside_user" of models that know their users, "says" and "beside_says" of those that read texts.
    settings = models.JSONField(default=dict)
    state = models.CharField(max_length=8, choices=State.choices, default=State.OPEN)
    created_at = models.DateTimeField(auto_now_add=True)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            # Two tabs, or a double click on the first message, are one conversation.
            models.UniqueConstraint(
                fields=["campaign", "user", "purpose"], condition=Q(state="open"), name="chat_one_open_per_person"
            ),
        ]

    def __str__(self) -> str:
        return f"chat {self.pk}"

    @property
    def speakers(self) -> list[ModelVersion]:
        """Return who answers, in the canonical order of a turn's answers: one for both, or one for each."""
        return [self.policy] if self.beside is None else [self.policy, self.beside]

    @property
    def modes(self) -> list[str]:
        """The mode in which each of them answers; empty for the one that it answers in by itself."""
        return [self.settings.get(name, "") for name in ("mode", "beside_mode")][: len(self.speakers)]

    @property
    def users(self) -> list[str]:
        """The pseudonym of whom each of them answers; empty for anybody."""
        return [self.settings.get(name, "") for name in ("as_user", "beside_user")][: len(self.speakers)]

    @property
    def texts(self) -> list[str]:
        """What each of them is told of the answers that somebody likes; empty for nothing."""
        return [self.settings.get(name, "") for name in ("says", "beside_says")][: len(self.speakers)]


class ChatTurn(models.Model):
    class State(models.TextChoices):
        WAITING = "waiting", "Waiting"  # for a worker
        ANSWERING = "answering", "Being answered"  # a worker follows the model
        ANSWERED = "answered", "Answered"  # for the person's choice
        CHOSEN = "chosen", "Chosen"  # final; one branch goes on
        FAILED = "failed", "Failed"  # `error` says why; the person may ask again
        LEFT = "left", "Left"  # final; the chat was ended before a choice

    chat = models.ForeignKey(Chat, on_delete=models.CASCADE, related_name="turns")
    number = models.PositiveSmallIntegerField()  # from 1
    message = models.TextField()
    # Sent with the message; the same key again is the same turn.
    client_key = models.CharField(max_length=64)
    # In canonical order: {"text"}, and once finished {"text", "tokens", "ended", "logp", "seed"}.
    answers = models.JSONField(default=list)
    # shown_order[i] is the canonical position of what stands in place i on the screen.
    shown_order = models.JSONField()
    state = models.CharField(max_length=10, choices=State.choices, default=State.WAITING)
    # Times a worker took it up since the person last asked.
    attempts = models.PositiveSmallIntegerField(default=0)
    # Names the attempt that holds the turn; a worker that finds another name here lets go.
    claim = models.CharField(max_length=40, blank=True)
    # Answering: the last sign of life. Waiting: when a message was last sent.
    heartbeat_at = models.DateTimeField()
    error = ToldField(blank=True)
    # The canonical position of the answer that goes on.
    chosen = models.PositiveSmallIntegerField(null=True, blank=True)
    # The judgement's seat, and through it the prompt, the completions and what was said; none for two equal answers.
    assignment = models.OneToOneField(
        Assignment, null=True, blank=True, on_delete=models.SET_NULL, related_name="chat_turn"
    )
    # When the person last asked; whether a worker is there is told by how long ago that is.
    asked_at = models.DateTimeField()
    created_at = models.DateTimeField(auto_now_add=True)
    answered_at = models.DateTimeField(null=True, blank=True)
    chosen_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["chat", "number"], name="chat_turn_number_once"),
            models.UniqueConstraint(fields=["chat", "client_key"], name="chat_turn_client_key_once"),
        ]
        indexes = [
            models.Index(
                fields=["heartbeat_at"],
                condition=Q(state__in=["waiting", "answering"]),
                name="chat_turn_under_way",
            ),
        ]
        ordering = ["number"]

    def __str__(self) -> str:
        return f"turn {self.number} of {self.chat}"

    @property
    def is_under_way(self) -> bool:
        return self.state in (self.State.WAITING, self.State.ANSWERING)

    @property
    def says_the_same(self) -> bool:
        """Whether both answers have the same words, so that nobody could prefer one."""
        return len({answer["text"].strip() for answer in self.answers}) < 2
