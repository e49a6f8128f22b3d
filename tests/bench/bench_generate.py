"""Sampling against the library's `generate`: n = 8 completions a prompt, and prompts of ragged lengths.

Run with ``pytest -m bench tests/bench/bench_generate.py -s``; it prints the ratio of tokens a second.
"""

from __future__ import annotations

import time
from statistics import median

import pytest
import torch

from training.core.decode import generate
from training.core.tiny import tiny_llama

STOP = frozenset({1, 2, 3})
NEW = 64
N = 8


def policy():
    """A Llama of 16 M parameters, the size at which the matrix products and not Python take the time."""
    model = tiny_llama(4096, hidden_size=384, layers=7, heads=6, kv_heads=3, intermediate_size=1152, seed=0)
    model.generation_config.eos_token_id = sorted(STOP)
    return model.eval()


def prompts(low: int, high: int) -> list[list[int]]:
    draw = torch.Generator().manual_seed(0)
    lengths = torch.randint(low, high + 1, (4,), generator=draw).tolist()
    return [torch.randint(4, 4096, (length,), generator=draw).tolist() for length in lengths]


def theirs(model, batch) -> int:
    longest = max(map(len, batch))
    ids = torch.tensor([[0] * (longest - len(p)) + p for p in batch])
    mask = torch.tensor([[0] * (longest - len(p)) + [1] * len(p) for p in batch])
    out = model.generate(
        ids,
        attention_mask=mask,
        do_sample=True,
        top_k=0,
        top_p=1.0,
        temperature=1.0,
        num_return_sequences=N,
        max_new_tokens=NEW,
        pad_token_id=0,
    )[:, longest:]
    ends = torch.isin(out, torch.tensor(sorted(STOP))).long().cumsum(-1)
    return int((ends.cumsum(-1) <= 1).sum())


def ours(model, batch) -> int:
    groups = generate(model, batch, n=N, temperature=1.0, max_new_tokens=NEW, stop=STOP, seeds=list(range(len(batch))))
    return sum(len(draw.ids) for group in groups for draw in group)


@pytest.mark.bench
@pytest.mark.parametrize(("name", "low", "high", "ending"), [("even", 256, 256, 0.0), ("ragged", 64, 256, 5.0)])
def test_ratio(name, low, high, ending, capsys):
    """`ending` raises the logit of the end tokens, so that completions are of different lengths."""
    model = policy()
    if ending:
        with torch.no_grad():
            model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.clone())
            model.lm_head.bias = torch.nn.Parameter(torch.zeros(4096))
            model.lm_head.bias[sorted(STOP)] = ending
    batch = prompts(low, high)
    speeds: dict[str, list[float]] = {"ours": [], "theirs": []}
    for _ in range(3):  # in turns, so that other work on the machine slows both
        for side, sample in (("ours", ours), ("theirs", theirs)):
            torch.manual_seed(0)
            started = time.process_time()
            tokens = sample(model, batch)
            speeds[side].append(tokens / (time.process_time() - started))
    ratio = median(speeds["ours"]) / median(speeds["theirs"])
    with capsys.disabled():
        print(
            f"\n{name}: {median(speeds['ours']):.0f} tokens/s of CPU time against {median(speeds['theirs']):.0f}: "
            f"{ratio:.2f} times"
        )
    assert ratio > 1.9
