"""A cache of keys and values with room for what comes: a token is written behind the last, and nothing is moved.

The library's own layer joins the old and the new into one tensor for every token, which moves all that was read so far:
with a small model and eight answers a prompt that was half of the time that sampling took. Here a layer keeps more
places than it needs, gives out a view of those that are filled, and moves only when they run out.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache, DynamicLayer, PreTrainedConfig

ROOM = 64  # tokens; what is left over of it at the end is memory for nothing


class RoomyLayer(DynamicLayer):
    """What one layer keeps of R rows and T tokens: `keys` and `values` (R, H, T, D), the front of a larger tensor."""

    def __init__(self, **more: Any) -> None:
        super().__init__(**more)
        self._places: tuple[Tensor, Tensor] | None = None  # of keys and values, (at least R, H, at least T, D)

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **more: Any) -> tuple[Tensor, Tensor]:
        if self.get_seq_length() == 0:  # a prompt may be all there is
            self.dtype, self.device, self.is_initialized = key_states.dtype, key_states.device, True
            self.keys, self.values, self._places = key_states, value_states, None
            return key_states, value_states
        assert self.keys is not None
        start, end = self.keys.shape[2], self.keys.shape[2] + key_states.shape[2]
        if self._places is None or end > self._places[0].shape[2]:
            self._move(1, tokens=end + ROOM)
        assert self._places is not None
        rows = len(key_states)
        for places, states in zip(self._places, (key_states, value_states), strict=True):
            places[:rows, :, start:end] = states
        return self._give(rows, end)

    def batch_repeat_interleave(self, repeats: int) -> None:
        if length := self.get_seq_length():
            self._move(repeats, tokens=length + ROOM)

    def batch_select_indices(self, indices: Tensor) -> None:
        if self.get_seq_length() == 0:
            return
        if self._places is None:
            super().batch_select_indices(indices)
            return
        moved = (indices != torch.arange(len(indices), device=indices.device)).nonzero().squeeze(1)
        for places in self._places:
            places[moved] = places[indices[moved]]  # what is read is read before any is written
        assert self.keys is not None
        self._give(len(indices), self.keys.shape[2])

    def reorder_cache(self, beam_idx: torch.LongTensor) -> None:
        super().reorder_cache(beam_idx)
        self._places = None

    def crop(self, tokens_to_remove: int) -> None:
        super().crop(tokens_to_remove)
        self._places = None

    def reset(self) -> None:
        super().reset()
        self._places = None

    def _move(self, repeats: int, *, tokens: int) -> None:
        """Copy each row `repeats` times into places for so many `tokens`."""
        made = []
        assert self.keys is not None and self.values is not None
        for old in (self.keys, self.values):
            rows, heads, length, width = old.shape
            places = old.new_empty(rows, repeats, heads, tokens, width)
            places[:, :, :, :length] = old[:, None]
            made.append(places.reshape(rows * repeats, heads, tokens, width))
        self._places = (made[0], made[1])
        self._give(len(made[0]), self.keys.shape[2])

    def _give(self, rows: int, tokens: int) -> tuple[Tensor, Tensor]:
        """Give out the first `rows` and `tokens` of the places."""
        assert self._places is not None
        keys, values = (places[:rows, :, :tokens] for places in self._places)
        self.keys, self.values = keys, values
        return keys, values


def roomy_cache(config: PreTrainedConfig) -> DynamicCache:
    """Return an empty cache for a model; layers that keep something else than all keys and values are the library's."""
    cache = DynamicCache(config=config)
    cache.layers = [RoomyLayer() if type(layer) is DynamicLayer else layer for layer in cache.layers]
    return cache


def without(done: Tensor) -> Tensor:
    """Return which of R rows go on, those that are `done` (R,) being left out: as few as can be change their place."""
    left = len(done) - int(done.sum())
    order = torch.arange(left, device=done.device)
    order[done[:left]] = left + (~done[left:]).nonzero().squeeze(1)
    return order
