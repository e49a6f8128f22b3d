"""By what a model is known whatever folder it lies in: the content of its tensors, hashed once and kept."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from django.db.models import Q

from training import store
from training.models import GateReport, ModelVersion

PIECE_BYTES = 1 << 22
LARGEST_HEADER = 100_000_000  # as the format has it
ADAPTER = "adapter_config.json"


def of(version: ModelVersion) -> str:
    """Return the hash of a version's weights, read once and kept; empty for a hub name, or without safetensors."""
    if not version.weights:
        version.weights = fingerprint(Path(store.fetch(version.path)))
        ModelVersion.objects.filter(pk=version.pk).update(weights=version.weights)
    return version.weights


def fingerprint(folder: Path) -> str:
    """Return the sha256 of all tensors of a folder, by name; empty where there are none or a file cannot be read.

    Names, types, shapes and bytes count; in which file a tensor lies, and what else a header says, does not. An adapter
    is of the base that it names.
    """
    found: dict[str, tuple[Path, int, int, str]] = {}
    digest = hashlib.sha256()
    try:
        for path in sorted(folder.glob("*.safetensors")):
            found |= _tensors(path)
        if not found:
            return ""
        if (folder / ADAPTER).is_file():
            base = json.loads((folder / ADAPTER).read_text(encoding="utf-8")).get("base_model_name_or_path")
            digest.update(f"{base}\n".encode())
        for name, (path, start, size, told) in sorted(found.items()):
            digest.update(f"{name} {told}\n".encode())
            with path.open("rb") as file:
                file.seek(start)
                while size > 0 and (piece := file.read(min(PIECE_BYTES, size))):
                    digest.update(piece)
                    size -= len(piece)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return ""
    return digest.hexdigest()


def _tensors(path: Path) -> dict[str, tuple[Path, int, int, str]]:
    """Return for each tensor of a file where it lies, how many bytes it has, and its type and shape."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > LARGEST_HEADER:
            raise ValueError("The header is longer than the format allows.")
        header = json.loads(file.read(length))
    header.pop("__metadata__", None)
    tensors = {}
    for name, one in header.items():
        begin, end = one["data_offsets"]
        tensors[name] = (path, 8 + length + begin, end - begin, f"{one['dtype']} {one['shape']}")
    return tensors


def same(version: ModelVersion, relation: str = "") -> Q:
    """Return the condition that a version, or the one at the end of a `relation`, is this one: by folder or by weights.

    Reads no file: of weights only what is known already counts, see `of`.
    """
    by_folder = Q(**{f"{relation}path": version.path})
    return by_folder | Q(**{f"{relation}weights": version.weights}) if version.weights else by_folder


def known_before(candidate: ModelVersion, policy: ModelVersion) -> ModelVersion | None:
    """Return the policy in use or the version decided on by a gate whose weights `candidate` has; None for none.

    Reads the weights of each of them where nobody has yet: for a worker, not for a page.
    """
    weights = of(candidate)
    reports = GateReport.objects.filter(candidate__campaign=candidate.campaign_id).exclude(candidate=candidate)
    decided = [report.candidate for report in reports.select_related("candidate").order_by("pk")]
    return next((one for one in [policy, *decided] if weights and one.pk != candidate.pk and of(one) == weights), None)
