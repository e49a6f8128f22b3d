"""Log-probabilities under the frozen reference, computed once before training starts.

The data is fixed and the reference frozen, so these numbers never change: computing them first saves a forward pass in
every epoch, and the memory of a second model during training. When no reference is named it is the policy's start,
which at this moment is the policy itself (a new adapter changes nothing yet, which is why switching it off gives the
same numbers).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from training.core import distributed
from training.core.backbone import load_policy
from training.core.collate import Example, pad
from training.core.job import Job, Stopped
from training.core.policy import logps, pair_logps

FILE = "reference.safetensors"


def reference_logps(
    job: Job,
    policy: nn.Module,
    examples: Sequence[Example],
    wanted: Sequence[int],
    *,
    pad_id: int,
    rows_at_once: int,
    bf16: bool,
    mark: str,
) -> Tensor:
    """Return (N, 2) log-probabilities of chosen and rejected under the reference; rows not `wanted` stay NaN.

    Of rows with one completion they are (N, 1).

    They are kept in the run's folder, so that a resumed run trains on the very same numbers.
    """
    path = job.folder / FILE
    known = _read(path, mark)
    if known is not None:
        return known
    model = policy if _is_start(job) else _frozen(job)
    sides = len(examples[0].completions)
    table = torch.full((len(examples), sides), float("nan"))
    own = sorted(wanted, key=lambda index: examples[index].length)[job.rank :: job.world_size]
    with torch.inference_mode(), torch.autocast(job.device.type, dtype=torch.bfloat16, enabled=bf16):
        for start in range(0, len(own), rows_at_once):
            if job.stop_requested() and job.world_size == 1:
                raise Stopped
            rows = own[start : start + rows_at_once]
            sequences = [examples[i].sequences[side] for side in range(sides) for i in rows]
            shown = [examples[i].pictures for _ in range(sides) for i in rows]
            tokens = pad(sequences, pad_id, shown).to(job.device)
            values = (pair_logps if sides == 2 else logps)(model, tokens).cpu()
            table[rows] = values.reshape(sides, len(rows)).T
    table = distributed.sum_over(job, torch.nan_to_num(table))
    seen = torch.zeros(len(examples), dtype=torch.bool)
    seen[list(wanted)] = True
    table[~seen] = float("nan")
    if job.is_main:
        part = path.with_name(FILE + ".part")
        save_file({"logps": table}, part, metadata={"fingerprint": mark})
        part.replace(path)
    return table


def _is_start(job: Job) -> bool:
    """Return whether the reference is the model that training starts from."""
    named = job.spec.reference
    return named is None or named == job.spec.model or Path(named).resolve() == Path(job.spec.model).resolve()


def _frozen(job: Job) -> nn.Module:
    assert job.spec.reference is not None
    model, _ = load_policy(job.spec.reference, trust_remote_code=job.spec.trust_remote_code)
    frozen: nn.Module = model.requires_grad_(False)
    return frozen.to(job.device)


def _read(path: Path, mark: str) -> Tensor | None:
    if not path.exists():
        return None
    with safe_open(path, framework="pt") as file:
        if (file.metadata() or {}).get("fingerprint") != mark:
            return None
        return file.get_tensor("logps")
