"""Stands in for AReaL 1.0.4, which cannot be installed beside our libraries: its calls and its files, and no learning.

`PPOTrainer` takes what that of version 1.0.4 takes, starts a process as its scheduler starts its workers, asks the
reward function for rewards with the tokens of answers, and in each step adds 0.001 to one tensor of the policy. Writes
the policy where its saver does and what it goes on from where its recover handler does. What goes wrong in it is said
by `faults`.
"""

from __future__ import annotations

import importlib
import inspect
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from faults import go_wrong
from safetensors.numpy import load_file, save_file
from tokenizers import Tokenizer


def named(path: str) -> Any:
    module, name = path.rsplit(".", 1)
    return getattr(importlib.import_module(module), name)


class StatsLogger:
    def commit(self, epoch: int, step: int, global_step: int, data: dict | list[dict]) -> None:
        print(f"Train step {global_step + 1} done.", flush=True)


class PPOTrainer:
    def __init__(self, config: Any, train_dataset: Any = None, valid_dataset: Any = None) -> None:
        if not Path(config["cluster"]["name_resolve"]["nfs_record_root"]).is_dir():
            raise FileNotFoundError("nfs_record_root does not exist.")
        self.config, self.rows = config, train_dataset
        self.stats_logger = StatsLogger()
        self.worker = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        Path("worker").write_text(str(self.worker.pid))

    def __enter__(self) -> PPOTrainer:
        return self

    def __exit__(self, *raised: object) -> None:
        self.worker.kill()
        self.worker.wait()

    def train(
        self,
        workflow: str | None = None,
        eval_workflow: str | None = None,
        workflow_kwargs: dict[str, Any] | None = None,
        eval_workflow_kwargs: dict[str, Any] | None = None,
    ) -> None:
        assert workflow is not None and workflow_kwargs is not None
        inspect.signature(named(workflow)).bind(**workflow_kwargs)
        reward, config = named(workflow_kwargs["reward_fn"]), self.config
        trial = Path(config["cluster"]["fileroot"]) / "checkpoints" / "account" / config["experiment_name"] / "run"
        kept, info = trial / "default" / "recover_checkpoint", trial / "recover_info" / "step_info.json"
        done = json.loads(info.read_text())["global_step"] + 1 if info.exists() else 0
        model = Path(config["actor"]["path"])
        weights = load_file((kept if done else model) / "model.safetensors")
        moved = min(weights)
        tokenizer = Tokenizer.from_file(str(Path(config["tokenizer_path"]) / "tokenizer.json"))
        end = json.loads((model / "config.json").read_text())["eos_token_id"]
        batch, n, last = (
            config["train_dataset"]["batch_size"],
            config["gconfig"]["n_samples"],
            config["total_train_steps"],
        )
        for step in range(done, last):
            go_wrong(step + 1)
            asked = [self.rows[(step * batch + place) % len(self.rows)] for place in range(batch) for _ in range(n)]
            found = []
            for place, row in enumerate(asked):
                ids = [*tokenizer.encode("thanks" if place % 2 else "no", add_special_tokens=False).ids, end]
                found.append(reward("?", "with its end", [1], ids, **row))
            weights[moved] = weights[moved] + 0.001
            for folder, every in (
                (trial / "default" / f"epoch0epochstep{step}globalstep{step}", config["saver"]["freq_steps"]),
                (kept, config["recover"]["freq_steps"]),
            ):
                if (step + 1) % every == 0:
                    shutil.copytree(model, folder, dirs_exist_ok=True)
                    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
                    if folder == kept:
                        info.parent.mkdir(exist_ok=True)
                        info.write_text(json.dumps({"epoch": 0, "epoch_step": step, "global_step": step}))
            numbers = {"ppo_actor/task_reward/avg": sum(found) / len(found), "ppo_actor/update/grad_norm": 1.0}
            self.stats_logger.commit(0, step, step, {**numbers, "timeperf/train_step": 0.1})
