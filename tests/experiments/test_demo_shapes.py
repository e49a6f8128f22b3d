"""Forty judgements shape the demo's model: the claim that the README makes, with an interval.

Run with ``pytest -m experiment tests/experiments/test_demo_shapes.py -s``; about two minutes on two idle cores.
"""

from __future__ import annotations

import json
import random
import re
from pathlib import Path
from statistics import fmean

import pytest

import training
from tests.core.worlds import make_spec
from training.core.demo_sentences import STYLES, answer, questions
from training.core.records import held_out, prompt_hash
from training.core.run import KINDS, open_job
from training.core.stats import bootstrap_mean
from training.recipes.demo_gold import DEMO_SETTINGS, gold

DEMO = Path(training.__file__).parent / "demo"
PAIRS = 40
ERROR = 0.1


def demo_prompts(*, held: bool, count: int, seed: int) -> list[dict]:
    rows = [json.loads(line) for line in (DEMO / "prompts.jsonl").read_text().splitlines()]
    return random.Random(seed).sample([row for row in rows if held_out(prompt_hash(row["prompt"])) == held], count)


def may_be_said(prompt: list[dict]) -> set[str]:
    """Return every sentence that may stand in an answer to a question of the world."""
    question = next(q for q in questions() if q.text == prompt[0]["content"])
    draw = random.Random(0)
    return {sentence for style in STYLES for _ in range(120) for sentence in split(answer(question, style, draw))}


def split(text: str) -> list[str]:
    return re.split(r"(?<=[.!?]) ", text)


def intact(prompts: list[dict], texts: list[list[str]]) -> float:
    """Return the share of answers without a broken sentence or one that belongs to another question.

    The gold taste counts words and cannot see these: a policy that moves too far pleases it with nonsense.
    """
    whole = []
    for row, group in zip(prompts, texts, strict=True):
        known = may_be_said(row["prompt"])
        whole += [known.issuperset(split(text)) for text in group]
    return fmean(whole)


def rows_of(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def do(folder: Path, recipe: str, **more):
    spec = make_spec(folder, recipe, **more)
    return KINDS[spec.kind](open_job(spec))


def judged(samples: list[dict], *, taste: str, error: float, seed: int) -> list[dict]:
    """Return the pairs as somebody of that taste judges them, who errs now and then and passes over ties."""
    draw = random.Random(seed)
    pairs = []
    for row in samples:
        if row["pair"] is None:
            continue
        texts = [row["completions"][i]["text"] for i in row["pair"]]
        values = [gold(row["prompt"], text, taste) for text in texts]
        if values[0] == values[1]:
            continue
        best = values.index(max(values)) ^ (draw.random() < error)
        pairs.append({"prompt": row["prompt"], "chosen": texts[best], "rejected": texts[1 - best], "strength": 1.0})
    return pairs


def shape(folder: Path, *, taste: str, error: float = ERROR, seed: int = 0, **knobs) -> dict:
    """Return what forty pairs did to the demo's model: the gold win rate over the start, divergence, and length."""
    sampling = {k: DEMO_SETTINGS[k] for k in ("samples_per_prompt", "temperature", "max_new_tokens")}
    do(
        folder / "sample",
        "sample",
        model=DEMO / "model",
        rows=demo_prompts(held=False, count=PAIRS, seed=seed),
        selection="random",
        audit_share=0.0,
        seed=seed,
        **sampling,
    )
    pairs = judged(rows_of(folder / "sample" / "samples.jsonl"), taste=taste, error=error, seed=seed)
    learning = {k: DEMO_SETTINGS[k] for k in ("learning_rate", "epochs", "batch_size", "beta")}
    do(folder / "dpo", "dpo", model=DEMO / "model", rows=pairs, seed=seed, **learning | knobs)
    held = demo_prompts(held=True, count=48, seed=seed)
    result = do(
        folder / "compare",
        "compare",
        model=folder / "dpo" / "model",
        reference=str(DEMO / "model"),
        rows=held,
        seed=seed,
        temperature=sampling["temperature"],
        max_new_tokens=sampling["max_new_tokens"],
    )
    # Four answers of each side to every held-out prompt: with one the interval would mostly measure the dice.
    texts = {}
    for side, model in (("start", DEMO / "model"), ("new", folder / "dpo" / "model")):
        knobs = sampling | {"samples_per_prompt": 4, "selection": "random", "audit_share": 0.0}
        do(folder / side, "sample", model=model, rows=held, seed=seed + (side == "new"), **knobs)
        texts[side] = [[a["text"] for a in row["completions"]] for row in rows_of(folder / side / "samples.jsonl")]
    wins = []
    for row, new, start in zip(held, texts["new"], texts["start"], strict=True):
        ours, theirs = ([gold(row["prompt"], text, taste) for text in side] for side in (new, start))
        wins.append(fmean(0.5 if a == b else float(a > b) for a in ours for b in theirs))
    return {
        "taste": taste,
        "pairs": len(pairs),
        "win_rate": bootstrap_mean(wins),
        "kl": result.metrics["kl"],
        "length": result.metrics["length"],
        "ended": result.metrics["candidate_ended_share"],
        "intact": {side: intact(held, groups) for side, groups in texts.items()},
    }


@pytest.mark.experiment
@pytest.mark.parametrize("taste", ["warm", "curt", "careful", "short"])
def test_forty_pairs_lift_the_win_rate(tmp_path, taste, capsys):
    """Seed 23 was fixed before anything ran with it; 0, 7, 11 and others were looked at while settings were chosen."""
    found = shape(tmp_path, taste=taste, seed=23)
    with capsys.disabled():
        rate, kl = found["win_rate"], found["kl"]
        print(
            f"\n{taste}: {found['pairs']} pairs, gold win rate {rate['estimate']:.2f} "
            f"({rate['low']:.2f} to {rate['high']:.2f}), {kl['estimate']:.1f} nats, ended {found['ended']:.0%}, "
            f"intact {found['intact']['new']:.0%} (start {found['intact']['start']:.0%})"
        )
    assert found["win_rate"]["low"] > 0.5
    assert found["kl"]["estimate"] < DEMO_SETTINGS["gate_maximum_kl"]
    assert found["ended"] > 0.95
    assert found["intact"]["new"] > 0.75
