"""What is read of a run's metrics and log while it works: torn lines, long files, no files."""

from __future__ import annotations

import itertools
import json

import pytest

from annotation.models import Campaign
from training import paths
from training.models import Run
from training.services import traces

pytestmark = pytest.mark.django_db


@pytest.fixture
def run(campaign: Campaign) -> Run:
    run = Run.objects.create(campaign=campaign, kind="fit", recipe={"name": "dpo"})
    paths.run_folder(run.pk).mkdir(parents=True)
    return run


def test_a_run_that_wrote_nothing_has_no_lines(campaign: Campaign) -> None:
    run = Run(pk=999, campaign=campaign)
    assert traces.metrics(run) == [] and traces.log_tail(run) == ""


def test_torn_and_foreign_lines_are_left_out(run: Run) -> None:
    path = paths.run_folder(run.pk) / "metrics.jsonl"
    path.write_bytes(b'{"step": 2, "loss": 1}\n[1]\n{"loss": 3}\n{"step": 1, "loss": 2}\n\xff\n{"step": 3, "lo')
    assert [line["step"] for line in traces.metrics(run)] == [1, 2]


def test_a_long_file_is_read_at_even_distances_with_its_last_line(run: Run) -> None:
    path = paths.run_folder(run.pk) / "metrics.jsonl"
    path.write_text("".join(json.dumps({"step": step, "loss": 1 / (step + 1)}) + "\n" for step in range(60_000)))
    assert path.stat().st_size > traces.WHOLE_BYTES
    found = [line["step"] for line in traces.metrics(run)]
    assert found == sorted(set(found))
    assert found[0] == 0 and found[-1] == 59_999
    assert traces.PICKED_LINES * 0.9 < len(found) <= traces.PICKED_LINES + 1
    gaps = [later - earlier for earlier, later in itertools.pairwise(found)]
    assert max(gaps) < 2 * 60_000 / traces.PICKED_LINES


def test_the_log_ends_at_its_end_and_begins_at_a_line(run: Run) -> None:
    path = paths.run_folder(run.pk) / "log.txt"
    path.write_text("first\n" + "x" * 50 + "\nlast: 10%\rlast: 100%\n", newline="")
    assert traces.log_tail(run) == "first\n" + "x" * 50 + "\nlast: 100%\n"
    assert traces.log_tail(run, limit=30) == "last: 100%\n"
    path.write_bytes(b"\xff\xfe broken\n")
    assert "broken" in traces.log_tail(run)
