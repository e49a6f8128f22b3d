"""Card 16: rules that no reward can buy off, whoever watches them."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
import pytest
import torch

from tests.experiments.frame import Card
from tests.experiments.tables import climb, drawn, table_models
from training.core.heads import Scores
from training.core.mixture import MixedUpdate, Task, joined
from training.core.trainers.offline import called
from training.core.trainers.onpolicy import staged
from training.recipes.base import recipe
from training.recipes.combine import First
from training.recipes.stages import AuditedJudges, BatchMean, Preference, Reinforce

CARD = Card(
    16,
    "Mixture of judges (CGPO)",
    "Where a reward model overpays answers that break a rule, a policy that is only paid for keeping it breaks it no "
    "more, by each of the three updates. Judges that always miss the same answers are found out, and only an "
    "auditor sees it.",
    "arXiv:2409.20370",
)
SEEDS = (0, 1, 2)
PROMPTS, ANSWERS, DRAWN, UPDATES, OVERPAID, BUDGET = 50, 40, 8, 400, 3.0, 3.0
RATE, REFERENCES = 0.2, 4  # as the recipes have it
UPDATE_OF = {"CRPG": "cgpo-crpg", "CODPO": "cgpo-codpo", "CRRAFT": "cgpo-crraft"}
KNOBS = {"kl_budget": BUDGET, "kl_at_most": 20.0, "pair_beta": 0.1, "imitation_weight": 1.0}


@lru_cache
def trained(seed: int, name: str, *, fine: float = 0.0, missed: float = 0.0) -> dict[str, float]:
    """Return what a policy came to: the true shares of violations, by judge and audit, its gold and its distance.

    Three in ten answers break the rule; the reward is gold, 3 more for each of these, and an offset of the prompt. The
    judge always misses the same share `missed` of the violations, the auditor none. Without a name of an update there
    are no judges, and a violation costs `fine` of the reward.
    """
    draw = np.random.default_rng(seed)
    gold = torch.tensor(draw.normal(size=(PROMPTS, ANSWERS)))
    breaks = torch.tensor(draw.random((PROMPTS, ANSWERS)) < 0.3)
    reward = gold + (OVERPAID - fine) * breaks + torch.tensor(5 * draw.normal(size=(PROMPTS, 1)))
    seen = breaks & ~torch.tensor(draw.random((PROMPTS, ANSWERS)) < missed)

    def score(asked: torch.Tensor, answers: torch.Tensor) -> dict[str, torch.Tensor]:
        place = (asked, answers[:, 0])
        return {"reward": reward[place], "cost": seen[place].float() - 0.5, "audit": breaks[place].float() - 0.5}

    models = table_models(torch.zeros(PROMPTS, ANSWERS))
    parts: list[Any] = [First(), Preference(), BatchMean(), Reinforce()]
    if name:
        found = recipe(UPDATE_OF[name])
        knobs = {k.name: k.default for k in found.knobs()} | {k: v for k, v in KNOBS.items() if k in found.fill()}
        by_slot = found.parts_with(knobs) | {"constrain": AuditedJudges(min_words=0)}
        parts = [part for slot, part in by_slot.items() if slot != "trainer"]
    rounds = {"n": DRAWN, "iterations": UPDATES, "rate": RATE, "references": REFERENCES}
    climb(models, score, *parts, prompts=PROMPTS, seed=seed, **rounds)
    policy = models.policy.probabilities[:, 0].double()  # type: ignore[operator]
    return {
        "judged": float((policy * seen).sum(1).mean()),
        "audited": float((policy * breaks).sum(1).mean()),
        "gold": float((policy * gold).sum(1).mean()),
        "kl": float((policy * (policy * ANSWERS).clamp(min=1e-300).log()).sum(1).mean()),
    }


def of(figure: str, name: str, **more: float) -> list[float]:
    return [trained(seed, name, **more)[figure] for seed in SEEDS]


@pytest.mark.experiment
@pytest.mark.parametrize("name", UPDATE_OF)
def test_nothing_that_breaks_the_rule_is_said_any_more(report, name):
    report(
        CARD,
        f"share of answers that break the rule, {name}",
        of("audited", name),
        seeds=SEEDS,
        switched_off="judges: the same reward without them",
        without=of("audited", ""),
        at_most=0.01,
        every_seed=True,
    )


@pytest.mark.experiment
def test_a_fine_does_not_do_it(report):
    report(
        CARD,
        "share of answers that break the rule, CRPG, against a fine of 2 for it",
        of("audited", "CRPG"),
        seeds=SEEDS,
        switched_off="judges: a fine of 2 where 3 are overpaid",
        without=of("audited", "", fine=2.0),
        at_most=0.01,
        every_seed=True,
    )


@pytest.mark.experiment
@pytest.mark.parametrize("name", ["CODPO", "CRRAFT"])
def test_what_is_said_instead_is_better(report, name):
    report(
        CARD,
        f"gold of the answers above that of the policy without judges, {name}",
        [a - b for a, b in zip(of("gold", name), of("gold", ""), strict=True)],
        seeds=SEEDS,
        switched_off="judges: the same reward without them",
        without=0.0,
        at_least=0.2,
        every_seed=True,
    )


@pytest.mark.experiment
def test_the_budget_is_kept(report):
    report(
        CARD,
        f"nats from the start, CRPG with a budget of {BUDGET:g}",
        of("kl", "CRPG"),
        seeds=SEEDS,
        switched_off="the budget: none, and no judges",
        without=of("kl", ""),
        at_most=BUDGET,
        every_seed=True,
    )


@pytest.mark.experiment
def test_what_a_judge_always_misses_is_found_and_only_the_auditor_sees_it(report):
    """The judges' own figure is at most 0.01 while a policy by CRRAFT lives on what they miss, a tenth of it."""
    judged = of("judged", "CRRAFT", missed=0.1)
    assert max(judged) <= 0.01, judged
    report(
        CARD,
        "share of answers that break the rule by the audit, CRRAFT, one tenth of violations always missed",
        of("audited", "CRRAFT", missed=0.1),
        seeds=SEEDS,
        switched_off="the auditor: what the judges say themselves",
        without=judged,
        at_least=0.1,
        every_seed=True,
    )


@lru_cache
def mixed(seed: int, *, own: bool) -> float:
    """Return what the worse of two tasks comes to, as a share of its optimum; both learn in one step by CRPG's parts.

    What is good for one task is bad for the other. With `own` each has its own reward, else both have that of the one
    with three times as many prompts, as a reward model has that was trained on all of them.
    """
    draw = np.random.default_rng(seed)
    gold = torch.tensor(draw.normal(size=(PROMPTS, ANSWERS))).float()
    first = torch.arange(PROMPTS) < PROMPTS * 3 // 4
    reward = gold if own else torch.where(first.unsqueeze(1), gold, -gold)
    models = table_models(torch.zeros(PROMPTS, ANSWERS))
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(models.parameters(), lr=RATE)
    update = MixedUpdate([called(Reinforce())] * 2)
    tasks = [Task(name, {}, frozenset(), (), DRAWN) for name in ("many", "few")]
    stages = {"advantage": called(BatchMean())}
    for _ in range(100):
        read = {}
        for task, prompts in zip(tasks, (first.nonzero().flatten(), (~first).nonzero().flatten()), strict=True):
            rollout = drawn(models, prompts, DRAWN, generator=generator)
            asked, answers = rollout.tokens.input_ids.unbind(1)
            values = reward[asked, answers].sigmoid()
            rollout = replace(rollout, scores=Scores(values.unsqueeze(1), ("reward",)), reward=values)
            read[task.name] = staged(rollout, stages)
        optimizer.zero_grad()
        out = update(models, joined(read, tasks, 0))
        ((out.loss * out.weight).sum() / out.weight.sum()).backward()
        optimizer.step()
    policy = models.policy.probabilities[:, 0]  # type: ignore[operator]
    share = (policy * gold).sum(1) / gold.max(1).values
    return min(float(share[first].mean()), float(share[~first].mean()))


@pytest.mark.experiment
def test_tasks_that_want_opposite_things_are_both_served(report):
    report(
        CARD,
        "gold of the worse of two tasks with opposite rewards, as a share of its optimum, task mix",
        [mixed(seed, own=True) for seed in SEEDS],
        seeds=SEEDS,
        switched_off="a reward of its own for each task: that of the task with more prompts",
        without=[mixed(seed, own=False) for seed in SEEDS],
        at_least=0.8,
        every_seed=True,
    )
