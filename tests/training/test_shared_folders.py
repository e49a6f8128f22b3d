"""Which files and folders people may name who have a browser or a token, but no shell on the server."""

from __future__ import annotations

from pathlib import Path

import pytest

from annotation.models import Campaign, User
from training.errors import Invalid
from training.models import ModelVersion
from training.services import rounds, runs, versions

pytestmark = pytest.mark.django_db


def test_people_name_models_only_out_of_shared_folders(
    campaign: Campaign, lead: User, settings, tmp_path_factory, attune_files: Path
) -> None:
    shared, private = tmp_path_factory.mktemp("shared"), tmp_path_factory.mktemp("private")
    settings.ATTUNE_SHARED_FOLDERS = [str(shared)]
    (shared / "model").mkdir()
    (shared / "way-out").symlink_to(private)
    (attune_files / "models" / "own").mkdir(parents=True)

    def register(path: str, actor: User | None = lead) -> ModelVersion:
        return versions.register(campaign=campaign, kind="policy", path=path, actor=actor)

    for allowed in (str(shared / "model"), "org/model", "models/own", "training/demo/model"):
        register(allowed)
    for refused in (
        str(private),
        str(shared / "way-out"),
        f"{shared}/../{private.name}",
        "~",
        "./tests",
        "../elsewhere",
    ):
        with pytest.raises(Invalid, match="SHARED_FOLDERS") as caught:
            register(refused)
        assert "path" in caught.value.errors
    outside = register(str(private), actor=None)  # the operator may
    register(outside.path)  # and what the campaign has already, its people may take again
    with pytest.raises(Invalid, match="SHARED_FOLDERS"):
        runs.create(campaign=campaign, recipe="sample", knobs={}, actor=lead, inputs={"model": "/etc", "data": "x"})


def test_people_name_prompts_only_out_of_shared_folders(campaign: Campaign, lead: User) -> None:
    with pytest.raises(Invalid, match="SHARED_FOLDERS") as caught:
        rounds.create_loop(campaign=campaign, policy="org/model", prompts_path="/etc/passwd", settings={}, actor=lead)
    assert "prompts_path" in caught.value.errors
