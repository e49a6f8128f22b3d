"""One step of learning, and one measurement: the arithmetic of the loop, without files.

The loss of a step is one weighted mean. Its numerator and its weight are summed over micro-batches and processes before
the one is divided by the other, so neither the size of a micro-batch nor the number of processes changes what is
learned.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from training.core import distributed
from training.core.backbone import RewardModel, longest_input
from training.core.collate import COLLATE, Example
from training.core.job import Job, RunError
from training.core.ladder import on_a_rung
from training.core.objectives import Loss, Objective
from training.core.personal import users_of
from training.core.sharding import Shards, whole_tensor
from training.core.stats import accuracy_by_prompt
from training.core.trainers.state import Progress, save_checkpoint, trainable
from training.recipes.note import Note

CALIBRATION_ROWS = 1000  # more would not make a mean and a standard deviation better
REFERENCE_ROWS = 10_000  # a rank correlation on N answers is off by 1/√N
MARGIN = "margin"
WEIGHT = " weight"  # after a metric's name: the weight of the examples it is about


@dataclass
class Learner:
    """What one step needs: the model, the rows, and how they become a loss."""

    job: Job
    model: nn.Module
    optimizer: torch.optim.Optimizer
    objective: Objective
    loss: Loss
    examples: list[Example]
    pad_id: int
    bf16: bool
    reference: Tensor | None
    progress: Progress
    names: tuple[str, ...] = ()  # of what the head gives, in the order of its outputs
    notes: list[Note] = field(default_factory=list)
    shards: Shards | None = None  # where the model is shared out over the processes
    # Of the last measurement: each kind of accuracy of each row, and the margin of each pair, (N,).
    by_row: dict[str, Tensor] = field(default_factory=dict)

    def batch(self, rows: Sequence[int]) -> Any:
        made = self.job.recipe.part("records")
        view = self.job.recipe.view if made is None else made.gives
        reference = None if self.reference is None else self.reference[list(rows)]
        examples = [self.examples[i] for i in rows]
        batch = COLLATE[view](examples, self.pad_id, reference, self.names)
        if self.job.static_lengths:
            users = users_of(self.model)  # whose tokens come in front later
            longest = longest_input(self.model) - (0 if users is None else users.length)
            tokens = on_a_rung(batch.tokens, self.pad_id, longest=longest)
            batch = replace(batch, tokens=tokens)
        return batch.to(self.job.device)

    def forward(self, rows: Sequence[int]) -> tuple[Tensor, dict[str, float]]:
        """Return Σ weight·loss, which can be differentiated, and the sums that go into the step's numbers."""
        batch = self.batch(rows)

        def work() -> tuple[Tensor, dict[str, float]]:
            with torch.autocast(self.job.device.type, dtype=torch.bfloat16, enabled=self.bf16):
                out = self.objective(self.model, batch, self.loss)
            total = (out.loss * out.weight).sum()
            sums = {"weight": float(out.weight.sum()), "loss": float(total.detach())}
            sums["tokens"] = float(batch.tokens.attention_mask.sum())
            for name, values in out.metrics.items():
                _add(sums, name, values, out.weight)
            return total, sums

        return work() if self.shards is None else self.shards(work)

    def accumulate(self, rows: Sequence[int], *, idle: Sequence[int] = ()) -> dict[str, float]:
        """Leave the gradient of Σ weight·loss over `rows` in the parameters, and return the sums.

        When the device's memory does not hold a micro-batch, the micro-batch is halved and the rows done again. The
        rows in `idle` are gone through one by one and count nothing.
        """
        while True:
            self.optimizer.zero_grad(set_to_none=True)
            sums: dict[str, float] = {}
            try:
                for start in range(0, len(rows), self.progress.micro_batch):
                    total, part = self.forward(rows[start : start + self.progress.micro_batch])
                    total.backward()
                    for name, value in part.items():
                        sums[name] = sums.get(name, 0.0) + value
                for row in idle:
                    (self.forward([row])[0] * 0).backward()
                return sums
            except torch.OutOfMemoryError as error:
                if self.shards is not None:  # the other processes wait for this one within the same block
                    raise RunError(
                        Note(
                            "The device's memory does not hold a micro-batch of a model in shards. Lower micro_batch "
                            "or max_length."
                        )
                    ) from error
                if self.progress.micro_batch == 1:
                    raise RunError(
                        Note(
                            "The device's memory does not hold a single row. Lower max_length, set a lora_rank, or "
                            "take a smaller model."
                        )
                    ) from error
                self.progress.micro_batch = math.ceil(self.progress.micro_batch / 2)
                said = Note(
                    "The device's memory was full, so micro_batch is {n} from now on.", n=self.progress.micro_batch
                )
                self.notes.append(said)
            self.optimizer.zero_grad(set_to_none=True)
            torch.cuda.empty_cache()

    def step(self, rows: Sequence[int], *, rate: float | Sequence[float], clip: float) -> tuple[dict[str, float], bool]:
        """Do one step on a batch, and return its means and whether a process was asked to stop.

        `rate` is the learning rate, or that of each of the optimizer's groups; the first is told as ``lr``.
        """
        job = self.job
        mine = rows[job.rank :: job.world_size]
        sums = self.accumulate(mine, idle=() if self.shards is None else self._idle(rows, mine))
        stop, sums = _sum_numbers(job, sums, stop=job.stop_requested())
        weight = sums.pop("weight")
        if weight <= 0:
            raise RunError(Note("The rows of a batch have no weight at all. Check the weights in the data."))
        parameters = list(trainable(self.model).values())
        if self.shards is None:  # FSDP has summed them already
            distributed.sum_gradients(job, parameters)
        gradients = [p.grad for p in parameters if p.grad is not None]
        torch._foreach_div_(gradients, weight)
        norm = float(whole_tensor(torch.nn.utils.get_total_norm(gradients)))
        if not math.isfinite(norm) or not math.isfinite(sums["loss"]):
            raise RunError(
                Note(
                    "Loss or gradient stopped being a finite number in step {step}. Lower learning_rate, or set "
                    "bf16 to false.",
                    step=self.progress.step + 1,
                )
            )
        if clip and self.shards is not None:
            torch._foreach_mul_(gradients, min(1.0, clip / (norm + 1e-6)))  # as below, by a number
        elif clip:
            torch.nn.utils.clip_grads_with_norm_(parameters, clip, torch.tensor(norm, device=job.device))
        rates = [rate] * len(self.optimizer.param_groups) if isinstance(rate, float | int) else list(rate)
        for group, own in zip(self.optimizer.param_groups, rates, strict=True):
            group["lr"] = own
        self.optimizer.step()
        tokens = sums.pop("tokens")
        self.progress.step += 1
        self.progress.consumed += len(rows)
        self.progress.tokens += int(tokens)
        means = _means(sums, weight)
        return means | {"lr": rates[0], "gradient_norm": norm, "tokens": tokens}, stop

    def _idle(self, rows: Sequence[int], mine: Sequence[int]) -> list[int]:
        """Return a row for each micro-batch that this process has less than the one with the most.

        Of a model in shards every process has to come through every block as often as the others.
        """
        size = self.progress.micro_batch
        most = math.ceil(math.ceil(len(rows) / self.job.world_size) / size)
        return [rows[0]] * (most - math.ceil(len(mine) / size))

    def keep(self, mark: str) -> None:
        """Write a checkpoint, which one process does for all, and return when it is there."""
        job = self.job
        if job.is_main or self.shards is not None:
            save_checkpoint(
                job.folder / "checkpoints", self.progress, self.model, self.optimizer, mark=mark, writes=job.is_main
            )
        distributed.wait(job)

    def whole(self) -> AbstractContextManager[None]:
        """Within it, the model is in one piece in this process, to read."""
        return nullcontext() if self.shards is None else self.shards.whole()

    def save(self, write: Callable[[], None]) -> None:
        """Have one process `write` the model, whole, and return when it is there."""
        with nullcontext() if self.shards is None else self.shards.written_out():
            if self.job.is_main:
                write()
        distributed.wait(self.job)

    def outputs(self, rows: Sequence[int], *, most: int = CALIBRATION_ROWS) -> Tensor:
        """Return what a reward model's head gives for the sequences of `rows`, (N, K), in float32 on the CPU.

        Of more than `most` rows an even selection is read: the shortest ones alone would say nothing of length. Every
        process does all of them, so that each calibrates its head alike.
        """
        with self.whole(), torch.no_grad():
            return self._outputs(rows, most)

    def _outputs(self, rows: Sequence[int], most: int) -> Tensor:
        assert isinstance(self.model, RewardModel)
        found = []
        count = min(len(rows), most)
        some = [rows[place * len(rows) // count] for place in range(count)]
        ordered = sorted(some, key=lambda i: self.examples[i].length)
        for start in range(0, len(ordered), self.progress.micro_batch):
            tokens = self.batch(ordered[start : start + self.progress.micro_batch]).tokens
            with torch.autocast(self.job.device.type, dtype=torch.bfloat16, enabled=self.bf16):
                values = self.model.outputs(
                    tokens.input_ids, tokens.attention_mask, tokens.completion_mask, tokens.images
                )
                found.append(values.float())
        return torch.cat(found)

    def measure(self, rows: Sequence[int]) -> dict[str, Any]:
        """Return the means over held-out rows, and the accuracy with its interval, counted by prompt."""
        with self.whole(), torch.no_grad():
            return self._measure(rows)

    def _measure(self, rows: Sequence[int]) -> dict[str, Any]:
        job = self.job
        sums: dict[str, float] = {}
        own = sorted(rows, key=lambda i: self.examples[i].length)[job.rank :: job.world_size]
        found: dict[str, Tensor] = {}
        for start in range(0, len(own), self.progress.micro_batch):
            some = own[start : start + self.progress.micro_batch]
            batch = self.batch(some)
            with torch.autocast(job.device.type, dtype=torch.bfloat16, enabled=self.bf16):
                out = self.objective(self.model, batch, self.loss)
            sums["weight"] = sums.get("weight", 0.0) + float(out.weight.sum())
            sums["loss"] = sums.get("loss", 0.0) + float((out.loss * out.weight).sum())
            for name, values in out.metrics.items():
                _add(sums, name, values, out.weight)
                if name.endswith("accuracy") or name == MARGIN:
                    unseen = torch.full((len(self.examples),), float("nan"))
                    found.setdefault(name, unseen)[some] = values.float().cpu()
        _, sums = _sum_numbers(job, sums, stop=False)
        weight = sums.pop("weight")
        numbers: dict[str, Any] = dict(_means(sums, weight))
        for name in sorted(name for name in numbers if name.endswith("accuracy") or name == MARGIN):
            own_rows = found.get(name, torch.full((len(self.examples),), float("nan")))
            told = distributed.sum_over(job, torch.isfinite(own_rows).float())
            values = distributed.sum_over(job, torch.nan_to_num(own_rows))
            self.by_row[name] = values.masked_fill(told == 0, float("nan"))
        if "accuracy" in numbers:
            correct = self.by_row["accuracy"].tolist()
            some = [i for i in rows if math.isfinite(correct[i])]  # a ranking of equals, for one, says nothing of it
            hashes = [self.examples[i].prompt_hash for i in some]
            numbers["accuracy"] = accuracy_by_prompt(hashes, [correct[i] for i in some])
        return numbers


def _add(sums: dict[str, float], name: str, values: Tensor, weight: Tensor) -> None:
    """Add a metric's weighted sum to `sums`, and the weight of the examples that it says something of."""
    told = torch.isfinite(values)
    counted = weight * told
    sums[name] = sums.get(name, 0.0) + float((values.masked_fill(~told, 0.0) * counted).sum())
    sums[name + WEIGHT] = sums.get(name + WEIGHT, 0.0) + float(counted.sum())


def _means(sums: dict[str, float], weight: float) -> dict[str, float]:
    """Return each sum over the weight of the examples that it is about; without any there is no mean."""
    weights = {name: sums.get(name + WEIGHT, weight) for name in sums if not name.endswith(WEIGHT)}
    return {name: sums[name] / total for name, total in weights.items() if total > 0}


def _sum_numbers(job: Job, sums: dict[str, float], *, stop: bool) -> tuple[bool, dict[str, float]]:
    """Return the sums over all processes, and whether any of them was asked to stop: they have to stop together."""
    if job.world_size == 1:
        return stop, sums
    everyone: list[Any] = [None] * job.world_size
    torch.distributed.all_gather_object(everyone, (stop, sums))
    names = list(dict.fromkeys(name for _, other in everyone for name in other))
    return any(s for s, _ in everyone), {name: sum(other.get(name, 0.0) for _, other in everyone) for name in names}
