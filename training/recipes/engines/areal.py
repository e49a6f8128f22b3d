"""Recipes as settings of AReaL 1.0.4, the successor of ReaLHF (arXiv:2406.14088), and its allocation string."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from training.recipes.base import Recipe, RecipeError
from training.recipes.engines import UNBOUNDED, Files, overridden, refuse_knobs, refuse_parts
from training.recipes.note import Note

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
# Its figures by the names that they have here.
METRICS = {
    "ppo_actor/task_reward/avg": "reward",
    "ppo_actor/update/entropy/avg": "entropy",
    "ppo_actor/update/actor_loss/avg": "loss",
    "ppo_actor/update/clip_ratio/avg": "clip_share",
    "ppo_actor/update/approx_kl/avg": "kl",
    "ppo_actor/update/lr": "lr",
    "ppo_actor/update/grad_norm": "gradient_norm",
}


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
        told = Note(
            "AReaL cuts the {n} answers of an iteration into equal parts: batch_size has to divide them.", n=n * prompts
        )
        raise RecipeError(told, {"batch_size": [told]})
    if knob("passes") != 1:
        told = Note("AReaL goes through its answers once.")
        raise RecipeError(told, {"passes": [Note("Leave it at 1 for AReaL.")]})
    if knob("kl_weight"):
        told = Note("AReaL has no KL term in the loss.")
        raise RecipeError(told, {"kl_weight": [Note("Set it to 0 for AReaL.")]})
    if knob("lora_rank"):
        told = Note("Adapters are not compiled for AReaL.")
        raise RecipeError(told, {"lora_rank": [Note("Set it to 0 for AReaL.")]})
    read.add("kl_estimate")  # of no consequence at weight 0
    read.add("eval_share")  # the prompts held out are not among those that it gets
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
        # Where its processes find each other: of its own, or a second run on this machine would find this one's.
        "cluster.name_resolve.nfs_record_root": f"{files.checkpoints}/names",
        "scheduler.type": "local",
        "sglang.model_path": files.model,
        "vllm.model": files.model,
        **{f"rollout.{name}": value for name, value in NAMES.items()},
        "rollout.tokenizer_path": files.model,
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
        "saver.freq_steps": knobs["iterations"],  # the policy is written out once, after the last step
        "recover.mode": "auto",
        "recover.freq_steps": knob("checkpoint_every"),
    }
    refuse_knobs(recipe, knobs, "AReaL", read)
    overridden(settings, own or {}, free=FREE, engine="AReaL")
    return (
        settings
        | _room(settings, told="cluster.n_gpus_per_node" in (own or {}))
        | allocated(settings["allocation_mode"])
    )


def _room(settings: Mapping[str, Any], *, told: bool) -> dict[str, Any]:
    """Return how many GPUs each node is to have for the allocation; RecipeError where a person `told` too few."""
    nodes, there = settings["cluster.n_nodes"], settings["cluster.n_gpus_per_node"]
    needed = gpus_in(settings["allocation_mode"])
    if told and needed > nodes * there:
        said = Note("The allocation takes {n} GPUs, and there are {there}.", n=needed, there=nodes * there)
        raise RecipeError(said, {"allocation_mode": [said]})
    return {} if told else {"cluster.n_gpus_per_node": -(-needed // nodes)}


def gpus_in(text: str) -> int:
    """Return how many GPUs an allocation string takes; RecipeError where it cannot be read."""
    found = _parsed(text)
    sizes = [
        math.prod(int(size) for size in re.findall(r"\d+", part))
        for part in (found["there"], found["here"] or found["staged"])
    ]
    return max(sizes) if found["sign"] == "|" else sum(sizes)


def allocated(text: str) -> dict[str, Any]:
    """Return what an allocation string says as the settings that version 1.0.4 reads instead of it.

    It is written beside them, for launchers that still go by it. RecipeError where it cannot be read.
    """
    found = _parsed(text)
    actor = f"fsdp:{found['here']}" if found["fsdp"] else f"megatron:{found['staged']}"
    shared = {
        "actor.scheduling_strategy.type": "colocation",
        "actor.scheduling_strategy.target": "rollout",
        # What the two take turns with has to be put away, and the weights go by files.
        "actor.weight_update_mode": "disk",
        "enable_offload": True,
    }
    return {
        "rollout.backend": f"{found['rollout']}:{found['there']}",
        "actor.backend": actor,
        **(shared if found["sign"] == "|" else {}),
    }


def _parsed(text: str) -> re.Match[str]:
    found = GRAMMAR.fullmatch(text)
    if found is None:
        told = Note("Write it as sglang[rollout]:d4t2+fsdp[actor]:d8, with | for + where both have the same GPUs.")
        raise RecipeError(Note("AReaL cannot read {text}.", text=text), {"allocation_mode": [told]})
    return found


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
