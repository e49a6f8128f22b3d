"""Several models on one body: what is frozen and the same in all of them is in memory once.

Where the policy learns by an adapter, its base never changes. The critic begins on the same base with an adapter of its
own, and so may the reference, a reward model and a cost model. Each stays a model of its own, with its own adapter and
head, so nothing is switched over between them, and nothing of one is written out with another; they only hold the same
tensors. What is the same is found by its bytes: it does not matter where a model lies or what its parts are called.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

Mark = tuple[torch.Size, torch.dtype, float]


def share_frozen(owner: nn.Module, others: Iterable[nn.Module]) -> int:
    """Have the `others` hold the owner's frozen parameters where theirs are equal; return how many numbers that were.

    Only what is trained in neither is shared, so a model that is trained as a whole, or another base, stays as it is.
    """
    known: dict[Mark, list[nn.Parameter]] = {}
    for parameter in owner.parameters():
        if not parameter.requires_grad:
            known.setdefault(_mark(parameter), []).append(parameter)
    if not known:
        return 0
    device = next(iter(known.values()))[0].device
    owned, shared = {id(parameter) for parameter in owner.parameters()}, 0
    for other in others:
        for module in other.modules():
            for name, parameter in module.named_parameters(recurse=False):
                if parameter.requires_grad or id(parameter) in owned:
                    continue
                near = parameter.to(device)
                for own in known.get(_mark(near), ()):
                    if torch.equal(own, near):
                        setattr(module, name, own)
                        shared += own.numel()
                        break
    return shared


def _mark(parameter: Tensor) -> Mark:
    """Return what equal tensors have in common, and few others; a look at all their numbers comes only then."""
    return parameter.shape, parameter.dtype, float(parameter.detach().sum(dtype=torch.float64))
