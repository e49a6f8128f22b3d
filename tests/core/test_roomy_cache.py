"""The cache with room: to the bit what the library's keeps, whatever comes, goes, and is moved."""

from __future__ import annotations

import pytest
import torch
from transformers import DynamicCache, DynamicLayer

from training.core.decode import completion_logps, generate
from training.core.roomy_cache import ROOM, RoomyLayer, roomy_cache, without
from training.core.tiny import tiny_llama


def test_it_keeps_what_the_librarys_keeps_over_many_moves():
    draw = torch.Generator().manual_seed(0)
    ours, theirs = RoomyLayer(), DynamicLayer()

    def came(rows: int, tokens: int) -> None:
        keys, values = (torch.randn(rows, 2, tokens, 3, generator=draw) for _ in range(2))
        for mine, other in zip(ours.update(keys, values), theirs.update(keys, values), strict=True):
            assert torch.equal(mine, other)

    came(2, 5)
    rows = 6
    for layer in (ours, theirs):
        layer.batch_repeat_interleave(3)
    moves = 0
    for step in range(2 * ROOM + 9):
        before = ours._places[0].data_ptr()
        came(rows, 1)
        moves += ours._places[0].data_ptr() != before
        if step % 40 == 39:
            kept = torch.randperm(rows, generator=draw)[: rows - 1]
            rows -= 1
            for layer in (ours, theirs):
                layer.batch_select_indices(kept)
            assert torch.equal(ours.keys, theirs.keys) and torch.equal(ours.values, theirs.values)
    assert rows == 3 and moves == 2  # and not once a token
    for layer in (ours, theirs):
        layer.reorder_cache(torch.tensor([2, 0, 0]))
        layer.crop(-3)
    came(3, 2)
    for layer in (ours, theirs):
        layer.reset()
    came(1, 4)
    assert ours.get_seq_length() == theirs.get_seq_length() == 4


@pytest.mark.parametrize("done", [[1, 0, 0, 0], [0, 0, 1], [1, 0, 1, 0, 1, 1], [0, 0], [0, 1, 1, 0, 0]])
def test_those_who_are_done_leave_and_few_change_their_place(done):
    gone = torch.tensor(done, dtype=torch.bool)
    order = without(gone).tolist()
    assert sorted(order) == [row for row, out in enumerate(done) if not out]
    assert sum(place != row for place, row in enumerate(order)) == sum(done[: len(order)])


def test_answers_that_end_here_and_there_are_those_of_a_forward_pass():
    """Of ragged prompts, longer than the room, with most rows leaving on the way."""
    model = tiny_llama(64, hidden_size=32, layers=2, heads=4, kv_heads=2, intermediate_size=64, seed=3)
    prompts = [[5, 6, 7], [9] * 12, [11, 12]]
    drawn = generate(
        model, prompts, n=5, temperature=1.0, max_new_tokens=ROOM + 20, stop=frozenset({1}), seeds=[1, 2, 3]
    )
    flat = [(prompt, one) for prompt, group in zip(prompts, drawn, strict=True) for one in group]
    lengths = {len(one.ids) for _, one in flat}
    assert max(lengths) > ROOM and len(lengths) > 5 and any(one.ended for _, one in flat)
    found = completion_logps(model, [prompt for prompt, _ in flat], [one.ids for _, one in flat])
    assert [one.logp for _, one in flat] == pytest.approx(found, abs=1e-3)


def test_layers_that_keep_something_else_are_left_as_they_are():
    config = tiny_llama(64, hidden_size=32, layers=2, heads=4, kv_heads=2, intermediate_size=64, seed=0).config
    assert [type(layer) for layer in roomy_cache(config).layers] == [RoomyLayer] * 2
    config.layer_types, config.sliding_window = ["full_attention", "sliding_attention"], 8
    library = DynamicCache(config=config).layers[1]
    assert [type(layer) for layer in roomy_cache(config).layers] == [RoomyLayer, type(library)]
    assert type(library) is not DynamicLayer
