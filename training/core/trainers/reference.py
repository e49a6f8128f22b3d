"""Log-probabilities under the frozen reference, computed once before training starts.

The data is fixed and the reference frozen, so these numbers never change: computing them first saves a forward pass in
every epoch, and the memory of a second model during training. When no reference is named it is the policy's start,
which at this moment is the policy itself (a new adapter changes nothing yet, which is why switching it off gives the
same numbers). What another run has computed of the same rows under the same reference is taken from it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from training.core import distributed
from training.core.backbone import is_adapter, load_policy
from training.core.collate import Example, pad
from training.core.job import Job, Stopped
from training.core.policy import logps, pair_logps
from training.core.trainers.reference_cache import KnownLogps, model_key, row_key

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

    They are kept in the run's folder, so that a resumed run trains on the very same numbers, and in the folder that
    the spec names as its cache, for other runs.
    """
    path = job.folder / FILE
    kept = _read(path, mark)
    if kept is not None:
        return kept
    cache = _cache(job, policy, bf16=bf16)
    keys = {index: _key(examples[index]) for index in wanted} if cache else {}
    table = torch.full((len(examples), len(examples[0].completions)), float("nan"))
    # One process looks for all: what the others would find, a moment later, might be more.
    if cache:
        found = cache.find(keys.values())
        for index, key in keys.items():
            if key in found:
                table[index] = found[key]
    table = _together(job, table)
    missing = [index for index in wanted if table[index].isnan().any()]
    own = sorted(missing, key=lambda index: examples[index].length)[job.rank :: job.world_size]
    try:
        _compute(job, policy, examples, own, table, pad_id=pad_id, rows_at_once=rows_at_once, bf16=bf16)
    except Stopped:
        _keep(cache, keys, missing, table)
        raise
    mine = torch.full_like(table, float("nan"))
    mine[own] = table[own]
    table = torch.where(table.isnan(), _together(job, mine), table)
    _keep(cache, keys, missing, table)
    if job.is_main:
        part = path.with_name(FILE + ".part")
        save_file({"logps": table}, part, metadata={"fingerprint": mark})
        part.replace(path)
    return table


def _compute(
    job: Job,
    policy: nn.Module,
    examples: Sequence[Example],
    rows: Sequence[int],
    table: Tensor,
    *,
    pad_id: int,
    rows_at_once: int,
    bf16: bool,
) -> None:
    """Put the log-probabilities of `rows` into the table."""
    if not rows:
        return
    model = policy if _is_start(job) else _frozen(job)
    sides = table.shape[1]
    with torch.inference_mode(), torch.autocast(job.device.type, dtype=torch.bfloat16, enabled=bf16):
        for start in range(0, len(rows), rows_at_once):
            if job.stop_requested() and job.world_size == 1:
                raise Stopped
            some = rows[start : start + rows_at_once]
            sequences = [examples[i].sequences[side] for side in range(sides) for i in some]
            shown = [examples[i].shown(side) for side in range(sides) for i in some]
            tokens = pad(sequences, pad_id, shown).to(job.device)
            values = (pair_logps if sides == 2 else logps)(model, tokens).cpu()
            table[some] = values.reshape(sides, len(some)).T


def _cache(job: Job, policy: nn.Module, *, bf16: bool) -> KnownLogps | None:
    """Return what is known under this run's reference; None where no folder is named, and in all processes but one."""
    if job.spec.cache is None or not job.is_main:
        return None
    spec, start = job.spec, _is_start(job)
    named = spec.model if start else spec.reference
    assert named is not None
    frozen = [parameter for parameter in policy.parameters() if not parameter.requires_grad]
    dtypes = {str(parameter.dtype) for parameter in frozen or policy.parameters()} if start else {str(torch.float32)}
    # The start of a run that trains all weights has its adapter merged into them, which rounds differently.
    merged = start and is_adapter(named) and not frozen
    how = {"dtypes": sorted(dtypes), "bf16": bf16, "device": job.device.type, "merged": merged}
    return KnownLogps(Path(job.spec.cache), model_key(named, trust_remote_code=spec.trust_remote_code, **how))


def _key(example: Example) -> bytes:
    return row_key(example.sequences, [example.shown(side) for side in range(len(example.completions))])


def _keep(cache: KnownLogps | None, keys: Mapping[int, bytes], rows: Sequence[int], table: Tensor) -> None:
    """Add those of the rows that are computed."""
    if cache:
        cache.add({keys[index]: table[index] for index in rows if table[index].isfinite().all()})


def _together(job: Job, table: Tensor) -> Tensor:
    """Return the table with what each of the processes has of it, no two of them the same; what none has is NaN."""
    if job.world_size == 1:
        return table
    there = distributed.sum_over(job, (~table.isnan()).float())
    return distributed.sum_over(job, torch.nan_to_num(table)).masked_fill(there == 0, float("nan"))


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
