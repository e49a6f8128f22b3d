"""What the real verl makes of our files, on a CPU: run by the interpreter of an environment that has it, never by ours.

``python verl_says.py asked.json``: composes each recipe's arguments by its own Hydra configuration and validates them,
loads our prompts by its data set, calls our reward function by its reward manager, has its trainer save a policy, and
computes its figures on two answers. Prints what came of it as JSON on the last line.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import inspect
import json
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
import verl
from hydra import compose, initialize_config_dir
from hydra.errors import HydraException
from omegaconf import OmegaConf
from torch.distributed.fsdp import FullyShardedDataParallel
from torch.utils.data import DataLoader
from transformers import AutoModelForCausalLM, AutoTokenizer
from verl import DataProto
from verl.trainer import main_ppo
from verl.trainer.ppo.core_algos import get_policy_loss_fn
from verl.trainer.ppo.metric_utils import compute_data_metrics
from verl.trainer.ppo.reward import load_reward_manager
from verl.trainer.ppo.utils import need_critic, need_reference_policy
from verl.trainer.ppo.v1 import trainer_base
from verl.utils.checkpoint.checkpoint_manager import find_latest_ckpt_path
from verl.utils.checkpoint.fsdp_checkpoint_manager import FSDPCheckpointManager
from verl.utils.config import omega_conf_to_dataclass, validate_config
from verl.utils.dataset.rl_dataset import RLHFDataset
from verl.utils.py_functional import rename_dict
from verl.utils.tracking import FileLogger
from verl.workers.utils import losses

CONFIG = str(Path(verl.__file__).parent / "trainer" / "config")


def composed(arguments):
    with initialize_config_dir(CONFIG, version_base=None):
        return compose("ppo_trainer", overrides=arguments)


def settings(asked):
    """Return, for each recipe, what verl's own configuration holds where we told it something; it validates as well."""
    found = {}
    for name, one in asked["recipes"].items():
        config = composed(one["arguments"])
        validate_config(
            config=config, use_reference_policy=need_reference_policy(config), use_critic=need_critic(config)
        )
        for part in (config.actor_rollout_ref.actor, config.actor_rollout_ref.rollout, config.algorithm):
            omega_conf_to_dataclass(part)
        read = {key: OmegaConf.select(config, key) for key in one["told"]}
        plain = {key: OmegaConf.to_container(v) if OmegaConf.is_config(v) else v for key, v in read.items()}
        found[name] = {"read": plain, "critic": need_critic(config), "reference": need_reference_policy(config)}
    return found


def refused(arguments):
    try:
        composed(arguments)
    except HydraException as error:
        return str(error).splitlines()[0]
    return ""


def rewarded(config, tokenizer, row):
    """Return the reward of an answer to a prompt of its data set, by the manager that its reward loop uses."""
    ids = torch.tensor([tokenizer("a fine answer", add_special_tokens=False)["input_ids"]])
    data = DataProto.from_dict(
        tensors={"responses": ids, "attention_mask": torch.ones_like(ids)},
        non_tensors={
            name: np.array([row[name]], dtype=object) for name in ("data_source", "reward_model", "extra_info")
        },
    )

    async def ask():
        manager = load_reward_manager(config, tokenizer)
        manager.loop = asyncio.get_running_loop()
        return await manager.run_single(data)

    return asyncio.run(ask())["reward_score"]


def saved(config, tokenizer, folder):
    """Have its trainer save a policy after step 2, and return which files there are and where it would go on from."""
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29511", "RANK": "0", "WORLD_SIZE": "1"}
    torch.distributed.init_process_group("gloo", rank=0, world_size=1)
    model = AutoModelForCausalLM.from_pretrained(config.actor_rollout_ref.model.path, dtype=torch.float32)
    model = FullyShardedDataParallel(model, device_id=torch.device("cpu"))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    manager = FSDPCheckpointManager(
        model=model,
        optimizer=optimizer,
        lr_scheduler=torch.optim.lr_scheduler.ConstantLR(optimizer),
        processing_class=tokenizer,
        checkpoint_config=config.actor_rollout_ref.actor.checkpoint,
    )
    trainer = SimpleNamespace(
        config=config,
        global_steps=2,
        use_critic=False,
        trainer_mode="sync",
        train_dataloader=SimpleNamespace(state_dict=dict),
        checkpoint_callback=SimpleNamespace(on_save=lambda *_, **__: None),
        actor_rollout_wg=SimpleNamespace(
            save_checkpoint=lambda local, remote, step, max_ckpt_to_keep: manager.save_checkpoint(
                local, remote, step, max_ckpt_to_keep
            )
        ),
    )
    trainer_base.PPOTrainer._save_checkpoint(trainer)
    torch.distributed.destroy_process_group()
    files = sorted(str(path.relative_to(folder)) for path in Path(folder).rglob("*") if path.is_file())
    return {"files": files, "goes_on_from": str(Path(find_latest_ckpt_path(folder)).relative_to(folder))}


def figures(config, names):
    """Return the names of its figures: of answers, of the policy's loss, of an update as the trainer renames them.

    Some of `names` are made only on a GPU: they are looked up in the source of its trainer and its loss.
    """
    shape = (2, 3)
    ones = torch.ones(shape)
    batch = DataProto.from_dict(
        tensors={
            **dict.fromkeys(("token_level_scores", "token_level_rewards", "advantages", "returns"), ones),
            "responses": ones.long(),
            "prompts": ones.long(),
            "response_mask": ones.long(),
            "attention_mask": torch.ones(2, 6, dtype=torch.long),
        }
    )
    _, loss = get_policy_loss_fn("vanilla")(
        old_log_prob=ones,
        log_prob=ones,
        advantages=ones,
        response_mask=ones,
        loss_agg_mode="token-mean",
        config=omega_conf_to_dataclass(config.actor_rollout_ref.actor),
    )
    update = rename_dict({"grad_norm": 0.0, "lr": 0.0, **loss}, "actor/")
    source = inspect.getsource(trainer_base) + inspect.getsource(losses)
    return {
        "made": sorted({**compute_data_metrics(batch, use_critic=False), **update}),
        "in_source": sorted(name for name in names if f'"{name}"' in source),
    }


def main():
    asked = json.loads(Path(sys.argv[1]).read_text())
    config = composed(asked["recipes"]["grpo"]["arguments"])
    tokenizer = AutoTokenizer.from_pretrained(config.actor_rollout_ref.model.path)
    dataset = RLHFDataset(config.data.train_files, tokenizer, config.data)
    (row,) = DataLoader(dataset, batch_size=1, collate_fn=lambda rows: rows[0], sampler=[0])
    FileLogger("attune", "run").log({"critic/rewards/mean": 0.5}, 1)
    told = {
        "version": importlib.metadata.version("verl"),
        "entry": f"{main_ppo.__name__}.{main_ppo.main.__name__}",
        "settings": settings(asked),
        "free": {
            key: type(
                OmegaConf.select(composed([*asked["recipes"]["grpo"]["arguments"], f"{key}={value}"]), key)
            ).__name__
            for key, value in asked["free"].items()
        },
        "refused": refused([*asked["recipes"]["grpo"]["arguments"], "trainer.nnode=2"]),
        "prompts": len(dataset),
        "first_prompt": row["raw_prompt"],
        "reward": rewarded(config, tokenizer, row),
        "figures": figures(config, asked["metrics"]),
        "line": json.loads(Path(os.environ["VERL_FILE_LOGGER_PATH"]).read_text()),
        "checkpoint": saved(config, tokenizer, config.trainer.default_local_dir),
    }
    print(json.dumps(told))


if __name__ == "__main__":
    main()
