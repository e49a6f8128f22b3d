"""Does runs in several processes each, forked from one that has imported everything: ``python in_processes.py run …``.

A run is written ``spec.json:processes:how`` with how it is done: ``copies`` (each process has the whole model),
``shards`` (they share it out); with ``-killed-5`` behind it the last process kills itself after its fifth step.
Prints the exit statuses of each run as a line of JSON; the processes' words go into ``log.txt`` beside the spec.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from pathlib import Path

import torch

from tests.core.kill_and_resume import kill_at
from training.core import run, sharding  # noqa: F401 – imported before the fork, as are all that it imports


def main(*runs: str) -> None:
    for one in runs:
        spec_path, processes, how = one.rsplit(":", 2)
        print(json.dumps(in_processes(spec_path, int(processes), how)), flush=True)


def in_processes(spec_path: str, processes: int, how: str) -> list[int]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    started = []
    for rank in range(processes):
        child = os.fork()
        if child == 0:
            places = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": processes, "MASTER_PORT": port}
            os.environ |= {name: str(value) for name, value in places.items()}
            sharded = "1" if how.startswith("shards") else "0"
            os.environ |= {
                "MASTER_ADDR": "127.0.0.1",
                "ATTUNE_PROCESSES": str(processes),
                "ATTUNE_SHARDED": sharded,
            }
            log = os.open(Path(spec_path).with_name("log.txt"), os.O_CREAT | os.O_WRONLY | os.O_APPEND)
            os.dup2(log, 1)
            os.dup2(log, 2)
            torch.set_num_threads(1)
            if "-killed-" in how and rank == processes - 1:
                kill_at("step", int(how.rsplit("-", 1)[1]))
            status = run.main(spec_path)
            sys.stdout.flush()
            os._exit(status)
        started.append(child)
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in started]


if __name__ == "__main__":
    main(*sys.argv[1:])
