"""Options of a campaign as they hold for one item: its images, for what is asked about them, and its subjects.

A principle may be for items of some subjects alone ("for: code, maths" in its line), so that nobody answers "does not
apply" to most of a list. Subjects of an item are its domain, as the import gave it, and what its content shows:
``image`` where it has one, ``dialogue`` where something was said before the last turn. Of an item without a domain
nobody knows what does not apply, so only these two are left out there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from annotation.feedback import shown_images, worded
from annotation.messages import images_of
from annotation.models import Task

KEY = "item_subjects"
IMAGE, DIALOGUE = "image", "dialogue"
ANY = "*"  # of an item whose domain is not known


def for_task(options: Mapping[str, Any], task: Task) -> Mapping[str, Any]:
    """Return a campaign's options as they hold for this item, whose content and prompt are read only where they ask."""
    options = shown_images.for_task(options, task)
    if any(worded.read(line).subjects for line in options.get("principles", ())):
        return {**options, KEY: subjects(task.content, domain=task.prompt.domain)}
    return options


def subjects(content: Mapping[str, Any], *, domain: str) -> frozenset[str]:
    """Return what an item with this content (`Task.content`) is about."""
    found = {" ".join(domain.split()).casefold() or ANY}
    if any(images_of(message["content"]) for message in content["messages"]):
        found.add(IMAGE)
    if len(content["messages"]) > 1:
        found.add(DIALOGUE)
    return frozenset(found)


def is_for(line: str, options: Mapping[str, Any]) -> bool:
    """Return whether the principle in `line` is asked about the item of these options; of a campaign's own, all are."""
    wanted, found = worded.read(line).subjects, options.get(KEY)
    if not wanted or found is None:
        return True
    return bool(wanted & found) or (ANY in found and bool(wanted - {IMAGE, DIALOGUE}))
