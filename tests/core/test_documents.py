"""Continued pre-training: texts as a base model reads them, cut into windows, and what is learned from them."""

from __future__ import annotations

import gzip
import json
from itertools import pairwise
from pathlib import Path

import pytest

from training.core.collate import encode
from training.core.records import Document, Tally
from training.core.tiny import END, tiny_tokenizer
from training.recipes.documents import rows_of

TEXT = "A cough that lasts longer than three weeks is looked into."


@pytest.mark.parametrize("length", [4, 7, 1000])
def test_each_token_of_a_text_is_predicted_once_whatever_the_windows(length):
    tokenizer = tiny_tokenizer()
    windows = encode([(1, Document(TEXT))], tokenizer, Tally(), max_length=length)
    assert all(len(one.prompt) == 1 and one.length <= length for one in windows)
    assert {one.prompt_hash for one in windows} == {windows[0].prompt_hash}, "held out together"
    predicted = [token for one in windows for token in one.completions[0]]
    whole = tokenizer(TEXT, add_special_tokens=False)["input_ids"] + [tokenizer.eos_token_id]
    if tokenizer.bos_token_id is None:
        assert predicted == whole[1:] and windows[0].prompt == whole[:1]
    else:
        assert predicted == whole and windows[0].prompt == [tokenizer.bos_token_id]
    for before, after in pairwise(windows):
        assert after.prompt == before.completions[0][-1:]


def test_a_text_that_would_end_in_the_middle_is_left_out_and_told():
    tally = Tally()
    assert encode([(3, Document(f"One.{END} Two."))], tiny_tokenizer(), tally, max_length=50) == []
    assert tally.counts["refused_ends_inside"] == 1 and tally.examples["ends_inside"] == [3]


def test_reading_texts_makes_their_like_likelier(do, policy):
    rows = [{"text": f"The clinic opens at eight, room {n}."} for n in range(24)]
    fast = {"epochs": 6, "batch_size": 4, "learning_rate": 1e-2}
    spec, result = do("continued-pretraining", model=policy, rows=rows, eval_share=0.2, **fast)
    lines = [json.loads(line) for line in Path(spec.output, "metrics.jsonl").read_text().splitlines()]
    losses = [line["loss"] for line in lines if "loss" in line]
    assert losses[-1] < losses[0] / 2
    assert result.metrics["eval_loss"] < losses[0] / 2, "other texts of the domain too"


def test_files_of_json_lines_plain_text_and_packed_ones_are_read_alike(tmp_path):
    texts = ["One. And more.", "Two."]
    lines = "".join(json.dumps({"text": text}) + "\n" for text in texts)
    (tmp_path / "a.jsonl").write_text(lines)
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    (tmp_path / "a.txt").write_text("One. And more.\n\n \n\nTwo.\n")
    for name in ("a.jsonl", "a.jsonl.gz", "a.txt"):
        assert [row["text"] for row in rows_of(tmp_path / name)] == texts
    (tmp_path / "b.jsonl").write_text('{"text": "x"}\n{"words": 1}\n')
    with pytest.raises(ValueError, match=r"Line 2 of b\.jsonl"):
        list(rows_of(tmp_path / "b.jsonl"))
