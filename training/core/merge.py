"""A policy with its adapter in its weights: ``python -m training.core.merge FROM INTO``.

What comes out is a folder of whole weights, in the number format of the base, that needs no adapter library to be read.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from transformers import AutoConfig

from training.core.backbone import adapter_base, is_adapter, load_policy, reads_images, save
from training.core.job import RunError
from training.core.pictures import Pictures
from training.recipes.note import Note


def merge(source: str, folder: Path, *, trust_remote_code: bool = False) -> None:
    """Write the policy in `source` into `folder`, whole; one without an adapter as it is.

    It is merged in float32, so that small steps of an adapter are not lost in the sum, and rounded once at the end.
    """
    if not is_adapter(source):
        raise RunError(
            Note(
                "The model in {source} has no adapter, so there is nothing to merge. Export it as it is.", source=source
            )
        )
    base = adapter_base(source)
    model, tokenizer = load_policy(source, trust_remote_code=trust_remote_code)
    whole = model.merge_and_unload()  # type: ignore[operator, union-attr]
    kept = AutoConfig.from_pretrained(base, trust_remote_code=trust_remote_code).dtype or torch.float32
    pictures = None
    if reads_images(base, trust_remote_code=trust_remote_code):
        pictures = Pictures(base, files={}, beside=folder, trust_remote_code=trust_remote_code)
    save(whole.to(kept), tokenizer, folder, recipe="merged", base=base, pictures=pictures)


def main(source: str, folder: str, trust: str = "") -> int:
    """Merge, and return 0; what cannot be merged is said in a sentence on standard error, and 1 returned."""
    try:
        merge(source, Path(folder), trust_remote_code=trust == "trust")
    except (RunError, OSError, torch.OutOfMemoryError) as error:
        sys.stderr.write(str(error).splitlines()[0] + "\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
