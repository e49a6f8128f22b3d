"""A judge that learns from its own judgements: what it is asked, what it earns, and answers that it compares."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.core.stages.test_stages import rollout
from tests.core.worlds import pair_rows, prompt_rows
from training.core.backbone import load_tokenizer
from training.core.job import RunError
from training.core.judging import question
from training.core.records import Tally, canonical, parse_pair
from training.core.stages.advantage import group_norm, pairwise
from training.core.stages.kl import terminal
from training.core.verdicts import Agreement, asked_pairs

ASK = [{"role": "user", "content": "why?"}]


def test_a_pair_is_asked_about_in_both_orders_and_the_verdict_of_the_person_pays(policy):
    tokenizer, tally = load_tokenizer(str(policy)), Tally()
    rows = [(1, parse_pair({"prompt": ASK, "chosen": "good", "rejected": "bad", "position": 1}))]
    (first, second), scorer = asked_pairs(rows, tokenizer, tally, None, ask_orders="both")
    assert first.messages == question(ASK, "good", "bad", reasoned=True) and first.about == second.about
    asked = [first.messages] * 4 + [second.messages]
    said = ["<think>x</think><answer>A</answer>", "<answer>B</answer>", "A", "<think><answer>A</answer>"]
    assert scorer.score(asked, [*said, "<answer>B</answer>"]) == [1.0, 0.0, 0.0, 0.0, 1.0]
    (seen,), _ = asked_pairs(rows, tokenizer, tally, None, ask_orders="as_seen")
    assert seen.messages == second.messages
    assert asked_pairs(rows, tokenizer, tally, 10, ask_orders="both")[0] == [] and tally.counts["refused_too_long"] == 1


def test_without_a_pair_to_judge_and_without_a_judge_the_run_says_what_is_missing(do, policy, reward):
    rows = [{**row, "audit": True} for row in pair_rows(3)]
    with pytest.raises(RunError, match=r"no pair to judge.*audit"):
        do("reasoning-judge-rl", model=policy, rows=rows)
    with pytest.raises(RunError, match="a judge as the reward, of the recipe pairwise-generative"):
        do("grpo-pairwise", into="b", model=policy, rows=prompt_rows(3), scorers={"reward": str(reward)}, iterations=1)


def test_a_judge_s_figures_tell_verdicts_that_cannot_be_read_and_those_that_the_place_decides():
    """Of pair 1 A is named in either order, of pair 2 the same answer, and of pair 3 one order cannot be read."""
    asked = [question(ASK, *both, reasoned=True) for one in "abc" for both in ((one, "z"), ("z", one))]
    right = {canonical(messages): "AB"[place % 2] for place, messages in enumerate(asked)}
    scorer = Agreement(right, {canonical(messages): place // 2 for place, messages in enumerate(asked)})
    said = [f"<answer>{name}</answer>" for name in "AAABB"] + ["none"]
    told = scorer.figures(asked, said)
    assert told == {"unread_verdicts": pytest.approx(1 / 6), "first_named": 0.6, "position_bias": 0.5}
    assert scorer.figures(asked[:1], said[5:]) == {"unread_verdicts": 1.0}
    always = scorer.figures(asked, said[:1] * 6)
    assert always == {"unread_verdicts": 0.0, "first_named": 1.0, "position_bias": 1.0}


def test_a_run_tells_how_often_its_judge_cannot_be_read(do, policy):
    """The policy has never seen how a verdict looks."""
    quick = {"iterations": 1, "prompts_per_iteration": 2, "samples_per_prompt": 2, "max_new_tokens": 3}
    spec, result = do("reasoning-judge-rl", model=policy, rows=pair_rows(12), eval_share=0.5, **quick)
    assert '"unread_verdicts": 1.0' in (Path(spec.output) / "metrics.jsonl").read_text()
    assert result.metrics["unread_verdicts"] == result.metrics["eval_unread_verdicts"] == 1.0
    assert any("name no answer" in note for note in result.notes)


def compared(d: torch.Tensor, *, second: torch.Tensor | None = None, verdicts: str = "graded"):
    made = terminal(rollout([0.0] * len(d), tuple(i // d.shape[1] for i in range(len(d)))))
    return pairwise(replace(made, comparisons=torch.stack([d, d if second is None else second], -1)), verdicts=verdicts)


def of_rows(made) -> torch.Tensor:
    return torch.stack([row[mask][0] for row, mask in zip(made.advantages, made.mask, strict=True)])


def test_by_differences_of_rewards_it_is_grpo():
    """To 1e-6, by rewards in thousands: what each adds below a fraction weighs nothing then."""
    rewards = torch.tensor([300.0, -1200.0, 2000.0, 400.0, 400.0, 1000.0])
    d = torch.cat([part[:, None] - part[None] for part in rewards.split(3)])
    plain = terminal(rollout(rewards.tolist(), (0, 0, 0, 1, 1, 1)))
    expected = of_rows(group_norm(plain, scale_by_group=True))
    torch.testing.assert_close(of_rows(compared(d)), expected, atol=1e-6, rtol=0)


def test_rock_paper_scissors_teaches_nothing_and_a_tie_is_no_number_by_zero():
    d = torch.tensor([[0.0, 1.0, -1.0], [-1.0, 0.0, 1.0], [1.0, -1.0, 0.0]])
    assert torch.equal(of_rows(compared(d)), torch.zeros(3))
    ties = compared(torch.zeros(3, 3))
    assert torch.equal(of_rows(ties), torch.zeros(3)) and ties.metrics["groups_alike"] == 1.0
    unknown = compared(torch.where(d > 0, d, torch.nan))
    assert torch.isfinite(unknown.advantages).all() and unknown.metrics["uncompared"] == pytest.approx(6 / 9)


def test_a_judge_that_always_names_the_first_answer_teaches_nothing_and_is_told_of():
    """It is all but sure of that, of one answer a little more, which counts as much as any difference when `graded`.

    Of three in order, by hand: (2 / 3) / √(6 / 12)."""
    leaning = 0.99 * (1 - torch.eye(3))
    little = torch.tensor([[0.0, 0.009, 0.009], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    first = leaning + little
    hard = compared(first, second=-first.T, verdicts="hard")
    assert torch.equal(of_rows(hard), torch.zeros(3)) and hard.metrics["position_bias"] == 1.0
    graded = compared(first, second=-first.T)
    assert of_rows(graded)[0] > 0.5 and graded.metrics["position_bias"] == 1.0
    order = torch.tensor([[0.0, 0.2, 0.3], [-0.2, 0.0, 0.1], [-0.3, -0.1, 0.0]])
    sure = compared(order, second=order, verdicts="hard")
    assert of_rows(sure).tolist() == pytest.approx([2 / 3 / 0.5**0.5, 0.0, -2 / 3 / 0.5**0.5], abs=1e-5)
    assert sure.metrics["position_bias"] == 0.0


def test_one_verdict_in_five_turned_round_leaves_the_best_ahead_of_the_worst():
    """500 groups of six whose order a judge gets wrong in a fifth of its verdicts; card 36 saw 0.96 and 0.91."""
    torch.manual_seed(0)
    ahead = above = 0
    truth = torch.sign(torch.arange(6.0)[:, None] - torch.arange(6.0)[None])
    for _ in range(500):
        upper = (truth * torch.where(torch.rand(6, 6) < 0.2, -1.0, 1.0)).triu(1)
        found = of_rows(compared(upper - upper.T, verdicts="hard"))
        ahead += bool(found[5] > found[0])
        above += bool(found[5] > 0 > found[0])
    assert ahead / 500 >= 0.93 and above / 500 >= 0.87
