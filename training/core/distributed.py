"""Several processes as one: each computes its share of a batch, and sums are taken over all of them.

Gradients are summed by hand after the last micro-batch instead of by a wrapper around the model: the loss is one
weighted mean over everything, and its weight is known only when every process has seen its share.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from training.core.job import Job, RunError
from training.recipes.note import Note

T = TypeVar("T")


def join(device: torch.device) -> tuple[int, int]:
    """Join the processes this one was started with, and return (rank, world size); (0, 1) when it is alone.

    RunError when the launcher promised more processes than there are: a launcher that quietly starts one would train
    with a share of the data.
    """
    promised = int(os.environ.get("ATTUNE_PROCESSES") or 1)
    told = int(os.environ.get("WORLD_SIZE") or 1)
    if told > 1:
        dist.init_process_group(backend_for(device))
        if dist.get_world_size() != told:
            raise RunError(
                Note(
                    "{told} processes were announced and {came} came. Check the launcher.",
                    told=told,
                    came=dist.get_world_size(),
                )
            )
    if promised not in (1, told):
        raise RunError(
            Note(
                "ATTUNE_PROCESSES is {promised}, but the launcher started {told}. Start the run with "
                "torchrun --nproc-per-node {promised}.",
                promised=promised,
                told=told,
            )
        )
    return int(os.environ.get("RANK") or 0), told


def backend_for(device: torch.device) -> str:
    """Return by what processes on such devices speak with each other: NCCL between GPUs, gloo between CPUs."""
    return "nccl" if device.type == "cuda" else "gloo"


def sharded() -> bool:
    """Return whether this process was told that what is trained is to be shared out; see `sharding`."""
    told = os.environ.get("ATTUNE_SHARDED") or "0"
    if told not in ("0", "1"):
        raise RunError(Note("ATTUNE_SHARDED is {told}. Set it to 1 or 0.", told=told))
    return told == "1"


def leave() -> None:
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()


def wait(job: Job) -> None:
    """Return when every process has come this far."""
    if job.world_size > 1:
        dist.barrier()


def sum_over(job: Job, tensor: Tensor) -> Tensor:
    """Return the sum of `tensor` over all processes."""
    if job.world_size == 1:
        return tensor
    there = tensor.to(job.device)
    dist.all_reduce(there)
    return there.to(tensor.device)


def gather_rows(job: Job, own: list[T]) -> list[T]:
    """Return everybody's rows in one list; process r of n holds the rows r, r + n, r + 2n, … of it."""
    if job.world_size == 1:
        return own
    everyone: list[Any] = [None] * job.world_size
    dist.all_gather_object(everyone, own)
    whole: list[Any] = [None] * sum(map(len, everyone))
    for rank, rows in enumerate(everyone):
        whole[rank :: job.world_size] = rows
    return whole


def gather_shares(job: Job, own: list[list[int]], values: list[T]) -> list[T]:
    """Return everybody's values in the order of their rows; process r of n has the shares of rows r, r + n, … .

    `values` has one for each row of this process's shares, in their order.
    """
    given = iter(values)
    told = gather_rows(job, [[(row, next(given)) for row in share] for share in own])
    return [value for _, value in sorted((one for share in told for one in share), key=lambda one: one[0])]


def share_start(job: Job, parameters: Iterable[nn.Parameter]) -> None:
    """Give every process the first one's weights."""
    if job.world_size > 1:
        for parameter in parameters:
            dist.broadcast(parameter.data, src=0)


def sum_gradients(job: Job, parameters: Iterable[nn.Parameter]) -> None:
    """Sum the gradients over all processes. A process that had no row of the batch takes part with zeros."""
    if job.world_size == 1:
        return
    given = list(parameters)
    used = torch.tensor([float(p.grad is not None) for p in given], device=job.device)
    dist.all_reduce(used)
    waiting = []
    for parameter, count in zip(given, used.tolist(), strict=True):
        if count:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            waiting.append(dist.all_reduce(parameter.grad, async_op=True))
    for work in waiting:
        work.wait()
