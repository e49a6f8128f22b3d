"""What a training run would lose if it died, and how it is kept: checkpoints that a crash cannot spoil.

A checkpoint is a folder ``step-00000012`` with the trained weights, the optimizer's moments, the state of the random
generators and a few numbers. Its ``manifest.json`` (each file's size and sha256) is written last, everything is
flushed to disk, and only then is the folder renamed to its name. A folder without a manifest that fits is damaged, and
the one before it is used: two are kept.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from training.core.job import RunError
from training.core.sharding import cut_as, whole_tensor
from training.recipes.note import Note
from training.recipes.spec import RunSpec, write_json

KEPT = 2
NO_FIGURES = ("step", "total_steps", "time", "lr")  # of a line: where the run stood


@dataclass
class Progress:
    """Where the run stands. `consumed` counts examples, not steps: the last batch of an epoch may be short.

    `best_loss` is the lowest loss measured on held-out rows so far, and `stale` how many measurements there were since.
    """

    step: int = 0
    consumed: int = 0
    micro_batch: int = 1
    tokens: int = 0
    iteration: int = 0  # rollouts that were learned from, in a run on the policy's own answers
    controllers: dict[str, dict[str, Any]] = field(default_factory=dict)  # what its stages remember, by slot
    best_loss: float | None = None
    stale: int = 0

    def measured(self, loss: float) -> None:
        """Take note of a loss on held-out rows."""
        better = self.best_loss is None or loss < self.best_loss
        self.best_loss, self.stale = (loss, 0) if better else (self.best_loss, self.stale + 1)


def trainable(model: nn.Module) -> dict[str, nn.Parameter]:
    """Return the parameters that are trained, by name, each once."""
    return {name: p for name, p in model.named_parameters() if p.requires_grad}


def fingerprint(spec: RunSpec) -> str:
    """Return a hash of all that decides a run's course: its spec without the folder, and the bytes of its data."""
    told = asdict(spec)
    del told["output"], told["engine"]  # what another engine does has checkpoints of its own
    del told["cache"]  # what is found there is what would be computed
    digest = hashlib.sha256(json.dumps(told, sort_keys=True).encode())
    for path in (spec.data, spec.eval_data):
        digest.update(_sha256(Path(path)).encode() if path else b"-")
    return digest.hexdigest()


def rate_at(step: int, *, total_steps: int, highest: float, warmup: float, schedule: str) -> float:
    """Return the learning rate of step 0, 1, … `total_steps` - 1; a function of the step, so nothing to restore."""
    rising = math.ceil(warmup * total_steps)
    if step < rising:
        return highest * (step + 1) / rising
    done = (step - rising) / max(total_steps - rising, 1)
    falls = {"constant": 1.0, "linear": 1 - done, "cosine": 0.5 * (1 + math.cos(math.pi * done))}
    return highest * falls[schedule]


def rates_at(step: int, *, total_steps: int, highest: Sequence[float], warmup: float, schedule: str) -> list[float]:
    """Return what `rate_at` says for each of several highest rates, those of the optimizer's groups."""
    return [rate_at(step, total_steps=total_steps, highest=one, warmup=warmup, schedule=schedule) for one in highest]


def save_checkpoint(
    folder: Path,
    progress: Progress,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    *,
    mark: str,
    writes: bool = True,
) -> Path:
    """Write the checkpoint of `progress` into `folder`, remove all but the newest two, and return its path.

    Of a model in shards every process calls it, and one `writes`: what is written is whole, and any number of
    processes can go on from it.
    """
    weights = _gathered({name: p.detach() for name, p in trainable(model).items()}, keep=writes)
    moments = _gathered(_moments(optimizer), keep=writes)
    name = f"step-{progress.step:08d}"
    part, final = folder / f"{name}.part", folder / name
    if not writes:
        return final
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    save_file(weights, part / "weights.safetensors")
    save_file(moments, part / "optimizer.safetensors")
    save_file(_random_state(), part / "random.safetensors")
    write_json(part / "state.json", {"fingerprint": mark, "torch": torch.__version__, **asdict(progress)})
    files = {p.name: {"size": p.stat().st_size, "sha256": _sha256(p)} for p in sorted(part.iterdir())}
    for file in part.iterdir():
        _flush(file)
    write_json(part / "manifest.json", {"files": files})
    _flush(part)
    shutil.rmtree(final, ignore_errors=True)
    part.rename(final)
    _flush(folder)
    for old in _checkpoints(folder)[KEPT:]:
        shutil.rmtree(old, ignore_errors=True)
    return final


def restore(
    folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer, *, mark: str
) -> tuple[Progress | None, list[Note]]:
    """Put the newest sound checkpoint of `folder` into model and optimizer; return where it stands, and notes.

    RunError when the checkpoint is of another spec or other data: going on would mix two runs.
    """
    notes = []
    for path in _checkpoints(folder):
        fault = _fault(path)
        if fault:
            notes.append(
                Note(
                    "The checkpoint {file} was damaged ({fault}), so an earlier one was used.",
                    file=path.name,
                    fault=fault,
                )
            )
            continue
        state = json.loads((path / "state.json").read_text())
        if state.pop("fingerprint") != mark:
            raise RunError(
                Note(
                    "The checkpoint {path} belongs to a run with other settings or other data. Start a new run, "
                    "or remove the folder checkpoints to start this one from the beginning.",
                    path=path,
                )
            )
        state.pop("torch")
        weights = load_file(path / "weights.safetensors")
        parameters = trainable(model)
        if set(weights) != set(parameters):
            raise RunError(
                Note("The weights in {path} are not those this run trains. Remove the folder checkpoints.", path=path)
            )
        with torch.no_grad():
            for name, parameter in parameters.items():
                parameter.copy_(cut_as(weights[name], parameter))
        _put_moments(optimizer, load_file(path / "optimizer.safetensors"))
        _put_random_state(load_file(path / "random.safetensors"))
        return Progress(**state), notes
    return None, notes


def _checkpoints(folder: Path) -> list[Path]:
    """Return the finished checkpoints, newest first."""
    return sorted((p for p in folder.glob("step-*") if p.suffix != ".part"), reverse=True)


def _fault(path: Path) -> Note | None:
    """Return what is wrong with a checkpoint, or None."""
    try:
        files = json.loads((path / "manifest.json").read_text())["files"]
        for name, told in files.items():
            if (path / name).stat().st_size != told["size"]:
                return Note("{name} has not its size", name=name)
            if _sha256(path / name) != told["sha256"]:
                return Note("{name} has changed", name=name)
    except FileNotFoundError as error:
        return Note("{name} is missing", name=Path(error.filename).name)
    except (OSError, ValueError, KeyError, TypeError):
        return Note("its manifest cannot be read")
    return None if "state.json" in files else Note("{name} is missing", name="state.json")


def _moments(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return the optimizer's state as flat tensors ``<parameter's number>.<name>``."""
    return {
        f"{index}.{name}": torch.as_tensor(value).detach()
        for index, state in optimizer.state_dict()["state"].items()
        for name, value in state.items()
    }


def _put_moments(optimizer: torch.optim.Optimizer, flat: dict[str, Tensor]) -> None:
    state: dict[int, dict[str, Tensor]] = {}
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    for key, value in flat.items():
        index, name = key.split(".", 1)
        own = parameters[int(index)]
        state.setdefault(int(index), {})[name] = cut_as(value, own) if value.shape == own.shape else value
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})


def _gathered(tensors: dict[str, Tensor], *, keep: bool) -> dict[str, Tensor]:
    """Return the tensors whole and on the CPU, one after the other; nothing for who takes part and does not `keep`."""
    found = {}
    for name, tensor in tensors.items():
        whole = whole_tensor(tensor)
        if keep:
            found[name] = whole.cpu().contiguous()
    return found


def _random_state() -> dict[str, Tensor]:
    state = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state()
    return state


def _put_random_state(state: dict[str, Tensor]) -> None:
    torch.set_rng_state(state["cpu"])
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _flush(path: Path) -> None:
    """Wait until a file or a folder's list of names is on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def finished_numbers(folder: Path) -> list[dict[str, Any]]:
    """Return the lines of ``metrics.jsonl``."""
    path = folder / "metrics.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def tail_means(folder: Path) -> dict[str, float]:
    """Return the means of a run's own figures over the last tenth of its lines; measurements are told apart."""
    lines = finished_numbers(folder)
    tail = lines[-max(1, len(lines) // 10) :]
    kept = [n for n in tail[-1] if n not in NO_FIGURES and not n.startswith("eval_")] if tail else []
    return {name: fmean(line[name] for line in tail) for name in kept if all(name in line for line in tail)}
