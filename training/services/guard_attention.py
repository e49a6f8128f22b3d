"""Prompts that a guard wants a person to look at: from chats, clients and rounds into the inbox of its campaign.

They are those of the tier focused attention, or of others that its policy names (`recipes.tiers`). Nothing is written
where the campaign keeps no prompts, and what people say there is a label of the next retraining, as of all that the
inbox asks (`guard_inbox`). Prompts of a gate are left out, as they are held out from whatever learns.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from annotation.models import Campaign, User
from annotation.told import Told, told_many
from training import store
from training.models import GuardedPrompt, GuardWatch, Round, Run
from training.services import guard_inbox, guard_prompts
from training.services.guard_prompts import HUMAN

LONGEST = 4_000  # characters that are kept of what was answered


def attend(
    *,
    campaign: Campaign,
    messages: Sequence[dict[str, Any]],
    source: str,
    person: User | None,
    said: Mapping[str, Any],
    answered: str,
) -> bool:
    """Put a prompt that wants a person into the inbox; return whether it is there. `said` has its tier and risk.

    Where it came before it is not asked twice; what the guard said of it, and what was answered, is the newest.
    """
    guard_prompts.keep(campaign=campaign, messages=messages, source=source, person=person)
    watch = GuardWatch.objects.filter(campaign=campaign).first()
    if watch is None or not watch.settings.get("keep"):
        return False
    kept = GuardedPrompt.objects.filter(
        campaign=campaign, digest=guard_prompts.digest_of(guard_prompts.text_of(messages))
    )
    # Of a model or a guard's documents, which nobody has asked whether a database can hold them.
    storable = answered[:LONGEST].replace("\x00", "\ufffd").encode("utf-8", "replace").decode()
    if not kept.update(tier=said["tier"], risk=said.get("risk"), answered=storable):
        return False
    kept.filter(reason="").exclude(labelled_by=HUMAN).update(reason=GuardedPrompt.Reason.FOCUSED)
    guard_inbox.ask(watch)
    return True


def attend_round(round: Round, run: Run) -> int:
    """Put those prompts of a round's samples that want a person into the inbox; return how many. Repeatable."""
    if "guard" not in run.result.get("files", {}):
        return 0
    path = store.run_file(run.pk, run.result["files"]["guard"])
    said = {row["id"]: row["prompt"] for row in _rows(path) if row.get("person")}
    if not said:
        return 0
    asked = [row for row in _rows(Path(store.fetch(run.inputs["data"]))) if row["id"] in said]
    return sum(
        attend(
            campaign=round.loop.campaign,
            messages=row["prompt"],
            source=GuardedPrompt.Source.ROUND,
            person=None,
            said=said[row["id"]],
            answered="",
        )
        for row in asked
    )


def _rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def newest(campaign: Campaign, most: int = 20) -> list[GuardedPrompt]:
    """Return the newest prompts that want a person, those that wait first."""
    found = GuardedPrompt.objects.filter(campaign=campaign).exclude(tier="").order_by("-at")[:most]
    return sorted(found, key=lambda one: one.labelled_by == HUMAN)


def unasked(campaign: Campaign) -> Told:
    """Return that prompts wait for people and nobody is asked, with what to do; empty where none does."""
    waiting = GuardedPrompt.objects.filter(campaign=campaign, asked_at=None).exclude(tier="")
    n = waiting.exclude(labelled_by=HUMAN).count()
    if not n:
        return Told()
    return told_many(
        "{n} prompt waits for a person and nobody is asked: name an inbox in the settings.",
        "{n} prompts wait for a person and nobody is asked: name an inbox in the settings.",
        n,
    )
