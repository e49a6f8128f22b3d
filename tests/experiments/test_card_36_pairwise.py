"""Card 36, its policy: an advantage out of comparisons alone, and a judge whose verdict is the place."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.core.stages.test_stages import rollout
from tests.experiments.frame import Card
from tests.experiments.world import do, lively, pair_rows, prompt
from training.core.backbone import load_policy
from training.core.judging import question
from training.core.rollout import Rollout
from training.core.stages import advantage
from training.core.stages.advantage import group_norm, pairwise
from training.core.stages.kl import terminal

CARD = Card(
    36,
    "Policy by comparisons (Think-RM)",
    "Verdicts that are differences of rewards give GRPO's advantages; verdicts that go in a circle give none; and most "
    "groups keep their order where a fifth of the verdicts is wrong. A judge that always names the first answer "
    "teaches nothing when both orders are asked, and is told of.",
    "arXiv:2505.16265",
)
SEEDS = (0, 1, 2)
GROUPS, ANSWERS = 500, 6

pytestmark = pytest.mark.experiment


def advantages(d: Tensor, *, second: Tensor | None = None, verdicts: str = "hard") -> Tensor:
    """Return the advantages (groups, answers) of comparisons (groups, answers, answers), alike in both orders."""
    groups, size, _ = d.shape
    made = terminal(rollout([0.0] * groups * size, tuple(row // size for row in range(groups * size))))
    told = torch.stack([d, d if second is None else second], -1).view(groups * size, size, 2)
    return _of_groups(pairwise(replace(made, comparisons=told), verdicts=verdicts), size)


def _of_groups(made: Rollout, size: int) -> Tensor:
    assert made.advantages is not None
    return torch.stack([row[mask][0] for row, mask in zip(made.advantages, made.mask, strict=True)]).view(-1, size)


def test_by_differences_of_rewards_it_is_grpo(report):
    """Rewards in thousands, so that the two small numbers that keep the two from dividing by nothing weigh nothing."""
    found, won = [], []
    for seed in SEEDS:
        rewards = 1000 * torch.randn(100, ANSWERS, generator=torch.Generator().manual_seed(seed))
        d = rewards.unsqueeze(2) - rewards.unsqueeze(1)
        plain = terminal(rollout(rewards.flatten().tolist(), tuple(row // ANSWERS for row in range(100 * ANSWERS))))
        expected = _of_groups(group_norm(plain, scale_by_group=True), ANSWERS)
        found.append(float((advantages(d, verdicts="graded") - expected).abs().max()))
        won.append(float((advantages(d) - expected).abs().max()))
    report(
        CARD,
        "largest distance from GRPO's advantage, verdicts that are differences of rewards",
        found,
        seeds=SEEDS,
        switched_off="differences: who won alone",
        without=won,
        at_most=1e-6,
        every_seed=True,
    )


def test_verdicts_that_go_in_a_circle_teach_nothing(report):
    """Rock, paper, scissors: each wins once and loses once. A verdict that goes by the place breaks the circle."""
    circle = torch.tensor([[[0.0, 1.0, -1.0], [-1.0, 0.0, 1.0], [1.0, -1.0, 0.0]]])
    broken = circle.clone()
    broken[0, 0, 2], broken[0, 2, 0] = 1.0, -1.0  # asked once, with the third answer second, it names the first
    report(
        CARD,
        "largest advantage where verdicts go in a circle",
        [float(advantages(circle).abs().max())],
        seeds=[0],
        switched_off="the other order: one is asked, and of one pair the place decides",
        without=[float(advantages(broken).abs().max())],
        at_most=0.0,
        every_seed=True,
    )


@pytest.mark.parametrize(
    ("figure", "least"),
    [("A(best) > A(worst)", 0.93), ("A(best) > 0 > A(worst)", 0.87)],
)
def test_one_verdict_in_five_turned_round_leaves_the_order(report, figure, least):
    """The ablation holds each answer against the middle one alone: one verdict an answer, as a score would be."""

    def share(found: Tensor) -> float:
        best, worst = found[:, -1], found[:, 0]
        held = (best > worst) if figure == "A(best) > A(worst)" else (best > 0) & (worst < 0)
        return float(held.float().mean())

    truth = torch.sign(torch.arange(ANSWERS)[:, None] - torch.arange(ANSWERS)[None]).float()
    every, few = [], []
    for seed in SEEDS:
        draw = torch.Generator().manual_seed(seed)
        flips = torch.rand(GROUPS, ANSWERS, ANSWERS, generator=draw) < 0.2
        upper = (truth * torch.where(flips, -1.0, 1.0)).triu(1)
        every.append(share(advantages(upper - upper.transpose(1, 2))))
        middle = torch.zeros_like(truth)
        middle[ANSWERS // 2], middle[:, ANSWERS // 2] = 1.0, 1.0
        few.append(share(advantages((upper - upper.transpose(1, 2)) * middle)))
    report(
        CARD,
        f"share of {GROUPS} groups with {figure}, one verdict in five turned round",
        every,
        seeds=SEEDS,
        switched_off="comparing all with all: each with the middle one alone",
        without=few,
        at_least=least,
        every_seed=True,
    )


@pytest.fixture(scope="module")
def leaning(tmp_path_factory) -> dict[int, Path]:
    """A judge by seed that read every pair as people saw it, and they saw the better answer first each time."""
    return {seed: _judge(tmp_path_factory.mktemp("judge"), seed, orders="as_seen") for seed in SEEDS}


def _judge(folder: Path, seed: int, *, orders: str) -> Path:
    rows = [{**row, "position": 0} for row in pair_rows(300, seed=seed)]
    (asked,) = question([{"role": "user", "content": "one"}], "red", "cat", reasoned=False)
    base = lively(folder / "base", texts=asked["content"].split("\n\n"), seed=seed)
    quick = {"batch_size": 8, "max_steps": 100, "learning_rate": 1e-3, "eval_share": 0.0}
    spec, _ = do(folder / "run", "pairwise-generative", model=base, rows=rows, seed=seed, orders=orders, **quick)
    return Path(spec.output) / "model"


def _improved(folder: Path, judge: Path, seed: int) -> tuple[float, float]:
    """Return the position bias that three iterations of `grpo-pairwise` tell, and the largest change of a weight."""
    draw = random.Random(seed)
    rows = [{"id": str(n), "prompt": prompt(draw)} for n in range(24)]
    base = judge.parent.parent / "base"
    quick = {"iterations": 3, "prompts_per_iteration": 8, "max_new_tokens": 6, "learning_rate": 1e-3}
    scorers = {"reward": str(judge)}
    do(folder, "grpo-pairwise", model=base, rows=rows, scorers=scorers, seed=seed, eval_share=0.0, **quick)
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    before, after = (load_policy(str(path))[0] for path in (base, folder / "model"))
    changed = max(
        float((a - b).detach().abs().max()) for a, b in zip(before.parameters(), after.parameters(), strict=True)
    )
    return min(line["position_bias"] for line in lines), changed


def test_a_judge_that_always_names_the_first_answer_is_told_of(report, leaning, tmp_path):
    fair = _improved(tmp_path / "fair", _judge(tmp_path / "judge", SEEDS[0], orders="both"), SEEDS[0])
    report(
        CARD,
        "position bias that the run tells, judge that always names the first answer",
        [_improved(tmp_path / str(seed), leaning[seed], seed)[0] for seed in SEEDS],
        seeds=SEEDS,
        switched_off="the leaning: the judge learned from both orders",
        without=fair[0],
        at_least=1.0,
        every_seed=True,
    )


def test_a_judge_that_always_names_the_first_answer_teaches_nothing(report, leaning, tmp_path, monkeypatch):
    found = [_improved(tmp_path / str(seed), leaning[seed], seed)[1] for seed in SEEDS]

    def in_one_order(made: Rollout, *, verdicts: str) -> Rollout:
        """As the authors ask: each pair once, the earlier answer first."""
        assert made.comparisons is not None
        later = made.comparisons.clone()
        size = made.comparisons.shape[1]
        for row in range(len(made)):
            for place in range(size):
                later[row, place] = made.comparisons[row, place, 0 if row % size <= place else 1]
        return pairwise(replace(made, comparisons=later), verdicts=verdicts)

    monkeypatch.setattr(advantage, "pairwise", in_one_order)
    report(
        CARD,
        "largest change of a weight of the policy by a judge that always names the first answer",
        found,
        seeds=SEEDS,
        switched_off="the other order: each pair is asked about once",
        without=_improved(tmp_path / "once", leaning[SEEDS[0]], SEEDS[0])[1],
        at_most=0.0,
        every_seed=True,
    )
