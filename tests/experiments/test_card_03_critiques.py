"""Card 3: a model that first writes what is good or bad about an answer learns from far fewer pairs what is better.

Both models are measured as any reward model is, by `reward-accuracy` on pairs: one writes its critiques there. What
it would get behind critiques that people wrote (teacher forcing) is the accuracy that its training measures on held-out
rows, of the very same pairs.

Nothing is learned from the answers that are measured on. Before, half of them had been learned from; without, eighty
pairs of answers of three words are too few (0.86 and 0.66 of the pairs are ranked right behind the model's own
critiques, all of them behind people's), and from two hundred a scalar model found the rule on one of two seeds. So
there are two hundred pairs, and four words.
"""

from __future__ import annotations

import itertools
import random
from pathlib import Path
from typing import Any

import pytest

from tests.core.worlds import write_lines
from tests.experiments.frame import Card
from tests.experiments.world import KINDS, PLAIN, do, lively
from training.core.records import CRITICISE

CARD = Card(
    3,
    "Critique, then score (MM-RLHF)",
    "A critique says of every word how it counts, a preference only which answer is better: from two hundred pairs a "
    "model learns to rank unseen answers behind critiques of its own, nearly as well as behind people's, and most "
    "prompts come out right in all their pairs. A scalar reward model of the same pairs learns none of it.",
    "arXiv:2502.10391",
)
SEEDS = (0, 1)
PAIRS, PROMPTS = 200, 40  # to learn from; to measure on, with two good and two bad answers each
HELD = 32  # good answers, and as many bad ones, that nothing is learned from
ORDER = ("colour", "animal", "food", "tool")

pytestmark = pytest.mark.experiment

Answer = tuple[str, str]  # and what there is to say about it


def answers() -> tuple[list[Answer], list[Answer]]:
    """Return all answers of four words, the good ones and the bad ones, with what there is to say, word by word.

    Each word is of one half of its kind or of the other, and an answer is good when an even number is of the second
    half: no word says anything by itself, and no three do. A critique tells after each word how it stands so far.
    """
    found: tuple[list[Answer], list[Answer]] = [], []
    for words in itertools.product(*(KINDS[kind] for kind in ORDER)):
        odd, said = False, []
        for word, kind in zip(words, ORDER, strict=True):
            odd ^= KINDS[kind].index(word) >= len(KINDS[kind]) // 2
            said += [word, "old" if odd else "one"]
        found[odd].append((" ".join(words), " ".join(said)))
    return found


def criticised(asked: str, good: list[Answer], bad: list[Answer], *, annotator: str) -> list[dict[str, Any]]:
    """Return rows of the view critiques; one annotator's answers to a prompt are held against each other."""
    return [
        {"prompt": asked, "completion": text, "critique": said, "score": points, "annotator": annotator}
        for some, points in ((good, 5), (bad, 1))
        for text, said in some
    ]


def paired(asked: str, good: list[Answer], bad: list[Answer]) -> list[dict[str, Any]]:
    return [{"prompt": asked, "chosen": g[0], "rejected": b[0]} for g in good for b in bad]


def measured(folder: Path, seed: int) -> dict[str, float]:
    """Return how many pairs of unseen answers each model ranks right, and how many prompts in all their pairs."""
    draw = random.Random(seed)
    good, bad = answers()
    draw.shuffle(good)
    draw.shuffle(bad)
    prompts = [" ".join(two) for two in itertools.permutations(PLAIN, 2)]
    draw.shuffle(prompts)
    told = [
        (draw.choice(prompts[PROMPTS:]), [draw.choice(good[HELD:])], [draw.choice(bad[HELD:])]) for _ in range(PAIRS)
    ]
    fresh = [(asked, draw.sample(good[:HELD], 2), draw.sample(bad[:HELD], 2)) for asked in prompts[:PROMPTS]]
    base = lively(folder / "base", texts=[CRITICISE], seed=seed)
    quick = {"epochs": 30, "batch_size": 16, "micro_batch": 16, "learning_rate": 2e-3, "eval_share": 0.0, "seed": seed}
    # Each pair is an annotator's own, so that no other two answers are held against each other.
    rows = [row for n, pair in enumerate(told) for row in criticised(*pair, annotator=str(n))]
    held = write_lines(folder / "held.jsonl", [row for one in fresh for row in criticised(*one, annotator="one")])
    critic, by_people = do(
        folder / "critic", "critique-reward", model=base, rows=rows, eval_data=str(held), eval_every=0, **quick
    )
    pairs = [row for pair in told for row in paired(*pair)]
    scalar, _ = do(folder / "scalar", "bradley-terry", model=base, rows=pairs, **quick)
    unseen = [row for one in fresh for row in paired(*one)]
    found = {"people": by_people.metrics["eval_accuracy"]["estimate"]}
    assert by_people.metrics["eval_accuracy"]["n"] == PROMPTS
    for name, spec in (("critic", critic), ("scalar", scalar)):
        made = f"{spec.output}/model"
        _, result = do(folder / f"{name}-measured", "reward-accuracy", model=made, rows=unseen)
        assert result.counts["kept"] == 4 * PROMPTS
        found[name] = result.metrics["accuracy"]["estimate"]
        found[f"{name}_all"] = result.metrics["all_pairs_right"]["estimate"]
    return found


def test_a_model_ranks_behind_its_own_critiques(report, tmp_path):
    found = [measured(tmp_path / str(seed), seed) for seed in SEEDS]
    print(found)
    plain = "critiques: a scalar reward model on the same pairs"
    named: dict[str, Any] = {"seeds": SEEDS, "every_seed": True}
    report(
        CARD,
        "pairs of unseen answers ranked right by scores behind critiques that the model wrote itself",
        [one["critic"] for one in found],
        switched_off=plain,
        without=[one["scalar"] for one in found],
        at_least=0.9,
        within=(0, 1),
        **named,
    )
    report(
        CARD,
        "the same by a scalar reward model, which is to learn none of it",
        [one["scalar"] for one in found],
        switched_off="its blindness: the critiques",
        without=[one["critic"] for one in found],
        at_most=0.65,
        within=(0, 1),
        **named,
    )
    report(
        CARD,
        "distance of that accuracy from the one behind people's critiques (teacher forcing)",
        [abs(one["people"] - one["critic"]) for one in found],
        switched_off=plain,
        without=[abs(one["people"] - one["scalar"]) for one in found],
        at_most=0.05,
        **named,
    )
    report(
        CARD,
        "prompts whose four pairs of unseen answers are all ranked right (ACC+)",
        [one["critic_all"] for one in found],
        switched_off=plain,
        without=[one["scalar_all"] for one in found],
        at_least=0.8,
        within=(0, 1),
        **named,
    )
