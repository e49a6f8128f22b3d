"""A run from spec to result, and what a person is told when it cannot be done."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import pytest
import torch

from tests.core.worlds import make_spec, pair_rows, write_lines
from training.core.job import RunError
from training.core.run import main, sentence
from training.recipes.spec import RunResult


def told(folder: Path) -> str:
    return json.loads((folder / "error.json").read_text())["message"]


def test_a_spec_that_is_right_gives_a_result_and_one_that_is_wrong_a_sentence(tmp_path, policy):
    spec = make_spec(tmp_path / "run", "sft", model=policy, max_steps=1)
    folder = Path(spec.output)
    (folder / "data.jsonl").rename(folder / "elsewhere.jsonl")
    assert main(str(folder / "spec.json")) == 1
    assert told(folder).startswith(f"The file {folder / 'data.jsonl'} is not there.")
    assert RunResult.read(folder) is None

    (folder / "elsewhere.jsonl").rename(folder / "data.jsonl")
    assert main(str(folder / "spec.json")) == 0
    assert not (folder / "error.json").exists()
    assert RunResult.read(folder).metrics["steps"] == 1


def test_data_that_has_nothing_to_learn_from_is_told_with_its_reasons(tmp_path, policy):
    row = pair_rows(1)[0]
    spec = make_spec(tmp_path / "run", "dpo", model=policy, rows=[{**row, "rejected": row["chosen"]}] * 3)
    assert main(f"{spec.output}/spec.json") == 1
    assert told(Path(spec.output)) == (
        "None of the 3 rows can be trained on. 3 rows were left out because they compare a completion with itself "
        "(lines 1, 2, 3)."
    )


def test_refused_rows_and_cut_prompts_are_in_the_result(tmp_path, policy):
    rows = pair_rows(8)
    rows[2]["chosen"] = ""
    rows[3]["rejected"] = "x" * 200
    rows[4]["prompt"][0]["content"] = "y" * 200
    rows[5]["audit"] = True
    spec = make_spec(
        tmp_path / "run", "bradley-terry", model=policy, rows=rows, max_length=150, max_steps=1, eval_share=0.0
    )
    assert main(f"{spec.output}/spec.json") == 0
    result = RunResult.read(spec.output)
    assert result.counts == {
        "read": 8,
        "refused_empty": 1,
        "refused_too_long": 1,
        "refused_audit": 1,
        "truncated": 1,
        "trained_on": 5,
        "held_out": 0,
    }
    assert len([note for note in result.notes if "left out" in note or "cut on the left" in note]) == 4
    assert any("No rows were held out" in note for note in result.notes)


def test_rows_of_a_prompt_that_is_measured_on_are_not_trained_on(tmp_path, policy):
    rows = pair_rows(9)
    apart = write_lines(tmp_path / "apart.jsonl", rows[:2])
    spec = make_spec(tmp_path / "run", "bradley-terry", model=policy, rows=rows, max_steps=1, eval_data=str(apart))
    assert main(f"{spec.output}/spec.json") == 0
    result = RunResult.read(spec.output)
    assert result.counts["trained_on"] == 7 and result.counts["held_out"] == 2
    assert result.counts["left_out_as_held_out"] == 2
    assert result.metrics["eval_accuracy"]["n"] == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": "/nowhere/at/all"}, "/nowhere/at/all could not be loaded"),
        ({"kind": "sample"}, "The recipe sft is of kind fit, and the spec says sample."),
        ({"data": None}, "needs data: rows of the view demonstrations"),
        ({"recipe": {"name": "stf", "version": 1, "knobs": {}}}, "Did you mean sft?"),
        ({"version": 99}, "is a spec of version 99"),
        ({"colour": "red"}, "keys this code does not know: colour"),
    ],
)
def test_specs_that_cannot_be_done(tmp_path, policy, change, message):
    spec = make_spec(tmp_path / "run", "sft", model=policy)
    path = Path(spec.output) / "spec.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    assert main(str(path)) == 1
    assert message in told(Path(spec.output))


def test_pickle_weights_that_could_run_code_are_not_loaded(tmp_path, policy):
    """A folder with pickled weights only: the same model, refused."""
    folder = tmp_path / "pickled"
    folder.mkdir()
    for path in policy.iterdir():
        if path.suffix != ".safetensors":
            (folder / path.name).write_bytes(path.read_bytes())
    from transformers import AutoModelForCausalLM

    torch.save(AutoModelForCausalLM.from_pretrained(policy).state_dict(), folder / "pytorch_model.bin")
    spec = make_spec(tmp_path / "run", "sft", model=folder)
    assert main(f"{spec.output}/spec.json") == 1
    assert "could not be loaded" in told(Path(spec.output)) and "safetensors" in told(Path(spec.output))


def test_model_code_runs_only_where_the_operator_switched_it_on(tmp_path, policy):
    """A folder whose configuration is code: refused with a sentence, and not run, unless TRUST_REMOTE_CODE is set."""
    folder, trace = tmp_path / "coded", tmp_path / "the code ran"
    folder.mkdir()
    for path in policy.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "coded", "auto_map": {"AutoConfig": "coded.CodedConfig"}}
    (folder / "config.json").write_text(json.dumps(config))
    code = f"from pathlib import Path\nPath({str(trace)!r}).touch()\n"
    code += (
        "from transformers import PretrainedConfig\nclass CodedConfig(PretrainedConfig):\n    model_type = 'coded'\n"
    )
    (folder / "coded.py").write_text(code)
    spec = make_spec(tmp_path / "run", "sft", model=folder)
    assert main(f"{spec.output}/spec.json") == 1
    assert not trace.exists() and "TRUST_REMOTE_CODE" in told(Path(spec.output)), told(Path(spec.output))
    trusted = make_spec(tmp_path / "trusted", "sft", model=folder, trust_remote_code=True)
    main(f"{trusted.output}/spec.json")
    assert trace.exists()


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (RunError("Do this."), "Do this."),
        (torch.OutOfMemoryError("CUDA out of memory"), "The device's memory is full."),
        (OSError(errno.ENOSPC, "No space left"), "The disk is full."),
        (RuntimeError("I/O error: No space left on device (os error 28)"), "The disk is full."),
        (ZeroDivisionError("division by zero"), "The run failed with ZeroDivisionError: division by zero."),
        (KeyError(), "The run failed with KeyError."),
    ],
)
def test_errors_become_whole_sentences(error, words):
    assert sentence(error).startswith(words) and sentence(error).endswith(".")
