"""Log-probabilities under frozen references, kept by content in a folder that runs share.

What decides such a number is hashed, and nothing else: the bytes of the reference's weights and config, the row's ids
and images, and how they are computed. A run with another seed or learning rate, a later round with more rows, and a
recipe with another loss find what is known, wherever the files lie and whatever they are called.

It is a cache: all of it may be gone at any time. A file is written whole and put in place by rename, is never changed,
and holds the rows that one run added, so that any number of runs can write at once.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import threading
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers.utils import cached_file

from training.core.backbone import ADAPTER_FILE, adapter_base, is_adapter

log = logging.getLogger("attune.reference")

# Raised when the code that computes the numbers changes what they are.
EDITION = 1
WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".py")  # a model's own code decides too
BYTES = 32  # of a row's key


def model_key(path: str, **how: Any) -> str:
    """Return what numbers depend on besides the rows: a model's bytes, `how` they are computed, and by what.

    The weights are read for it, which takes about as long as loading them: far less than what a hit saves.
    """
    by = {"edition": EDITION, "torch": torch.__version__, "transformers": transformers.__version__}
    digest = hashlib.sha256(json.dumps(how | by, sort_keys=True).encode())
    _add_model(digest, path)
    return digest.hexdigest()[:32]


def row_key(sequences: Iterable[tuple[Sequence[int], Sequence[int]]], shown: Iterable[Mapping[str, Tensor]]) -> bytes:
    """Return the hash of a row: what stands before each of its completions, the completions, and the images."""
    digest = hashlib.sha256(json.dumps([[list(before), list(after)] for before, after in sequences]).encode())
    for images in shown:
        for name, tensor in sorted(images.items()):
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
        digest.update(b".")
    return digest.digest()


class KnownLogps:
    """The rows known under one `model_key`, in the files of `folder` whose names begin with it."""

    def __init__(self, folder: Path, key: str) -> None:
        self.folder = folder
        self.key = key

    def find(self, wanted: Iterable[bytes]) -> dict[bytes, Tensor]:
        """Return the log-probabilities (S,) of those of the rows that are known."""
        missing = set(wanted)
        found: dict[bytes, Tensor] = {}
        for path in sorted(self.folder.glob(f"{self.key}-*.safetensors")):
            try:
                held = load_file(path)
                keys, values = held["rows"].numpy(), held["logps"]
            except (OSError, SafetensorError, KeyError):  # swept just now, or damaged: it is computed anew
                continue
            here = {name: values[place] for place, row in enumerate(keys) if (name := row.tobytes()) in missing}
            if here:
                with suppress(OSError):
                    os.utime(path)  # the sweep goes by when it was used
            found |= here
            missing -= here.keys()
        return found

    def add(self, rows: Mapping[bytes, Tensor]) -> None:
        """Keep the log-probabilities of rows. A folder that cannot be written to costs time later, and no run now."""
        if not rows:
            return
        ordered = sorted(rows)
        name = hashlib.sha256(b"".join(ordered)).hexdigest()[:32]
        path = self.folder / f"{self.key}-{name}.safetensors"
        part = path.with_name(f"{path.name}.{os.getpid()}-{threading.get_ident()}.part")
        keys = torch.frombuffer(bytearray(b"".join(ordered)), dtype=torch.uint8).reshape(-1, BYTES)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            save_file({"rows": keys, "logps": torch.stack([rows[row] for row in ordered])}, part)
            part.replace(path)
        except (OSError, SafetensorError) as error:
            log.warning("The reference's log-probabilities could not be kept in %s: %s", self.folder, error)
            with suppress(OSError):
                part.unlink(missing_ok=True)


def _add_model(digest: Any, path: str) -> None:
    """Add the bytes of the model in a folder or of a hub name; an adapter's are its own and those of its base."""
    folder = Path(path) if Path(path).is_dir() else Path(str(cached_file(path, "config.json"))).parent
    for file in sorted(folder.iterdir()):
        if file.suffix in WEIGHTS and file.is_file():
            with file.open("rb") as opened:
                digest.update(file.name.encode() + hashlib.file_digest(opened, "sha256").digest())
        elif file.name in ("config.json", ADAPTER_FILE):
            told = json.loads(file.read_text())
            # Where the base lies and what it is called says nothing of what it is.
            for name in ("base_model_name_or_path", "_name_or_path"):
                told.pop(name, None)
            digest.update(file.name.encode() + json.dumps(told, sort_keys=True).encode())
    if is_adapter(path):
        digest.update(b"on")
        _add_model(digest, adapter_base(path))
