"""Judging by principles: what is asked, what is agreed on, and that a principle never reaches a policy's prompt."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from tests.core.worlds import pair_rows, principle_rows, prompt_rows
from training.core.backbone import answer_ids, load_policy, load_tokenizer, start_reward
from training.core.collate import collate_labelled, encode, encode_prompt, pad
from training.core.heads import yes_no
from training.core.job import RunError
from training.core.principles import asked, consensus
from training.core.records import Refused, Tally, parse_judged
from training.core.scorers import RewardScorer

SIDES = ("chosen", "rejected")
ASK = [{"role": "user", "content": "why?"}]


def judged(principle: str, said: str, annotator: str, completion: str = "so."):
    row = {"prompt": ASK, "completion": completion, "principle": principle, "answer": said, "annotator": annotator}
    return parse_judged(row)


def kept(*records, **knobs):
    tally = Tally()
    found = consensus(list(enumerate(records, start=1)), tally, **knobs)
    return [line for line, _ in found], dict(tally.counts)


def test_only_what_everybody_says_alike_is_kept_and_once():
    """Three people: all say "clear" (one spelled otherwise), two "short", and of "kind" one says no."""
    records = [
        judged("clear", "yes", "a"),
        judged(" Clear ", "yes", "b"),
        judged("clear", "yes", "c"),
        judged("short", "yes", "a"),
        judged("short", "yes", "b"),
        judged("kind", "yes", "a"),
        judged("kind", "yes", "b"),
        judged("kind", "no", "c"),
    ]
    assert kept(*records, min_annotators=3) == ([1], {"refused_repeated": 2, "refused_no_consensus": 5})
    assert kept(*records, min_annotators=4)[0] == []
    assert kept(*records, min_annotators=0)[0] == list(range(1, 9))


def test_one_person_alone_agrees_with_nobody_unless_one_is_enough():
    assert kept(judged("clear", "yes", "a"), min_annotators=2)[0] == []
    assert kept(judged("clear", "yes", "a"), min_annotators=1)[0] == [1]
    others = judged("clear", "yes", "b", completion="another answer")
    assert kept(judged("clear", "yes", "a"), others, min_annotators=2)[0] == []


@pytest.mark.parametrize(("said", "reason"), [("partly", "unlabelled"), ("na", "unlabelled"), ("maybe", "malformed")])
def test_what_is_neither_yes_nor_no_is_not_learned_from(said, reason):
    with pytest.raises(Refused, match=reason):
        judged("clear", said, "a")


def test_a_language_model_s_own_yes_and_no_is_where_training_starts(policy):
    """Before any step the score is log p(Yes) - log p(No) of the model itself, after the opened turn."""
    tokenizer = load_tokenizer(str(policy))
    model, _ = start_reward(str(policy), head=yes_no)
    ids = encode_prompt(tokenizer, asked(ASK, "so.", "clear"))
    tokens = pad([(ids, [])], 0)
    language, _ = load_policy(str(policy))
    with torch.no_grad():
        logps = language(input_ids=tokens.input_ids).logits[0, -1].log_softmax(-1)
        yes, no = answer_ids(tokenizer)
        score = model.scores(tokens.input_ids, tokens.attention_mask)[0]
    assert score.item() == pytest.approx((logps[yes] - logps[no]).item(), abs=1e-5)


def test_what_is_asked_is_about_the_answer_and_ends_with_an_opened_turn(policy):
    tokenizer = load_tokenizer(str(policy))
    (example,) = encode([(1, judged("clear", "yes", "a"))], tokenizer, Tally(), max_length=500)
    text = tokenizer.decode(example.prompt)
    assert text.startswith("<|user|>why?<|end|><|assistant|>so.<|end|><|user|>Evaluate the response")
    assert "satisfies this principle: clear. Only answer Yes or No.<|end|><|assistant|>" in text
    batch = collate_labelled([example], 0, None, ("satisfied",))
    assert batch.labels.tolist() == [[1.0]] and not batch.tokens.completion_mask.any()


def test_the_principles_are_the_columns_and_are_chosen_when_scoring(do, policy):
    spec, _ = do("principle-reward", model=policy, rows=principle_rows(8), max_steps=1, batch_size=4)
    path = f"{spec.output}/model"
    device = torch.device("cpu")
    with pytest.raises(RunError, match="Name at least one"):
        RewardScorer(path, device=device)
    columns = RewardScorer(path, device=device, principles=["clear", "kind"]).columns([ASK] * 3, ["so.", " ", "well."])
    assert columns.names == ("clear", "kind")
    assert columns.values[1] is None and columns.score[1] is None
    assert columns.score[0] == pytest.approx(sum(columns.values[0]) / 2)
    (alone,) = RewardScorer(path, device=device, principles=["kind"]).score([ASK], ["so."])
    assert alone == pytest.approx(columns.values[0][1], abs=1e-5)


def test_a_sampled_answer_is_scored_by_the_principles_that_the_run_names(do, policy):
    spec, _ = do("principle-reward", into="judge", model=policy, max_steps=1, batch_size=4)
    scorers = {"reward": f"{spec.output}/model"}
    few = {"samples_per_prompt": 2, "max_new_tokens": 4}
    with pytest.raises(RunError, match="Name at least one"):
        do("sample", into="none", model=policy, rows=prompt_rows(2), scorers=scorers, **few)
    told, _ = do(
        "sample", into="told", model=policy, rows=prompt_rows(2), scorers=scorers, principles="clear; kind", **few
    )
    rows = [json.loads(line) for line in (Path(told.output) / "samples.jsonl").read_text().splitlines()]
    judge = RewardScorer(scorers["reward"], device=torch.device("cpu"), principles=["clear", "kind"])
    for row in rows:
        expected = judge.score([row["prompt"]] * 2, [answer["text"] for answer in row["completions"]])
        assert [answer["scores"].get("reward") for answer in row["completions"]] == pytest.approx(expected, abs=1e-5)


def test_a_policy_learns_from_the_principle_that_the_run_names(do, policy):
    spec, _ = do("principle-reward", into="judge", model=policy, max_steps=1, batch_size=4)
    more = {"model": policy, "rows": prompt_rows(2), "scorers": {"reward": f"{spec.output}/model"}, "iterations": 1}
    more |= {"samples_per_prompt": 2, "max_new_tokens": 4, "batch_size": 4, "eval_share": 0.0}
    with pytest.raises(RunError, match="Name at least one"):
        do("rloo", into="none", **more)
    with pytest.raises(RunError, match="2 principles give as many scores"):
        do("rloo", into="two", principles="clear; kind", **more)
    rewards = [do("rloo", into=one, principles=one, **more)[1].metrics["reward"] for one in ("clear", "kind")]
    assert rewards[0] != rewards[1]


def test_comparing_choosing_and_weighing_pairs_go_by_the_principles_that_the_run_names(do, policy):
    spec, _ = do("principle-reward", into="judge", model=policy, max_steps=1, batch_size=4)
    path = f"{spec.output}/model"
    judge = RewardScorer(path, device=torch.device("cpu"), principles=["kind"])
    few = {"model": policy, "scorers": {"reward": path}, "samples_per_prompt": 2, "max_new_tokens": 4}
    prompts = {"rows": prompt_rows(2)}
    told, compared = do("compare", into="compare", reference=str(policy), principles="kind", **few, **prompts)
    rows = [json.loads(line) for line in (Path(told.output) / "comparisons.jsonl").read_text().splitlines()]
    for row in rows:
        ours, theirs = judge.score([row["prompt"]] * 2, [row[side]["text"] for side in ("candidate", "current")])
        assert row["reward_preference"] == pytest.approx(ours - theirs, abs=1e-5)
    assert compared.metrics["reward_win_rate"]["n"] == 2

    told, _ = do("best-of-n", into="best", principles="kind", **few, **prompts)
    rows = [json.loads(line) for line in (Path(told.output) / "answers.jsonl").read_text().splitlines()]
    for row in rows:
        expected = judge.score([row["prompt"]] * 2, [answer["text"] for answer in row["completions"]])
        assert [answer["scores"]["reward"] for answer in row["completions"]] == pytest.approx(expected, abs=1e-5)

    rows = pair_rows(4)
    pairs = {"model": policy, "scorers": {"reward": path}, "max_steps": 1, "eval_share": 0.0, "rows": rows}
    told, _ = do("dpo-margin", into="weighed", principles="kind", **pairs)
    kept = (Path(told.output) / "margins.jsonl.0.part").read_text().splitlines()
    asked_of = [row["prompt"] for row in rows]
    better, worse = (judge.score(asked_of, [row[side][0]["content"] for row in rows]) for side in SIDES)
    expected = [one - other for one, other in zip(better, worse, strict=True)]
    assert [json.loads(line)["margin"] for line in kept] == pytest.approx(expected, abs=1e-4)
    for recipe, more in (("compare", {**few, **prompts}), ("best-of-n", {**few, **prompts}), ("dpo-margin", pairs)):
        with pytest.raises(RunError, match="Name at least one"):
            do(recipe, into=f"none-{recipe}", reference=str(policy), **more)
