"""Whether a policy reads the images that prompts show, as far as its folder tells without loading it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from annotation.told import Told, told_many
from training import store
from training.models import ModelVersion
from training.services.prompts import Prompts

# What the transformers library writes beside a model that reads images, and what such a model's settings have.
PROCESSORS = ("processor_config.json", "preprocessor_config.json")
EYES = ("vision_config", "vision_tower", "mm_vision_tower", "visual")
CONFIG, ADAPTER = "config.json", "adapter_config.json"


def reads_images(path: str) -> bool | None:
    """Return whether the model at `path` reads images; None where nothing here tells, as of a name on the hub."""
    folder = Path(store.fetch(path))
    if any((folder / name).is_file() for name in PROCESSORS):
        return True
    if base := _settings(folder / ADAPTER).get("base_model_name_or_path"):
        return reads_images(str(base))
    found = _settings(folder / CONFIG)
    return any(found.get(name) for name in EYES) if found else None


def objection(policy: ModelVersion, prompts: Prompts) -> Told | None:
    """Return why a policy cannot answer these prompts, some of which show images; None where nothing says so."""
    if not prompts.with_images or reads_images(policy.path) is not False:
        return None
    return told_many(
        "{n} prompt shows an image, and {policy} reads text alone. Choose a policy that reads images, or leave this "
        "prompt out.",
        "{n} prompts show images, and {policy} reads text alone. Choose a policy that reads images, or leave these "
        "prompts out.",
        prompts.with_images,
        policy=policy.label,
    )


def _settings(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
