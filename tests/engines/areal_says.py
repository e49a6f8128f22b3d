"""What the real AReaL makes of our files, on a CPU: run by the interpreter of an environment that has it, not by ours.

``python areal_says.py asked.json``, in the folder that is written for a run: reads each recipe's configuration by its
own schema and its allocation by its own grammar, has its workflow ask our reward function about an answer, and says
where its saver and its recovery write. Prints what came of it as JSON on the last line.
"""

from __future__ import annotations

import asyncio
import dataclasses
import importlib.metadata
import inspect
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path.cwd()))  # as a script that lies here has it

import torch
from areal import PPOTrainer
from areal.api import ModelResponse
from areal.api.alloc_mode import ModelAllocation, _AllocationMode
from areal.api.cli_args import GRPOConfig, load_expr_config
from areal.api.io_struct import StepInfo
from areal.engine import fsdp_engine
from areal.trainer.ppo import actor
from areal.utils import stats_tracker
from areal.utils.recover import RecoverHandler
from areal.utils.saver import Saver
from areal.utils.stats_logger import StatsLogger
from areal.workflow.rlvr import RLVRWorkflow


def read(config, name):
    """Return the value of a dotted name in a configuration, as plain data."""
    at = config
    for step in name.split("."):
        at = getattr(at, step)
    return dataclasses.asdict(at) if dataclasses.is_dataclass(at) else at


def load(tree):
    Path("asked.yaml").write_text(json.dumps(tree))
    return load_expr_config(["--config", "asked.yaml"], GRPOConfig)[0]


def refused(tree):
    try:
        load(tree)
    except Exception as error:
        return f"{type(error).__name__}: {str(error).splitlines()[0]}"
    return ""


def allocated(text):
    mode = _AllocationMode.from_str(text)
    return [
        f"{one.backend}:d{one.parallel.dp_size}p{one.parallel.pp_size}t{one.parallel.tp_size}"
        for one in mode.allocations
    ]


def rewarded(config, row):
    """Return the reward of an answer to a prompt of ours, as its workflow asks for it."""
    workflow = RLVRWorkflow(
        reward_fn="attune_reward.compute_score",
        gconfig=config.gconfig,
        tokenizer=config.tokenizer_path,
        enable_thinking=False,
    )
    ids = workflow.tokenizer("a fine answer", add_special_tokens=False)["input_ids"]

    class Speaker:
        async def agenerate(self, request):
            tokens = len(ids)
            return ModelResponse(
                input_tokens=request.input_ids,
                output_tokens=list(ids),
                output_logprobs=[0.0] * tokens,
                output_versions=[0] * tokens,
                stop_reason="stop",
            )

    found = asyncio.run(workflow.arun_episode(Speaker(), row))
    return {name: value.tolist() for name, value in found.items() if name == "rewards"}


def figures():
    """Return the names under which its tracker gives out what its actor tells it, as that does."""
    two = torch.ones(2)
    with stats_tracker.scope("ppo_actor"):
        stats_tracker.denominator(n_seqs=two.bool())
        stats_tracker.stat(task_reward=two, denominator="n_seqs")
        with stats_tracker.scope("update"):
            stats_tracker.denominator(n_valid_tokens=two.bool())
            of_tokens = dict.fromkeys(("entropy", "actor_loss", "clip_ratio", "approx_kl"), two)
            stats_tracker.stat(**of_tokens, denominator="n_valid_tokens")
            stats_tracker.scalar(lr=1.0, grad_norm=1.0)
    return sorted(stats_tracker.export_all())


def main():
    asked = json.loads(Path(sys.argv[1]).read_text())
    row = json.loads(Path("prompts.jsonl").read_text().splitlines()[0])
    settings = {}
    for name, one in asked["recipes"].items():
        config = load(one["tree"])
        settings[name] = {"read": {key: read(config, key) for key in one["told"]}}
    config = load(asked["recipes"]["grpo"]["tree"])
    trial = (config.experiment_name, config.trial_name, config.cluster.fileroot)
    source = inspect.getsource(actor) + inspect.getsource(fsdp_engine)
    told = {
        "version": importlib.metadata.version("areal"),
        "settings": settings,
        "refused": refused({**asked["recipes"]["grpo"]["tree"], "total_train_stepz": 2}),
        "allocations": {text: allocated(text) for text in asked["allocations"]},
        "backends": {text: ModelAllocation.from_str(text).backend for text in asked["backends"]},
        "trainer": [name for name in inspect.signature(PPOTrainer.__init__).parameters if name != "self"],
        "train": [name for name in inspect.signature(PPOTrainer.train).parameters if name != "self"],
        "commit": [name for name in inspect.signature(StatsLogger.commit).parameters if name != "self"],
        "reward": rewarded(config, row),
        "saved": Saver.get_model_save_path(*trial, epoch=0, step=1, globalstep=1),
        "recovers_from": RecoverHandler.recover_info_path(*trial),
        "step_info": dataclasses.asdict(StepInfo(epoch=0, epoch_step=1, global_step=1, steps_per_epoch=2)),
        "figures": figures(),
        "words_in_source": sorted(word for word in asked["words"] if f"{word}=" in source or f'"{word}"' in source),
    }
    print(json.dumps(told))


if __name__ == "__main__":
    main()
