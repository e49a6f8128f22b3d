"""Learning from pairs against TRL's trainers: the same model, rows and batches, and gradients equal to 1e-5.

Run with ``pytest -m bench tests/bench/bench_trainer.py -s``; it prints the ratio of pairs a second of CPU time, some
minutes on two cores. TRL is tuned: no gradient checkpointing, float32 on both sides, and it is given our batches of
like length instead of random ones. Prompts have 192 to 320 tokens and answers 64 to 128. Steps are taken in turns, so
that other work on the machine slows both.
"""

from __future__ import annotations

import copy
import os
import time
from functools import partial
from statistics import median

import pytest
import torch

from training.core.backbone import RewardModel, add_lora
from training.core.collate import Example, collate_pairs
from training.core.heads import ScalarHead
from training.core.losses.bradley_terry import bradley_terry
from training.core.losses.dpo import dpo
from training.core.objectives import pair_logratios, pair_scores
from training.core.policy import pair_logps
from training.core.shared_prompt import can_share
from training.core.tiny import tiny_llama, tiny_tokenizer
from training.core.trainers.plan import plan

os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"

VOCABULARY = 8192
PAIRS = 16
BATCH = 8
ROUNDS = 2
BETA = 0.1

pytestmark = pytest.mark.bench


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Two threads wait for each other by spinning, and on a busy machine that would be most of what is measured."""
    torch.set_num_threads(1)


def llama():
    """A Llama of 16 M parameters, the size at which the matrix products and not Python take the time."""
    sizes = {"hidden_size": 384, "layers": 7, "heads": 6, "kv_heads": 3, "intermediate_size": 1024}
    return tiny_llama(VOCABULARY, **sizes, max_length=1024, seed=0).eval()


def pairs() -> list[Example]:
    draw = torch.Generator().manual_seed(0)

    def some(low: int, high: int) -> list[int]:
        count = int(torch.randint(low, high + 1, (1,), generator=draw))
        return [*torch.randint(5, VOCABULARY, (count - 1,), generator=draw).tolist(), 1]

    return [Example(i, str(i), some(192, 320), (some(64, 128), some(64, 128)), 1.0) for i in range(PAIRS)]


def batches(examples: list[Example]) -> list[list[Example]]:
    planned = plan([e.length for e in examples], batch_size=BATCH, epochs=1, max_steps=0, seed=0)
    return [[examples[i] for i in rows] for rows in planned]


def arguments(tmp_path) -> dict:
    return {
        "output_dir": str(tmp_path),
        "per_device_train_batch_size": BATCH,
        "use_cpu": True,
        "bf16": False,
        "gradient_checkpointing": False,
        "report_to": [],
        "disable_dropout": True,
        "max_length": 1024,
        "dataloader_num_workers": 0,
    }


def gradient(model) -> torch.Tensor:
    found = torch.cat([p.grad.flatten() for p in model.parameters() if p.requires_grad and p.grad is not None])
    model.zero_grad(set_to_none=True)
    return found


def seconds(work) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def adamw(model) -> torch.optim.Optimizer:
    """Both sides take their steps with the same optimizer, so that only the gradient differs in cost."""
    return torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.0)


def step(optimizer, loss) -> None:
    loss().backward()
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)


def compare(name: str, ours, theirs, count: int, capsys) -> float:
    """Print and return how many times as many pairs a second `ours` takes; each is a list of steps to time."""
    spent: dict[str, list[float]] = {"ours": [], "theirs": []}
    for _ in range(ROUNDS):
        for one, other in zip(ours, theirs, strict=True):
            spent["ours"].append(seconds(one))
            spent["theirs"].append(seconds(other))
    ratio = median(spent["theirs"]) / median(spent["ours"])
    with capsys.disabled():
        speeds = [count / median(spent[side]) for side in ("ours", "theirs")]
        print(f"\n{name}: {speeds[0]:.2f} pairs a second of CPU time against TRL's {speeds[1]:.2f}: {ratio:.2f} times")
    return ratio


def test_reward(tmp_path, capsys):
    from datasets import Dataset
    from transformers import LlamaForSequenceClassification
    from trl import RewardConfig, RewardTrainer

    tokenizer, base = tiny_tokenizer(), llama()
    classifier = LlamaForSequenceClassification(copy.deepcopy(base.config))
    classifier.config.num_labels = 1
    classifier.score = torch.nn.Linear(base.config.hidden_size, 1, bias=False)
    classifier.model.load_state_dict(base.model.state_dict())
    head = ScalarHead(base.config.hidden_size)
    head.load_state_dict(classifier.score.state_dict(prefix="score."))
    model = RewardModel(copy.deepcopy(classifier.model), head, pooling="last", base="").eval()
    assert can_share(model.backbone)
    groups = batches(pairs())
    data = [
        {"chosen_ids": e.prompt + e.completions[0], "rejected_ids": e.prompt + e.completions[1]}
        for group in groups
        for e in group
    ]
    trainer = RewardTrainer(
        model=classifier.eval(),
        args=RewardConfig(**arguments(tmp_path)),
        train_dataset=Dataset.from_list(data),
        processing_class=tokenizer,
    )
    formula = partial(bradley_terry, strength_as="none", margin_scale=1.0)

    def our_loss(number: int):
        return pair_scores(model, collate_pairs(groups[number], 0), formula, annotator_weights=False).loss.mean()

    def their_loss(number: int):
        rows = [trainer.train_dataset[number * BATCH + i] for i in range(BATCH)]
        return trainer.compute_loss(classifier, trainer.data_collator(rows))

    our_loss(0).backward()
    their_loss(0).backward()
    assert (gradient(model) - gradient(classifier)).abs().max() < 1e-5
    mine, other = adamw(model), adamw(classifier)
    ours = [partial(step, mine, partial(our_loss, i)) for i in range(len(groups))]
    theirs = [partial(step, other, partial(their_loss, i)) for i in range(len(groups))]
    assert compare("Reward model", ours, theirs, BATCH, capsys) >= 1.8


def test_dpo(tmp_path, capsys):
    """All weights; each side's reference pass is counted: ours once before training, TRL's in each step."""
    ratio = dpo_ratio("DPO", tmp_path, capsys, model=llama(), precomputed=False)
    assert ratio >= 2.5


def test_dpo_with_an_adapter(tmp_path, capsys):
    """LoRA of rank 8. Both sides know the reference's numbers beforehand, and that pass is not counted for either."""
    torch.manual_seed(0)
    ratio = dpo_ratio("DPO with LoRA", tmp_path, capsys, model=add_lora(llama(), rank=8).eval(), precomputed=True)
    assert ratio >= 2.1


def dpo_ratio(name: str, tmp_path, capsys, *, model, precomputed: bool) -> float:
    from datasets import Dataset
    from trl import DPOConfig, DPOTrainer

    assert can_share(model)
    tokenizer, groups = tiny_tokenizer(), batches(pairs())
    their_model = copy.deepcopy(model)
    reference = llama()
    # Its own rows would be tokenized from text; the batches below stand in for them.
    letters = [{"prompt": "a", "chosen": "b", "rejected": "c"}] * BATCH
    trainer = DPOTrainer(
        model=their_model,
        ref_model=None if precomputed else reference,
        args=DPOConfig(beta=BETA, loss_type=["sigmoid"], precompute_ref_log_probs=precomputed, **arguments(tmp_path)),
        train_dataset=Dataset.from_list(letters),
        processing_class=tokenizer,
    )
    with torch.no_grad():
        known = [pair_logps(reference, collate_pairs(group, 0).tokens) for group in groups]

    def their_batch(number: int):
        rows = [
            {"prompt_ids": e.prompt, "chosen_ids": e.completions[0], "rejected_ids": e.completions[1]}
            | ({"ref_chosen_logps": float(a), "ref_rejected_logps": float(b)} if precomputed else {})
            for e, a, b in zip(groups[number], *known[number].chunk(2), strict=True)
        ]
        return trainer.data_collator(rows)

    formula = partial(dpo, beta=BETA, label_smoothing=0.0)

    def our_loss(number: int):
        tokens = collate_pairs(groups[number], 0).tokens
        table = known[number]
        if not precomputed:
            with torch.no_grad():
                table = pair_logps(reference, tokens)
        batch = collate_pairs(groups[number], 0, table.reshape(2, -1).T)
        return pair_logratios(
            model, batch, formula, annotator_weights=False, per_token=False, likelihood_weight=0.0
        ).loss.mean()

    def their_loss(number: int):
        return trainer.compute_loss(their_model, their_batch(number))

    our_loss(0).backward()
    their_loss(0).backward()
    assert (gradient(model) - gradient(their_model)).abs().max() < 1e-5
    mine, other = adamw(model), adamw(their_model)
    ours = [partial(step, mine, partial(our_loss, i)) for i in range(len(groups))]
    theirs = [partial(step, other, partial(their_loss, i)) for i in range(len(groups))]
    return compare(name, ours, theirs, BATCH, capsys)
