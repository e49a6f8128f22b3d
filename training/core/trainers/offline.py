"""The loop over fixed data: rows → batches → steps → measurements → checkpoints → a model's folder."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase

from training.core import acquaintances, backbone, distributed, leftover, personal
from training.core.collate import Example, encode
from training.core.job import Job, RunError, Stopped
from training.core.modes import keyed
from training.core.pictures import Pictures
from training.core.records import Tally, held_out, label_names, read, weighted
from training.core.sharding import shards_of
from training.core.trainers.learner import REFERENCE_ROWS, Learner
from training.core.trainers.margins import with_margins
from training.core.trainers.pair_audit import FILE as PAIR_AUDIT
from training.core.trainers.pair_audit import audit
from training.core.trainers.plan import batches_done, plan
from training.core.trainers.reference import reference_logps
from training.core.trainers.state import (
    Progress,
    fingerprint,
    rates_at,
    restore,
    tail_means,
    trainable,
)
from training.recipes.base import knobs_of
from training.recipes.chat import MODES_FILE
from training.recipes.note import Note
from training.recipes.spec import RunResult

START: dict[str, Callable[..., Any]] = {
    "policy": backbone.start_policy,
    "reward": backbone.start_reward,
    "cost": backbone.start_reward,
}


@dataclass(frozen=True)
class Rows:
    """The examples of a run, and which of them are trained on and which are held out, by index."""

    examples: list[Example]
    train: list[int]
    held: list[int]
    tally: Tally
    drawn: list[int] | None = None  # the rows of all epochs, where they are not those of `train` once in each

    def counts(self) -> dict[str, int]:
        return dict(self.tally.counts) | {"trained_on": len(self.train), "held_out": len(self.held)}


def fit_recipe(job: Job) -> RunResult:
    """Do a run of the kind `fit`."""
    trainer = job.recipe.parts_with(job.knobs)["trainer"]
    result: RunResult = named(trainer.target)(job, **{k.name: k.default for k in knobs_of(trainer)})
    return result


def fit(
    job: Job,
    *,
    epochs: int,
    max_steps: int,
    learning_rate: float,
    batch_size: int,
    micro_batch: int,
    lora_rank: int,
    max_length: int,
    eval_share: float,
    warmup: float,
    schedule: str,
    weight_decay: float,
    gradient_clip: float,
    bf16: bool,
    eval_every: int,
    patience: int,
    checkpoint_every: int,
) -> RunResult:
    """Train the recipe's model on the spec's data, from its newest checkpoint if it has one, and return the result.

    With `patience` training ends early, after so many measurements in a row without a lower loss on held-out rows. The
    model is the one of that moment, so that what is measured at the end is what is kept.

    Raises `Stopped` after a checkpoint when asked to stop.
    """
    spec, parts = job.spec, job.recipe.parts_with(job.knobs)
    if spec.data is None:
        raise RunError(
            Note(
                "The recipe {recipe} needs data: rows of the view {view}.", recipe=job.recipe.name, view=job.recipe.view
            )
        )
    mark = fingerprint(spec)
    trust = spec.trust_remote_code
    # A frozen base needs no float32 master weights; an adapter and a head keep their own.
    dtype = torch.bfloat16 if bf16 and lora_rank and job.device.type == "cuda" else torch.float32
    sees = pictures_wanted(job, trust)
    more: dict[str, Any] = {"lora_rank": lora_rank, "trust_remote_code": trust, "dtype": dtype}
    if "head" in parts:
        more |= {"head": called(parts["head"]), "names": label_names(spec.data, job.recipe.view, images=sees)}
        more |= {"frozen": parts["head"].frozen}
    model, tokenizer = START[job.recipe.starts or job.recipe.makes](spec.model, **more)
    if spec.tokenizer:
        tokenizer = backbone.load_tokenizer(spec.tokenizer, trust_remote_code=trust)
    notes = [backbone.PLAIN_NOTE] if backbone.has_plain_template(tokenizer) else []
    longest = backbone.longest_input(model) - (parts["users"].user_tokens if "users" in parts else 0)
    if longest < max_length:
        notes.append(
            Note(
                "max_length is {longest} instead of {wanted}: the model reads no more.",
                longest=longest,
                wanted=max_length,
            )
        )
        max_length = longest
    model.to(job.device)
    distributed.share_start(job, trainable(model).values())

    pictures = None
    if sees:
        pictures = Pictures(
            spec.model,
            files=spec.images,
            beside=Path(spec.data or "").parent,
            answers=isinstance(model, backbone.RewardModel),
            trust_remote_code=trust,
        )
        if not tokenizer.chat_template or backbone.has_plain_template(tokenizer):
            tokenizer.chat_template = pictures.processor.chat_template
    rows = prepare(job, tokenizer, pictures=pictures, max_length=max_length, eval_share=eval_share)
    pad_id = backbone.pad_id_of(tokenizer)
    left: dict[str, float] = {}
    if "baseline" in parts:
        rows, left, said = called(parts["baseline"])(job, model, rows, pad_id, epochs)
        notes += said
    if "users" in parts:
        examples = called(parts["users"])(job, model, tokenizer, rows.examples, rows.train)
        rows = replace(rows, examples=examples)
        distributed.share_start(job, trainable(model).values())
    each = rows.train if rows.drawn is None else rows.drawn
    lengths = [rows.examples[i].length for i in each]
    times = epochs if rows.drawn is None else 1
    planned = plan(lengths, batch_size=batch_size, epochs=times, max_steps=max_steps, seed=spec.seed)
    batches = [[each[i] for i in batch] for batch in planned]
    reference = None
    if "reference" in parts["objective"].needs:
        wanted = sorted({i for batch in batches for i in batch} | set(rows.held))
        reference = reference_logps(
            job, model, rows.examples, wanted, pad_id=pad_id, rows_at_once=micro_batch, bf16=bf16, mark=mark
        )
    users = personal.users_of(model)
    shards = shards_of(job, model)
    groups: list[dict[str, Any]] = [{"params": [*trainable(model).values()]}]
    highest = [learning_rate]
    if users is not None:
        apart = {id(parameter) for parameter in users.parameters()}
        groups = [{"params": [p for p in groups[0]["params"] if id(p) not in apart]}, {"params": [*users.parameters()]}]
        highest.append(users.rate)
    optimizer = torch.optim.AdamW(groups, lr=learning_rate, weight_decay=weight_decay)
    learner = Learner(
        job=job,
        model=model,
        optimizer=optimizer,
        objective=called(parts["objective"]),
        loss=called(parts["loss"]),
        examples=rows.examples,
        pad_id=pad_id,
        bf16=bf16,
        reference=reference,
        progress=Progress(micro_batch=micro_batch),
        names=model.head.names if isinstance(model, backbone.RewardModel) else (),
        notes=notes + rows.tally.notes(),
        shards=shards,
    )
    if isinstance(model, backbone.RewardModel) and model.head.wants_reference:
        # Before anything is restored, so that a resumed run finds the same: what is trained does not go into it.
        learner.notes += model.head.prepare(learner.outputs(rows.held or rows.train, most=REFERENCE_ROWS))
    progress, found = restore(job.folder / "checkpoints", model, optimizer, mark=mark)
    learner.progress = progress or learner.progress
    learner.notes += found
    if not rows.held:
        learner.notes.append(
            Note("No rows were held out, so nothing was measured on prompts that training did not see.")
        )
    rate = partial(rates_at, total_steps=len(batches), highest=highest, warmup=warmup, schedule=schedule)
    _train(
        learner,
        batches,
        rows.held,
        rate=rate,
        clip=gradient_clip,
        eval_every=eval_every,
        patience=patience,
        checkpoint=lambda: learner.keep(mark),
        checkpoint_every=checkpoint_every,
    )
    if 0 < patience <= learner.progress.stale:
        learner.notes.append(
            Note(
                "Training ended after {step} of {n} steps: in {patience} measurements in a row the loss on "
                "held-out rows was not lower than before.",
                step=learner.progress.step,
                n=len(batches),
                patience=patience,
            )
        )
    figures = {f"eval_{name}": value for name, value in learner.measure(rows.held).items()} if rows.held else {}
    if isinstance(model, backbone.RewardModel):
        model.head.calibrate(learner.outputs(rows.held or rows.train))
    people = acquaintances.met(learner)
    learner.save(lambda: save_model(job, model, tokenizer, pictures, people=people))
    steps = tail_means(job.folder) | {"steps": learner.progress.step}
    result = RunResult(model="model", metrics=steps | left | figures, counts=rows.counts(), notes=learner.notes)
    if "baseline" in parts:
        weighs = getattr(parts["loss"], "importance", "none") == "sequence" and parts["loss"].ratio_clip
        if weighs:
            left = leftover.weight_report(job, learner, rows.train, ratio_clip=parts["loss"].ratio_clip)
        result = replace(result, files={"leftover": leftover.FILE}, metrics=result.metrics | left)
    if users is not None and rows.held:
        with learner.whole():
            told, counts = personal.report(job, users, rows.examples, rows.train, learner.by_row, rows.held)
        result = replace(
            result,
            files=result.files | {"users": personal.REPORT_FILE},
            metrics=result.metrics | told,
            counts=result.counts | counts,
        )
    if job.recipe.view == "pairs" and reference is not None:
        counts = audit(job, learner, sorted({i for batch in batches for i in batch}))
        files = result.files | {"pair_audit": PAIR_AUDIT}
        result = replace(result, files=files, counts=result.counts | counts)
    return result


def named(target: str) -> Callable[..., Any]:
    """Return the function that a part's `target` names."""
    module, function = target.split(":")
    return getattr(import_module(module), function)


def called(part: Any) -> Callable[..., Any]:
    """Return the function that a part names, with the part's knobs in it."""
    return partial(named(part.target), **{k.name: k.default for k in knobs_of(part)})


def pictures_wanted(job: Job, trust: bool) -> bool:
    """Return whether the model to train reads images, and the recipe the rows that may have some."""
    made_of = job.recipe.part("records")
    seen = job.recipe.view in ("pairs", "safer_pairs", "ratings", "demonstrations") and made_of is None
    seen = seen and job.recipe.part("users") is None
    return (
        seen
        and not backbone.is_adapter(job.spec.model)
        and backbone.reads_images(job.spec.model, trust_remote_code=trust)
    )


def prepare(
    job: Job,
    tokenizer: PreTrainedTokenizerBase,
    *,
    max_length: int,
    eval_share: float,
    pictures: Pictures | None = None,
) -> Rows:
    """Return the rows of the run as token ids, with the prompts to measure on apart from those to train on."""
    spec, view, tally = job.spec, job.recipe.view, Tally()
    assert spec.data is not None
    parts = job.recipe.parts_with(job.knobs)
    wanted = getattr(parts.get("objective"), "needs", ())
    parted = "parted_dialogues" in wanted
    records = read(spec.data, view, tally, images=pictures is not None, parted=parted)
    if (chosen := parts.get("records")) is not None:
        records = called(chosen)(records, tally)
    if getattr(chosen, "keyed", False):
        records = keyed(job, records)
    asks = "reward_margins" in wanted
    if asks:
        records = with_margins(job, records, tally, source="data", principles=parts["objective"].principles)
    if getattr(parts.get("objective"), "annotator_weights", False):
        records = weighted(records, tally)
    texts = parts["users"].profile_tokens if "users" in parts else 0
    examples = encode(records, tokenizer, tally, max_length=max_length, pictures=pictures, profile_tokens=texts)
    if spec.eval_data:
        apart = Tally()
        measured = read(spec.eval_data, view, apart, audit=True, images=pictures is not None, parted=parted)
        if chosen is not None and chosen.gives != view:  # what only leaves rows out has no say in what is measured
            measured = called(chosen)(measured, apart)
            measured = keyed(job, measured) if getattr(chosen, "keyed", False) else measured
        if asks:
            measured = with_margins(job, measured, apart, source="eval_data", principles=parts["objective"].principles)
        others = encode(measured, tokenizer, apart, max_length=max_length, pictures=pictures, profile_tokens=texts)
        tally.counts.update({f"eval_{name}": count for name, count in apart.counts.items()})
        seen = {example.prompt_hash for example in others}
        train = [i for i, example in enumerate(examples) if example.prompt_hash not in seen]
        tally.counts["left_out_as_held_out"] = len(examples) - len(train)
        held = list(range(len(examples), len(examples) + len(others)))
        examples += others
    else:
        held = [i for i, example in enumerate(examples) if held_out(example.prompt_hash, share=eval_share)]
        train = sorted(set(range(len(examples))) - set(held))
    if not train:
        notes = [Note("None of the {n} rows can be trained on.", n=tally.counts["read"]), *tally.notes()]
        if held:
            notes.append(Note("{n} rows are held out.", n=len(held)))
        raise RunError(Note.together(notes))
    return Rows(examples=examples, train=train, held=held, tally=tally)


def _train(
    learner: Learner,
    batches: Sequence[Sequence[int]],
    held: Sequence[int],
    *,
    rate: Callable[[int], Sequence[float]],
    clip: float,
    eval_every: int,
    patience: int,
    checkpoint: Callable[[], None],
    checkpoint_every: int,
) -> None:
    """Do the steps that are still to be done."""
    job, progress = learner.job, learner.progress
    job.rewind(progress.step)
    started = time.perf_counter()
    for rows in batches[batches_done(batches, progress.consumed) :]:
        if 0 < patience <= progress.stale:
            break
        numbers, stop = learner.step(rows, rate=rate(progress.step), clip=clip)
        now = time.perf_counter()
        numbers["tokens_per_second"] = numbers.pop("tokens") / (now - started)
        last = progress.step == len(batches)
        if held and eval_every and progress.step % eval_every == 0 and not last:
            measured = learner.measure(held)
            progress.measured(float(measured["loss"]))
            numbers |= {f"eval_{k}": v["estimate"] if isinstance(v, dict) else v for k, v in measured.items()}
        job.progress(step=progress.step, total_steps=len(batches), **numbers)
        enough = 0 < patience <= progress.stale
        if stop or last or enough or progress.step % checkpoint_every == 0:
            checkpoint()
        if stop and not last and not enough:
            raise Stopped
        started = time.perf_counter()  # measuring and writing are no part of a step's speed


def save_model(
    job: Job,
    model: torch.nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    pictures: Pictures | None = None,
    *,
    people: dict[str, torch.Tensor] | None = None,
) -> None:
    """Write the folder ``model``, whole or not at all; `people` are those whom a model for people has met."""
    part, final = job.folder / "model.part", job.folder / "model"
    shutil.rmtree(part, ignore_errors=True)
    backbone.save(model, tokenizer, part, recipe=job.recipe.name, base=job.spec.model, pictures=pictures)
    acquaintances.keep(people or {}, part)
    for folder in (job.folder, Path(job.spec.model)):  # keys drawn in this run, or those of the model it goes on from
        if job.recipe.makes == "policy" and (folder / MODES_FILE).is_file() and not (part / MODES_FILE).exists():
            shutil.copy(folder / MODES_FILE, part / MODES_FILE)  # with its mode: nobody else may read it
    shutil.rmtree(final, ignore_errors=True)
    part.rename(final)
