"""Rewards from rewriting: what is learned from a pair, and what each token of an answer is given."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from tests.core.worlds import make_spec, pair_rows, prompt_rows
from training.core.backbone import load_policy
from training.core.collate import encode_completion, encode_prompt, turn_of
from training.core.records import Tally, parse_pair
from training.core.rewriting import MOST_LONGER, REQUEST, Credit, RewriteScorer, asked, credit_of, rewrites, spread_over
from training.core.rollout import last_token
from training.core.run import KINDS, open_job
from training.core.scoring import scorer_of
from training.core.trainers import onpolicy
from training.recipes.assembled import to_json

ASK = [{"role": "user", "content": "why?"}]


def pair(chosen: str, rejected: str):
    return parse_pair({"prompt": ASK, "chosen": chosen, "rejected": rejected})


def test_the_credit_ends_where_an_answer_departs_from_what_would_have_been_written():
    """Five tokens, the third and the fifth not its own: + + - 0 -, each a fifth."""
    assert credit_of([True, True, False, True, False]) == pytest.approx([0.2, 0.2, -0.2, 0.0, -0.2])
    assert credit_of([True] * 4) == [0.25] * 4 and credit_of([]) == []


def test_credit_goes_to_the_tokens_of_another_tokenizer_in_whose_characters_it_ends():
    """ "so", "me", " cat", end against "some", " c", "at", "<e>": the first two sum, " cat" ends in "at".

    Cut off before its end, the last word bears the end's too. The sum stays 1/4 + 1/4 - 1/4 - 1/4 = 0.
    """
    credit = Credit(("so", "me", " cat", ""), ("",) * 4, (0.25, 0.25, -0.25, -0.25), (0.0,) * 4)
    assert spread_over(credit, ["some", " c", "at", "<e>"]) == [0.5, 0.0, -0.25, -0.25]
    assert spread_over(credit, ["some", " cat"]) == [0.5, -0.5]
    assert spread_over(credit, list(credit.tokens)) == list(credit.hard)


def test_a_pair_teaches_to_correct_the_worse_answer_and_to_leave_the_better_one():
    rows = [(3, pair("a b c d", "a b x d"))]
    both = rewrites(rows, Tally(), identity=True, most_changed=1.0)
    assert [(line, one.prompt[-2]["content"], one.completion) for line, one in both] == [
        (3, "a b x d", "a b c d"),
        (3, "a b c d", "a b c d"),
    ]
    assert both[0][1].prompt[-1] == {"role": "user", "content": REQUEST}
    assert len(rewrites(rows, Tally(), identity=False, most_changed=1.0)) == 1


def test_answers_that_say_different_things_are_no_correction():
    """One of four words differs: a quarter of the words, which a limit of 0.25 takes and one of 0.2 does not."""
    rows = [(1, pair("a b c d", "a b x d")), (2, pair("p q r s", "a b x d"))]
    tally = Tally()
    assert [line for line, _ in rewrites(rows, tally, identity=False, most_changed=0.25)] == [1]
    assert tally.counts["refused_unlike"] == 1 and "nothing to rewrite" in tally.notes()[0]
    assert rewrites(rows, Tally(), identity=False, most_changed=0.2) == []


def test_each_token_s_credit_is_the_model_s_own_opinion_of_it_whatever_shares_its_batch(policy):
    scorer = RewriteScorer(str(policy), device=torch.device("cpu"), rows_at_once=8)
    texts = ["so", "well, because of it", " "]
    first, second, nothing = scorer.credit([ASK] * 3, texts)
    assert nothing is None and first is not None and second is not None
    model, tokenizer = load_policy(str(policy))
    before, completion = encode_prompt(tokenizer, asked(ASK, "so")), encode_completion(tokenizer, "so")
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([before + completion])).logits[0, len(before) - 1 : -1].float()
    own = logits.gather(1, torch.tensor(completion)[:, None])[:, 0]
    assert first.soft == pytest.approx((own - logits.max(-1).values).tolist(), abs=1e-4)
    assert list(first.hard) == credit_of((own == logits.max(-1).values).tolist())
    assert "".join(second.tokens).startswith(texts[1]) and len(second.preferred) == len(second.tokens)
    assert -1 <= second.score <= 1
    columns = scorer.columns([ASK] * 3, texts)
    assert columns.score == [first.score, second.score, None] and columns.names == ("rewrite",)


def test_a_rewrite_is_what_the_model_would_write_token_by_token_and_none_where_it_does_not_end(policy):
    scorer = RewriteScorer(str(policy), device=torch.device("cpu"))
    end = turn_of(scorer.tokenizer).end_id
    ids, said = encode_prompt(scorer.tokenizer, asked(ASK, "so")), []
    most = 2 * len(encode_completion(scorer.tokenizer, "so")) + MOST_LONGER
    with torch.no_grad():
        while len(said) < most and (not said or said[-1] != end):
            said.append(int(scorer.model(input_ids=torch.tensor([ids + said])).logits[0, -1].argmax()))
        # The same model, made to stop where it began: a rewrite of nothing is one that ended.
        assert scorer.rewrite([ASK, ASK], ["so", " "]) == [
            str(scorer.tokenizer.decode(said[:-1], skip_special_tokens=True)).strip() if said[-1] == end else None,
            None,
        ]
        bias = torch.full((scorer.model.get_output_embeddings().weight.shape[0],), 0.0)
        bias[end] = 1e4
        hook = scorer.model.register_forward_hook(lambda _m, _i, out: setattr(out, "logits", out.logits + bias))
        assert scorer.rewrite([ASK], ["so"]) == [""]
        hook.remove()


def test_a_rewriting_model_is_found_by_its_folder_and_scores_what_is_sampled(do, policy):
    spec, result = do("seq2seq-reward", into="made", model=policy, rows=pair_rows(6), max_steps=1, batch_size=4)
    assert result.counts["trained_on"] + result.counts["held_out"] == 12, "each pair is learned from twice"
    path = f"{spec.output}/model"
    assert isinstance(scorer_of(path, device=torch.device("cpu")), RewriteScorer)
    drawn = {"samples_per_prompt": 2, "max_new_tokens": 4, "scorers": {"reward": path}}
    _, sampled = do("sample", into="drawn", model=policy, rows=prompt_rows(2), **drawn)
    assert abs(sampled.metrics["mean_reward"]) <= 1 + 1e-9


def test_ppo_and_grpo_by_steps_learn_from_what_each_token_earned(do, policy, monkeypatch, tmp_path):
    spec, _ = do("seq2seq-reward", into="made", model=policy, rows=pair_rows(6), max_steps=1, batch_size=4)
    path = f"{spec.output}/model"
    seen = []
    stages = onpolicy.staged
    monkeypatch.setattr(onpolicy, "staged", lambda rollout, found: seen.append(stages(rollout, found)) or seen[-1])
    small = {
        "iterations": 1,
        "prompts_per_iteration": 4,
        "samples_per_prompt": 2,
        "max_new_tokens": 6,
        "eval_share": 0.0,
    }
    do("ppo", into="policy", model=policy, rows=prompt_rows(4), scorers={"reward": path}, kl=0.0, **small)
    rollout = seen[0]
    scorer = RewriteScorer(path, device=torch.device("cpu"))
    for row, told in enumerate(scorer.credit(rollout.prompts, rollout.texts)):
        given = rollout.token_reward[row][rollout.mask[row]].tolist()
        assert sum(given) == pytest.approx(float(rollout.reward[row]), abs=1e-6)
        if told is not None and rollout.ended[row] and len(told.hard) == len(given):
            assert given == pytest.approx(list(told.hard), abs=1e-6)
    parts = {"advantage": "group-norm-steps"}
    spec = make_spec(tmp_path, "grpo", model=policy, rows=prompt_rows(4), scorers={"reward": path}, **small)
    KINDS["fit"](open_job(replace(spec, recipe=to_json("grpo", small, parts))))
    *_, steps = seen
    of_group = steps.token_reward[steps.group == steps.group[0]][steps.mask[steps.group == steps.group[0]]]
    last = last_token(steps.mask)[0]
    expected = (steps.token_reward[0][last] - of_group.mean()) / (of_group.std() + 1e-4)
    torch.testing.assert_close(steps.advantages[0][last], expected)
    earned = rollout.credit[rollout.mask]
    assert (earned != 0).sum() > len(rollout), "more than one token of an answer has earned something"
