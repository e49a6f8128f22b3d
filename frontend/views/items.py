"""An assignment as a person may see it: texts in the shown order, and nothing that says where they came from."""

from __future__ import annotations

import secrets
from string import ascii_uppercase
from typing import Any

from django.urls import reverse

from annotation import suggestions
from annotation.feedback import kind, of_item
from annotation.messages import Content, Message, Part, answer_of, images_of, parts_of
from annotation.models import Assignment, Campaign, Feedback


def shown_item(
    campaign: Campaign,
    assignment: Assignment,
    *,
    judged: Feedback | None = None,
    values: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Return what the templates of the work screen need of one item.

    `values` are what was sent and could not be accepted; else the draft, or the judgement to amend, fills the inputs.
    """
    feedback_kind = kind(campaign.kind)
    content, order = assignment.task.content, assignment.shown_order
    turns = _numbered(shown_turns(campaign, content["messages"]))
    rests = content.get("dialogues")
    options = of_item.for_task(campaign.options, assignment.task)
    inputs = feedback_kind.context(options=options, shown_order=order)
    asks_each_turn = "turns" in inputs
    if values is None:
        values = feedback_kind.initial(judged.payload, shown_order=order) if judged else dict(assignment.draft or {})
        if judged and judged.flagged:
            values["flagged"] = "yes"
    return {
        "key": assignment.key,
        # One key per view of an item: sending the same view twice stores one judgement.
        "client_key": _usable(values.get("client_key")) or secrets.token_urlsafe(16),
        "amends": judged is not None,
        # What a model had said is for who has answered; before that it would steer them.
        "suggested": suggestions.in_words(
            feedback_kind, assignment.task.meta, options=campaign.options, shown_order=order
        )
        if judged
        else "",
        "version": judged.version + 1 if judged else 1,
        "earlier": turns[:-1],
        "last": turns[-1] if turns else {"role": "user", "content": ""},
        # Then they may have all the room there is; with text beside one of them, all get boxes of one height.
        "only_images": all(
            images_of(answer_of(answer)) and not answer["text"].strip() for answer in content["completions"]
        ),
        "has_images": any(images_of(said) for said in _said(content)),
        "answers": [
            {
                # A dialogue may have more turns than there are letters; those have numbers.
                "letter": ascii_uppercase[place] if not asks_each_turn else "",
                "place": str(place + 1),
                **_shown_answer(campaign, content["completions"][position]),
                "messages": shown_turns(campaign, rests[position]) if rests else None,
            }
            for place, position in enumerate(order)
        ],
        **_turns(campaign, content, each=asks_each_turn),
        "template": "feedback/turns.html" if asks_each_turn else feedback_kind.template,
        "layout": feedback_kind.layout_in(campaign.options),
        "has_rules": feedback_kind.has_rules_in(campaign.options),
        "reviews": feedback_kind.reviews(campaign.options),
        "inputs": inputs,
        "values": values,
    }


def _turns(campaign: Campaign, content: dict[str, Any], *, each: bool) -> dict[str, Any]:
    """Return what is shown of a dialogue besides its answers, where turns of it are judged."""
    if "between" not in content:
        return {}
    if not each:
        return {"turn": content["turn"], "after": shown_turns(campaign, content["between"][0])}
    texts = [completion["text"] for completion in content["completions"]]
    return {
        "opening": shown_turns(campaign, content["messages"]),
        "turns": [
            {"text": text, "after": shown_turns(campaign, after)}
            for text, after in zip(texts, content["between"], strict=True)
        ],
    }


def shown_turn(campaign: Campaign, message: Message) -> dict[str, Any]:
    """Return a message with its role and its parts, each text or an image with its addresses."""
    parts = [_shown_image(campaign, part) if part["type"] == "image" else part for part in parts_of(message["content"])]
    return {"role": message["role"], "parts": parts}


def shown_turns(campaign: Campaign, messages: list[Message]) -> list[dict[str, Any]]:
    """Return messages as `shown_turn` does."""
    return [shown_turn(campaign, message) for message in messages]


def _numbered(turns: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the turns with each image in them numbered through, from 0, as regions in them name it."""
    images = (part for turn in turns for part in turn["parts"] if part["type"] == "image")
    for number, part in enumerate(images):
        part["number"] = number
    return turns


def _shown_answer(campaign: Campaign, completion: dict[str, Any]) -> dict[str, Any]:
    """Return an answer's text, by which answers are compared, and its images, which stand above it."""
    images = [_shown_image(campaign, part) for part in images_of(answer_of(completion))]
    return {"text": completion["text"], "images": images}


def _shown_image(campaign: Campaign, part: Part) -> Part:
    """Return an image part with its addresses; made of what the part says, without a statement."""
    where = [campaign.pk, part["image"]]
    return {**part, "url": reverse("api-image", args=where), "thumbnail": reverse("api-image-thumbnail", args=where)}


def _said(content: dict[str, Any]) -> list[Content]:
    prompt = [message["content"] for message in content["messages"]]
    return [*prompt, *(answer_of(completion) for completion in content["completions"])]


def _usable(client_key: Any) -> str:
    """Return the key a draft was kept with; a draft is whatever a browser sent, so it may be anything."""
    return client_key if isinstance(client_key, str) and len(client_key) <= 64 else ""
