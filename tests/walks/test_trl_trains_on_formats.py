"""Each format that names a TRL trainer is read from its file by `datasets`, and that trainer takes two steps on it.

TRL 1.16 has no trainer for stepwise labels any more (PRMTrainer is gone), none for costs with signs and none for
HelpSteer3's principles; those three are read by `datasets` in tests/annotation/test_export_formats.py.
"""

from __future__ import annotations

import os
import warnings

import pytest

from annotation import datasets
from annotation.export_formats import FORMATS

os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
READ = [name for name, found in FORMATS.items() if found.reader]


def test_what_has_no_reader_is_known():
    assert set(FORMATS) - set(READ) == {"stepwise", "safe_rlhf", "helpsteer3_principles"}
    import trl

    assert not hasattr(trl, "PRMTrainer"), "stepwise rows can be trained on: name the trainer"


@pytest.fixture(scope="module")
def policy(tmp_path_factory):
    import torch

    from training.core.tiny import save_tiny

    torch.set_num_threads(1)
    return save_tiny(tmp_path_factory.mktemp("policy"))


def source_rows() -> list[dict]:
    """One row for all views: every column that some format looks at."""
    rows = []
    for number in range(4):
        prompt = [{"role": "user", "content": f"Where is stone {number}?"}]
        good, bad = ([{"role": "assistant", "content": f"{text} {number}"}] for text in ("by the sea", "no idea"))
        rows.append(
            {
                "prompt": prompt,
                "chosen": good,
                "rejected": bad,
                "completion": good,
                "strength": 1 / 3 + number / 6,
                "gap": 2 / 3,
                "number": 1,
                "reward": number / 3,
                "chosen_origin": "a",
                "rejected_origin": "b",
                "principle": "clear",
                "statement": None,
                "answer": "yes" if number % 2 else "no",
                "evidence": None,
                "critique": "It says where.",
                "score": None if number else 4,
                "campaign": "Stones",
                "feedback": number,
                "annotator": "p-1",
            }
        )
    return rows


@pytest.mark.parametrize("name", READ)
def test_two_steps(name, policy, tmp_path):
    import trl
    from datasets import load_dataset
    from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

    path = tmp_path / "rows.jsonl"
    path.write_text("".join(datasets.lines(FORMATS[name].convert(source_rows()))), encoding="utf-8")
    rows = load_dataset("json", data_files=str(path), split="train", cache_dir=str(tmp_path / "cache"))
    trainer_name = FORMATS[name].reader.removeprefix("trl.")
    kind = AutoModelForSequenceClassification if trainer_name == "RewardTrainer" else AutoModelForCausalLM
    model = kind.from_pretrained(policy, **({"num_labels": 1} if trainer_name == "RewardTrainer" else {}))
    config = getattr(trl, trainer_name.replace("Trainer", "Config"))(
        output_dir=str(tmp_path / "out"),
        per_device_train_batch_size=2,
        max_steps=2,
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        report_to=[],
        save_strategy="no",
        max_length=128,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer = getattr(trl, trainer_name)(
            model=model, args=config, train_dataset=rows, processing_class=AutoTokenizer.from_pretrained(policy)
        )
        done = trainer.train()
    assert done.global_step == 2 and done.training_loss == done.training_loss
