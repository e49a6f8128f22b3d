"""Judges, what is kept of what they judged, and a reward that shrinks with the distance: CGPO by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from tests.core.stages.test_stages import rollout
from training.core.heads import Scores
from training.core.job import RunError
from training.core.rollout import Rollout
from training.core.stages import advantage, judges
from training.core.stages import filter as filters
from training.core.stages.kl import budget

NO_RULES = {"min_words": 0, "max_words": 0, "must_match": "", "must_not_match": "", "refusals": "pass"}
TEXTS = ("yes", "I'm sorry, but I cannot do that.", "call 555-0199 now", "a good and long answer")


def written(*texts: str, costs: tuple[float, ...] = (), audits: tuple[float, ...] = ()) -> Rollout:
    made = replace(rollout([0.5] * len(texts), (0,) * len(texts)), texts=texts)
    columns = [made.scores.values[:, 0], *(torch.tensor(c) for c in (costs, audits) if c)]
    return replace(made, scores=Scores(torch.stack(columns, 1), ("reward", "cost", "audit")[: len(columns)]))


@pytest.mark.parametrize(
    ("knobs", "passes", "told"),
    [
        ({"min_words": 2, "max_words": 6}, [False, False, True, True], "length"),
        ({"must_not_match": r"\d{3}-\d{4}"}, [True, True, False, True], "pattern"),
        ({"must_match": r"(?i)\b(yes|good)\b"}, [True, False, False, True], "match"),
        ({"refusals": "unwanted"}, [True, False, True, True], "refusal"),
        ({"refusals": "wanted"}, [False, True, False, False], "refusal"),
    ],
)
def test_each_rule_takes_the_reward_of_who_breaks_it(knobs, passes, told):
    made = judges.rules(**{**NO_RULES, **knobs})(written(*TEXTS))
    assert made.passes.tolist() == passes
    assert made.reward.tolist() == [0.5 * kept for kept in passes] and made.merit.tolist() == [0.5] * 4
    assert made.metrics == {f"violations_{told}": passes.count(False) / 4, "violations": passes.count(False) / 4}


def test_all_judges_have_to_agree_and_each_is_told_by_itself():
    stage = judges.judges(judged_cost=0.0, **{**NO_RULES, "min_words": 2})
    made = stage(written("a b", "a", "a b", "a", costs=(0.0, -1.0, 0.5, 2.0)))
    assert made.passes.tolist() == [True, False, False, False]
    assert made.metrics == {"violations": 0.75, "violations_length": 0.5, "violations_cost": 0.5}


def test_what_no_scorer_could_read_does_not_pass_and_a_judge_without_scores_says_which():
    read = replace(written("a", "b", costs=(-1.0, -1.0)), unreadable=torch.tensor([False, True]))
    assert judges.judges(judged_cost=0.0, **NO_RULES)(read).passes.tolist() == [True, False]
    with pytest.raises(RunError, match="reads the scores called cost"):
        judges.judges(judged_cost=0.0, **NO_RULES)(written("a", "b"))
    with pytest.raises(RunError, match=r"must_match is no regular expression: .* Write it as in Python"):
        judges.rules(**{**NO_RULES, "must_match": "("})
    with pytest.raises(RunError, match="at least 9 and at most 2 words"):
        judges.rules(**{**NO_RULES, "min_words": 9, "max_words": 2})


def test_a_principle_model_lets_pass_what_is_likely_to_keep_every_principle():
    """Log-odds of 0 and 3 are chances of 0.5 and 0.95."""
    made = written(*"abc")
    table = torch.tensor([[0.5, 0.0, 3.0], [0.5, 3.0, 3.0], [0.5, 3.0, -3.0]])
    two = replace(made, scores=Scores(table, ("reward", "principle: kind", "principle: clear")))
    stage = judges.principled(judged_principles="kind; clear", judged_chance=0.9, **NO_RULES)
    assert stage(two).passes.tolist() == [False, True, False]
    assert stage(two).metrics["violations_principle"] == pytest.approx(2 / 3)
    assert stage(replace(two, unreadable=torch.tensor([False, True, False]))).passes.tolist() == [False] * 3
    one = replace(made, scores=Scores(table[:, :2], ("reward", "principle")))
    assert judges.principled(judged_principles="kind", judged_chance=0.5, **NO_RULES)(one).passes.all()
    with pytest.raises(RunError, match="Train the recipe principle-reward"):
        stage(one)


def test_the_auditor_is_told_and_changes_nothing():
    seen = written("a", "b", costs=(-1.0, 1.0), audits=(1.0, 1.0))
    plain, watched = (f(judged_cost=0.0, **NO_RULES)(seen) for f in (judges.judges, judges.audited))
    assert torch.equal(watched.reward, plain.reward)
    assert watched.metrics == plain.metrics | {"violations_audit": 1.0}


@pytest.mark.parametrize(
    "text", ["Sorry, but no.", "I can’t help with this.", "As an AI, I do not", "Das kann ich leider nicht sagen."]
)
def test_refusals_are_known_by_how_they_begin(text):
    assert judges.refuses(text)
    assert not judges.refuses(f"A man said: {text}")
    assert not judges.refuses("I'm sorry to hear that. Here is what you can do.")


def judged(rewards, passes, group) -> Rollout:
    """As judges leave it; the reward before they took any away may be of any sign."""
    merit, kept = torch.tensor(rewards), torch.tensor(passes)
    made = rollout(rewards, group)
    return replace(made, reward=merit * kept, merit=merit, passes=kept, reference_logps=made.logps.clone())


def test_pairs_are_best_passing_against_worst_failing_whatever_the_sign():
    """Negative rewards: reward times verdict would be highest, 0, for those that break the rules.

    Prompt 0: of -3, -1, -2 and -4 the first two pass, so -1 against -4. Prompt 1: all pass, so 2 against 0. Prompt 2:
    none passes. Prompt 3: one answer, which passes, has nobody to be held against.
    """
    rewards = (-3.0, -1.0, -2.0, -4.0, 2.0, 0.0, 5.0, 6.0, 1.0)
    passes = (True, True, False, False, True, True, False, False, True)
    found = filters.judged_pairs(judged(rewards, passes, (0, 0, 0, 0, 1, 1, 2, 2, 3)))
    ids = rollout(rewards, (0,) * 9).tokens.input_ids
    assert list(found.texts) == ["1", "4"] and torch.equal(found.tokens.input_ids, ids[[1, 4]])
    assert torch.equal(found.rival.input_ids, ids[[3, 5]])
    assert found.metrics["prompts_unused"] == 0.5
    assert torch.equal(found.rows([1]).rival.input_ids, ids[[5]])
    nothing = filters.judged_pairs(judged((1.0, 2.0), (False, False), (0, 0)))
    assert len(nothing) == 0 and nothing.metrics["prompts_unused"] == 1.0


def test_imitated_is_the_best_that_passes_near_the_reference():
    made = judged((1.0, 3.0, 2.0, 4.0, 1.0, 2.0), (True, True, True, False, False, False), (0, 0, 0, 0, 1, 1))
    far = made.logps.clone()
    far[1] -= 5.0 * made.mask[1]  # one token, 5 nats
    found = filters.best_passing(replace(made, reference_logps=far), kl_at_most=4.0)
    assert list(found.texts) == ["2"] and found.metrics["prompts_unused"] == 0.5
    assert list(filters.best_passing(replace(made, reference_logps=far), kl_at_most=6.0).texts) == ["1"]
    of_rows = advantage.plain(budget(found, kl_budget=1e9)).advantages
    assert of_rows[0][found.mask[0]].tolist() == [2.0] * 3


def test_the_reward_shrinks_with_the_distance_and_is_spent_at_the_budget():
    """Log-ratios of 0, 5 and 20 nats with a budget of 10: all of the reward, half, none. Below 0 there is more."""
    made = rollout((0.8, 0.8, 0.8, 0.8), (0, 0, 0, 0))
    gaps = torch.tensor([0.0, 5.0, 20.0, -5.0])
    moved = made.logps - (gaps / made.mask.sum(1)).unsqueeze(1) * made.mask
    found = budget(replace(made, reference_logps=moved), kl_budget=10.0)
    torch.testing.assert_close(found.token_reward.sum(1), torch.tensor([0.8, 0.4, 0.0, 1.2]))
    assert found.metrics["budget_spent"] == 0.25
