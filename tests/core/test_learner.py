"""A step: the same gradient however the batch is cut up, memory that runs out, and numbers that are none."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from tests.core.worlds import ROWS, make_spec
from training.core.backbone import RewardModel
from training.core.batch import LossOutput
from training.core.collate import collate_pairs
from training.core.job import Job, RunError
from training.core.objectives import pair_logratios
from training.core.records import label_names
from training.core.run import open_job
from training.core.trainers.learner import Learner
from training.core.trainers.offline import START, called, named, prepare
from training.core.trainers.reference import reference_logps
from training.core.trainers.state import Progress, trainable
from training.recipes.base import knobs_of


def learner_of(tmp_path, policy, name: str, *, micro_batch: int = 8, objective=None) -> Learner:
    job: Job = open_job(make_spec(tmp_path / "run", name, model=policy, eval_share=0.0, micro_batch=micro_batch))
    parts = job.recipe.parts_with(job.knobs)
    more = {}
    if "head" in parts:
        more = {"head": called(parts["head"]), "names": label_names(job.spec.data, job.recipe.view)}
    model, tokenizer = START[job.recipe.makes](str(policy), **more)
    rows = prepare(job, tokenizer, max_length=512, eval_share=0.0)
    reference = None
    if "reference" in parts["objective"].needs:
        everything = range(len(rows.examples))
        reference = reference_logps(
            job, model, rows.examples, everything, pad_id=0, rows_at_once=4, bf16=False, mark="test"
        )
    return Learner(
        job=job,
        model=model,
        optimizer=torch.optim.AdamW(trainable(model).values(), lr=1e-3),
        objective=objective or called(parts["objective"]),
        loss=partial(named(parts["loss"].target), **{k.name: k.default for k in knobs_of(parts["loss"])}),
        examples=rows.examples,
        pad_id=0,
        bf16=False,
        reference=reference,
        progress=Progress(micro_batch=micro_batch),
        names=model.head.names if isinstance(model, RewardModel) else (),
    )


INVARIANT = (
    *("bradley-terry", "cost-model", "reward-ensemble", "multi-objective", "principle-reward", "style-discriminator"),
    *("pairwise-generative", "critique-reward", "dpo", "cpl", "sft"),
)


def gradients(learner: Learner, micro_batch: int) -> dict[str, torch.Tensor]:
    """The gradient of the batch's mean, as `step` makes it."""
    learner.progress.micro_batch = micro_batch
    sums = learner.accumulate(range(min(7, len(learner.examples))))
    return {n: p.grad / sums["weight"] for n, p in trainable(learner.model).items() if p.grad is not None}


@pytest.mark.parametrize("name", INVARIANT)
def test_gradients_do_not_depend_on_the_micro_batch(tmp_path, policy, name):
    """7 rows in one piece, in pieces of 3, 3 and 1, and one by one. SFT's rows have different numbers of tokens."""
    learner = learner_of(tmp_path, policy, name)
    whole = gradients(learner, 8)
    assert any(g.abs().max() > 1e-4 for g in whole.values())
    for micro_batch in (3, 1):
        for key, gradient in gradients(learner, micro_batch).items():
            torch.testing.assert_close(gradient, whole[key], atol=2e-6, rtol=1e-4)


def test_the_loss_counts_each_pair_as_much_as_who_judged_it_is_reliable(tmp_path, policy):
    """Four pairs with weights 2, 1, 0.5 and 0: the mean is over 3.5, and the last one is not even read.

    By hand from each pair's own loss: (2 a + b + c / 2) / 3.5. Without the knob it is the plain mean of four.
    """
    rows = ROWS["pairs"](4)
    for row, weight in zip(rows, (2.0, 1.0, 0.5, 0.0), strict=True):
        row["annotator_weight"] = weight
    torch.manual_seed(0)
    model, tokenizer = START["reward"](str(policy))

    def loss_of(*, annotator_weights: bool) -> tuple[float, list[float]]:
        folder = tmp_path / str(annotator_weights)
        more = {"annotator_weights": annotator_weights, "eval_share": 0.0}
        job = open_job(make_spec(folder, "bradley-terry", model=policy, rows=rows, **more))
        parts = job.recipe.parts_with(job.knobs)
        batch = collate_pairs(prepare(job, tokenizer, max_length=512, eval_share=0.0).examples, 0)
        out = called(parts["objective"])(model, batch, called(parts["loss"]))
        return ((out.loss * out.weight).sum() / out.weight.sum()).item(), out.loss.tolist()

    mean, each = loss_of(annotator_weights=False)
    assert len(each) == 4 and mean == pytest.approx(sum(each) / 4, rel=1e-5)
    weighted, three = loss_of(annotator_weights=True)
    a, b, c = three
    assert weighted == pytest.approx((2 * a + b + 0.5 * c) / 3.5, rel=1e-5)


def test_before_the_first_step_dpo_s_loss_is_ln_2_and_its_margin_0(tmp_path, policy):
    learner = learner_of(tmp_path, policy, "dpo", micro_batch=4)
    numbers, _ = learner.step(range(4), rate=0.0, clip=0.0)
    assert numbers["loss"] == pytest.approx(0.693147180559945, abs=1e-6)
    assert numbers["margin"] == pytest.approx(0.0, abs=1e-4)


def test_gpu_out_of_memory_halves_the_micro_batch_until_it_fits_and_says_so(tmp_path, policy):
    """The device is imitated at its outer edge: it refuses more than 2 rows, with the error of a real one."""

    def small_device(model, batch, loss) -> LossOutput:
        if len(batch) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return pair_logratios(model, batch, loss, annotator_weights=False, per_token=False, likelihood_weight=0.0)

    learner = learner_of(tmp_path, policy, "dpo", micro_batch=7, objective=small_device)
    found = gradients(learner, 7)
    assert learner.progress.micro_batch == 2
    assert learner.notes[-1] == "The device's memory was full, so micro_batch is 2 from now on."
    roomy = gradients(learner_of(tmp_path, policy, "dpo"), 2)
    for key, gradient in found.items():
        torch.testing.assert_close(gradient, roomy[key], atol=2e-6, rtol=1e-4)


def test_a_row_that_does_not_fit_alone_fails_with_advice(tmp_path, policy):
    def full(model, batch, loss) -> LossOutput:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    learner = learner_of(tmp_path, policy, "dpo", objective=full)
    with pytest.raises(RunError, match="Lower max_length, set a lora_rank"):
        learner.accumulate(range(4))


def test_a_loss_that_is_no_number_stops_the_run_before_it_reaches_the_weights(tmp_path, policy):
    def broken(model, batch, loss) -> LossOutput:
        out = pair_logratios(model, batch, loss, annotator_weights=False, per_token=False, likelihood_weight=0.0)
        return LossOutput(out.loss * float("nan"), out.weight)

    learner = learner_of(tmp_path, policy, "dpo", objective=broken)
    before = {n: p.clone() for n, p in trainable(learner.model).items()}
    with pytest.raises(RunError, match="stopped being a finite number in step 1"):
        learner.step(range(4), rate=1e-3, clip=1.0)
    assert all(torch.equal(p, before[n]) for n, p in trainable(learner.model).items())


def test_gradients_are_clipped_to_the_length_asked_for(tmp_path, policy):
    learner = learner_of(tmp_path, policy, "sft")
    numbers, _ = learner.step(range(4), rate=0.0, clip=0.01)
    norm = torch.nn.utils.get_total_norm([p.grad for p in trainable(learner.model).values() if p.grad is not None])
    assert numbers["gradient_norm"] > 0.01
    assert norm.item() == pytest.approx(0.01, rel=1e-4)


def test_a_head_is_calibrated_on_long_answers_as_well(tmp_path, policy):
    """Of more rows than are read every so many are taken, not the shortest ones."""
    learner = learner_of(tmp_path, policy, "bradley-terry", micro_batch=3)
    count = len(learner.examples)
    rows = sorted(range(count), key=lambda i: learner.examples[i].length)
    every = [rows[place * count // 4] for place in range(4)]
    assert torch.equal(learner.outputs(rows, most=4), learner.outputs(every))
    assert learner.examples[every[-1]].length > learner.examples[rows[3]].length
    assert len(learner.outputs(rows)) == 2 * count
