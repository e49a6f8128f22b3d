"""Prompts and answers with images: what a vision-language model's own processor makes of them.

The one place that opens images.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor
from transformers import AutoProcessor

from training.core.records import IMAGE, Message, Refused

Tensors = dict[str, Tensor]
SEQUENCE = ("input_ids", "attention_mask")  # what the collator makes itself


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
        beside: Path,
        answers: bool = False,
        trust_remote_code: bool = False,
    ) -> None:
        self.processor: Any = AutoProcessor.from_pretrained(path, trust_remote_code=trust_remote_code)
        self.files = files
        self.beside = beside
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
        shown = [{"role": one["role"], "content": _parts(one["content"])} for one in messages]
        files = [self._opened(image) for image in images]
        try:
            text = self.processor.apply_chat_template(shown, tokenize=False, add_generation_prompt=opened)
        except Exception as error:  # the template is a program of the model's author, which may raise anything
            raise Refused("malformed") from error
        more = {"images": [files]} if files else {}
        found = self.processor(text=[text], return_tensors="pt", add_special_tokens=False, **more)
        ids: list[int] = found["input_ids"][0].tolist()
        return ids, {name: value for name, value in found.items() if name not in SEQUENCE}

    def _opened(self, image: str) -> Image.Image:
        path = Path(self.files.get(image, image))
        path = path if path.is_absolute() else self.beside / path
        try:
            with Image.open(path) as file:
                return file.convert("RGB")
        except (OSError, UnidentifiedImageError, Image.DecompressionBombError) as error:
            raise Refused("no_image") from error


def _parts(text: str) -> list[dict[str, str]]:
    """Return text with marks as the parts that chat templates know."""
    parts: list[dict[str, str]] = []
    for place, piece in enumerate(text.split(IMAGE)):
        if place:
            parts.append({"type": "image"})
        if piece.strip("\n"):
            parts.append({"type": "text", "text": piece.strip("\n") if place or IMAGE in text else piece})
    return parts


def batched(rows: Sequence[tuple[int, Tensors]], *, longest: int) -> Tensors:
    """Return the images of B sequences as one batch, from (length of its prompt, tensors) each; some may have none.

    What is one a token, (1, T), is padded to `longest` with zeros. What is one an image, (N, …), stands in a row. Where
    a family keeps the images of a sequence together, (1, N, …), those with fewer are filled up with images of zeros,
    which it takes for none.
    """
    found: Tensors = {}
    for name in sorted({name for _, tensors in rows for name in tensors}):
        values = [(length, tensors.get(name)) for length, tensors in rows]
        there = [(length, value) for length, value in values if value is not None]
        example = there[0][1]
        if all(value.shape == (1, length) for length, value in there):
            whole = [example.new_zeros(1, 0) if value is None else value for _, value in values]
            found[name] = torch.cat([torch.nn.functional.pad(value, (0, longest - value.shape[1])) for value in whole])
        elif _is_together(name, {name: value for _, tensors in rows for name, value in tensors.items()}):
            most = max(value.shape[1] for _, value in there)
            whole = [example.new_zeros(1, 0, *example.shape[2:]) if value is None else value for _, value in values]
            found[name] = torch.cat([_filled(value, most) for value in whole])
        else:
            found[name] = torch.cat([value for _, value in there])
    return found


def _is_together(name: str, tensors: Tensors) -> bool:
    """Return whether a family keeps the images of a sequence together: then its pixels are (1, N, channels, …)."""
    return tensors.get("pixel_values", tensors[name]).dim() == 5


def _filled(value: Tensor, most: int) -> Tensor:
    """Return (1, N, …) as (1, `most`, …), with zeros behind."""
    missing = most - value.shape[1]
    return torch.cat([value, value.new_zeros(1, missing, *value.shape[2:])], dim=1) if missing else value
