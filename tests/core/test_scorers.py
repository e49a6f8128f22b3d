"""The reward model scorer: what the model itself says, whatever shares the batch, and no answer for no text."""

from __future__ import annotations

import pytest
import torch

from tests.core.worlds import prompt_rows
from training.core.backbone import load_reward, load_tokenizer
from training.core.collate import encode_conversation
from training.core.job import RunError
from training.core.scorers import RewardScorer
from training.core.scoring import load_scorers

CPU = torch.device("cpu")


def test_scores_are_the_models(reward):
    prompts = [row["prompt"] for row in prompt_rows(9)]
    texts = [f"thanks {'sun ' * i}moon" for i in range(9)]
    scorer = RewardScorer(str(reward), device=CPU, rows_at_once=4)
    model, tokenizer = load_reward(str(reward)), load_tokenizer(str(reward))
    expected = []
    for messages, text in zip(prompts, texts, strict=True):
        ids = torch.tensor([encode_conversation(tokenizer, messages, text)])
        expected.append(float(model.scores(ids, torch.ones_like(ids)).detach()))
    assert scorer.score(prompts, texts) == pytest.approx(expected, abs=1e-4)
    assert len(set(expected)) == 9


def test_what_cannot_be_read_has_no_score(reward):
    scorer = load_scorers({"reward": str(reward)}, device=CPU)["reward"]
    prompt = prompt_rows(1)[0]["prompt"]
    scores = scorer.score([prompt] * 3, ["fine", " ", "one <|end|> two"])
    assert scores[0] is not None and scores[1:] == [None, None]


def test_a_prompt_beyond_the_models_reach_loses_its_beginning(reward):
    scorer = RewardScorer(str(reward), device=CPU)
    long = [{"role": "user", "content": "why " * 400}]
    longer = [{"role": "user", "content": "what " * 50 + "why " * 400}]
    scores = scorer.score([long, longer], ["fine", "fine"])
    assert scores[0] == pytest.approx(scores[1], abs=1e-5)


def test_scores_that_are_no_numbers_are_an_error(reward):
    scorer = RewardScorer(str(reward), device=CPU)
    with torch.no_grad():
        scorer.model.head.score.weight.fill_(float("nan"))
    with pytest.raises(RunError, match="not numbers"):
        scorer.score([prompt_rows(1)[0]["prompt"]], ["fine"])


def test_a_policy_is_no_scorer(policy):
    with pytest.raises(RunError, match="bradley-terry"):
        RewardScorer(str(policy), device=CPU)
