"""What a step on the policy's own answers costs, against model size, prompt length and n.

``python -m tests.bench.scaling`` samples n answers to each of four prompts and learns from them, by the product's own
decoder and log-probabilities, and writes ``scaling.json``, ``scaling.svg`` and ``scaling.md`` into ``measured``, which
README.md shows. On a CPU it counts seconds of CPU time on one thread, so that other work on the machine changes little;
with ``--device cuda`` seconds by the clock, on larger models in bfloat16.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date
from pathlib import Path
from statistics import median
from typing import Any

import torch

from training.core.batch import Tokens
from training.core.decode import generate
from training.core.masked import masked_mean
from training.core.policy import token_logps
from training.core.tiny import tiny_llama

VOCABULARY = 8192
PROMPTS = 4


@dataclass(frozen=True)
class Setting:
    """One step: a model's width and layers, and what it is asked."""

    width: int
    layers: int
    prompt_length: int = 128
    n: int = 4
    new_tokens: int = 32


@dataclass(frozen=True)
class Cost:
    """What one setting cost: seconds of sampling and of learning, medians over the rounds."""

    setting: Setting
    parameters: int
    sampling: float
    learning: float


CPU = {
    "model size": [Setting(64, 2), Setting(128, 4), Setting(256, 6), Setting(384, 7)],
    "prompt length": [Setting(256, 6, prompt_length=length) for length in (32, 128, 512)],
    "n": [Setting(256, 6, n=n) for n in (1, 2, 4, 8)],
}
_LARGE = Setting(1024, 16, prompt_length=512, n=8, new_tokens=128)
CUDA = {
    "model size": [replace(_LARGE, width=width, layers=layers) for width, layers in ((512, 8), (1024, 16), (2048, 24))],
    "prompt length": [replace(_LARGE, prompt_length=length) for length in (128, 512, 2048)],
    "n": [replace(_LARGE, n=n) for n in (1, 4, 16, 64)],
}


def of(setting: Setting) -> dict[str, float]:
    return {"prompt length": setting.prompt_length, "n": setting.n}


def measured(setting: Setting, *, device: torch.device, rounds: int) -> Cost:
    """Return what a setting costs, after one round that is not counted."""
    model = tiny_llama(
        VOCABULARY,
        hidden_size=setting.width,
        layers=setting.layers,
        heads=setting.width // 32,
        kv_heads=setting.width // 64,
        max_length=setting.prompt_length + setting.new_tokens,
    ).to(device, torch.bfloat16 if device.type == "cuda" else torch.float32)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.0)
    draw = torch.Generator().manual_seed(0)
    prompts = torch.randint(5, VOCABULARY, (PROMPTS, setting.prompt_length), generator=draw).tolist()
    spent: dict[str, list[float]] = {"sampling": [], "learning": []}
    for number in range(rounds + 1):
        started = now(device)
        drawn = generate(
            model,
            prompts,
            n=setting.n,
            temperature=1.0,
            max_new_tokens=setting.new_tokens,
            stop=frozenset(),  # no answer ends early, so that all settings write as much
            seeds=range(PROMPTS),
        )
        sampled = now(device)
        ids = torch.tensor([[*p, *one.ids] for p, each in zip(prompts, drawn, strict=True) for one in each]).to(device)
        answered = (torch.arange(ids.shape[1], device=device) >= setting.prompt_length).expand_as(ids)
        logps = token_logps(model, Tokens(ids, torch.ones_like(ids), answered))
        (-masked_mean(logps, answered).mean()).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if number:
            spent["sampling"].append(sampled - started)
            spent["learning"].append(now(device) - sampled)
    parameters = sum(p.numel() for p in model.parameters())
    return Cost(setting, parameters, median(spent["sampling"]), median(spent["learning"]))


def now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize()
        return time.perf_counter()
    return time.process_time()


def drawing(curves: dict[str, list[Cost]], *, unit: str) -> str:
    """Return an SVG with a chart for each thing that was changed, both axes logarithmic."""
    width, height, left, top, inner_width, inner_height = 360, 300, 60, 40, 270, 190
    costs = [cost for curve in curves.values() for cost in curve]
    seconds = [value for cost in costs for value in (cost.sampling, cost.learning)]
    low, high = (bound(math.log10(f(seconds))) for f, bound in ((min, math.floor), (max, math.ceil)))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width * len(curves)}" height="{height}" '
        'font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="white"/>'
    ]
    for number, (name, curve) in enumerate(curves.items()):
        x0 = width * number + left
        at = [cost.parameters if name == "model size" else of(cost.setting)[name] for cost in curve]
        span = max(math.log10(max(at) / min(at)), 1e-9)

        def across(value: float, x0: int = x0, least: float = min(at), span: float = span) -> float:
            return x0 + inner_width * math.log10(value / least) / span

        def up(value: float) -> float:
            return top + inner_height * (high - math.log10(value)) / max(high - low, 1)

        parts.append(f'<text x="{x0}" y="20" font-weight="bold">{unit} a step, by {name}</text>')
        for power in range(low, high + 1):
            y = up(10.0**power)
            parts.append(f'<line x1="{x0}" x2="{x0 + inner_width}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>')
            parts.append(f'<text x="{x0 - 6}" y="{y + 4:.1f}" text-anchor="end">{10.0**power:g}</text>')
        for value in at:
            said = f"{value / 1e6:.3g} M" if name == "model size" else f"{value:g}"
            parts.append(
                f'<text x="{across(value):.1f}" y="{top + inner_height + 18}" text-anchor="middle">{said}</text>'
            )
        for part, colour in (("sampling", "#1f5fa8"), ("learning", "#b3541e")):
            points = [(across(v), up(getattr(cost, part))) for v, cost in zip(at, curve, strict=True)]
            parts.append(
                f'<polyline fill="none" stroke="{colour}" stroke-width="2" '
                f'points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in points)}"/>'
            )
            parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in points]
            y = top + inner_height + (40 if part == "sampling" else 56)
            parts.append(f'<text x="{x0}" y="{y}" fill="{colour}">{part}</text>')
    return "".join(parts) + "</svg>\n"


def table(told: dict[str, Any]) -> str:
    """Return what ``scaling.json`` holds as Markdown, one row a setting."""
    lines = [
        "# What a step on the policy's own answers costs",
        "",
        f"Measured on {told['date']} at commit {told['commit']} ({told['device']}, torch {told['torch']}): "
        f"{told['prompts']} prompts, n answers to each, medians of {told['rounds']} rounds, written by "
        "`python -m tests.bench.scaling`.",
        "",
        f"| changed | parameters | prompt | n | new tokens | sampling, {told['unit']} | learning, {told['unit']} |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    for name, curve in told["curves"].items():
        for cost in curve:
            at = cost["setting"]
            lines.append(
                f"| {name} | {cost['parameters'] / 1e6:.1f} M | {at['prompt_length']} | {at['n']} | {at['new_tokens']} "
                f"| {cost['sampling']:.2f} | {cost['learning']:.2f} |"
            )
    return "\n".join(lines) + "\n"


def commit_here() -> str:
    """Return the commit measured, with a mark where files differ from it; empty outside a repository."""
    asked = ["git", "describe", "--always", "--dirty", "--abbrev=8", "--exclude=*"]
    return subprocess.run(asked, cwd=Path(__file__).parent, capture_output=True, text=True, check=False).stdout.strip()


def measure(
    plan: dict[str, list[Setting]], *, device: str, rounds: int, out: Path, tell: Callable[[str], Any] = print
) -> None:
    """Measure every setting once, also where it is on two curves, and write the three files into `out`."""
    if device == "cuda" and not torch.cuda.is_available():
        raise SystemExit("There is no NVIDIA GPU that torch can use here. Leave --device out to measure on the CPU.")
    torch.set_num_threads(1)
    where, found = torch.device(device), dict[Setting, Cost]()
    tell(f"{'parameters':>12} {'prompt':>7} {'n':>3} {'sampling s':>11} {'learning s':>11}")
    for setting in dict.fromkeys(setting for curve in plan.values() for setting in curve):
        cost = found[setting] = measured(setting, device=where, rounds=rounds)
        tell(
            f"{cost.parameters:>12,} {setting.prompt_length:>7} {setting.n:>3} "
            f"{cost.sampling:>11.3f} {cost.learning:>11.3f}"
        )
    curves = {name: [found[setting] for setting in curve] for name, curve in plan.items()}
    unit = "Seconds" if device == "cuda" else "CPU seconds"
    out.mkdir(parents=True, exist_ok=True)
    machine = torch.cuda.get_device_name() if device == "cuda" else "cpu, one thread"
    told: dict[str, Any] = {"date": date.today().isoformat(), "commit": commit_here(), "device": machine}
    told |= {"torch": torch.__version__, "prompts": PROMPTS, "rounds": rounds, "unit": unit}
    told |= {"curves": {name: [asdict(cost) for cost in curve] for name, curve in curves.items()}}
    (out / "scaling.json").write_text(json.dumps(told, indent=1) + "\n")
    (out / "scaling.md").write_text(table(told))
    (out / "scaling.svg").write_text(drawing(curves, unit=unit))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.scaling", description=__doc__)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--rounds", type=int, default=3, help="times each setting is measured; the median counts")
    parser.add_argument(
        "--out", type=Path, default=Path(__file__).parent / "measured", help="folder of the three files"
    )
    told = parser.parse_args(arguments)
    measure(CUDA if told.device == "cuda" else CPU, device=told.device, rounds=told.rounds, out=told.out)
    print(f"Written to {told.out}.")


if __name__ == "__main__":
    main()
