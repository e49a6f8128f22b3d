"""Tiny models, made once; one thread, so that the machine's other work cannot slow a test down many times."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.core.worlds import make_spec, tiny_policy
from training.core.run import KINDS, open_job


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def policy(tmp_path_factory) -> Path:
    return tiny_policy(tmp_path_factory.mktemp("policy"))


@pytest.fixture
def do(tmp_path):
    """Make a spec, do the run in this process, and return (spec, result)."""

    def run(name: str, *, into: str = "run", **more):
        spec = make_spec(tmp_path / into, name, **more)
        result = KINDS[spec.kind](open_job(spec))
        result.write(spec.output)
        return spec, result

    return run


@pytest.fixture(scope="session")
def reward(tmp_path_factory, policy) -> Path:
    """A reward model after two steps."""
    spec = make_spec(tmp_path_factory.mktemp("reward"), "bradley-terry", model=policy, max_steps=2, batch_size=4)
    KINDS["fit"](open_job(spec))
    return Path(spec.output) / "model"
