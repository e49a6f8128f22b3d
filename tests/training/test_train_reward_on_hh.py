"""The command that trains a reward model on HH-RLHF, on a small set in the same layout."""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from tests.core.worlds import pair_rows, tiny_policy
from training.management.commands.train_reward_on_hh import flipped, longer_is_better, read_pairs


def write(folder: Path, name: str, lines: list[dict]) -> None:
    with gzip.open(folder / f"{name}.jsonl.gz", "wt") as file:
        file.writelines(json.dumps(line) + "\n" for line in lines)


def transcripts(count: int, *, seed: int) -> list[dict]:
    """As in HH-RLHF: whole conversations, and some conversations with a second turn in a row of its own."""
    lines = []
    for number, row in enumerate(pair_rows(count, seed=seed)):
        opening = f"\n\nHuman: {row['prompt'][0]['content']}"
        answers = {side: row[side][0]["content"] for side in ("chosen", "rejected")}
        lines.append({side: f"{opening}\n\nAssistant: {text}" for side, text in answers.items()})
        if number % 3 == 0:
            more = f"{opening}\n\nAssistant: Well.\n\nHuman: And?"
            lines.append({side: f"{more}\n\nAssistant: {text}" for side, text in answers.items()})
    return lines


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "hh"
    folder.mkdir()
    write(folder, "helpful-base", [*transcripts(18, seed=1), {"chosen": "no transcript"}])
    write(folder, "harmless-base", transcripts(12, seed=2))
    return folder


def test_a_conversation_stands_on_one_side_only_and_bad_rows_are_counted(data):
    pairs, refused = read_pairs(data)
    assert (len(pairs), refused) == (24 + 16, 1)
    assert {p.row["domain"] for p in pairs} == {"helpful-base", "harmless-base"}
    sides: dict[str, set[bool]] = {}
    for pair in pairs:
        sides.setdefault(pair.row["prompt"][0]["content"], set()).add(pair.held_out)
    assert len(sides) == 30 and all(len(side) == 1 for side in sides.values())
    assert {next(iter(side)) for side in sides.values()} == {True, False}
    assert len(read_pairs(data, wanted="harmless-base")[0]) == 16


def test_it_trains_and_reports_beside_length(data, tmp_path):
    policy = tiny_policy(tmp_path / "policy")
    out = io.StringIO()
    call_command(
        "train_reward_on_hh",
        data=str(data),
        output=str(tmp_path / "out"),
        model=str(policy),
        knob=["max_steps=2", "max_length=160"],
        stdout=out,
    )
    said = out.getvalue()
    assert "held out, 1 rows refused." in said
    for title in ("all", "helpful-base", "harmless-base"):
        assert f"\n{title}: accuracy 0." in said or f"\n{title}: accuracy 1." in said
    assert "by length alone" in said and "Length alone: the longer one" in said
    assert (tmp_path / "out" / "train" / "model" / "head.safetensors").exists()


def test_what_is_missing_is_named(tmp_path):
    with pytest.raises(CommandError, match="Give the folder of HH-RLHF pairs with --data"):
        call_command("train_reward_on_hh", data=str(tmp_path), output=str(tmp_path / "out"))


def test_the_opposite_rule_has_the_mirrored_interval(data):
    assert flipped({"estimate": 0.6, "low": 0.5, "high": 0.8, "n": 9}) == pytest.approx(
        {"estimate": 0.4, "low": 0.2, "high": 0.5, "n": 9}
    )
    pairs, _ = read_pairs(data)
    assert longer_is_better(pairs)
