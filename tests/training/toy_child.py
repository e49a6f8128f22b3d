"""A stand-in for `training.core.run` that keeps the file contract of a run and needs no model.

``python toy_child.py [--steps N] [--pause S] [--mode M] spec.json``. It computes a chain of hashes, one a step, writes
a checkpoint every third step and resumes from it; so its result shows whether every step was done once.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from training.recipes.spec import EXIT_STOPPED, RunResult, RunSpec, write_json


def main() -> int:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--steps", type=int, default=9)
    arguments.add_argument("--pause", type=float, default=0.0)
    arguments.add_argument("--mode", default="good")
    arguments.add_argument("spec")
    given = arguments.parse_args()
    spec = RunSpec.read(given.spec)
    folder = Path(spec.output)
    stop = folder / "STOP"
    told: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, frame: told.append(number))
    print(f"toy child {os.getpid()} in mode {given.mode}")

    checkpoint = folder / "checkpoints" / "state.json"
    state = json.loads(checkpoint.read_text()) if checkpoint.exists() else {"step": 0, "chain": str(spec.seed)}
    with (folder / "starts.txt").open("a") as file:
        file.write(f"{os.getpid()} {state['step']}\n")
    if given.mode == "explains":
        write_json(folder / "error.json", {"message": "The rows do not fit the model. Choose another snapshot."})
        return 1
    if given.mode == "crashes":
        raise RuntimeError("something broke in the middle")
    if given.mode == "is-killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if given.mode == "has-children":
        process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], close_fds=False)
        (folder / "grandchild.txt").write_text(str(process.pid))
    while state["step"] < given.steps:
        state["step"] += 1
        state["chain"] = hashlib.sha256(f"{state['chain']} {state['step']}".encode()).hexdigest()
        with (folder / "metrics.jsonl").open("a") as file:
            line = {"step": state["step"], "total_steps": given.steps, "time": time.time(), "loss": 1 / state["step"]}
            file.write(json.dumps(line) + "\n")
        asked = (stop.exists() and given.mode != "deaf") or (bool(told) and given.mode not in ("deaf", "stubborn"))
        if state["step"] % 3 == 0 or asked:
            write_json(checkpoint, state)
        if asked:
            return EXIT_STOPPED
        time.sleep(given.pause)
    model = folder / "model"
    model.mkdir(exist_ok=True)
    (model / "weights.txt").write_text(state["chain"])
    RunResult(model="model", metrics={"chain": state["chain"]}, counts={"rows": 3}, notes=["Made by a toy."]).write(
        folder
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
