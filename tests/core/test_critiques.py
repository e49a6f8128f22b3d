"""Critique, then score: which critiques make a pair, what is learned of them, and what a model writes by itself."""

from __future__ import annotations

import json

import pytest
import torch
from torch.nn.functional import cross_entropy

from tests.core.worlds import critique_rows, make_spec
from training.core.backbone import load_policy, load_tokenizer, start_reward
from training.core.collate import collate_pairs, encode, encode_completion, encode_prompt
from training.core.critiques import CritiqueScorer, criticised_pairs, main, preference, suggested
from training.core.heads import critique as head
from training.core.job import RunError
from training.core.objectives import critiques
from training.core.records import Refused, Tally, critique_asked, parse_criticised
from training.core.run import KINDS, open_job
from training.core.scoring import scorer_of

CPU = torch.device("cpu")
ASK = [{"role": "user", "content": "why?"}]


def criticised(completion: str, score, annotator: str = "a", critique: str = "so"):
    row = {"prompt": ASK, "completion": completion, "critique": critique, "score": score, "annotator": annotator}
    return parse_criticised(row)


def test_two_answers_with_different_points_of_one_person_make_a_pair():
    rows = [
        (1, criticised("one", 2)),
        (2, criticised("two", 5)),
        (3, criticised("three", 2)),
        (4, criticised("x", 1, "b")),
    ]
    tally = Tally()
    pairs = criticised_pairs(rows, tally, one_person=True)
    assert [(p.chosen, p.rejected, p.strength) for _, p in pairs] == [("two", "one", 0.75), ("two", "three", 0.75)]
    assert tally.counts["refused_no_rival"] == 1
    assert len(criticised_pairs(rows, Tally(), one_person=False)) == 5
    for wrong, reason in ((None, "unlabelled"), ("5", "malformed")):
        with pytest.raises(Refused, match=reason):
            criticised("one", wrong)
    with pytest.raises(Refused, match="unlabelled"):
        criticised("one", 3, critique=" ")


def test_only_the_critique_s_own_words_are_learned_to_be_written(policy):
    tokenizer = load_tokenizer(str(policy))
    rows = [(1, criticised("good", 5, critique="it is good")), (2, criticised("bad", 1, critique="it is not"))]
    pairs = criticised_pairs(rows, Tally(), one_person=True)
    batch = collate_pairs(encode(pairs, tokenizer, Tally(), max_length=512), 0)
    shown = [tokenizer.decode(i[m]) for i, m in zip(batch.tokens.input_ids, batch.tokens.completion_mask, strict=True)]
    assert shown == ["it is good<|end|>", "it is not<|end|>"]
    model, _ = start_reward(str(policy), head=head)
    out = critiques(model, batch, lambda chosen, rejected, chosen_nll, rejected_nll: chosen_nll + 10 * rejected_nll)
    language_model, _ = load_policy(str(policy))
    by_hand = []
    for record in (rows[0][1], rows[1][1]):
        before = encode_prompt(tokenizer, critique_asked(record.prompt, record.completion))
        after = encode_completion(tokenizer, record.critique)
        with torch.no_grad():
            logits = language_model(input_ids=torch.tensor([before + after])).logits[0, len(before) - 1 : -1]
        by_hand.append(cross_entropy(logits.float(), torch.tensor(after)).item())
    assert out.loss.item() == pytest.approx(by_hand[0] + 10 * by_hand[1], abs=1e-3)
    out.loss.sum().backward()
    assert model.head.write.weight.grad.abs().sum() > 0


@pytest.fixture(scope="module")
def model(tmp_path_factory, policy) -> str:
    spec = make_spec(
        tmp_path_factory.mktemp("critic"),
        "critique-reward",
        model=policy,
        rows=critique_rows(16),
        epochs=60,
        batch_size=8,
        learning_rate=3e-3,
        eval_share=0.0,
    )
    KINDS["fit"](open_job(spec))
    return f"{spec.output}/model"


def test_it_writes_the_critiques_it_was_taught_and_scores_by_its_own(model):
    scorer = CritiqueScorer(model, device=CPU, max_new_tokens=24)
    rows = critique_rows(16)
    texts = [row["completion"][0]["content"] for row in rows]
    prompts = [row["prompt"] for row in rows]
    told = scorer.criticise([*prompts, ASK], [*texts, " "])
    assert told[-1] is None
    written = [one[0] for one in told[:-1]]
    assert set(written) <= {"kind", "cold"}, "each critique is one of the two that there were"
    ids = [
        *encode_prompt(scorer.tokenizer, critique_asked(prompts[0], texts[0])),
        *encode_completion(scorer.tokenizer, written[0]),
    ]
    with torch.no_grad():
        score = scorer.model.scores(torch.tensor([ids]), torch.ones(1, len(ids), dtype=torch.long)).item()
    assert told[0][1] == pytest.approx(score, abs=1e-3), "the score is read behind its own critique"
    assert isinstance(scorer_of(model, device=CPU), CritiqueScorer)


def test_a_critique_comes_beside_a_row_to_be_imported(model, tmp_path):
    """The first answer a hair better, by 2 and by 10: σ is 0.52, 0.88 and nearly 1."""
    assert [preference(gap) for gap in (0.0, 0.1, 2.0, 10.0, -0.1, -2.0, -1e9)] == [4, 3, 2, 1, 5, 6, 7]
    rows = critique_rows(4)
    row = {"id": "x", "prompt": "why?", "completions": [rows[0]["completion"][0]["content"], "no"]}
    (tmp_path / "rows").write_text(json.dumps(row) + "\n" + json.dumps({**row, "completions": ["so", " "]}) + "\n")
    main(model, str(tmp_path / "rows"), str(tmp_path / "out"))
    told, unread = [json.loads(line) for line in (tmp_path / "out").read_text().splitlines()]
    scorer = CritiqueScorer(model, device=CPU)
    one, other = scorer.criticise([ASK] * 2, row["completions"])
    assert told["suggestion"]["critiques"] == [one[0], other[0]] and told["id"] == "x" and "suggestion" not in unread
    assert told["suggestion"]["answer"] == {"preference": str(preference(told["suggestion"]["score"]))}
    with pytest.raises(RunError, match="two answers"):
        suggested(scorer, [{"prompt": "why?", "completions": ["one"]}], by="x")


def test_what_writes_no_critiques_is_told_so(reward):
    with pytest.raises(RunError, match="critique-reward"):
        CritiqueScorer(str(reward), device=CPU)
