"""The part that every recipe on fixed data shares: how long, how fast and in what portions it is trained."""

from __future__ import annotations

from typing import Any

from training.recipes.base import RecipeError, knob, part
from training.recipes.note import Note


@part("trainer", "offline", target="training.core.trainers.offline:fit")
class Fit:
    """AdamW on a fixed data set, one weighted mean over the whole batch however it is cut up. arXiv:1711.05101."""

    epochs: int = knob(1, "times the data is gone through", low=1, high=1000)
    max_steps: int = knob(0, "stop after this many steps; 0 goes through all epochs", low=0)
    learning_rate: float = knob(1e-5, "highest learning rate, reached after the warm-up", low=0.0, high=1.0)
    batch_size: int = knob(32, "rows that make one step, over all devices", low=1, high=65_536)
    micro_batch: int = knob(8, "rows computed at once; changes memory and speed, not the result", low=1, high=65_536)
    lora_rank: int = knob(0, "rank of a LoRA adapter; 0 trains all weights", low=0, high=1024)
    max_length: int = knob(1024, "tokens of prompt and completion; longer prompts lose their beginning", low=8)
    eval_share: float = knob(0.1, "share of prompts held out to measure on", low=0.0, high=0.9)
    warmup: float = knob(0.05, "share of the steps in which the learning rate rises", low=0.0, high=1.0, advanced=True)
    schedule: str = knob(
        "cosine",
        "how the learning rate falls after the warm-up",
        choices=("cosine", "linear", "constant"),
        advanced=True,
    )
    weight_decay: float = knob(0.0, "share of the weights taken away per unit of learning rate", low=0.0, advanced=True)
    gradient_clip: float = knob(1.0, "longest gradient; 0 never shortens it", low=0.0, advanced=True)
    bf16: bool = knob(False, "compute in bfloat16, with the trained weights kept in float32", advanced=True)
    eval_every: int = knob(
        0, "steps between measurements on held-out rows; 0 measures at the end", low=0, advanced=True
    )
    patience: int = knob(
        0, "measurements in a row without a lower held-out loss that end training; 0 never does", low=0, advanced=True
    )
    checkpoint_every: int = knob(50, "steps between checkpoints", low=1, advanced=True)

    def check(self, values: dict[str, Any]) -> None:
        """RecipeError where training is to end by measurements that are not made."""
        if values["patience"] and not (values["eval_every"] and values["eval_share"]):
            said = Note("patience counts measurements, and there are none. Set eval_every and eval_share as well.")
            raise RecipeError(said, {"patience": [said]})
