"""What each other engine reads and writes: its prompts, what it is started by, its figures, its checkpoints.

Written against verl 0.9.1 and AReaL 1.0.4. Nothing of their code is imported here; what is to run in their environment
is written out as a file of its own, which imports nothing of ours.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.core.job import RunError
from training.core.prompts import Prompt
from training.recipes.engines import areal, verl
from training.recipes.note import Note
from training.recipes.spec import write_json, write_text

# In the engine's environment, with the standard library alone. The address is read anew for each answer, as after a
# crash the rewards come from another process.
_ASKS = '''\
"""Asks Attune for the reward of an answer. Written for one run; do not edit."""

import json
import pathlib
import urllib.request

ADDRESS = pathlib.Path(__file__).with_name("address.json")


def asked(messages, **answer):
    told = json.loads(ADDRESS.read_text())
    body = json.dumps({"messages": json.loads(messages), **answer}).encode()
    headers = {"Content-Type": "application/json", "Authorization": "Bearer " + told["token"]}
    request = urllib.request.Request(told["url"], data=body, headers=headers)
    with urllib.request.urlopen(request, timeout=600) as answer:
        return float(json.loads(answer.read())["reward"])


'''
VERL_REWARD = f"""{_ASKS}\
def compute_score(data_source, solution_str, ground_truth, extra_info=None, **_):
    return asked(extra_info["messages"], text=solution_str)
"""
# The tokens and not the text: AReaL's text still has the tokens in it that end a turn.
AREAL_REWARD = f"""{_ASKS}\
def compute_score(prompt, completions, prompt_ids, completion_ids, asked_with="[]", **_):
    return asked(asked_with, ids=[int(one) for one in completion_ids])
"""
# AReaL has no program that reads nothing but settings: an experiment there is a script, and this is ours.
AREAL_TRAIN = '''\
"""Has AReaL do one run of Attune. Written for one run; do not edit."""

import json
import pathlib
import sys

from areal import PPOTrainer
from areal.api.cli_args import GRPOConfig, load_expr_config
from datasets import Dataset

HERE = pathlib.Path(__file__).resolve().parent


def main(arguments):
    config, _ = load_expr_config(arguments, GRPOConfig)
    text = pathlib.Path(config.train_dataset.path).read_text(encoding="utf-8")
    # No splitlines(): it also cuts at line ends that stand inside a text.
    lines = [line for line in text.split("\\n") if line]
    rows = Dataset.from_list([json.loads(line) for line in lines])
    answered = {
        "reward_fn": "attune_reward.compute_score",
        "gconfig": config.gconfig,
        "tokenizer": config.tokenizer_path,
        "enable_thinking": False,
    }
    with open(HERE / "figures.jsonl", "w") as figures, PPOTrainer(config, train_dataset=rows) as trainer:
        commit = trainer.stats_logger.commit

        def told(epoch, step, global_step, data):
            parts = data if isinstance(data, list) else [data]
            numbers = {name: float(value) for part in parts for name, value in part.items()}
            figures.write(json.dumps({"step": global_step + 1, "data": numbers}) + "\\n")
            figures.flush()
            return commit(epoch, step, global_step, data)

        trainer.stats_logger.commit = told
        trainer.train(workflow="areal.workflow.rlvr.RLVRWorkflow", workflow_kwargs=answered)


if __name__ == "__main__":
    main(sys.argv[1:])
'''


@dataclass(frozen=True)
class Program:
    """An engine as the process that it is.

    `write` puts the prompts and what else it reads into its folder; `command` starts it there, with its interpreter
    and settings. `reached` is the step of its newest finished checkpoint (0: none), `trained` the folder of the policy
    after a step. Its figures come as lines ``{"step", "data"}``, with `metrics` of ``data`` by the names of here.
    """

    name: str
    title: str
    version: str
    prompts: str
    longest_prompt: str  # the names of two of its settings
    nodes: str
    metrics: Mapping[str, str]
    write: Callable[[Path, Sequence[Prompt], Mapping[str, Any]], None]
    command: Callable[[str, Mapping[str, Any]], list[str]]
    reached: Callable[[Path], int]
    trained: Callable[[Path, int], Path]


def program(name: str) -> Program:
    """Return the engine of that name; `recipes.engines.compiler` has refused any other."""
    return PROGRAMS[name]


def checked(folder: Path) -> Path:
    """Return the folder of a policy that an engine has trained; RunError where it is not there in safe files."""
    if not (folder / "config.json").is_file() or not any(folder.glob("*.safetensors")):
        raise RunError(Note("{folder} has no weights as safetensors, and others are not read.", folder=str(folder)))
    return folder


def _plain(prompt: Prompt) -> list[dict[str, str]]:
    return [{"role": message["role"], "content": message["content"]} for message in prompt.messages]


# --- verl --------------------------------------------------------------------------------------------------------


def _write_for_verl(here: Path, prompts: Sequence[Prompt], settings: Mapping[str, Any]) -> None:
    import pyarrow as arrow  # here, as every run imports this module and few write Parquet
    import pyarrow.parquet as parquet

    rows = [
        {
            "data_source": "attune",
            "prompt": _plain(prompt),
            "ability": "",
            "reward_model": {"style": "model", "ground_truth": ""},
            "extra_info": {"index": number, "id": prompt.id, "messages": json.dumps(prompt.messages)},
        }
        for number, prompt in enumerate(prompts)
    ]
    part = here / "prompts.parquet.part"
    parquet.write_table(arrow.Table.from_pylist(rows), part)
    part.replace(here / "prompts.parquet")
    write_text(here / "reward.py", VERL_REWARD)
    write_json(here / "settings.json", dict(settings))


def _reached_by_verl(checkpoints: Path) -> int:
    file = checkpoints / "latest_checkpointed_iteration.txt"
    text = file.read_text().strip() if file.exists() else ""
    return int(text) if text.isdigit() else 0


VERL = Program(
    name="verl",
    title="verl",
    version=verl.VERSION,
    prompts="prompts.parquet",
    longest_prompt="data.max_prompt_length",
    nodes="trainer.nnodes",
    metrics=verl.METRICS,
    write=_write_for_verl,
    command=lambda python, settings: [python, "-m", "verl.trainer.main_ppo", *verl.arguments(settings)],
    reached=_reached_by_verl,
    trained=lambda checkpoints, step: checkpoints / f"global_step_{step}" / "actor" / "huggingface",
)


# --- AReaL -------------------------------------------------------------------------------------------------------


def _write_for_areal(here: Path, prompts: Sequence[Prompt], settings: Mapping[str, Any]) -> None:
    rows = [{"messages": _plain(prompt), "asked_with": json.dumps(prompt.messages)} for prompt in prompts]
    write_text(here / "prompts.jsonl", "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    write_text(here / "attune_reward.py", AREAL_REWARD)
    write_text(here / "train.py", AREAL_TRAIN)
    write_json(here / "settings.json", dict(settings))
    write_json(here / "settings.yaml", areal.nested(settings))  # JSON is YAML
    # It does not start without these.
    Path(settings["cluster.name_resolve.nfs_record_root"]).mkdir(parents=True, exist_ok=True)


def _of_trial(checkpoints: Path) -> Path | None:
    """Return where it writes: below the name of the account it runs under, which only that environment knows."""
    found = sorted(checkpoints.glob(f"checkpoints/*/{areal.NAMES['experiment_name']}/{areal.NAMES['trial_name']}"))
    return found[0] if found else None


def _reached_by_areal(checkpoints: Path) -> int:
    trial = _of_trial(checkpoints)
    file = trial / "recover_info" / "step_info.json" if trial else None
    if file is None or not file.exists():
        return 0
    try:
        return int(json.loads(file.read_text())["global_step"]) + 1  # it counts from 0
    except (ValueError, KeyError, TypeError):
        return 0  # cut off by a crash; it begins anew as well


def _trained_by_areal(checkpoints: Path, step: int) -> Path:
    trial = _of_trial(checkpoints)
    found = sorted(trial.glob(f"default/epoch*globalstep{step - 1}")) if trial else []
    return found[-1] if found else checkpoints / f"globalstep{step - 1}"


AREAL = Program(
    name="areal",
    title="AReaL",
    version=areal.VERSION,
    prompts="prompts.jsonl",
    longest_prompt="train_dataset.max_length",
    nodes="cluster.n_nodes",
    metrics=areal.METRICS,
    write=_write_for_areal,
    command=lambda python, settings: [python, "train.py", "--config", "settings.yaml"],
    reached=_reached_by_areal,
    trained=_trained_by_areal,
)

PROGRAMS = {one.name: one for one in (VERL, AREAL)}
