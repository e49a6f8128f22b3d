"""What a model came from: the one it was trained from, and the policies whose weights were merged into it."""

from __future__ import annotations

from training.models import ModelVersion, Run


def merged_with(version: ModelVersion) -> list[ModelVersion]:
    """Return the other policies whose weights are in a merged one; empty for one that was trained."""
    run = Run.objects.filter(output=version).first()
    others = list((run.inputs.get("beside") or {}).values()) if run is not None else []
    if not others:
        return []
    return list(ModelVersion.objects.filter(campaign=version.campaign_id, path__in=others).order_by("pk"))


def forebears(version: ModelVersion) -> list[ModelVersion]:
    """Return all that a version came from, each once, nearest first, through merges too."""
    found: list[ModelVersion] = []
    waiting = [version]
    while waiting:
        at = waiting.pop(0)
        for one in (*([] if at.parent is None else [at.parent]), *merged_with(at)):
            if one != version and one not in found:
                found.append(one)
                waiting.append(one)
    return found
