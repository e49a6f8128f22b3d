"""The order of the examples, and the learning rate of each step."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from training.core.trainers.plan import batches_done, plan
from training.core.trainers.state import rate_at

DRAW = random.Random(7)
LENGTHS = [DRAW.randint(5, 500) for _ in range(103)]


def test_each_epoch_has_every_example_once_though_the_set_is_no_multiple_of_the_batch():
    batches = plan(LENGTHS, batch_size=10, epochs=3, max_steps=0, seed=1)
    assert Counter(i for batch in batches for i in batch) == dict.fromkeys(range(103), 3)
    assert len(batches) == 33 and sorted(map(len, batches))[:4] == [3, 3, 3, 10]


def test_the_order_is_the_seed_s_and_differs_between_epochs():
    batches = plan(LENGTHS, batch_size=10, epochs=2, max_steps=0, seed=1)
    assert batches == plan(LENGTHS, batch_size=10, epochs=2, max_steps=0, seed=1)
    assert batches != plan(LENGTHS, batch_size=10, epochs=2, max_steps=0, seed=2)
    assert batches[:11] != batches[11:]


def test_batches_hold_examples_of_like_length():
    batches = plan(LENGTHS, batch_size=10, epochs=1, max_steps=0, seed=1)
    padding = sum(max(LENGTHS[i] for i in b) * len(b) for b in batches) - sum(LENGTHS)
    draw = random.Random(0).sample(range(103), 103)
    mixed = [draw[i : i + 10] for i in range(0, 103, 10)]
    assert padding < 0.3 * (sum(max(LENGTHS[i] for i in b) * len(b) for b in mixed) - sum(LENGTHS))


def test_max_steps_cuts_the_plan_and_does_not_change_it():
    whole = plan(LENGTHS, batch_size=10, epochs=2, max_steps=0, seed=1)
    assert plan(LENGTHS, batch_size=10, epochs=2, max_steps=5, seed=1) == whole[:5]


def test_a_cursor_in_examples_finds_the_batch_to_go_on_with():
    batches = plan(LENGTHS, batch_size=10, epochs=2, max_steps=0, seed=1)
    for done in (0, 1, 10, 11, 22):
        assert batches_done(batches, sum(map(len, batches[:done]))) == done
    with pytest.raises(ValueError, match="do not end with a batch"):
        batches_done(batches, 1)


def test_the_rate_rises_and_falls():
    """10 steps, 0.2 of them warm-up: 0.5, 1, then a cosine over 8 from 1 that would be 0 at step 10."""
    rates = [rate_at(s, total_steps=10, highest=1.0, warmup=0.2, schedule="cosine") for s in range(10)]
    assert rates[:3] == [0.5, 1.0, 1.0]
    assert rates[6] == pytest.approx(0.5) and 0 < rates[9] < 0.05
    assert rate_at(6, total_steps=10, highest=1.0, warmup=0.2, schedule="linear") == pytest.approx(0.5)
    assert rate_at(9, total_steps=10, highest=1.0, warmup=0.0, schedule="constant") == 1.0
    assert rate_at(0, total_steps=1, highest=1.0, warmup=1.0, schedule="cosine") == 1.0
