"""Stands in for verl, which cannot be installed beside our libraries: its command line and its files, and no learning.

``python -m verl.trainer.main_ppo key=value …``: refuses a name that verl 0.9.1 does not have, reads the prompts, asks
the reward function for rewards, and in each step adds 0.001 to one tensor of the policy. Writes the figures where
``VERL_FILE_LOGGER_PATH`` says, and checkpoints with the policy in ``actor/huggingface``, from which it goes on.

What goes wrong in it is said by `faults`.
"""

from __future__ import annotations

import ast
import importlib.util
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as parquet
from faults import go_wrong
from safetensors.numpy import load_file, save_file

NAMES = Path(__file__).parents[3] / "golden" / "verl_names.txt"


def settings_of(arguments: list[str]) -> dict[str, Any]:
    """Return the settings as Hydra would: numbers, True and False, quoted texts, and lists of these."""
    known = set(NAMES.read_text().split())
    told = {}
    for argument in arguments:
        name, value = argument.split("=", 1)
        if name not in known:
            sys.exit(f"Could not override '{name}'. Key '{name}' is not in struct")
        told[name] = ast.literal_eval(value) if value[0] in "['-0123456789TF" else value
    return told


def reward_function(path: str, name: str) -> Any:
    spec = importlib.util.spec_from_file_location("reward", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return getattr(module, name)


def main(arguments: list[str]) -> None:
    told = settings_of(arguments)
    rows = parquet.read_table(told["data.train_files"]).to_pylist()
    reward = reward_function(told["reward.custom_reward_function.path"], told["reward.custom_reward_function.name"])
    checkpoints = Path(told["trainer.default_local_dir"])
    tracker = checkpoints / "latest_checkpointed_iteration.txt"
    done = int(tracker.read_text()) if tracker.exists() else 0
    model = Path(told["actor_rollout_ref.model.path"])
    if done:
        model = checkpoints / f"global_step_{done}" / "actor" / "huggingface"
    weights = load_file(model / "model.safetensors")
    moved = min(weights)
    batch, n, last = (
        told["data.train_batch_size"],
        told["actor_rollout_ref.rollout.n"],
        told["trainer.total_training_steps"],
    )
    with open(os.environ["VERL_FILE_LOGGER_PATH"], "w") as file:
        for step in range(done + 1, last + 1):
            go_wrong(step)
            asked = [rows[(step * batch + place) % len(rows)] for place in range(batch) for _ in range(n)]
            found = [
                reward(
                    data_source=row["data_source"],
                    solution_str=f"thanks {step}" if place % 2 else "no",
                    ground_truth=row["reward_model"]["ground_truth"],
                    extra_info=row["extra_info"],
                )
                for place, row in enumerate(asked)
            ]
            weights[moved] = weights[moved] + 0.001
            data = {"critic/rewards/mean": sum(found) / len(found), "actor/grad_norm": 1.0, "training/epoch": 0}
            file.write(json.dumps({"step": step, "data": data}) + "\n")
            file.flush()
            if step == last or step % told["trainer.save_freq"] == 0:
                folder = checkpoints / f"global_step_{step}" / "actor" / "huggingface"
                shutil.copytree(model, folder, dirs_exist_ok=True)
                save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
                tracker.write_text(str(step))


if __name__ == "__main__":
    main(sys.argv[1:])
