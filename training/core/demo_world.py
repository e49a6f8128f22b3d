"""Makes the demo's policy: ``python -m training.core.demo_world --out training/demo`` writes model and prompts.

The model is a Llama of about three million parameters that has read nothing but the sentences of `demo_sentences`,
each style equally often. It answers in whole sentences and has no preference among the styles: that is left to the
people who judge it.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import nn
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from training.core.batch import Tokens
from training.core.collate import encode_completion, encode_prompt, pad
from training.core.demo_sentences import STYLES, Question, answer, questions
from training.core.policy import token_logps
from training.core.tiny import tiny_llama, tiny_tokenizer

VOCABULARY = 1200
SHAPE = {"hidden_size": 256, "layers": 4, "heads": 8, "kv_heads": 4, "intermediate_size": 688, "max_length": 512}
BATCH = 16
EVERY = 50  # steps between two lines of progress


def as_prompt(question: Question) -> list[dict[str, str]]:
    """Return a question as the messages of a prompt."""
    return [{"role": "user", "content": question.text}]


def examples(
    tokenizer: PreTrainedTokenizerFast, *, count: int, rng: random.Random
) -> list[tuple[list[int], list[int]]]:
    """Return `count` (prompt, answer) ids: every question equally often, and every style equally often."""
    asked = [(question, encode_prompt(tokenizer, as_prompt(question))) for question in questions()]
    rows = []
    for index in range(count):
        if index % len(asked) == 0:
            rng.shuffle(asked)
        question, prompt = asked[index % len(asked)]
        text = answer(question, STYLES[index % len(STYLES)], rng)
        rows.append((prompt, encode_completion(tokenizer, text)))
    return rows


def train(
    tokenizer: PreTrainedTokenizerFast, *, steps: int, learning_rate: float = 4e-3, seed: int = 0
) -> LlamaForCausalLM:
    """Return a policy trained from nothing on `steps` batches of the world's conversations."""
    rng = random.Random(seed)
    model = tiny_llama(
        len(tokenizer),
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        seed=seed,
        **SHAPE,
    )
    optimiser = torch.optim.AdamW(model.parameters(), lr=learning_rate, betas=(0.9, 0.98), weight_decay=0.05)
    warm_up = min(50, steps // 10 + 1)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser,
        lambda step: min(1.0, (step + 1) / warm_up) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * step / steps))),
    )
    started = time.monotonic()
    for step, batch in enumerate(_batches(examples(tokenizer, count=steps * BATCH, rng=rng), rng=rng), start=1):
        # Mean nats per token of the answers; what people ask is given, not learned.
        loss = -token_logps(model, batch).sum() / batch.completion_mask.sum()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        if step % EVERY == 0 or step == steps:
            print_progress(f"step {step}/{steps}  loss {loss.item():.4f}  {time.monotonic() - started:.0f} s")
    return model.eval()


def _batches(rows: list[tuple[list[int], list[int]]], *, rng: random.Random) -> Iterator[Tokens]:
    """Yield batches of about equally long rows, so that little of a batch is padding."""
    pool = BATCH * 32
    for start in range(0, len(rows), pool):
        near = sorted(rows[start : start + pool], key=lambda row: len(row[0]) + len(row[1]))
        groups = [near[i : i + BATCH] for i in range(0, len(near), BATCH)]
        rng.shuffle(groups)
        for group in groups:
            yield pad(group, 0)


def write_prompts(path: Path, *, count: int, seed: int = 0) -> None:
    """Write `count` questions of the world as JSON Lines of prompts, in an order that mixes the topics."""
    drawn = random.Random(seed).sample(list(questions()), count)
    lines = [
        json.dumps({"id": f"demo-{number:04d}", "prompt": as_prompt(question)}, ensure_ascii=False) + "\n"
        for number, question in enumerate(drawn, start=1)
    ]
    path.write_text("".join(lines))


def make(out: Path, *, steps: int, prompts: int, seed: int = 0) -> None:
    """Write ``model/`` and ``prompts.jsonl`` into `out`, in place of those that are there."""
    rng = random.Random(seed)
    texts = [text for q in questions() for text in (q.text, answer(q, rng.choice(STYLES), rng))]
    tokenizer = tiny_tokenizer(texts, vocab_size=VOCABULARY)
    model = train(tokenizer, steps=steps, seed=seed)
    part = out / "model.part"
    shutil.rmtree(part, ignore_errors=True)
    # Half precision halves the file; training and sampling read it back in the precision they work in.
    model.half().save_pretrained(part)
    tokenizer.save_pretrained(part)
    shutil.rmtree(out / "model", ignore_errors=True)
    part.rename(out / "model")
    write_prompts(out / "prompts.jsonl", count=prompts, seed=seed)


def print_progress(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder to write model/ and prompts.jsonl into")
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--prompts", type=int, default=640)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    make(options.out, steps=options.steps, prompts=options.prompts, seed=options.seed)


if __name__ == "__main__":
    main()
