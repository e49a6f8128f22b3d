"""TRL as oracle: the same model, rows and reference give the same loss, from the text to the number."""

from __future__ import annotations

import os
from functools import partial

import pytest
import torch

from tests.core.worlds import pair_rows
from training.core.backbone import RewardModel, load_tokenizer, pad_id_of, start_policy
from training.core.collate import collate_pairs, encode
from training.core.heads import ScalarHead
from training.core.losses.bradley_terry import bradley_terry
from training.core.losses.dpo import dpo, preference
from training.core.objectives import pair_logratios, pair_scores
from training.core.policy import logps
from training.core.records import Tally, parse_pair

os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"

ROWS = pair_rows(6)
# Our name of a loss, TRL's, and the label smoothing.
RELATIVES = [
    ("sigmoid", "sigmoid", 0.0),
    ("hinge", "hinge", 0.0),
    ("ipo", "ipo", 0.0),
    ("robust", "robust", 0.0),
    ("robust", "robust", 0.2),
    ("exo", "exo_pair", 0.1),
    ("nca", "nca_pair", 0.0),
    ("bco", "bco_pair", 0.0),
    ("sppo", "sppo_hard", 0.0),
    ("apo-zero", "apo_zero", 0.0),
    ("apo-down", "apo_down", 0.0),
    ("discopop", "discopop", 0.0),
]
FORMULA = partial(dpo, beta=0.2, label_smoothing=0.0)


def shaken(path):
    """The tiny policy after a push, so that it differs from its reference."""
    model, tokenizer = start_policy(str(path))
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.05 * torch.randn(parameter.shape, generator=generator)
    return model, tokenizer


def examples_of(tokenizer):
    return encode([(i, parse_pair(row)) for i, row in enumerate(ROWS)], tokenizer, Tally(), max_length=512)


@pytest.fixture
def arguments(tmp_path):
    return {
        "output_dir": str(tmp_path),
        "per_device_train_batch_size": len(ROWS),
        "use_cpu": True,
        "bf16": False,
        "gradient_checkpointing": False,
        "report_to": [],
        "disable_dropout": True,
        "max_length": 512,
        "remove_unused_columns": False,
        "dataloader_num_workers": 0,
    }


def test_dpo(policy, arguments):
    """On TRL's own log-probabilities to 1e-6; from the text on to 1e-5, the grain of a sum of -140 in float32."""
    from datasets import Dataset
    from trl import DPOConfig, DPOTrainer

    model, tokenizer = shaken(policy)
    reference, _ = start_policy(str(policy))
    examples = examples_of(tokenizer)
    with torch.no_grad():
        plain = collate_pairs(examples, pad_id_of(tokenizer))
        table = logps(reference, plain.tokens).reshape(2, len(examples)).T
        batch = collate_pairs(examples, pad_id_of(tokenizer), table)
        usual = {"annotator_weights": False, "per_token": False, "likelihood_weight": 0.0}
        each = pair_logratios(model, batch, FORMULA, **usual).loss
        by_token = pair_logratios(model, batch, FORMULA, **usual | {"per_token": True}).loss.mean()
        with_likelihood = pair_logratios(model, batch, FORMULA, **usual | {"likelihood_weight": 1.0}).loss
        ours = each.mean()

    data = Dataset.from_list([{k: row[k] for k in ("prompt", "chosen", "rejected")} for row in ROWS])
    trainer = DPOTrainer(
        model=model,
        ref_model=reference,
        args=DPOConfig(beta=0.2, loss_type=["sigmoid"], **arguments),
        train_dataset=data,
        processing_class=tokenizer,
    )
    inputs = next(iter(trainer.get_train_dataloader()))
    with torch.no_grad():
        theirs = trainer.compute_loss(model, inputs)
        ratios = sums_of(model, inputs) - sums_of(trainer.ref_model, inputs)
        on_theirs = FORMULA(*ratios.chunk(2)).mean()
    assert abs(on_theirs.item() - theirs.item()) < 1e-6
    assert abs(ours.item() - theirs.item()) < 1e-5

    lengths = inputs["completion_mask"].sum(1).float()
    for name, trl_name, smoothing in RELATIVES:
        trainer.loss_types, trainer.label_smoothing = [trl_name], smoothing
        with torch.no_grad():
            theirs = trainer.compute_loss(model, inputs).item()
            # TRL's IPO is on means over each answer's tokens; ours is the paper's, on whatever it is given.
            given = (ratios / lengths if name == "ipo" else ratios).chunk(2)
            mine = preference(*given, loss_type=name, beta=0.2, label_smoothing=smoothing).mean().item()
        assert abs(mine - theirs) < 1e-6 * max(1.0, abs(theirs)), name

    trainer.label_smoothing = 0.0
    with torch.no_grad():
        trainer.loss_types = ["sigmoid_norm"]
        assert abs(by_token.item() - trainer.compute_loss(model, inputs).item()) < 1e-5
        # TRL's likelihood is a mean over the tokens of a batch, ours over those of each answer.
        trainer.loss_types, chosen_lengths = ["sft"], batch.tokens.completion_mask.sum(1).chunk(2)[0]
        likelihood = ((with_likelihood - each) * chosen_lengths).sum() / chosen_lengths.sum()
        assert abs(likelihood.item() - trainer.compute_loss(model, inputs).item()) < 1e-5


def sums_of(model, inputs):
    """The log-probabilities of the completions as TRL computes them, chosen ones first."""
    labels = inputs["input_ids"].masked_fill(inputs["completion_mask"] == 0, -100)
    kept = {name: inputs[name] for name in ("input_ids", "attention_mask")}
    return model(**kept, labels=labels, fused_lm_head=True, use_cache=False).log_probs.sum(1)


def test_reward_with_margin(policy, arguments):
    from datasets import Dataset
    from transformers import LlamaForSequenceClassification
    from trl import RewardConfig, RewardTrainer

    tokenizer = load_tokenizer(str(policy))
    examples = examples_of(tokenizer)
    classifier = LlamaForSequenceClassification.from_pretrained(policy, num_labels=1, dtype=torch.float32)
    head = ScalarHead(classifier.config.hidden_size)
    with torch.no_grad():
        head.score.weight.copy_(classifier.score.weight)
    ours = RewardModel(classifier.model, head, pooling="last", base=str(policy))
    loss = partial(bradley_terry, strength_as="margin", margin_scale=3.0)
    with torch.no_grad():
        batch = collate_pairs(examples, pad_id_of(tokenizer))
        mine = pair_scores(ours, batch, loss, annotator_weights=False).loss.mean()

    data = Dataset.from_list(
        [
            {
                "chosen_ids": e.prompt + e.completions[0],
                "rejected_ids": e.prompt + e.completions[1],
                "margin": 3 * e.value,
            }
            for e in examples
        ]
    )
    trainer = RewardTrainer(
        model=classifier,
        args=RewardConfig(**arguments),
        train_dataset=data,
        processing_class=tokenizer,
    )
    inputs = next(iter(trainer.get_train_dataloader()))
    with torch.no_grad():
        theirs = trainer.compute_loss(classifier, inputs)
    assert abs(mine.item() - theirs.item()) < 1e-6
