"""Each format that names a TRL trainer is exported from a campaign, and that trainer takes two steps on the file.

TRL 1.16 has no trainer for stepwise labels any more (PRMTrainer is gone), none for costs with signs and none for
HelpSteer3's principles; those three are read by `datasets` in tests/annotation/test_export_formats.py.
"""

from __future__ import annotations

import os
import warnings

import pytest
from django.test import Client

from annotation.export_formats import FORMATS, offered
from annotation.feedback import KINDS
from annotation.models import User
from tests.annotation.feedback.examples import EXAMPLES
from tests.factories import judge, make_campaign, make_task

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


def exported(name: str, lead: User) -> bytes:
    """Return the file of a format, over REST, of a campaign of the first kind that has rows for it: four judgements."""
    kind = next(one for one in KINDS.values() if name in offered(one, one.default_options())[1])
    campaign = make_campaign(lead=lead, kind=kind.name, annotators=[lead])
    for number in range(4):
        make_task(
            campaign,
            prompt=f"Question {number}?",
            completions=["It is **in plain words**\nhere.", "No idea, in plain words."][: kind.completions[1]],
        )
        judge(lead, campaign, data=EXAMPLES[kind.name])
    client = Client()
    client.force_login(lead)
    return b"".join(client.get(f"/api/campaigns/{campaign.pk}/export/?layout={name}"))


@pytest.mark.django_db
@pytest.mark.one_database
@pytest.mark.parametrize("name", READ)
def test_two_steps(name, lead, policy, tmp_path):
    import trl
    from datasets import load_dataset
    from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

    path = tmp_path / "rows.jsonl"
    path.write_bytes(exported(name, lead))
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
        max_length=512,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer = getattr(trl, trainer_name)(
            model=model, args=config, train_dataset=rows, processing_class=AutoTokenizer.from_pretrained(policy)
        )
        done = trainer.train()
    assert done.global_step == 2 and done.training_loss == done.training_loss
