"""Recipes as settings of AReaL 1.0.4, the successor of ReaLHF (arXiv:2406.14088), and its allocation string."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from training.recipes.base import Recipe, RecipeError
from training.recipes.engines import UNBOUNDED, Files, overridden, refuse_knobs, refuse_parts

VERSION = "1.0.4"
SUPPORTED = {"combine": ("first",), "advantage": ("group-norm",), "update": ("clipped",)}
FREE: dict[str, type] = {
    "allocation_mode": str,
    "cluster.n_nodes": int,
    "cluster.n_gpus_per_node": int,
    "rollout.max_concurrent_rollouts": int,
    "train_dataset.max_length": int,
}
# "sglang[rollout]:d4t2+fsdp[actor]:d8"; | instead of + where both have the same GPUs. FSDP has no stages.
_SIZE = r"[1-9]\d*"
GRAMMAR = re.compile(
    rf"(?P<rollout>sglang|vllm)\[rollout\]:(?P<there>d{_SIZE}(?:p{_SIZE})?(?:t{_SIZE})?)(?P<sign>[+|])"
    rf"(?:(?P<fsdp>fsdp)\[actor\]:(?P<here>d{_SIZE}(?:t{_SIZE})?)"
    rf"|(?P<megatron>megatron)\[actor\]:(?P<staged>d{_SIZE}(?:p{_SIZE})?(?:t{_SIZE})?))"
)
NAMES = {"experiment_name": "attune", "trial_name": "run"}  # of these each part of the settings wants to know


def compiled(
    recipe: Recipe, knobs: Mapping[str, Any], files: Files, *, seed: int, own: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return AReaL's settings by their dotted names; RecipeError for what has no counterpart there.

    Nothing is learned off the policy: answers are of the newest weights (`max_head_offpolicyness` is 0), the decoupled
    loss is off, and rewards are neither scaled, shifted nor clipped. Its KL term is part of the reward and not, as that
    of our `clipped`, of the loss, so that a weight other than 0 is refused.
    """
    refuse_parts(recipe, "AReaL", SUPPORTED)
    read: set[str] = set()

    def knob(name: str) -> Any:
        read.add(name)
        return knobs[name]

    n, prompts, rows = knob("samples_per_prompt"), knob("prompts_per_iteration"), knob("batch_size")
    if (n * prompts) % rows:
        told = f"AReaL cuts the {n * prompts} answers of an iteration into equal parts: batch_size has to divide them."
        raise RecipeError(told, {"batch_size": [told]})
    if knob("passes") != 1:
        raise RecipeError("AReaL goes through its answers once.", {"passes": ["Leave it at 1 for AReaL."]})
    if knob("kl_weight"):
        raise RecipeError("AReaL has no KL term in the loss.", {"kl_weight": ["Set it to 0 for AReaL."]})
    if knob("lora_rank"):
        raise RecipeError("Adapters are not compiled for AReaL.", {"lora_rank": ["Set it to 0 for AReaL."]})
    read.add("kl_estimate")  # of no consequence at weight 0
    settings: dict[str, Any] = {
        **NAMES,
        **{f"{part}.{name}": value for part in ("actor", "saver", "recover") for name, value in NAMES.items()},
        **{f"{part}.{name}": value for part in ("evaluator", "stats_logger") for name, value in NAMES.items()},
        **{f"{part}.fileroot": files.checkpoints for part in ("saver", "recover", "evaluator", "stats_logger")},
        "seed": seed,
        "total_train_steps": knob("iterations"),
        "total_train_epochs": knobs["iterations"],  # more than there are: the steps end it
        "tokenizer_path": files.model,
        "allocation_mode": "sglang[rollout]:d1+fsdp[actor]:d1",
        "cluster.n_nodes": 1,
        "cluster.n_gpus_per_node": 2,
        "cluster.fileroot": files.checkpoints,
        "rollout.max_concurrent_rollouts": n * prompts,
        "rollout.max_head_offpolicyness": 0,
        "gconfig.n_samples": n,
        "gconfig.temperature": knob("temperature"),
        "gconfig.max_new_tokens": knob("max_new_tokens"),
        "actor.path": files.model,
        "actor.eps_clip": knob("clip"),
        "actor.kl_ctl": 0.0,
        "actor.temperature": knobs["temperature"],
        "actor.max_new_tokens": knobs["max_new_tokens"],
        "actor.ppo_n_minibatches": n * prompts // rows,
        "actor.reward_scaling": 1.0,
        "actor.reward_bias": 0.0,
        "actor.reward_clip": UNBOUNDED,
        "actor.use_decoupled_loss": False,
        "actor.recompute_logprob": True,
        "actor.reward_norm.mean_level": "group",
        "actor.reward_norm.std_level": "group" if knob("scale_by_group") else None,
        "actor.reward_norm.group_size": n,
        "actor.reward_norm.eps": 1e-4,  # as in our group_norm
        "actor.adv_norm": None,
        "actor.optimizer.lr": knob("learning_rate"),
        "actor.optimizer.weight_decay": knob("weight_decay"),
        "actor.optimizer.gradient_clipping": knob("gradient_clip") or UNBOUNDED,
        "actor.optimizer.lr_scheduler_type": knob("schedule"),
        "actor.optimizer.warmup_steps_proportion": knob("warmup"),
        "train_dataset.path": files.data,
        "train_dataset.type": "rl",
        "train_dataset.batch_size": prompts,
        "train_dataset.max_length": 1024,
        "saver.freq_steps": knob("checkpoint_every"),
        "recover.mode": "auto",
        "recover.freq_steps": knobs["checkpoint_every"],
    }
    refuse_knobs(recipe, knobs, "AReaL", read)
    overridden(settings, own or {}, free=FREE, engine="AReaL")
    return settings | allocated(settings["allocation_mode"])


def allocated(text: str) -> dict[str, Any]:
    """Return what an allocation string says as the settings that version 1.0.4 reads instead of it.

    It is written beside them, for launchers that still go by it. RecipeError where it cannot be read.
    """
    found = GRAMMAR.fullmatch(text)
    if found is None:
        told = "Write it as sglang[rollout]:d4t2+fsdp[actor]:d8, with | for + where both have the same GPUs."
        raise RecipeError(f"AReaL cannot read {text}.", {"allocation_mode": [told]})
    actor = f"fsdp:{found['here']}" if found["fsdp"] else f"megatron:{found['staged']}"
    shared = {"actor.scheduling_strategy.type": "colocation", "actor.scheduling_strategy.target": "rollout"}
    return {
        "rollout.backend": f"{found['rollout']}:{found['there']}",
        "actor.backend": actor,
        **(shared if found["sign"] == "|" else {}),
    }


def nested(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings as the mapping that its configuration file holds; JSON is YAML."""
    tree: dict[str, Any] = {}
    for name, value in settings.items():
        *path, last = name.split(".")
        at = tree
        for step in path:
            at = at.setdefault(step, {})
        at[last] = value
    return tree
