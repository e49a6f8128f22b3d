"""What a message says: text, or a list of parts with text and images in their order. The one place that reads it.

A message's content and an answer are plain text, or a list of ``{"type": "text", "text": str}`` and
``{"type": "image", "image": sha256 of the stored bytes, "width": int, "height": int, "alt": str}``, in that order as
OpenAI, TRL and `datasets` have it.
Content without an image is always plain text, so what was imported before there were images is known by the same hash.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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


def in_words(content: Content) -> str:
    """Return the content for where no image can stand: each image as a mark with what is on it, if that is known."""
    if isinstance(content, str):
        return content
    said = (part["text"] if part["type"] == "text" else f"[{part['alt'] or 'image'}]" for part in content)
    return BETWEEN.join(said)


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


def addressed(content: Content, address: Callable[[str], str]) -> Content:
    """Return the content with the address of each image as its "url"; `address` makes it of the hash."""
    if isinstance(content, str):
        return content
    return [{**part, "url": address(part["image"])} if part["type"] == "image" else part for part in content]


def as_message(role: str, content: Content) -> Message:
    """Return a message as exports have it: an image is a placeholder, as TRL and `datasets` have it.

    Every part has the same keys, and none is called image: then TRL puts the images of the row's columns there.
    """
    if isinstance(content, str):
        return {"role": role, "content": content}
    parts = [{"type": part["type"], "text": part["text"] if part["type"] == "text" else None} for part in content]
    return {"role": role, "content": parts}


def references(content: Content) -> list[dict[str, Any]]:
    """Return what stands for each image outside, in the order of the parts, of content from `addressed`."""
    return [
        {
            "url": part["url"],
            "sha256": part["image"],
            "width": part["width"],
            "height": part["height"],
            "alt": part["alt"],
        }
        for part in images_of(content)
    ]


def image_columns(**contents: Content) -> dict[str, list[dict[str, Any]]]:
    """Return a column of references for each of `contents`; none where a campaign has plain text only."""
    return {name: references(content) for name, content in contents.items() if not isinstance(content, str)}


def completions_column(contents: Sequence[Content], origins: Sequence[str]) -> list[dict[str, Any]]:
    """Return the answers to one prompt in one column, each with who wrote it and with its images if there are any."""
    return [
        {"text": text_of(content), "origin": origin, **image_columns(images=content)}
        for content, origin in zip(contents, origins, strict=True)
    ]


def to_columns(messages: Sequence[Message]) -> dict[str, Any]:
    """Return the columns of a prompt in which a run is told of it; `from_columns` reads them."""
    shown = [part for message in messages for part in images_of(message["content"])]
    if not shown:
        return {"prompt": list(messages)}
    images = [{"sha256": part["image"], **{name: part[name] for name in _SAID}} for part in shown]
    return {"prompt": [as_message(one["role"], one["content"]) for one in messages], "images": images}


_SAID = {"width": 0, "height": 0, "alt": ""}  # of an image, beside what it is known by; what it is unless told


def _referred(image: str | Mapping[str, Any]) -> Part:
    """Return the part for what an image is known by: in files from elsewhere also a path, alone."""
    told = {"sha256": image} if isinstance(image, str) else image
    known = {name: told.get(name, usual) for name, usual in _SAID.items()}
    return {"type": "image", "image": told.get("sha256") or told.get("path"), **known}


def from_columns(row: Mapping[str, Any]) -> list[Message]:
    """Return the messages in a row's columns of a prompt as they are stored: in place of each mark, its image.

    Raises ValueError where they have not as many images as marks for them.
    """
    prompt = row["prompt"]
    if isinstance(prompt, str):
        return [{"role": "user", "content": prompt}]
    waiting = [_referred(one) for one in reversed(row.get("images") or ())]

    def stored(part: Part) -> Part:
        if part["type"] != "image":
            return {"type": "text", "text": part["text"]}
        if "image" in part:  # it has it with it
            return part
        if not waiting:
            raise ValueError("A prompt has marks for more images than it has.")
        return waiting.pop()

    found = [
        {"role": one["role"], "content": one["content"]}
        if isinstance(one["content"], str)
        else {"role": one["role"], "content": content_from([stored(part) for part in one["content"]])}
        for one in prompt
    ]
    if waiting:
        raise ValueError("A prompt has more images than marks for them.")
    return found
