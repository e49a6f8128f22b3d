"""A run in several processes of this machine: ``python -m training.core.several 2 spec.json``.

This is torchrun, which ends with 1 whatever ended its processes; here the exit status is the run's own, so that a run
that was stopped on request is not taken for one that failed.
"""

from __future__ import annotations

import sys
from pathlib import Path

from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.run import get_args_parser, run

from training.recipes.spec import EXIT_STOPPED, RunSpec


def main(processes: str, spec_path: str) -> int:
    """Start the processes, wait for them and return the run's exit status."""
    told = ["--standalone", f"--nproc-per-node={int(processes)}", "-m", "training.core.run", spec_path]
    try:
        run(get_args_parser().parse_args(told))
    except ChildFailedError as error:
        # The first to end has the others ended, so that theirs may be a signal's.
        codes = {failure.exitcode for failure in error.failures.values()}
        return EXIT_STOPPED if EXIT_STOPPED in codes else 1
    except SignalException:
        failed = (Path(RunSpec.read(spec_path).output) / "error.json").exists()
        return 1 if failed else EXIT_STOPPED
    return 0


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("Usage: python -m training.core.several PROCESSES spec.json")
    sys.exit(main(*sys.argv[1:]))
