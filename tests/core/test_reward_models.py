"""Reward models: where the score is read, that folders hold all of it, and how they are measured."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from transformers import BertConfig, BertModel, BertTokenizerFast

from tests.core.worlds import pair_rows
from training.core.backbone import load_reward, load_tokenizer, start_reward
from training.core.collate import encode_conversation, pad
from training.core.heads import last_token, mean_token
from training.core.tiny import tiny_tokenizer


@pytest.fixture(scope="module")
def encoder(tmp_path_factory) -> Path:
    """A tiny encoder with the tokenizer that encoders have: no chat template, and [SEP] for an end."""
    folder = tmp_path_factory.mktemp("encoder")
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefghijklmnopqrstuvwxyz0123456789:?."]
    vocabulary += [f"##{token}" for token in vocabulary[5:]]
    (folder / "vocab.txt").write_text("\n".join(vocabulary))
    BertTokenizerFast.from_pretrained(folder).save_pretrained(folder)
    torch.manual_seed(0)
    BertModel(
        BertConfig(
            vocab_size=len(vocabulary),
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=1,
            num_attention_heads=2,
            max_position_embeddings=256,
        )
    ).save_pretrained(folder)
    return folder


def test_the_last_real_token_is_found_on_either_side_of_the_padding():
    """States are their positions: 2 and 0 for padding on the right, 3 for padding on the left."""
    hidden = torch.arange(4.0).reshape(1, 4, 1).expand(3, 4, 1)
    mask = torch.tensor([[1, 1, 1, 0], [1, 0, 0, 0], [0, 0, 1, 1]])
    assert last_token(hidden, mask).flatten().tolist() == [2.0, 0.0, 3.0]
    assert mean_token(hidden, mask).flatten().tolist() == [1.0, 0.0, 2.5]


@pytest.mark.parametrize("kind", ["causal", "encoder"])
def test_scores_do_not_depend_on_who_stands_beside(policy, encoder, kind):
    path = str(policy if kind == "causal" else encoder)
    model, tokenizer = start_reward(path)
    assert model.pooling == ("last" if kind == "causal" else "mean")
    ask = [{"role": "user", "content": "why?"}]
    rows = [encode_conversation(tokenizer, ask, text) for text in ("so.", "because it is so.", "no")]
    together = pad([(row, []) for row in rows], pad_id=3)
    with torch.no_grad():
        scores = model.scores(together.input_ids, together.attention_mask)
        for row, score in zip(rows, scores, strict=True):
            ids = torch.tensor([row])
            torch.testing.assert_close(model.scores(ids, torch.ones_like(ids))[0], score, atol=2e-6, rtol=0)


@pytest.mark.parametrize("lora_rank", [0, 2])
@pytest.mark.parametrize("kind", ["causal", "encoder"])
def test_a_saved_reward_model_scores_as_before_and_can_be_trained_on(do, policy, encoder, kind, lora_rank):
    path = policy if kind == "causal" else encoder
    knobs = {"batch_size": 8, "learning_rate": 1e-3, "lora_rank": lora_rank}
    spec, result = do("bradley-terry", into="first", model=path, **knobs)
    folder = f"{spec.output}/model"
    assert ("no chat template" in " ".join(result.notes)) == (kind == "encoder")
    tokenizer = load_tokenizer(folder)
    ids = torch.tensor([encode_conversation(tokenizer, [{"role": "user", "content": "why?"}], "so.")])
    with torch.no_grad():
        first = load_reward(folder).scores(ids, torch.ones_like(ids))
        assert torch.equal(first, load_reward(folder).scores(ids, torch.ones_like(ids)))
    # With a learning rate of 0 the second run changes nothing, so that what it saved can be compared.
    for rank in (0, 2):
        again, _ = do(
            "bradley-terry", into=f"on{rank}", model=folder, **{**knobs, "learning_rate": 0.0, "lora_rank": rank}
        )
        with torch.no_grad():
            second = load_reward(f"{again.output}/model").scores(ids, torch.ones_like(ids))
        torch.testing.assert_close(second, first, atol=1e-5, rtol=0)


def test_a_reward_model_on_an_adapter_policy(do, policy):
    """The policy's adapter is merged below the new head; with LoRA the saved adapter finds its way back to both."""
    start, _ = do("sft", into="policy", model=policy, lora_rank=2, batch_size=8, learning_rate=1e-2)
    ids = torch.tensor([[5, 6, 7, 1]])
    for rank in (0, 2):
        spec, _ = do("bradley-terry", into=f"r{rank}", model=f"{start.output}/model", lora_rank=rank, max_steps=1)
        made = load_reward(f"{spec.output}/model")
        assert torch.isfinite(made.scores(ids, torch.ones_like(ids))).all()


def test_it_learns_what_people_preferred_and_says_how_well(do, policy):
    """300 pairs whose chosen completion starts with thanks: nearly all of 100 unseen pairs are ranked right."""
    spec, trained = do(
        "bradley-terry",
        into="train",
        model=policy,
        rows=pair_rows(300),
        batch_size=16,
        micro_batch=16,
        epochs=2,
        learning_rate=3e-3,
    )
    assert trained.metrics["eval_accuracy"]["estimate"] > 0.9
    _, measured = do("reward-accuracy", into="test", model=f"{spec.output}/model", rows=pair_rows(100, seed=9))
    accuracy, longer = measured.metrics["accuracy"], measured.metrics["longer_is_chosen"]
    assert accuracy["estimate"] > 0.9 and accuracy["n"] == 100
    assert accuracy["low"] < accuracy["estimate"] <= accuracy["high"]
    assert longer["estimate"] < accuracy["low"]
    assert measured.metrics["all_pairs_right"]["estimate"] == accuracy["estimate"], "each prompt has one pair"
    rows = pair_rows(6, seed=9)
    turned = [{**row, "chosen": row["rejected"], "rejected": row["chosen"]} for row in rows]
    _, both = do("reward-accuracy", into="both", model=f"{spec.output}/model", rows=rows + turned)
    assert both.metrics["accuracy"]["estimate"] == 0.5
    strict = both.metrics["all_pairs_right"]
    assert (strict["estimate"], strict["n"]) == (0, 6) and strict["high"] > 0, "each prompt has one pair right of two"
    assert "trust_all" not in both.metrics, "of two answers every filter keeps both"
    worse = [{**row, "rejected": [{"role": "assistant", "content": "no"}]} for row in rows]
    _, three = do("reward-accuracy", into="three", model=f"{spec.output}/model", rows=rows + worse)
    assert three.counts["weighed"] == 18 and 0.5 < three.metrics["trust_all"]["estimate"] <= 1


def test_a_policy_is_not_taken_for_a_reward_model(do, policy):
    with pytest.raises(Exception, match=r"is not a reward model\. Train one with the recipe bradley-terry"):
        do("reward-accuracy", model=policy)


def test_the_note_in_the_folder_says_what_it_is(reward, policy):
    note = json.loads((reward / "attune.json").read_text())
    assert note == {"recipe": "bradley-terry", "base": str(policy), "head": "scalar", "pooling": "last"}
    assert load_tokenizer(str(reward)).chat_template == tiny_tokenizer().chat_template
