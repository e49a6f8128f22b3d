"""Reward models for people: what is known of a person, what a newcomer is asked, and who is like whom."""

from __future__ import annotations

import pytest
import torch

from tests.core.worlds import make_spec, pair_rows, people_rows
from training.core.backbone import load_reward, load_tokenizer
from training.core.collate import collate_people, encode
from training.core.heads import LatentHead, on_sphere
from training.core.job import RunError
from training.core.objectives import people
from training.core.people import PersonalScorer, groups, most_telling
from training.core.records import Refused, Tally, parse_person
from training.core.run import KINDS, open_job
from training.core.scorers import RewardScorer

CPU = torch.device("cpu")
ASK = [{"role": "user", "content": "why?"}]


@pytest.fixture(scope="module")
def model(tmp_path_factory, reward) -> str:
    spec = make_spec(tmp_path_factory.mktemp("latent"), "latent-user", model=reward, max_steps=2, batch_size=4)
    KINDS["fit"](open_job(spec))
    return f"{spec.output}/model"


def context(row):
    return parse_person(row).context


def test_the_pairs_of_people_stay_apart_in_a_batch(policy):
    tokenizer = load_tokenizer(str(policy))
    rows = people_rows(2)
    rows[1]["context"] = rows[1]["context"][:1]
    examples = encode([(n, parse_person(row)) for n, row in enumerate(rows, 1)], tokenizer, Tally(), max_length=512)
    assert len({example.prompt_hash for example in examples}) == 2, "they are split by person"
    batch = collate_people(examples, 0)
    assert batch.known_of.tolist() == [0, 0, 0, 1] and batch.asked_of.tolist() == [0, 0, 1, 1]
    texts = [
        tokenizer.decode(ids[mask], skip_special_tokens=True)
        for ids, mask in zip(batch.tokens.input_ids, batch.tokens.completion_mask, strict=True)
    ]
    told = [[pair[side][0]["content"] for row in rows for pair in row[part]] for part, side in SIDES]
    assert texts == [text for part in told for text in part]


SIDES = [("context", "chosen"), ("context", "rejected"), ("target", "chosen"), ("target", "rejected")]


def test_what_is_asked_about_is_never_known_already():
    (row,) = people_rows(1)
    row["context"].append({**row["target"][0]})
    assert len(context(row)) == 3
    for fault in ({"annotator": ""}, {"context": "x"}, {"target": [1]}):
        with pytest.raises(Refused, match="malformed"):
            parse_person({**row, **fault})
    with pytest.raises(Refused, match="unlabelled"):
        parse_person({**row, "context": row["target"]})


def test_what_is_known_of_a_person_is_that_person_s_pairs_in_any_order():
    torch.manual_seed(0)
    head = LatentHead(6, width=8, latent=3)
    chosen, rejected, of = torch.randn(5, 6), torch.randn(5, 6), torch.tensor([0, 0, 1, 1, 1])
    mean, log_variance = head.posterior(chosen, rejected, of, 2)
    turned = torch.tensor([1, 0, 4, 2, 3])
    again = head.posterior(chosen[turned], rejected[turned], of[turned], 2)
    alone = head.posterior(chosen[:2], rejected[:2], of[:2], 1)
    assert torch.allclose(mean, again[0], atol=1e-6) and torch.allclose(mean[:1], alone[0], atol=1e-6)
    assert mean.abs().max() <= 1 and log_variance.abs().max() <= 1
    assert torch.allclose(on_sphere(mean).norm(dim=-1), torch.tensor(3.0).sqrt())


def test_a_stranger_is_scored_by_the_mean_over_the_prior_with_its_spread():
    torch.manual_seed(0)
    head, states = LatentHead(6, width=8, latent=3), torch.randn(4, 6)
    each = torch.stack([head.decode(states, z.expand(4, -1)) for z in head.strangers], 1)
    assert torch.allclose(head(states)[:, 0], each.mean(1), atol=1e-6)
    assert torch.allclose(head.spread(states)[:, 0], each.std(1, correction=0), atol=1e-6)
    head.person = head.strangers[0]
    assert torch.allclose(head(states)[:, 0], each[:, 0], atol=1e-6) and head.spread(states) is None


def test_the_size_of_a_micro_batch_changes_nothing(policy, reward):
    tokenizer, model = load_tokenizer(str(policy)), load_reward(str(reward))
    model.head = LatentHead(64, width=8, latent=3)
    rows = [(n, parse_person(row)) for n, row in enumerate(people_rows(4), 1)]
    examples = encode(rows, tokenizer, Tally(), max_length=512)

    def plain(gaps, of, mean, log_variance):
        return torch.zeros(len(mean)).index_add(0, of, gaps) + mean.sum(-1)

    whole = people(model, collate_people(examples, 0), plain).loss
    parts = torch.cat([people(model, collate_people([one], 0), plain).loss for one in examples])
    assert torch.allclose(whole, parts, atol=1e-4)
    assert not torch.allclose(whole, people(model, collate_people(examples[::-1], 0), plain).loss)


def test_a_known_person_gets_scores_of_their_own_and_a_stranger_those_of_all(model):
    scorer = PersonalScorer(model, device=CPU)
    texts = ["thanks a lot", "no"]
    one, other = (scorer.meet(context(row), [ASK] * 2, texts) for row in people_rows(2))
    assert one.score != other.score
    unknown = scorer.meet([], [ASK] * 2, texts)
    assert unknown.score == RewardScorer(model, device=CPU).score([ASK] * 2, texts)
    assert unknown.spread[0] is not None and one.spread[0] is None


def test_a_plain_reward_model_knows_nobody(reward):
    with pytest.raises(RunError, match="latent-user"):
        PersonalScorer(str(reward), device=CPU)


def test_the_question_on_which_people_part_is_the_most_telling_one(model):
    """Half of the draws sure of yes and half of no, ln 2 nats; all at one half tells nothing, nor do all alike."""
    believed = torch.tensor([[0.5, 0.5], [0.99, 0.01], [0.9, 0.9]])
    assert most_telling(believed) == 1
    scorer = PersonalScorer(model, device=CPU)
    same = (ASK, "thanks", "thanks")
    candidates = [same, (ASK, "thanks", "no"), same]
    assert scorer.next_question([], candidates) == 1
    assert scorer.next_question(context(people_rows(1)[0]), candidates) == 1


def test_groups_are_found_where_there_are_some_and_only_there():
    torch.manual_seed(0)
    apart = torch.cat([torch.randn(20, 3) * 0.1 + 1, torch.randn(20, 3) * 0.1 - 1])
    found = groups(apart)
    assert len(set(found[:20])) == len(set(found[20:])) == 1 and found[0] != found[-1]
    assert groups(torch.randn(3, 3)[:2]) == [0, 0]


def test_rows_of_pairs_are_no_people(do, reward):
    with pytest.raises(RunError, match="None of the 3 rows"):
        do("latent-user", model=reward, rows=pair_rows(3), max_steps=1)
