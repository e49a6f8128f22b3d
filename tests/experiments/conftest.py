"""One thread and the same random numbers each time, so that a figure can be had again."""

from __future__ import annotations

import pytest
import torch

from tests.experiments.frame import Report


@pytest.fixture(autouse=True)
def same_each_time():
    torch.set_num_threads(1)
    torch.manual_seed(0)


@pytest.fixture
def report() -> Report:
    return Report()
