"""A conversation with its images: messages with marks, and behind them one of the role ``image`` for each.

So the images go wherever the conversation goes, and two conversations of the same words with other images are not the
same. Who reads text alone finds a role that it does not know, and refuses it. Free of torch.
"""

from __future__ import annotations

from collections.abc import Sequence

from training.core.records import IMAGE, Message

SHOWN = "image"  # the role; the content is what the image is known by, sha256 or path


def with_images(messages: Sequence[Message], images: Sequence[str]) -> list[Message]:
    """Return a conversation that has its images with it, in the order of their marks."""
    return [*messages, *({"role": SHOWN, "content": image} for image in images)]


def apart(conversation: Sequence[Message]) -> tuple[list[Message], tuple[str, ...]]:
    """Return the messages that are spoken, and what the images are known by."""
    spoken = [message for message in conversation if message["role"] != SHOWN]
    return spoken, tuple(message["content"] for message in conversation if message["role"] == SHOWN)


def marks(messages: Sequence[Message]) -> int:
    """Return how many images stand in messages, as far as the marks in them tell."""
    return sum(message["content"].count(IMAGE) for message in messages)
