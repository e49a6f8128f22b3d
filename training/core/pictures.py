"""Prompts and answers with images: what a vision-language model's own processor makes of them.

The one place that opens images.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image, UnidentifiedImageError
from torch import Tensor
from transformers import AutoProcessor

from training.core.records import IMAGE, Message, Refused
from training.recipes.spec import RunSpec

Tensors = dict[str, Tensor]
SEQUENCE = ("input_ids", "attention_mask")  # what the collator makes itself


@dataclass(frozen=True)
class Album:
    """The files of images: by their names, or else by their paths, which may stand beside the data."""

    files: Mapping[str, str] = field(default_factory=dict)
    beside: Path = Path()

    def opened(self, image: str) -> Image.Image:
        """Return an image; Refused where there is none."""
        path = Path(self.files.get(image, image))
        path = path if path.is_absolute() else self.beside / path
        try:
            with Image.open(path) as file:
                return file.convert("RGB")
        except (OSError, ValueError, UnidentifiedImageError, Image.DecompressionBombError) as error:
            raise Refused("no_image") from error


def album_of(spec: RunSpec) -> Album:
    """Return the images that the data of a run may show."""
    return Album(spec.images, Path(spec.data or "").parent)


class Pictures:
    """A processor with the files of the images: from messages with marks to ids with the tensors beside them.

    Families differ in how many ids an image takes, in what their tensors are called and in their shapes. All of that is
    the processor's; here only what is one a token is told from what is one an image.

    `answers` says whether answers may be images as well, which what scores answers reads and what writes them cannot.
    """

    def __init__(
        self,
        path: str,
        *,
        files: Mapping[str, str],
        beside: Path = Path(),
        answers: bool = False,
        trust_remote_code: bool = False,
    ) -> None:
        self.processor: Any = AutoProcessor.from_pretrained(path, trust_remote_code=trust_remote_code)
        self.album = Album(files, beside)
        self.answers = answers

    def encode(self, messages: Sequence[Message], images: Sequence[str]) -> tuple[list[int], Tensors]:
        """Return the ids of a conversation up to where the assistant speaks, and its images as tensors by name."""
        return self._encoded(messages, images, opened=True)

    def encode_answered(
        self, messages: Sequence[Message], text: str, images: Sequence[str], *, end_id: int
    ) -> tuple[list[int], Tensors]:
        """Return the ids of a conversation with the assistant's answer in it, up to the token that ends the turn.

        `images` are those of the conversation and then those of the answer.
        """
        answered = [*messages, {"role": "assistant", "content": text}]
        ids, tensors = self._encoded(answered, images, opened=False)
        size = len(ids) - 1 - ids[::-1].index(end_id) if end_id in ids else len(ids)
        a_token = {name for name, value in tensors.items() if value.shape == (1, len(ids))}
        return ids[:size], {name: value[:, :size] if name in a_token else value for name, value in tensors.items()}

    def _encoded(
        self, messages: Sequence[Message], images: Sequence[str], *, opened: bool
    ) -> tuple[list[int], Tensors]:
        if sum(one["content"].count(IMAGE) for one in messages) != len(images):
            raise Refused("malformed")  # somebody wrote the character that marks an image
        shown = [{"role": one["role"], "content": _parts(one["content"])} for one in messages]
        files = [self.album.opened(image) for image in images]
        try:
            text = self.processor.apply_chat_template(shown, tokenize=False, add_generation_prompt=opened)
        except Exception as error:  # the template is a program of the model's author, which may raise anything
            raise Refused("malformed") from error
        more = {"images": [files]} if files else {}
        found = self.processor(text=[text], return_tensors="pt", add_special_tokens=False, **more)
        ids: list[int] = found["input_ids"][0].tolist()
        return ids, {name: value for name, value in found.items() if name not in SEQUENCE}


def _parts(text: str) -> list[dict[str, str]]:
    """Return text with marks as the parts that chat templates know."""
    parts: list[dict[str, str]] = []
    for place, piece in enumerate(text.split(IMAGE)):
        if place:
            parts.append({"type": "image"})
        if piece.strip("\n"):
            parts.append({"type": "text", "text": piece.strip("\n") if place or IMAGE in text else piece})
    return parts
