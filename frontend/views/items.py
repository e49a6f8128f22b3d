"""An assignment as a person may see it: texts in the shown order, and nothing that says where they came from."""

from __future__ import annotations

import secrets
from string import ascii_uppercase
from typing import Any

from annotation.feedback import kind
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
    turns, rests = content["messages"], content.get("dialogues")
    inputs = feedback_kind.context(options=campaign.options, shown_order=order)
    asks_each_turn = "turns" in inputs
    if values is None:
        values = feedback_kind.initial(judged.payload, shown_order=order) if judged else dict(assignment.draft or {})
    return {
        "key": assignment.key,
        # One key per view of an item: sending the same view twice stores one judgement.
        "client_key": _usable(values.get("client_key")) or secrets.token_urlsafe(16),
        "amends": judged is not None,
        "version": judged.version + 1 if judged else 1,
        "earlier": turns[:-1],
        "last": turns[-1] if turns else {"role": "user", "content": ""},
        "answers": [
            {
                # A dialogue may have more turns than there are letters; those have numbers.
                "letter": ascii_uppercase[place] if not asks_each_turn else "",
                "text": content["completions"][position]["text"],
                "messages": rests[position] if rests else None,
            }
            for place, position in enumerate(order)
        ],
        **_turns(content, each=asks_each_turn),
        "template": "feedback/turns.html" if asks_each_turn else feedback_kind.template,
        "layout": feedback_kind.layout_in(campaign.options),
        "has_rules": feedback_kind.has_rules_in(campaign.options),
        "reviews": feedback_kind.reviews(campaign.options),
        "inputs": inputs,
        "values": values,
    }


def _turns(content: dict[str, Any], *, each: bool) -> dict[str, Any]:
    """Return what is shown of a dialogue besides its answers, where turns of it are judged."""
    if "between" not in content:
        return {}
    if not each:
        return {"turn": content["turn"], "after": content["between"][0]}
    texts = [completion["text"] for completion in content["completions"]]
    return {
        "opening": content["messages"],
        "turns": [{"text": text, "after": after} for text, after in zip(texts, content["between"], strict=True)],
    }


def _usable(client_key: Any) -> str:
    """Return the key a draft was kept with; a draft is whatever a browser sent, so it may be anything."""
    return client_key if isinstance(client_key, str) and len(client_key) <= 64 else ""
