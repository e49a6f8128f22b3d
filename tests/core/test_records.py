"""Rows: each is used or counted with its reason, and prompts fall on the side the annotation half puts them on."""

from __future__ import annotations

import json
import random

import pytest

from annotation import datasets
from training.core.records import (
    Pair,
    Refused,
    Tally,
    canonical,
    held_out,
    messages_of,
    parse_lines,
    parse_pair,
    prompt_hash,
)

GOOD = {"prompt": "Why?", "chosen": "Because.", "rejected": "No."}


def test_the_hash_and_the_split_are_those_of_the_annotation_side():
    draw = random.Random(0)
    for _ in range(500):
        text = "x" + "".join(draw.choice('abc é漢\n"\\{}☃') for _ in range(draw.randint(1, 30)))
        messages = [{"content": text, "role": "user"}, {"role": "assistant", "content": text[::-1]}]
        hash = prompt_hash(messages_of(messages))
        assert hash == datasets.prompt_hash(messages)
        assert held_out(hash, share=0.1) == (datasets.split(hash) == "test")


def test_larger_shares_contain_the_smaller_ones_and_shares_are_met():
    hashes = [prompt_hash([{"role": "user", "content": str(i)}]) for i in range(4000)]
    last: set[str] = set()
    for share in (0.0, 0.05, 0.1, 0.25, 0.9):
        held = {h for h in hashes if held_out(h, share=share)}
        assert last <= held
        assert abs(len(held) / len(hashes) - share) < 0.02
        last = held


def test_the_edge_of_the_tenth_is_exact():
    """Numbers ending in 0 are held out at 0.1, also the largest; numbers ending in 1 are not, also the smallest."""
    assert held_out(f"{4294967290:08x}", share=0.1)
    assert not held_out(f"{1:08x}", share=0.1)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"prompt": "Why?", "chosen": "Because."}, "malformed"),
        ({**GOOD, "prompt": [{"role": "robot", "content": "x"}]}, "malformed"),
        ({**GOOD, "prompt": [{"role": "user"}]}, "malformed"),
        ({**GOOD, "prompt": []}, "empty"),
        ({**GOOD, "prompt": "  "}, "empty"),
        ({**GOOD, "chosen": "\n"}, "empty"),
        ({**GOOD, "chosen": [{"role": "user", "content": "x"}]}, "malformed"),
        ({**GOOD, "chosen": [{"role": "assistant", "content": "x"}] * 2}, "several_turns"),
        ({**GOOD, "rejected": " Because. "}, "identical"),
        ({**GOOD, "strength": -1}, "malformed"),
        ({**GOOD, "strength": "much"}, "malformed"),
        ({**GOOD, "strength": float("nan")}, "malformed"),
    ],
)
def test_a_row_that_cannot_be_learned_from_is_refused_with_a_reason_and_the_good_one_is_not(row, reason):
    with pytest.raises(Refused, match=reason):
        parse_pair(row)
    assert parse_pair(GOOD).prompt == [{"role": "user", "content": "Why?"}]


def test_of_two_whole_dialogues_the_turn_where_they_part_is_learned_by_who_asks_for_it():
    later = [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "The yeast eats."}]
    one, other = ([{"role": "assistant", "content": text}] for text in ("An hour.", "A day."))
    row = json.dumps({"prompt": "How long?", "chosen": [*one, *later], "rejected": [*other, *later], "strength": 0.5})
    same = json.dumps({"prompt": "How long?", "chosen": [*one, *later], "rejected": one})
    tally = Tally()
    ((_, record),) = parse_lines([row, same], "pairs", tally, parted=True)
    assert isinstance(record, Pair) and (record.chosen, record.rejected) == ("An hour.", "A day.")
    assert record.strength == 0.5 and tally.counts["refused_identical"] == 1
    assert not parse_lines([row], "pairs", tally) and tally.counts["refused_several_turns"] == 1


def test_counts_add_up_and_notes_name_the_lines():
    lines = [json.dumps(GOOD), "{not json", "[]", "", json.dumps({**GOOD, "audit": True}), json.dumps(GOOD)]
    tally = Tally()
    records = parse_lines(lines, "pairs", tally)
    assert [line for line, _ in records] == [1, 6]
    assert tally.counts == {"read": 5, "refused_malformed": 2, "refused_audit": 1}
    notes = tally.notes()
    assert "2 rows were left out because they do not have the columns of their view (lines 2, 3)." in notes
    assert any("audit slice" in note for note in notes)
    assert len(parse_lines(lines, "pairs", Tally(), audit=True)) == 3


def test_canonical_form_is_one_whatever_the_order_of_keys():
    assert canonical([{"role": "user", "content": "é"}]) == canonical([{"content": "é", "role": "user"}])
    assert "é" in canonical([{"role": "user", "content": "é"}])
