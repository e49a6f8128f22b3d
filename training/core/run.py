"""Spec in, result out: ``python -m training.core.run spec.json``. The only file that wires the rest together.

Exit status 0: ``result.json`` is there. 75: stopped on request, resumable. 1: ``error.json`` says why in a sentence.
"""

from __future__ import annotations

import errno
import logging
import os
import shutil
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import torch
from transformers.utils import logging as transformers_logging

from training.core import distributed
from training.core.elsewhere import improve_elsewhere
from training.core.job import Job, Stopped, device_here
from training.core.trainers.offline import fit_recipe, named
from training.errors import TrainingError
from training.recipes import RecipeError, from_json
from training.recipes.note import Note, in_json, note_of
from training.recipes.spec import EXIT_STOPPED, RunResult, RunSpec, write_json

log = logging.getLogger("attune.run")


def by_part(slot: str) -> Callable[[Job], RunResult]:
    """Return a function that leaves the work to the target of the recipe's part in `slot`."""

    def work(job: Job) -> RunResult:
        result: RunResult = named(job.recipe.part(slot).target)(job)  # type: ignore[union-attr]
        return result

    return work


KINDS: dict[str, Callable[[Job], RunResult]] = {
    "fit": fit_recipe,
    "sample": by_part("sample"),
    "evaluate": by_part("evaluate"),
}


def open_job(spec: RunSpec) -> Job:
    """Return the job of this process, which has joined the others it was started with."""
    recipe, knobs = from_json(spec.recipe)
    if recipe.kind != spec.kind:
        raise TrainingError(
            Note(
                "The recipe {recipe} is of kind {kind}, and the spec says {wanted}.",
                recipe=recipe.name,
                kind=recipe.kind,
                wanted=spec.kind,
            )
        )
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    device = device_here()
    if device.type == "cuda":
        torch.cuda.set_device(device)
    rank, world_size = distributed.join(device)
    torch.manual_seed(spec.seed)
    # A resumed run must end where an uninterrupted one would; what cannot be computed so warns in the log.
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    job = Job(
        spec=spec,
        recipe=recipe,
        knobs=knobs,
        device=device,
        rank=rank,
        world_size=world_size,
        sharded=distributed.sharded(),
        static_lengths=device.type == "cuda",
    )
    log.info(
        "%s %s: process %d of %d on %s, torch %s, %d threads",
        spec.kind,
        recipe.name,
        rank,
        world_size,
        device,
        torch.__version__,
        torch.get_num_threads(),
    )
    return job


def main(spec_path: str) -> int:
    """Do the run of a spec file and return the exit status."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stdout)
    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    folder = Path(spec_path).resolve().parent
    try:
        spec = RunSpec.read(spec_path)
        folder = Path(spec.output)
        if RunResult.read(folder) is not None:
            log.info("The run has its result already.")
            return 0
        (folder / "error.json").unlink(missing_ok=True)
        job = open_job(spec)
        job.listen()
        result = (improve_elsewhere if spec.engine else KINDS[spec.kind])(job)
        if job.is_main:
            result.write(folder)
            shutil.rmtree(folder / "checkpoints", ignore_errors=True)  # large, and of no more use
        distributed.wait(job)
    except Stopped:
        (folder / "STOP").unlink(missing_ok=True)  # it has been heeded; the next start is meant
        log.info("Stopped on request; the run goes on from here when it is started again.")
        return EXIT_STOPPED
    except Exception as error:
        log.exception("The run failed.")
        write_json(folder / "error.json", in_json("message", sentence(error)) | {"traceback": traceback.format_exc()})
        return 1
    finally:
        distributed.leave()
    return 0


def sentence(error: Exception) -> Note | str:
    """Return what went wrong as a sentence for the person who reads the run's page."""
    if isinstance(error, TrainingError | RecipeError):
        return note_of(error)
    if isinstance(error, torch.OutOfMemoryError):
        return Note(
            "The device's memory is full. Lower the rows computed at once or max_length, or take a smaller model."
        )
    # The libraries that write weights have errors of their own for a full disk, with the system's words in them.
    if getattr(error, "errno", None) == errno.ENOSPC or os.strerror(errno.ENOSPC) in str(error):
        return Note("The disk is full. Make room where the files of the runs are kept, then start the run again.")
    if isinstance(error, FileNotFoundError):
        return Note(
            "The file {file} is not there. It may have been moved or deleted since the run was made.",
            file=error.filename,
        )
    text = str(error).strip()
    detail = f": {text.splitlines()[0]}" if text else ""
    return Note(
        "The run failed with {error}{detail}. Its log has the details.",
        error=type(error).__name__,
        detail=detail.rstrip("."),
    )


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("Usage: python -m training.core.run spec.json")
    sys.exit(main(sys.argv[1]))
