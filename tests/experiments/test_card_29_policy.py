"""Card 29, its policy: GRPO on a principle model raises what was asked for, and the policy never reads a principle.

What is asked for is all that is learned: the policy stops repeating by writing few answers over and over, on one seed
mostly a single word, which cannot repeat. The figures say nothing of how varied or how good its answers are.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
import torch

from tests.experiments.frame import Card
from tests.experiments.world import KINDS, PLAIN, do, lively
from training.core import experience, scorers
from training.core.backbone import load_policy, load_tokenizer
from training.core.collate import encode_prompt, encode_shown
from training.core.decode import generate, stop_ids
from training.core.principles import QUESTION
from training.core.sampler import text_of
from training.core.scorers import RewardScorer

CARD = Card(
    29,
    "RLBFF: a policy that is rewarded under a principle",
    "GRPO rewarded for “no repetition” makes the principle model say so of the policy's answers, and they do repeat "
    "less; rewarded under another principle of the same model they do not. No principle stands in what the policy "
    "reads.",
    "arXiv:2509.21319",
)
SEEDS = (0, 1)
ASKED, OTHER = PRINCIPLES = ("no repetition", "colour")
PROMPTS = [" ".join(words) for words in product(PLAIN, repeat=3)]
FRESH = 112  # prompts on which the policies are measured, and which no run has

pytestmark = pytest.mark.experiment


def repeats(text: str) -> bool:
    words = text.split()
    return len(set(words)) < len(words)


def satisfies(text: str, principle: str) -> bool:
    if principle == ASKED:
        return not repeats(text)
    return any(word in KINDS["colour"] for word in text.split())


def answer(draw: random.Random, *, repeated: float = 0.5) -> str:
    """Return two or three words, of which one comes twice so often, and half of the time one is of a colour.

    So few, and of two kinds: whether a word comes twice is hard to see for so small a model. With up to five words of
    all kinds it was right about 57 of 100 after as many steps.
    """
    count, twice, coloured = draw.randint(2, 3), draw.random() < repeated, draw.random() < 0.5
    different = count - twice
    colours = draw.randint(1, different) if coloured else 0
    words = draw.sample(KINDS["colour"], colours) + draw.sample(KINDS["animal"], different - colours)
    words += [draw.choice(words)] * twice
    draw.shuffle(words)
    return " ".join(words)


def judgements(count: int, *, seed: int, noise: float = 0.05) -> list[dict[str, Any]]:
    """Judgements of one principle each, the harder one in 70 of 100, of which so many are wrong."""
    draw = random.Random(f"judgements {seed}")
    rows = []
    for _ in range(count):
        text, principle = answer(draw), PRINCIPLES[draw.random() < 0.3]
        yes = satisfies(text, principle) != (draw.random() < noise)
        row = {"prompt": draw.choice(PLAIN), "completion": text, "principle": principle}
        rows.append(row | {"answer": "yes" if yes else "no"})
    return rows


def asking(prompt: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": prompt}]


def asks_of(principle: str) -> str:
    return QUESTION.format(principle=principle)


def right(judge: RewardScorer, *, seed: int) -> list[float]:
    """Return the share of new answers about which the principle model is right, by principle."""
    draw = random.Random(f"new {seed}")
    texts = [answer(draw) for _ in range(300)]
    values = judge.columns([asking("old")] * len(texts), texts).values
    return [
        fmean(
            row is not None and (row[place] > 0) == satisfies(text, principle)
            for row, text in zip(values, texts, strict=True)
        )
        for place, principle in enumerate(PRINCIPLES)
    ]


def measured(policy: str, judge: RewardScorer, prompts: Sequence[str]) -> tuple[float, float]:
    """Return r_M of the asked principle, and the share that repeats a word, of two answers to each prompt.

    An answer that cannot be read counts as the worst of them, as in the loop.
    """
    model, tokenizer = load_policy(policy)
    draws = generate(
        model,
        [encode_prompt(tokenizer, asking(prompt)) for prompt in prompts],
        n=2,
        temperature=1.0,
        max_new_tokens=8,
        stop=stop_ids(model, tokenizer),
        seeds=range(len(prompts)),
    )
    texts = [text_of(tokenizer, draw.ids[: len(draw.ids) - draw.ended]) for two in draws for draw in two]
    values = judge.columns([asking(prompt) for prompt in prompts for _ in range(2)], texts).values
    place = PRINCIPLES.index(ASKED)
    known = [row[place] for row in values if row is not None]
    known += [min(known)] * (len(values) - len(known))
    return fmean(known), fmean(map(repeats, texts))


def rewarded(
    folder: Path, principle: str, *, start: str, judge: str, prompts: Sequence[str], seed: int
) -> tuple[str, list[str], list[str]]:
    """Return the policy after GRPO under the principle, and what the policy and the principle model were given."""
    to_policy: set[tuple[int, ...]] = set()
    to_judge: set[tuple[int, ...]] = set()

    def answered(model, asked, **more):
        to_policy.update(map(tuple, asked))
        return generate(model, asked, **more)

    def encoded(tokenizer, pictures, messages):
        ids, shown = encode_shown(tokenizer, pictures, messages)
        to_judge.add(tuple(ids))
        return ids, shown

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(experience, "generate", answered)
        patch.setattr(scorers, "encode_shown", encoded)
        spec, _ = do(
            folder,
            "grpo",
            model=start,
            rows=[{"prompt": prompt} for prompt in prompts],
            scorers={"reward": judge},
            principles=principle,
            seed=seed,
            iterations=40,
            prompts_per_iteration=8,
            batch_size=64,
            micro_batch=64,
            max_new_tokens=8,
            learning_rate=1e-3,
            kl_weight=0.1,
            missing_end_penalty=1.0,
            eval_share=0.0,
            checkpoint_every=2000,
        )
    policy = f"{spec.output}/model"
    read, asked = (
        [str(load_tokenizer(of).decode(list(ids))) for ids in given]
        for of, given in ((policy, to_policy), (judge, to_judge))
    )
    return policy, read, asked


def found(folder: Path, *, seed: int) -> dict[str, float]:
    """Return the rise of r_M and the fall of repetition, rewarded under the asked principle and under the other.

    And the share of the policy's prompts in which either principle stands, and of the principle model's that ask for
    the one of the run.
    """
    base = lively(folder / "base", seed=seed)
    fit = {"seed": seed, "epochs": 4, "batch_size": 32, "micro_batch": 32, "eval_share": 0.0, "checkpoint_every": 2000}
    spec, _ = do(
        folder / "judge", "principle-reward", model=base, rows=judgements(8000, seed=seed), learning_rate=2e-3, **fit
    )
    judge = RewardScorer(f"{spec.output}/model", device=torch.device("cpu"), principles=PRINCIPLES)
    shares = right(judge, seed=seed)
    assert min(shares) >= 0.9, f"the principle model itself is to be good under both principles: {shares}"

    draw = random.Random(f"policy {seed}")
    prompts = draw.sample(PROMPTS, len(PROMPTS))
    fresh, prompts = prompts[:FRESH], prompts[FRESH:]
    rows = [{"prompt": draw.choice(prompts), "completion": answer(draw, repeated=0.75)} for _ in range(2000)]
    begun, _ = do(folder / "start", "sft", model=base, rows=rows, learning_rate=3e-3, **fit)
    start = f"{begun.output}/model"
    before, repeated = measured(start, judge, fresh)
    told: dict[str, float] = {}
    for name, principle in (("asked", ASKED), ("other", OTHER)):
        policy, to_policy, to_judge = rewarded(
            folder / name, principle, start=start, judge=f"{spec.output}/model", prompts=prompts, seed=seed
        )
        after, still = measured(policy, judge, fresh)
        told |= {f"rise, {name}": after - before, f"fall, {name}": repeated - still}
        # In what the judge reads, an answer may have a principle's word: there only the question says what is asked.
        absent = OTHER if principle == ASKED else ASKED
        assert not any(asks_of(absent) in text for text in to_judge), "the other principle is not in the run"
        told |= {f"policy, {name}": fmean(any(one in text for one in PRINCIPLES) for text in to_policy)}
        told |= {f"judge, {name}": fmean(asks_of(principle) in text for text in to_judge)}
        print(seed, name, before, after, repeated, still, sorted(to_policy)[:2], sorted(to_judge)[:2])
    return told


def test_the_principle_that_is_asked_for_is_what_the_policy_learns(report, tmp_path):
    """The card asks for a rise of 2, for less repetition, and that no principle is visible in the policy's prompt."""
    told = [found(tmp_path / str(seed), seed=seed) for seed in SEEDS]
    print(told)
    assert all(one["rise, other"] < 2 for one in told), "on no seed does the other principle do it too"
    switched_off = f"the principle: rewarded under “{OTHER}”"
    report(
        CARD,
        f"rise of r_M of “{ASKED}” on new prompts by GRPO under it",
        [one["rise, asked"] for one in told],
        seeds=SEEDS,
        switched_off=switched_off,
        without=[one["rise, other"] for one in told],
        at_least=2.0,
        every_seed=True,
    )
    report(
        CARD,
        "fall of the share of answers in which a word comes twice",
        [one["fall, asked"] for one in told],
        seeds=SEEDS,
        switched_off=switched_off,
        without=[one["fall, other"] for one in told],
        at_least=0.25,
        every_seed=True,
    )
    report(
        CARD,
        "share of the policy's prompts in which a principle stands",
        [max(one["policy, asked"], one["policy, other"]) for one in told],
        seeds=SEEDS,
        switched_off="keeping it from the reader: what the principle model is given",
        without=[min(one["judge, asked"], one["judge, other"]) for one in told],
        at_most=0.0,
        every_seed=True,
    )
