"""Which images an item has, for what is asked about them: options as they hold for one item.

A kind reads a judgement by the options of its campaign alone. Whether there is an image to be asked about, and which
one a region lies in, the item says; so where the options ask about images, those for one item have its images beside
them, under ``item_images``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from annotation.messages import Part, answer_of, images_of
from annotation.models import Task

KEY = "item_images"


@dataclass(frozen=True)
class ItemImages:
    """The image parts of the prompt, over all its messages, and those of each answer in canonical order."""

    prompt: Sequence[Part] = ()
    answers: Sequence[Sequence[Part]] = ()

    def __bool__(self) -> bool:
        return bool(self.prompt) or any(self.answers)


def asks(options: Mapping[str, Any]) -> bool:
    """Return whether a campaign with these options asks anything about images."""
    return bool(options.get("regions") or options.get("image_severity"))


def for_task(options: Mapping[str, Any], task: Task) -> Mapping[str, Any]:
    """Return a campaign's options as they hold for this item; its content is read only where they ask about images."""
    return for_item(options, task.content) if asks(options) else options


def for_item(options: Mapping[str, Any], content: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a campaign's options as they hold for an item with this content (`Task.content`)."""
    prompt = [part for message in content["messages"] for part in images_of(message["content"])]
    answers = [images_of(answer_of(completion)) for completion in content["completions"]]
    return {**options, KEY: ItemImages(prompt, answers)}


def images_in(options: Mapping[str, Any]) -> ItemImages:
    """Return the images that options from `for_item` carry; none for those of a campaign."""
    found: ItemImages = options.get(KEY) or ItemImages()
    return found
