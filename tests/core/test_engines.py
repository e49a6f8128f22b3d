"""Settings of other engines as golden files, and what has no counterpart there is refused by name."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.engines.__main__ import compiled as compiled_for
from training.core.engine_programs import AREAL, VERL, checked
from training.recipes import RECIPES, RecipeError
from training.recipes.assembled import assembled, has_slots
from training.recipes.engines import Files, areal, compiler, verl

GOLDEN = Path(__file__).parent / "golden"
FILES = Files(
    model="/models/start", data="/run/prompts.parquet", reward="/run/reward.py", checkpoints="/run/checkpoints"
)


def compiled(engine, name, **changes):
    own = changes.pop("own", None)
    found = RECIPES[name]
    usual = {"batch_size": 32 * found.fill()["samples_per_prompt"]}
    if engine == "areal" and name == "grpo":
        usual["kl_weight"] = 0.0  # its own default is refused, as a test below says
    return compiler(engine)(found, found.fill({**usual, **changes}), FILES, seed=7, own=own)


@pytest.mark.parametrize("engine", ["verl", "areal"])
@pytest.mark.parametrize("name", [recipe.name for recipe in RECIPES.values() if has_slots(recipe)])
def test_every_recipe_is_compiled_as_written_down_or_refused_by_name(engine, name):
    """A golden file holds the settings, or the sentence that refuses. A change of either is for a person to look at."""
    try:
        told = compiled(engine, name)
    except RecipeError as error:
        told = {"refused": str(error)}
    kept = json.loads((GOLDEN / f"{engine}.json").read_text())
    assert told == kept[name] if name in kept else set(told) == {"refused"}


def test_what_it_comes_to_in_the_engine_s_own_words():
    lines = verl.arguments(compiled("verl", "ppo", gae_lambda=0.9, kl=0.02))
    assert "algorithm.lam=0.9" in lines and "algorithm.kl_ctrl.kl_coef=0.02" in lines
    assert "trainer.logger=['console','file']" in lines and "trainer.val_before_train=False" in lines
    assert verl._hydra("it's") == "'it\\'s'"
    tree = areal.nested(compiled("areal", "grpo"))
    assert tree["actor"]["optimizer"]["lr"] == 1e-6 and tree["recover"]["mode"] == "auto"


@pytest.mark.parametrize("engine", ["verl", "areal"])
def test_what_is_told_has_a_name_there(engine):
    """`*_names.txt` holds the names of all settings of that version, read once from the schema in its package."""
    names = set((GOLDEN / f"{engine}_names.txt").read_text().split())
    module = {"verl": verl, "areal": areal}[engine]
    kept = json.loads((GOLDEN / f"{engine}.json").read_text())
    told = {name for settings in kept.values() for name in settings if name != "refused"} | set(module.FREE)
    told |= set(areal.allocated("vllm[rollout]:d2t2|megatron[actor]:d1p2t2")) if engine == "areal" else set()
    groups = {name.rsplit(".", 1)[0] for name in names}  # such as actor.adv_norm, which may be none
    assert len(told) > 30 and told <= names | groups


def test_where_roles_run_in_areal_s_words():
    told = compiled("areal", "grpo", own={"allocation_mode": "vllm[rollout]:d2t2|megatron[actor]:d1p2t2"})
    assert (told["rollout.backend"], told["actor.backend"]) == ("vllm:d2t2", "megatron:d1p2t2")
    assert told["actor.scheduling_strategy.target"] == "rollout"
    apart = compiled("areal", "grpo")
    assert (apart["rollout.backend"], apart["actor.backend"]) == ("sglang:d1", "fsdp:d1")
    assert "actor.scheduling_strategy.type" not in apart and "enable_offload" not in apart
    assert (told["cluster.n_gpus_per_node"], apart["cluster.n_gpus_per_node"]) == (4, 2)
    assert (told["actor.weight_update_mode"], told["enable_offload"]) == ("disk", True)


@pytest.mark.parametrize(
    ("engine", "name", "changes", "says"),
    [
        ("verl", "ppo", {"rows_at_once": 3}, "knows nothing of rows_at_once"),
        ("verl", "ppo", {"missing_end_penalty": 1.0}, "knows nothing of missing_end_penalty"),
        ("verl", "ppo", {"whiten": False}, "always whitens"),
        ("verl", "ppo", {"batch_size": 63}, "counts steps in prompts"),
        ("verl", "ppo", {"schedule": "linear"}, "no linear schedule"),
        ("verl", "rloo", {"passes": 2}, "set passes to 1"),
        ("verl", "grpo", {"own": {"algorithm.lam": 0.5}}, "cannot be told algorithm.lam"),
        ("verl", "grpo", {"own": {"trainer.total_training_steps": 5}}, "cannot be told trainer.total_training_steps"),
        ("verl", "grpo", {"own": {"trainer.nnodes": "two"}}, "cannot be told trainer.nnodes"),
        ("verl", "grpo", {"own": {"trainer.nnodes": "inf"}}, "cannot be told trainer.nnodes"),
        ("verl", "grpo", {"own": {"trainer.nnodes": None}}, "cannot be told trainer.nnodes"),
        ("verl", "grpo", {"own": {"actor_rollout_ref.rollout.name": "${oc.env:HOME}"}}, "cannot be told actor_rollout"),
        ("areal", "grpo", {"own": {"cluster.n_nodes": 0}}, "cannot be told cluster.n_nodes"),
        ("verl", "grpo", {"lora_rank": 4}, "Adapters are not compiled for verl"),
        ("areal", "grpo", {"kl_weight": 0.04}, "no KL term in the loss"),
        ("areal", "grpo", {"own": {"allocation_mode": "all of them"}}, "cannot read all of them"),
        ("areal", "grpo", {"own": {"allocation_mode": "sglang[rollout]:d1+fsdp[actor]:d1p2"}}, "cannot read"),
        ("areal", "grpo", {"own": {"cluster.n_gpus_per_node": 1}}, "takes 2 GPUs, and there are 1"),
        ("areal", "ppo", {}, "no counterpart of kl/fixed"),
        ("realhf", "grpo", {}, "no engine called realhf"),
    ],
)
def test_what_an_engine_does_not_know_is_refused_and_never_dropped(engine, name, changes, says):
    with pytest.raises(RecipeError, match=says):
        compiled(engine, name, **changes)


def test_what_may_be_set_besides_is_taken():
    own = {"trainer.nnodes": "2", "actor_rollout_ref.rollout.tensor_model_parallel_size": 4}
    told = compiled("verl", "grpo", own=own)
    assert (told["trainer.nnodes"], told["actor_rollout_ref.rollout.tensor_model_parallel_size"]) == (2, 4)
    with pytest.raises(RecipeError) as wrong:
        compiled("verl", "grpo", own={"trainer.nnode": 2})
    assert wrong.value.errors["trainer.nnode"] == ["Did you mean trainer.nnodes?"]
    other = assembled("ppo", {"segment": "ngram"})
    with pytest.raises(RecipeError, match="no counterpart of segment/ngram"):
        compiler("verl")(other, other.fill(), FILES, seed=0)


def said(engine):
    """Return what the real engine of the version we compile for said, as `python -m tests.engines` wrote it down."""
    return json.loads((GOLDEN / f"{engine}_said.json").read_text())


def test_verl_itself_read_what_is_compiled_here():
    """Composed and validated by its own Hydra configuration: every setting has the value and the kind that we told."""
    told = said("verl")
    files = Files(
        model="/run/model",
        data="/run/verl/prompts.parquet",
        reward="/run/verl/reward.py",
        checkpoints="/run/verl/checkpoints",
    )
    now = compiled_for("verl", files)
    assert told["version"] == verl.VERSION and now.keys() == told["settings"].keys() >= {"grpo", "ppo", "rloo"}
    for name, settings in now.items():
        assert told["settings"][name]["read"] == settings, "run python -m tests.engines --verl PYTHON again"
        assert told["settings"][name]["critic"] == (name == "ppo")
    assert told["free"] == {name: kind.__name__ for name, kind in verl.FREE.items()}
    assert told["refused"] == "Could not override 'trainer.nnode'."
    assert VERL.command("python", {})[:3] == ["python", "-m", told["entry"].removesuffix(".main")]


def test_verl_itself_read_our_files_and_wrote_what_is_read_here(tmp_path):
    """Its data set read the prompts, its reward manager asked our server, its trainer saved a policy after step 2."""
    told = said("verl")
    assert told["prompts"] == 3 and told["first_prompt"] == [{"role": "user", "content": "How warm must it be?"}]
    assert told["reward"] == len("a fine answer")  # the server that was asked counts characters
    assert set(verl.METRICS) <= {*told["figures"]["made"], *told["figures"]["in_source"]}
    assert told["line"] == {"step": 1, "data": {"critic/rewards/mean": 0.5}}
    for name in told["checkpoint"]["files"]:
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("2")  # of the file that counts, what its trainer wrote
    assert VERL.reached(tmp_path) == 2 and told["checkpoint"]["goes_on_from"] == "global_step_2"
    assert checked(VERL.trained(tmp_path, 2)).is_relative_to(tmp_path / "global_step_2")


def test_areal_itself_read_what_is_compiled_here():
    """By its own schema and the grammar of its allocations; what each setting is there is what we told."""
    told = said("areal")
    files = Files(
        model="/run/model",
        data="/run/areal/prompts.jsonl",
        reward="/run/areal/reward.py",
        checkpoints="/run/areal/checkpoints",
    )
    now = compiled_for("areal", files)
    assert told["version"] == areal.VERSION and now.keys() == told["settings"].keys() == {"grpo"}
    assert told["settings"]["grpo"]["read"] == now["grpo"], "run python -m tests.engines --areal PYTHON again"
    assert told["refused"].startswith("ConfigKeyError: Key 'total_train_stepz' not in 'GRPOConfig'")
    for text, parts in told["allocations"].items():
        backends = areal.allocated(text)
        ours = [backends["rollout.backend"], backends["actor.backend"]]
        assert [areal_in_full(one) for one in ours] == parts
    words = {name.removesuffix("/avg").rsplit("/", 1)[1] for name in areal.METRICS}
    assert set(told["words_in_source"]) == words and set(areal.METRICS) <= set(told["figures"])


def areal_in_full(text):
    """Return "fsdp:d8" as "fsdp:d8p1t1"."""
    backend, sizes = text.split(":")
    found = {
        axis: next((part[1:] for part in re.findall(r"[dpt]\d+", sizes) if part[0] == axis), "1") for axis in "dpt"
    }
    return f"{backend}:" + "".join(f"{axis}{size}" for axis, size in found.items())


def test_areal_itself_asked_for_our_reward_and_writes_where_it_is_read(tmp_path):
    """Its workflow asked our server with an answer's tokens; its saver's and recovery's places are those read here."""
    told = said("areal")
    assert told["reward"] == {"rewards": [len("a fine answer")]}  # a token each, and the server counts them
    assert told["trainer"][:2] == ["config", "train_dataset"] and {"workflow", "workflow_kwargs"} <= set(told["train"])
    assert told["commit"] == ["epoch", "step", "global_step", "data"]
    begin = "/run/areal/checkpoints/"
    saved, info = (tmp_path / told[name].removeprefix(begin) for name in ("saved", "recovers_from"))
    for folder in (saved, info):
        folder.mkdir(parents=True)
    (saved / "config.json").write_text("{}")
    (saved / "model.safetensors").touch()
    (info / "step_info.json").write_text(json.dumps(told["step_info"]))
    assert AREAL.reached(tmp_path) == 2 and checked(AREAL.trained(tmp_path, 2)) == saved
