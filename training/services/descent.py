"""What a model came from: the one it was trained from, and the policies whose weights were merged into it."""

from __future__ import annotations

from training.models import ModelVersion, Run


def merged_with(version: ModelVersion) -> list[ModelVersion]:
    """Return the other policies whose weights are in a merged one; empty for one that was trained."""
    run = version.made_by
    others = list((run.inputs.get("beside") or {}).values()) if run is not None else []
    if not others:
        return []
    return list(ModelVersion.objects.filter(campaign=version.campaign_id, path__in=others).order_by("pk"))


def forebears(version: ModelVersion) -> list[ModelVersion]:
    """Return all that a version came from, each once, nearest first, through merges too.

    One statement for each step back along parents, and one that looks for merges among them.
    """
    found: list[ModelVersion] = []
    waiting = [version]
    while waiting:
        line: list[ModelVersion] = []
        for at in waiting:
            while at is not None and at not in line and at not in found:
                line.append(at)
                at = at.parent  # type: ignore[assignment]
        found += line
        merges = Run.objects.filter(output__in=line, inputs__has_key="beside").order_by("-output")
        paths = [path for run in merges for path in run.inputs["beside"].values()]
        waiting = list(ModelVersion.objects.filter(campaign=version.campaign_id, path__in=paths)) if paths else []
    return found[1:]
