"""Recipes as settings of verl 0.9.1 (HybridFlow, arXiv:2409.19256): ``python -m verl.trainer.main_ppo key=value …``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from training.recipes.base import Recipe, RecipeError
from training.recipes.engines import UNBOUNDED, Files, overridden, refuse_knobs, refuse_parts
from training.recipes.note import Note

VERSION = "0.9.1"
SUPPORTED = {
    "combine": ("first",),
    "kl": ("fixed", "adaptive"),
    "advantage": ("gae", "group-norm", "leave-one-out"),
    "update": ("ppo", "clipped", "reinforce"),
}
# What a person may set besides: where it runs and in what portions, nothing that changes what is learned.
FREE: dict[str, type] = {
    "actor_rollout_ref.rollout.name": str,
    "actor_rollout_ref.rollout.tensor_model_parallel_size": int,
    "actor_rollout_ref.rollout.gpu_memory_utilization": float,
    "actor_rollout_ref.actor.fsdp_config.param_offload": bool,
    "actor_rollout_ref.actor.fsdp_config.optimizer_offload": bool,
    "actor_rollout_ref.actor.fsdp_config.ulysses_sequence_parallel_size": int,
    "data.max_prompt_length": int,
    "trainer.nnodes": int,
    "trainer.n_gpus_per_node": int,
}
LONGEST_PROMPT = 1024  # tokens, unless a person says otherwise
# Its figures by the names that they have here.
METRICS = {
    "critic/rewards/mean": "reward",
    "actor/entropy": "entropy",
    "response_length/mean": "length",
    "actor/pg_loss": "loss",
    "actor/pg_clipfrac": "clip_share",
    "actor/ppo_kl": "kl",
    "actor/lr": "lr",
    "actor/grad_norm": "gradient_norm",
}


def compiled(
    recipe: Recipe, knobs: Mapping[str, Any], files: Files, *, seed: int, own: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return verl's settings for a recipe with all its `knobs`; RecipeError for what has no counterpart there.

    Where verl does otherwise by default, it is told: λ of GAE is 1 there, a ratio above 3 is cut off once more where
    the advantage is negative, the critic starts from another model and has an optimiser of its own, and what is
    trained is not written as a folder that the Hugging Face libraries read. Its GRPO adds 1e-6 to the deviation of a
    group where we add 1e-4, and it bounds k3 by 10: neither can be told.
    """
    refuse_parts(recipe, "verl", SUPPORTED)
    read: set[str] = set()

    def knob(name: str) -> Any:
        read.add(name)
        return knobs[name]

    n, rows = knob("samples_per_prompt"), knob("batch_size")
    prompts, micro = knob("prompts_per_iteration"), knob("micro_batch")
    whole, over = divmod(rows, n)
    if over or not whole or prompts % whole:
        told = Note(
            "verl counts steps in prompts: batch_size has to be {n} (samples_per_prompt) times a divisor of {prompts}.",
            n=n,
            prompts=prompts,
        )
        raise RecipeError(told, {"batch_size": [told]})
    if knob("schedule") == "linear":
        told = Note("verl has no linear schedule.")
        raise RecipeError(told, {"schedule": [Note("Choose cosine or constant for verl.")]})
    if knob("lora_rank"):
        told = Note("Adapters are not compiled for verl.")
        raise RecipeError(told, {"lora_rank": [Note("Set it to 0 for verl.")]})
    optimizer = {
        "lr_warmup_steps_ratio": knob("warmup"),
        "lr_scheduler_type": knobs["schedule"],
        "weight_decay": knob("weight_decay"),
        "clip_grad": knob("gradient_clip") or UNBOUNDED,
    }
    settings: dict[str, Any] = {
        "algorithm.use_kl_in_reward": False,
        "actor_rollout_ref.actor.use_kl_loss": False,
        "actor_rollout_ref.actor.entropy_coeff": 0,
        "actor_rollout_ref.actor.loss_agg_mode": "token-mean",
        "actor_rollout_ref.actor.ppo_mini_batch_size": whole,
        "actor_rollout_ref.actor.ppo_micro_batch_size_per_gpu": micro,
        "actor_rollout_ref.actor.ppo_epochs": knob("passes"),
        "actor_rollout_ref.actor.clip_ratio_c": UNBOUNDED,
        "actor_rollout_ref.actor.optim.lr": knob("learning_rate"),
        **{f"actor_rollout_ref.actor.optim.{name}": value for name, value in optimizer.items()},
        "actor_rollout_ref.actor.checkpoint.save_contents": ["model", "optimizer", "extra", "hf_model"],
        "actor_rollout_ref.model.path": files.model,
        "actor_rollout_ref.ref.log_prob_micro_batch_size_per_gpu": micro,
        "actor_rollout_ref.rollout.name": "vllm",
        "actor_rollout_ref.rollout.n": n,
        "actor_rollout_ref.rollout.tensor_model_parallel_size": 1,
        "actor_rollout_ref.rollout.temperature": knob("temperature"),
        "actor_rollout_ref.rollout.top_k": -1,
        "actor_rollout_ref.rollout.top_p": 1,
        "actor_rollout_ref.rollout.log_prob_micro_batch_size_per_gpu": micro,
        "data.train_files": files.data,
        "data.val_files": files.data,
        "data.prompt_key": "prompt",
        "data.train_batch_size": prompts,
        "data.max_response_length": knob("max_new_tokens"),
        "data.max_prompt_length": LONGEST_PROMPT,
        "data.filter_overlong_prompts": True,
        "data.truncation": "error",
        "data.seed": seed,
        "reward.custom_reward_function.path": files.reward,
        "reward.custom_reward_function.name": "compute_score",
        "trainer.total_training_steps": knob("iterations"),
        "trainer.total_epochs": knobs["iterations"],  # more than there are: the steps end it
        "trainer.critic_warmup": knob("critic_warmup"),
        "trainer.save_freq": knob("checkpoint_every"),
        "trainer.test_freq": -1,
        "trainer.val_before_train": False,
        "trainer.resume_mode": "auto",
        "trainer.default_local_dir": files.checkpoints,
        "trainer.logger": ["console", "file"],
        "trainer.project_name": "attune",
        "trainer.experiment_name": "run",
        "trainer.nnodes": 1,
        "trainer.n_gpus_per_node": 1,
    }
    parts = {part.slot: part.name for part in recipe.parts}
    if parts["advantage"] == "gae":
        settings |= {f"critic.optim.{name}": value for name, value in optimizer.items()}
        settings |= {"critic.model.path": files.model, "critic.ppo_micro_batch_size_per_gpu": micro}
    settings |= _advantage(parts, knob) | _update(parts, knob) | _kl(parts, knob)
    if parts["update"] == "reinforce" and (knobs["passes"] != 1 or whole != prompts):
        told = Note(
            "REINFORCE is verl's clipped loss only in the first step on an answer: set passes to 1 and batch_size to "
            "{rows}.",
            rows=prompts * n,
        )
        raise RecipeError(told, {"batch_size": [Note("Enter {rows} for verl.", rows=prompts * n)]})
    read.add("eval_share")  # the prompts held out are not among those that it gets
    refuse_knobs(recipe, knobs, "verl", read)
    overridden(settings, own or {}, free=FREE, engine="verl")
    return settings


def _advantage(parts: Mapping[str, str], knob: Any) -> dict[str, Any]:
    if parts["advantage"] == "gae":
        if not knob("whiten"):
            told = Note("verl always whitens the advantages of GAE.")
            raise RecipeError(told, {"whiten": [Note("Leave it on for verl.")]})
        return {
            "algorithm.adv_estimator": "gae",
            "algorithm.gamma": knob("gamma"),
            "algorithm.lam": knob("gae_lambda"),
            "critic.optim.lr": knob("critic_learning_rate"),
        }
    if parts["advantage"] == "group-norm":
        return {"algorithm.adv_estimator": "grpo", "algorithm.norm_adv_by_std_in_grpo": knob("scale_by_group")}
    return {"algorithm.adv_estimator": "rloo"}


def _update(parts: Mapping[str, str], knob: Any) -> dict[str, Any]:
    actor = "actor_rollout_ref.actor"
    if parts["update"] == "reinforce":  # an answer is one action: its tokens' gradients are summed
        return {f"{actor}.loss_agg_mode": "seq-mean-token-sum"}
    found = {f"{actor}.{name}": knob("clip") for name in ("clip_ratio", "clip_ratio_low", "clip_ratio_high")}
    if parts["update"] == "ppo":
        return {**found, "critic.cliprange_value": knob("value_clip")}
    return {
        **found,
        f"{actor}.use_kl_loss": knob("kl_weight") > 0,
        f"{actor}.kl_loss_coef": knob("kl_weight"),
        f"{actor}.kl_loss_type": {"k3": "low_var_kl", "k2": "mse"}[knob("kl_estimate")],
    }


def _kl(parts: Mapping[str, str], knob: Any) -> dict[str, Any]:
    if "kl" not in parts:
        return {}
    found = {
        "algorithm.use_kl_in_reward": True,
        "algorithm.kl_penalty": "kl",
        "algorithm.kl_ctrl.type": parts["kl"],
        "algorithm.kl_ctrl.kl_coef": knob("kl"),
    }
    if parts["kl"] == "fixed":
        return found
    return {
        **found,
        "algorithm.kl_ctrl.target_kl": knob("kl_target"),
        "algorithm.kl_ctrl.horizon": knob("kl_horizon"),
    }


def arguments(settings: Mapping[str, Any]) -> list[str]:
    """Return the settings as Hydra reads them from a command line."""
    return [f"{name}={_hydra(value)}" for name, value in settings.items()]


def _hydra(value: Any) -> str:
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, list):
        return "[" + ",".join(map(_hydra, value)) + "]"
    if isinstance(value, str):
        return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
    return repr(value)
