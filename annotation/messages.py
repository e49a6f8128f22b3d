"""What a message says: text, or a list of parts with text and images in their order. The one place that reads it.

A message's content and an answer are plain text, or a list of ``{"type": "text", "text": str}`` and
``{"type": "image", "image": sha256 of the stored bytes, "width": int, "height": int, "alt": str}``, in that order as
OpenAI, TRL and `datasets` have it.
Content without an image is always plain text, so what was imported before there were images is known by the same hash.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Part = dict[str, Any]
Content = str | list[Part]
Message = dict[str, Any]  # {"role": str, "content": Content}

BETWEEN = "\n\n"  # what stands between two text parts that are read as one text


def parts_of(content: Content) -> list[Part]:
    """Return the parts in order; of a plain text, the text as its only part."""
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def text_of(content: Content) -> str:
    """Return the text alone; the empty string when there are only images."""
    if isinstance(content, str):
        return content
    return BETWEEN.join(part["text"] for part in content if part["type"] == "text")


def images_of(content: Content) -> list[Part]:
    """Return the image parts in order."""
    return [] if isinstance(content, str) else [part for part in content if part["type"] == "image"]


def has_words(content: Content) -> bool:
    """Return whether there is anything to look at: an image, or text that is not blank."""
    return bool(text_of(content).strip() or images_of(content))


def content_from(parts: Sequence[Part]) -> Content:
    """Return the parts as content: as plain text when none of them is an image."""
    kept = [part for part in parts if part["type"] == "image" or part["text"]]
    return list(kept) if images_of(kept) else text_of(kept)


def answer_of(completion: Mapping[str, Any]) -> Content:
    """Return what the answer in a task's content says: its text, or its parts where it has images."""
    parts: list[Part] | None = completion.get("parts")
    return completion["text"] if parts is None else parts


def stored_answer(content: Content) -> dict[str, Any]:
    """Return an answer as a task's content keeps it: always with its text, and with its parts where it has images."""
    return {"text": text_of(content)} if isinstance(content, str) else {"text": text_of(content), "parts": content}
