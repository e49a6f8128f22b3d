"""A model in shards: each process keeps its part of the weights, gradients and moments while it learns (FSDP2).

Each block of a transformer is put together when a step comes through it, and taken apart again behind it; all the rest
(embeddings, norms, heads) for as long as one micro-batch takes. So a step costs the memory of the shards and of one
block, and not of weights, gradients and moments three times over. What reads a model without learning (samples,
measurements, saving) has it in one piece, so that the weights alone still have to fit into each process's device.

torch.distributed.fsdp.fully_shard; ZeRO's third stage, arXiv:1910.02054.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from transformers import PreTrainedModel

from training.core.job import Job, RunError
from training.recipes.note import Note

T = TypeVar("T")

log = logging.getLogger("attune.run")


class _Door(nn.Module):
    """What all work on the model goes through: FSDP puts together what a forward pass needs as one begins."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, work: Callable[[], Any]) -> Any:
        return work()


class Shards:
    """A model whose parameters are shared out over all processes. They have to come through its blocks equally often.

    Gradients are summed over processes and not averaged, as the loss is one weighted mean over all of them. A parameter
    that no process used has the gradient 0 and not none, so that weight decay reaches it too.
    """

    def __init__(self, job: Job, model: nn.Module) -> None:
        self.device = job.device
        mesh = init_device_mesh(job.device.type, (job.world_size,))
        self._blocks = [fully_shard(block, mesh=mesh) for block in blocks_of(model)]
        self._root = _Door(model)
        self._door = fully_shard(self._root, mesh=mesh)
        for module in self._every:
            module.set_gradient_divide_factor(1.0)
            module.set_force_sum_reduction_for_comms(True)  # gloo knows no other, and 1.0 needs no other
            module.set_reduce_scatter_unused_params(True)
        self._depth = 0
        self(lambda: None)  # tells FSDP which module is the outermost, before a block is put together by itself
        self._door.reset_iter_state()
        log.info("The model is in shards (FSDP2) over %d processes: %d blocks", job.world_size, len(self._blocks))

    @property
    def _every(self) -> list[FSDPModule]:
        return [self._door, *self._blocks]

    def __call__(self, work: Callable[[], T]) -> T:
        """Return what `work` does, which may use the model; of what it returns, tensors can be differentiated."""
        result: T = self._root(work)
        return result

    @contextmanager
    def whole(self) -> Iterator[None]:
        """Within it, each process has the model in one piece, to read, and may come through it as often as it likes."""
        self._depth += 1
        if self._depth == 1:
            for module in self._every:
                module.unshard()
            for block in self._blocks:
                block.set_reshard_after_forward(False, recurse=False)
        try:
            yield
        finally:
            self._depth -= 1
            if not self._depth:
                for block in self._blocks:
                    block.set_reshard_after_forward(True, recurse=False)
                # FSDP notes each pass, to fetch ahead in the next backward; these were no part of one.
                self._door.reset_iter_state()

    @contextmanager
    def written_out(self) -> Iterator[None]:
        """Within it, the parameters are whole and on the CPU: to be saved, not to be computed with.

        FSDP cuts a model up again as soon as its state is asked for, so `whole` is of no use to what saves it.
        """
        kept: list[tuple[nn.Module, str, nn.Parameter]] = []
        wholes: dict[int, nn.Parameter] = {}  # one of what is tied
        for module in [*self._root.modules()]:
            for name, parameter in [*module.named_parameters(recurse=False, remove_duplicate=False)]:
                if id(parameter) not in wholes:
                    whole = whole_tensor(parameter.detach()).cpu()
                    wholes[id(parameter)] = nn.Parameter(whole, requires_grad=parameter.requires_grad)
                kept.append((module, name, parameter))
                setattr(module, name, wholes[id(parameter)])
        try:
            yield
        finally:
            for module, name, parameter in kept:
                setattr(module, name, parameter)


def shards_of(job: Job, model: nn.Module) -> Shards | None:
    """Return the model in shards where the run is set to that, else None. RunError where there is nobody to share."""
    if not job.sharded:
        return None
    if job.world_size == 1:
        raise RunError(
            Note(
                "The model is to be in shards (ATTUNE_SHARDED), and there is one process. Start the run with "
                "torchrun, or set TRAIN_PROCESSES to the number of GPUs."
            )
        )
    return Shards(job, model)


def blocks_of(model: nn.Module) -> list[nn.Module]:
    """Return the modules that a transformer says are its blocks."""
    names = {
        name
        for module in model.modules()
        if isinstance(module, PreTrainedModel)
        for name in (module._no_split_modules or ())
    }
    return [module for module in model.modules() if type(module).__name__ in names]


def whole_tensor(tensor: Tensor) -> Tensor:
    """Return a tensor in one piece; of one in shards every process has to ask."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def cut_as(whole: Tensor, like: Tensor) -> Tensor:
    """Return this process's share of a tensor that every process has, cut as `like` is."""
    if not isinstance(like, DTensor):
        return whole
    here = whole.to(like.device)
    return distribute_tensor(here, like.device_mesh, like.placements, src_data_rank=None)
