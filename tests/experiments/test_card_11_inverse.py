"""Card 11: demonstrations alone make a reward, and a log alone says which prompt to use for which question."""

from __future__ import annotations

import json
import random
from pathlib import Path
from statistics import fmean

import numpy as np
import pytest
import torch

from tests.experiments.frame import Card
from tests.experiments.world import answer, do, gold, prompt, word_policy
from training.core.imitation import beside
from training.core.prompt_choice import PromptChooser
from training.core.scorers import RewardScorer

CARD = Card(
    11,
    "Inverse reinforcement learning from demonstrations",
    "A discriminator of people's answers against the policy's own is a reward that improves on imitating them, and a "
    "reward of (question, prompt) learned from a log with holes chooses a prompt for each question better than any one "
    "prompt for all.",
    "arXiv:2310.06147",
)

pytestmark = pytest.mark.experiment


def improved(folder: Path, seed: int) -> tuple[float, float, float]:
    """Return the gold of an imitating policy's answers, of the best of 8 by the reward, and by one learned from noise.

    The reward is learned from 100 demonstrations against the imitating policy's own answers to the same prompts. The
    other one is the same with half of the pairs turned round.
    """
    draw = random.Random(seed)
    asked = [prompt(draw) for _ in range(100)]
    told = [{"prompt": one, "completion": answer(draw, share=0.8, asked=one, length=5)} for one in asked]
    quick = {"micro_batch": 32, "eval_share": 0.0, "seed": seed, "checkpoint_every": 1000}
    base = word_policy(folder / "base", seed=seed)
    sft, _ = do(folder / "sft", "sft", model=base, rows=told, epochs=40, batch_size=32, learning_rate=2e-3, **quick)
    drawing = {"model": Path(sft.output) / "model", "max_new_tokens": 8, "seed": seed}
    own, _ = do(
        folder / "own",
        "sample",
        rows=[{"id": str(n), "prompt": one} for n, one in enumerate(dict.fromkeys(asked))],
        samples_per_prompt=4,
        **drawing,
    )
    rows = beside(told, lines(own.output))
    # One pair a row, so that as many are the right way round as are not.
    turned = [{**row, "samples": row["samples"][:1]} for row in rows if row["samples"]]
    for row in turned[::2]:
        row |= {"completion": row["samples"][0], "samples": [row["completion"]]}
    fresh = [prompt(draw) for _ in range(60)]
    new, _ = do(
        folder / "new",
        "sample",
        rows=[{"id": str(n), "prompt": one} for n, one in enumerate(dict.fromkeys(fresh))],
        samples_per_prompt=8,
        **drawing,
    )
    groups = [(row["prompt"], [one["text"] for one in row["completions"]]) for row in lines(new.output)]
    golds = [[gold(messages[-1]["content"], text) for text in texts] for messages, texts in groups]
    found = [fmean(value for some in golds for value in some)]
    for name, data in (("learned", rows), ("noise", turned)):
        spec, _ = do(
            folder / name,
            "demonstration-reward",
            model=base,
            rows=data,
            epochs=8,
            batch_size=16,
            learning_rate=1e-3,
            **quick,
        )
        scorer = RewardScorer(f"{spec.output}/model", device=torch.device("cpu"))
        best = []
        for (messages, texts), values in zip(groups, golds, strict=True):
            scores = [float("-inf") if s is None else s for s in scorer.score([messages] * len(texts), texts)]
            best.append(values[max(range(len(texts)), key=scores.__getitem__)])
        found.append(fmean(best))
    return found[0], found[1], found[2]


def lines(folder: str) -> list[dict]:
    return [json.loads(line) for line in (Path(folder) / "samples.jsonl").read_text().splitlines()]


def test_a_reward_from_demonstrations_improves_on_imitating_them(report, tmp_path):
    seeds = (0, 1)
    found = [improved(tmp_path / str(seed), seed) for seed in seeds]
    print(found)
    report(
        CARD,
        "gold of the best of 8 answers by the reward, above that of the imitating policy",
        [learned - imitated for imitated, learned, _ in found],
        seeds=seeds,
        switched_off="demonstrations: half of the pairs turned round",
        without=[noise - imitated for imitated, _, noise in found],
        at_least=0.05,
        every_seed=True,
    )


def chosen(seed: int) -> tuple[float, float, float]:
    """Return the success of prompts chosen by question, of the best one for all, and of an oracle's choice."""
    draw = np.random.default_rng(seed)
    kinds, prompts, wide = 3, 6, 8
    success = draw.uniform(0.1, 0.5, size=(kinds, prompts))
    for one in range(kinds):  # each kind has two prompts that suit it
        success[one, [one, one + kinds]] = draw.uniform(0.7, 0.95, size=2)
    centres = draw.normal(size=(kinds, wide)) * 2
    kind = draw.integers(0, kinds, 400)
    questions = centres[kind] + draw.normal(size=(400, wide))
    known, fresh = np.arange(200), np.arange(200, 400)
    rows = [(q, p) for q in known for p in range(prompts) if draw.random() < 0.7]
    scores = [float(draw.random() < success[kind[q], p]) for q, p in rows]
    names = [str(p) for _, p in rows]
    chooser = PromptChooser().fit(questions[[q for q, _ in rows]], names, scores)
    by_question = [success[kind[q], int(p)] for q, p in zip(fresh, chooser.choose(questions[fresh]), strict=True)]
    means = {p: np.mean([s for (_, other), s in zip(rows, scores, strict=True) if other == p]) for p in range(prompts)}
    best = max(means, key=means.__getitem__)
    return (
        float(np.mean(by_question)),
        float(success[kind[fresh], best].mean()),
        float(success[kind[fresh]].max(1).mean()),
    )


def test_a_prompt_for_each_question_beats_the_best_one_for_all(report):
    seeds = (0, 1, 2, 3, 4)
    found = [chosen(seed) for seed in seeds]
    print(found)
    report(
        CARD,
        "success of the prompt chosen by question on new questions, as a share of an oracle's",
        [one / oracle for one, _, oracle in found],
        seeds=seeds,
        switched_off="the question: the best prompt for all",
        without=[fixed / oracle for _, fixed, oracle in found],
        at_least=0.9,
        every_seed=True,
    )
    assert np.mean([one - fixed for one, fixed, _ in found]) >= 0.1
