"""Checkpoints: whole or not used, of this run or refused."""

from __future__ import annotations

import json
import shutil

import pytest
import torch

from training.core.job import RunError
from training.core.trainers.state import Progress, restore, save_checkpoint


def world(seed: int = 0):
    torch.manual_seed(seed)
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Linear(4, 1))
    model[1].bias.requires_grad_(False)
    return model, torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.1)


def step(model, optimizer, *, times: int = 1):
    for _ in range(times):
        optimizer.zero_grad()
        model(torch.randn(5, 3)).square().mean().backward()
        optimizer.step()


def flat(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def test_what_is_restored_goes_on_as_if_nothing_had_happened(tmp_path):
    """Weights, moments and random numbers: the next three steps draw and learn the same."""
    model, optimizer = world()
    step(model, optimizer, times=2)
    save_checkpoint(
        tmp_path / "kept", Progress(step=2, consumed=10, micro_batch=4, tokens=99), model, optimizer, mark="m"
    )
    step(model, optimizer, times=3)
    other, other_optimizer = world(seed=0)
    progress, notes = restore(tmp_path / "kept", other, other_optimizer, mark="m")
    assert progress == Progress(step=2, consumed=10, micro_batch=4, tokens=99) and notes == []
    step(other, other_optimizer, times=3)
    assert torch.equal(flat(model), flat(other))


def cut(path):
    path.write_bytes(path.read_bytes()[:-7])


def flip(path):
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("spoil", [cut, flip, lambda path: path.unlink()], ids=["cut", "flipped", "missing"])
@pytest.mark.parametrize(
    "file", ["weights.safetensors", "optimizer.safetensors", "random.safetensors", "state.json", "manifest.json"]
)
def test_a_damaged_checkpoint_is_not_used_and_the_one_before_is(tmp_path, file, spoil):
    model, optimizer = world()
    step(model, optimizer)
    save_checkpoint(tmp_path / "kept", Progress(step=1, consumed=5), model, optimizer, mark="m")
    kept = flat(model).clone()
    step(model, optimizer)
    newest = save_checkpoint(tmp_path / "kept", Progress(step=2, consumed=10), model, optimizer, mark="m")
    spoil(newest / file)
    if file == "manifest.json" and spoil is flip:
        (newest / file).write_text((newest / file).read_text().replace('"sha256": "', '"sha256": "0', 1))
    other, other_optimizer = world()
    progress, notes = restore(tmp_path / "kept", other, other_optimizer, mark="m")
    assert progress is not None and progress.step == 1
    assert len(notes) == 1 and "step-00000002 was damaged" in notes[0]
    assert torch.equal(flat(other), kept)


def test_a_half_written_folder_is_no_checkpoint(tmp_path):
    model, optimizer = world()
    step(model, optimizer)
    path = save_checkpoint(tmp_path / "kept", Progress(step=1), model, optimizer, mark="m")
    shutil.move(path, path.with_name(path.name + ".part"))
    assert restore(tmp_path / "kept", model, optimizer, mark="m") == (None, [])


def test_two_are_kept(tmp_path):
    model, optimizer = world()
    step(model, optimizer)
    for number in range(1, 5):
        save_checkpoint(tmp_path / "kept", Progress(step=number), model, optimizer, mark="m")
    assert sorted(p.name for p in (tmp_path / "kept").iterdir()) == ["step-00000003", "step-00000004"]
    manifest = json.loads((tmp_path / "kept" / "step-00000004" / "manifest.json").read_text())
    assert set(manifest["files"]) == {
        "weights.safetensors",
        "optimizer.safetensors",
        "random.safetensors",
        "state.json",
    }


def test_a_checkpoint_of_another_spec_is_refused_and_one_of_this_is_not(tmp_path):
    model, optimizer = world()
    step(model, optimizer)
    save_checkpoint(tmp_path / "kept", Progress(step=1), model, optimizer, mark="one")
    with pytest.raises(RunError, match="belongs to a run with other settings"):
        restore(tmp_path / "kept", model, optimizer, mark="other")
    assert restore(tmp_path / "kept", model, optimizer, mark="one")[0] is not None
