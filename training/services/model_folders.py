"""A model as a folder to carry away: its files, and a card of where it comes from, what it learned and its gate."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db.models import QuerySet
from django.utils import translation
from django.utils.text import slugify
from django.utils.translation import gettext as _

from annotation.models import User
from annotation.services import events
from annotation.told import of
from training import launch, paths, store
from training.errors import Invalid, TrainingError, WrongState
from training.models import GateReport, ModelVersion, Run, Snapshot
from training.recipes import RECIPES
from training.recipes.chat import MODES_FILE
from training.recipes.spec import write_text
from training.recipes.tamper import TAMPER
from training.services import cards, messages, versions

PIECE_BYTES = 1 << 20
ADAPTER = "adapter_config.json"


def export(*, version: ModelVersion, into: Path, merged: bool, actor: User | None, confirmed: bool = False) -> Path:
    """Write the model with its card into the new folder `into`, and return it.

    It holds what the transformers library (for an adapter: peft) reads, README.md, lineage.json, gate.json where there
    was a gate, and the card of each data set behind it. With `merged` an adapter is put into the weights of its base,
    by a process of its own. It is all there or not at all. A policy that nobody attacked is taken away only where
    somebody `confirmed` that, which is written to the audit trail once the folder is there. Raises `Invalid` for what
    cannot be exported so, and `WrongState` where merging fails or nobody confirmed.
    """
    source = _source(version, merged=merged)
    if into.exists():
        raise Invalid(_("{folder} exists already. Name a new folder.").format(folder=into))
    unattacked = _confirmed(version, confirmed=confirmed)
    _make_folder(version, source, into=into, merged=merged)
    _record(version, actor, into=str(into), merged=merged, unattacked=unattacked)
    return into


def _make_folder(version: ModelVersion, source: Path, *, into: Path, merged: bool) -> None:
    part = into.with_name(into.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    try:
        if merged:
            _merge(source, part)
        else:
            shutil.copytree(source, part, ignore=shutil.ignore_patterns(MODES_FILE))  # a key is for this server alone
        _tell(version, part, adapter=_is_adapter(source) and not merged)
        part.rename(into)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise


def is_unattacked(version: ModelVersion) -> bool:
    """Return whether it is a policy of which no tamper test was done: nobody knows how little undoes its refusals."""
    return version.kind == ModelVersion.Kind.POLICY and not _attacks(version).exists()


def _attacks(version: ModelVersion) -> QuerySet[Run]:
    return Run.objects.filter(parent=version, recipe__name=TAMPER.name, state=Run.State.SUCCEEDED)


def _confirmed(version: ModelVersion, *, confirmed: bool) -> bool:
    """Return whether nobody attacked a policy that is taken away; WrongState where who does has not confirmed that."""
    unattacked = is_unattacked(version)
    if unattacked and not confirmed:
        message = _(
            "{version} was never attacked: nobody knows how little training undoes what it refuses. Have the red team "
            "run a tamper test, or confirm that you take it away without one."
        )
        raise WrongState(message.format(version=version.label))
    return unattacked


def _source(version: ModelVersion, *, merged: bool) -> Path:
    """Return the model's folder; Invalid where there is none on this server, or nothing to merge in it."""
    source = Path(store.fetch(version.path))
    if not source.is_dir():
        message = _("{version} is {path}, which is no folder of this server: there is nothing to export.")
        raise Invalid(message.format(version=version.label, path=version.path))
    if merged and not can_be_merged(version):
        message = _("{version} is no policy with an adapter, so there is nothing to merge. Export it as it is.")
        raise Invalid(message.format(version=version.label))
    return source


def _is_adapter(source: Path) -> bool:
    return (source / ADAPTER).exists()


def is_here(version: ModelVersion) -> bool:
    """Return whether the model's files lie on this server."""
    return store.exists(version.path) and not Path(paths.resolve(version.path)).is_file()


def can_be_merged(version: ModelVersion) -> bool:
    """Return whether it is a policy with an adapter, which can be put into the weights of its base."""
    return version.kind == ModelVersion.Kind.POLICY and store.exists(f"{version.path}/{ADAPTER}")


def _record(version: ModelVersion, actor: User | None, *, into: str, merged: bool, unattacked: bool) -> None:
    """Write down who took a model away, and that they did so without a tamper test where they confirmed it."""
    detail = {"into": into, "merged": merged}
    for action in ("version.exported_unattacked",) * unattacked + ("version.exported",):
        events.record(campaign=version.campaign, actor=actor, action=action, target=version.label, detail=detail)


# --- To be downloaded --------------------------------------------------------------------------------------------


def download(*, version: ModelVersion, merged: bool, actor: User | None, confirmed: bool = False) -> Iterator[bytes]:
    """Return what `export` writes as a ZIP archive, in pieces: nothing is copied and little of it is in memory.

    Raises `Invalid` for what cannot be exported so, and `WrongState` where `order_merge` has not merged it yet, or
    nobody `confirmed` what `export` asks too.
    """
    source = _source(version, merged=merged)
    if merged:
        source = merged_folder(version.pk)
        store.fetch(paths.stored(source))
        if not source.is_dir():
            raise WrongState(_("Its weights are not merged yet. Have them merged first."))
        os.utime(source)  # what is taken away is kept, see `leftovers`
    unattacked = _confirmed(version, confirmed=confirmed)
    # Before the first byte: whoever breaks off at the last one has the model.
    _record(version, actor, into="download", merged=merged, unattacked=unattacked)
    return _packed(version, source, adapter=_is_adapter(source))


def file_name(version: ModelVersion, *, merged: bool) -> str:
    """Return what a version's archive is called."""
    return f"{version.label}{'-merged' if merged else ''}.zip"


def _packed(version: ModelVersion, source: Path, *, adapter: bool) -> Iterator[bytes]:
    outlet = _Outlet()
    with tempfile.TemporaryDirectory() as name, zipfile.ZipFile(outlet, "w", zipfile.ZIP_STORED) as archive:
        _tell(version, Path(name), adapter=adapter)
        told = {str(path.relative_to(name)): path for path in sorted(Path(name).rglob("*")) if path.is_file()}
        files = {str(path.relative_to(source)): path for path in sorted(source.rglob("*")) if path.is_file()}
        files.pop(MODES_FILE, None)  # a key is for this server alone
        for inside, path in {**files, **told}.items():
            entry = zipfile.ZipInfo.from_file(path, inside, strict_timestamps=False)
            with path.open("rb") as file, archive.open(entry, "w", force_zip64=True) as target:
                while piece := file.read(PIECE_BYTES):
                    target.write(piece)
                    yield outlet.taken()
    yield outlet.taken()


class _Outlet(io.RawIOBase):
    """Keeps what is written until it is taken; nobody can seek in it."""

    def __init__(self) -> None:
        self._kept = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._kept += data
        return len(data)

    def taken(self) -> bytes:
        taken = bytes(self._kept)
        self._kept.clear()
        return taken


def merged_folder(number: int) -> Path:
    """Return where the merged weights of the version with this number lie, if they do."""
    return paths.files() / "merged" / str(number)


def merging(version: ModelVersion) -> tuple[str, str]:
    """Return how far the merged weights of a version are, none, asked, ready or failed, and why it failed."""
    folder = merged_folder(version.pk)
    if store.exists(paths.stored(folder)):
        return "ready", ""
    asked, failed = (Path(store.fetch(paths.stored(folder.with_suffix(end)))) for end in (".asked", ".failed"))
    if asked.exists():
        return "asked", ""
    return ("failed", failed.read_text(encoding="utf-8")) if failed.exists() else ("none", "")


def order_merge(*, version: ModelVersion) -> None:
    """Have a worker put the adapter into the weights of its base, to be downloaded. Safe to repeat."""
    _source(version, merged=True)
    if merging(version)[0] != "ready":
        store.keep(write_text(merged_folder(version.pk).with_suffix(".asked"), ""))
        messages.wake_merging(version.pk)


def merge(version_id: int) -> None:
    """Do what `order_merge` asked for, once; the reason is kept where it fails."""
    version = ModelVersion.objects.select_related("campaign").filter(pk=version_id).first()
    if version is None or merging(version)[0] == "ready":
        return
    folder = merged_folder(version.pk)
    try:
        source = _source(version, merged=True)
        _make_folder(version, source, into=folder, merged=True)
        _record(version, None, into=str(folder), merged=True, unattacked=False)  # it stays on this server
        store.keep(folder)
    except (TrainingError, OSError) as error:
        store.keep(write_text(folder.with_suffix(".failed"), str(error)))
    finally:
        store.drop(asked := folder.with_suffix(".asked"))
        asked.unlink(missing_ok=True)


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
    if base and not Path(base).is_absolute() and not store.exists(base):
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
    if version.kind == ModelVersion.Kind.POLICY:
        lines += ["", "## Training against its safety", "", _attacked(version)]
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
    said = "1 judgement" if lineage["judgements"] == 1 else f"{lineage['judgements']} judgements"
    people = "1 person" if lineage["annotators"] == 1 else f"{lineage['annotators']} people"
    told = f"- {said} by {people}"
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


def _attacked(version: ModelVersion) -> str:
    """Return what the newest attack by training on it found (arXiv:2310.20624), or that there was none."""
    newest = _attacks(version).order_by("-pk").first()
    if newest is None:
        return "It was never attacked: nobody knows how little training undoes what it refuses."
    metrics = newest.result["metrics"]
    before, after = (_number(metrics.get(name)) for name in ("safe_before", "safe_after"))
    verdict = "passed" if metrics.get("passed") else "failed"
    return f"Run {newest.pk} {verdict}: the share of safe answers was {before} before the attack and {after} after it."


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
