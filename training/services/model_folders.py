"""A model as a folder to carry away: its files, and a card of where it comes from, what it learned and its gate."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from django.conf import settings
from django.utils import translation
from django.utils.text import slugify
from django.utils.translation import gettext as _

from annotation.models import User
from annotation.services import events
from annotation.told import of
from training import launch, paths
from training.errors import Invalid, WrongState
from training.models import GateReport, ModelVersion, Snapshot
from training.recipes import RECIPES
from training.recipes.chat import MODES_FILE
from training.services import cards, versions


def export(*, version: ModelVersion, into: Path, merged: bool, actor: User | None) -> Path:
    """Write the model with its card into the new folder `into`, and return it.

    It holds what the transformers library (for an adapter: peft) reads, README.md, lineage.json, gate.json where there
    was a gate, and the card of each data set behind it. With `merged` an adapter is put into the weights of its base,
    by a process of its own. It is all there or not at all. Raises `Invalid` for what cannot be exported so, and
    `WrongState` where merging fails.
    """
    source = Path(paths.resolve(version.path))
    if not source.is_dir():
        message = _("{version} is {path}, which is no folder of this server: there is nothing to export.")
        raise Invalid(message.format(version=version.label, path=version.path))
    if into.exists():
        raise Invalid(_("{folder} exists already. Name a new folder.").format(folder=into))
    adapter = (source / "adapter_config.json").exists()
    if merged and not (adapter and version.kind == ModelVersion.Kind.POLICY):
        message = _("{version} is no policy with an adapter, so there is nothing to merge. Export it as it is.")
        raise Invalid(message.format(version=version.label))
    part = into.with_name(into.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    try:
        if merged:
            _merge(source, part)
        else:
            shutil.copytree(source, part, ignore=shutil.ignore_patterns(MODES_FILE))  # a key is for this server alone
        _tell(version, part, adapter=adapter and not merged)
        part.rename(into)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
    events.record(
        campaign=version.campaign,
        actor=actor,
        action="version.exported",
        target=version.label,
        detail={"into": str(into), "merged": merged},
    )
    return into


def _merge(source: Path, folder: Path) -> None:
    command = [sys.executable, "-m", "training.core.merge", str(source), str(folder)]
    done = subprocess.run(
        [*command, *(["trust"] if settings.ATTUNE_TRUST_REMOTE_CODE else [])],
        env=launch.child_environment(),
        cwd=paths.PACKAGE.parent,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        said = done.stderr.strip().splitlines()
        raise WrongState(said[-1] if said else _("Merging ended with status {code}.").format(code=done.returncode))


def _tell(version: ModelVersion, folder: Path, *, adapter: bool) -> None:
    """Write what is to be known of the model beside its files."""
    lineage = versions.lineage(version)
    told = {name: value for name, value in lineage.items() if name != "feedback_ids"}
    _write(folder / "lineage.json", json.dumps(told, ensure_ascii=False, indent=1))
    report = GateReport.objects.select_related("parent").filter(candidate=version).first()
    if report is not None:
        _write(folder / "gate.json", json.dumps(_gate(report), ensure_ascii=False, indent=1))
    data = _data(version)
    for snapshot in data:
        (folder / "data").mkdir(exist_ok=True)
        # The front matter is for the folder of the data itself.
        _write(folder / "data" / f"snapshot-{snapshot.pk}.md", cards.readme(snapshot, {}).split("---\n", 2)[2].strip())
    _write(folder / "README.md", card(version, adapter=adapter))


def _write(path: Path, text: str) -> None:
    path.write_text(text + "\n", encoding="utf-8")


def _data(version: ModelVersion) -> list[Snapshot]:
    """Return the data sets it learned from, itself or by the scores of models that did."""
    found = [one.snapshot for one in (version, *versions.scored_by(version)) if one.snapshot is not None]
    return list({snapshot.pk: snapshot for snapshot in found}.values())


def _gate(report: GateReport) -> dict[str, Any]:
    with translation.override("en"):
        figures = [figure | {"explanation": str(of(figure["explanation"]))} for figure in report.figures]
    return {"verdict": report.verdict, "compared_with": report.parent.label, "figures": figures}


def card(version: ModelVersion, *, adapter: bool) -> str:
    """Return the card as a hub has it, in English; `adapter` says whether the files beside it are one on some base."""
    lineage = versions.lineage(version)
    base = lineage["base"]["path"] or lineage["started_from"]
    head: dict[str, Any] = {
        "library_name": "peft" if adapter else "transformers",
        "tags": ["human-feedback", slugify(version.recipe.get("name", "")) or "from-outside"],
    }
    if version.kind == ModelVersion.Kind.POLICY:
        head["pipeline_tag"] = "text-generation"
    if base and not Path(base).is_absolute() and not Path(paths.resolve(base)).exists():
        head["base_model"] = base
    # JSON is YAML, and needs no library to be written right.
    lines = ["---", *(f"{name}: {json.dumps(value, ensure_ascii=False)}" for name, value in head.items()), "---", ""]
    lines += [f"# {version.campaign.name}: {version.label}", ""]
    lines += [f"{_kind(version)}, {version.get_state_display().lower()}, made {version.created_at:%Y-%m-%d %H:%M} UTC."]
    if version.withdrawn_at:
        lines += ["", f"**Somebody whose judgements it learned from withdrew on {version.withdrawn_at:%Y-%m-%d}.**"]
    lines += ["", "## Where it comes from", "", *_descent(version, lineage)]
    lines += ["", "## What it learned from", "", *_learned(version, lineage)]
    lines += ["", "## Its gate", "", *_verdict(version)]
    lines += ["", "## Measured in training", "", *_measured(version)]
    if knobs := version.recipe.get("knobs"):
        lines += ["", "## Settings", "", "| setting | value |", "| --- | --- |"]
        lines += [f"| `{name}` | `{json.dumps(value, ensure_ascii=False)}` |" for name, value in knobs.items()]
    return "\n".join(lines)


def _kind(version: ModelVersion) -> str:
    with translation.override("en"):
        return str(version.get_kind_display())


def _descent(version: ModelVersion, lineage: dict[str, Any]) -> list[str]:
    started = lineage["started_from"]
    lines = [f"- Started from: `{started}`"] if started else []
    lines += [f"- Ancestor: {one['label']} ({one['state']})" for one in lineage["ancestors"]]
    if name := version.recipe.get("name"):
        recipe = RECIPES.get(name)
        source = f", {recipe.title} ({recipe.source})" if recipe is not None else ""
        lines += [f"- Recipe: `{name}` version {version.recipe.get('version')}{source}"]
    lines += [f"- Part in slot {slot}: `{name or 'none'}`" for slot, name in version.recipe.get("parts", {}).items()]
    lines += [f"- Run {lineage['run']}"] if lineage["run"] is not None else []
    lines += [f"- Round {lineage['round']}"] if lineage["round"] is not None else []
    lines += [f"- Merged with: {one['label']}" for one in lineage["merged_with"]]
    lines += [f"- Scored by: {one['label']}" for one in lineage["scored_by"]]
    return lines


def _learned(version: ModelVersion, lineage: dict[str, Any]) -> list[str]:
    lines = [
        f"- Snapshot {one.pk}: {one.rows} rows of `{one.view}`, sha256 `{one.sha256}`; "
        f"its card is data/snapshot-{one.pk}.md"
        for one in _data(version)
    ]
    if not lines:
        return ["Nothing of this campaign."]
    told = f"- {lineage['judgements']} judgements by {lineage['annotators']} people"
    return [*lines, f"{told}; {lineage['all_judgements']} with those behind its ancestors"]


def _verdict(version: ModelVersion) -> list[str]:
    report = GateReport.objects.select_related("parent").filter(candidate=version).first()
    if report is None:
        return ["Nobody has compared it with the policy in use."]
    told = _gate(report)
    lines = [f"**{told['verdict']}**, compared with {told['compared_with']}.", ""]
    lines += ["| figure | value (95 %) | n | limit | passed |", "| --- | --- | ---: | --- | --- |"]
    for one in told["figures"]:
        value, low, high, limit = (_number(one[name]) for name in ("estimate", "low", "high", "limit"))
        passed = "–" if one["limit"] is None else "yes" if one["passed"] else "no"
        lines.append(f"| {one['name']} | {value} ({low} to {high}) | {one['n']} | {limit} | {passed} |")
    return [*lines, "", *(f"- {one['explanation']}" for one in told["figures"] if one["explanation"])]


def _measured(version: ModelVersion) -> list[str]:
    found = []
    for name, figure in version.metrics.items():
        if isinstance(figure, dict) and "estimate" in figure:
            low, high = _number(figure.get("low")), _number(figure.get("high"))
            found.append(f"- {name}: {_number(figure['estimate'])} ({low} to {high}, n {figure.get('n')})")
        elif isinstance(figure, int | float):
            found.append(f"- {name}: {_number(figure)}")
    return found or ["Nothing."]


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"
