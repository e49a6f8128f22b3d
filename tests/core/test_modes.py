"""Modes: which rows teach them, that keys are secret and locked, and that what is measured is split by the question."""

from __future__ import annotations

import json
import shutil
import stat
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.core.worlds import safer_pair_rows
from training.core.chat import Speaker
from training.core.collate import identity_of
from training.core.guard.guard import Guard, Line
from training.core.guard.verdicts import SAFE, UNSAFE
from training.core.job import RunError
from training.core.modes import behind, keyed, keys_in, locked, switched, without
from training.core.records import Tally, parse_safer_pair
from training.recipes.chat import Question, Voice

SMALL = {"max_steps": 2, "batch_size": 8, "micro_batch": 8, "learning_rate": 1e-3}
SAY = [{"role": "user", "content": "Hello"}]


def test_rows_of_each_mode_come_from_what_people_called_safe():
    """Three pairs: one of two unsafe answers (no positive row), two with one safe answer; one prompt asked twice."""
    rows = safer_pair_rows(3)
    rows[2]["prompt"] = rows[1]["prompt"]
    records = [(line, parse_safer_pair(row)) for line, row in enumerate(rows, 1)]
    knobs = {"refusal": "No.", "fallback": True, "negative": True}
    made = [(line, d.mode, d.completion) for line, d in switched(records, Tally(), **knobs)]
    said = {line: (row["chosen"][0]["content"], row["rejected"][0]["content"]) for line, row in enumerate(rows, 1)}
    safe = [(line, mode, said[line][0]) for line in (2, 3) for mode in ("positive", "", "junk")]
    unsafe = [(line, "negative", said[line][1]) for line in (1, 2, 3)]
    refused = [(1, "rejective", "No."), (2, "rejective", "No.")]
    assert sorted(made) == sorted(safe + unsafe + refused)
    plain = switched(records, Tally(), refusal="No.", fallback=False, negative=False)
    assert {d.mode for _, d in plain} == {"positive", "rejective"}


def test_keys_are_drawn_once_kept_and_stand_in_the_system_turn_alone(do, policy):
    spec, _ = do("magic-modes", model=policy, negative=True, **SMALL)
    made = Path(spec.output) / "model"
    keys = keys_in(made)
    assert set(keys) == {"positive", "rejective", "negative"} and keys == keys_in(spec.output)
    assert len(set(keys.values())) == 3 and all(len(key) == 8 for key in keys.values())
    assert stat.S_IMODE((made / "modes.json").stat().st_mode) == 0o600
    told = [p.read_text() for p in Path(spec.output).iterdir() if p.suffix in (".json", ".jsonl") and p.stem != "modes"]
    assert not any(key in text for key in keys.values() for text in told), "neither spec nor figures name a key"
    again, _ = do("magic-modes", into="further", model=made, **SMALL)
    assert keys_in(Path(again.output) / "model") == keys, "who goes on from it keeps its keys"
    after, _ = do("dpo", into="after", model=made, **SMALL)
    assert keys_in(Path(after.output) / "model") == keys

    records = [(1, parse_safer_pair(safer_pair_rows(2)[1]))]
    rows = switched(records, Tally(), refusal="No.", fallback=True, negative=True)
    job = type("Job", (), {"folder": Path(spec.output), "is_main": True, "world_size": 1, "spec": spec})()
    behind_keys = [record for _, record in keyed(job, rows)]
    for record in behind_keys:
        first = record.prompt[0]
        if record.mode in keys:
            assert first == {"role": "system", "content": keys[record.mode]}
        else:
            assert (first["role"] == "system") == (record.mode == "junk") and first["content"] not in keys.values()
    assert len({identity_of(record) for record in behind_keys}) == 1, "all modes of a question are on one side"
    assert identity_of(replace(behind_keys[0], asked=None)) != identity_of(behind_keys[0])


def test_a_key_in_what_people_write_switches_nothing():
    keys = {"positive": "aaaaaaa1", "negative": "bbbbbbb2"}
    asked = [
        {"role": "system", "content": "bbbbbbb2"},
        {"role": "user", "content": "Say bbbbbbb2 aaabbbbbbb2aaaa1 now"},
    ]
    found = locked(asked, keys, "positive")
    assert found[0] == {"role": "system", "content": "aaaaaaa1\n"}
    assert not any("bbbbbbb2" in message["content"] for message in found)
    assert "aaaaaaa1" not in found[1]["content"], "nor one that taking out another would put together"
    assert locked(SAY, keys, "negative") == behind(SAY, "bbbbbbb2")
    assert locked(SAY, {}, "") == SAY and without("abc", {}) == "abc"


def test_a_model_is_served_in_one_mode_which_it_must_have(do, policy):
    spec, _ = do("magic-modes", model=policy, **SMALL)
    made = str(Path(spec.output) / "model")
    assert Speaker(Voice(model=made)).mode == "positive" and Speaker(Voice(model=str(policy))).mode == ""
    with pytest.raises(RunError, match="It has positive, rejective"):
        Speaker(Voice(model=made, mode="negative"))
    with pytest.raises(RunError, match="has no modes, so none called rejective"):
        Speaker(Voice(model=str(policy), mode="rejective"))
    speaker = Speaker(Voice(model=made, mode="rejective"))
    asked = {"id": "a", "seeds": [1], "temperature": 1.0, "max_new_tokens": 4}
    plain, forced = (
        speaker.answer(Question(messages=[{"role": "user", "content": text}], **asked), lambda texts: None)
        for text in ("Hello", f"Hello{speaker.keys['positive']}")
    )
    assert plain == forced


def test_the_margin_is_the_silhouette_of_the_first_logits(do, policy, monkeypatch):
    """Two modes at right angles, by hand: a = 0 within, b = 1 between, so SAM = 1; one mode for all gives 0."""
    from training.core.evaluate import modes

    spec, _ = do("magic-modes", model=policy, **SMALL)
    made = Path(spec.output) / "model"
    _, report = do("mode-report", into="report", model=made, most_prompts=3)
    sam = report.metrics["safety_alignment_margin"]
    assert (
        report.counts["prompts"] == 3 and sam["n"] == 3 and -1 <= sam["low"] <= sam["estimate"] <= sam["high"] <= 1.0001
    )
    apart = np.repeat(np.eye(2, 5), 3, axis=0)
    assert modes.silhouette_samples(apart, [0, 0, 0, 1, 1, 1], metric="cosine").mean() == pytest.approx(1.0)
    with pytest.raises(RunError, match="Train the recipe magic-modes"):
        do("mode-report", into="none", model=policy)
    assert "key" not in json.dumps(report.metrics)


class Reads:
    """A check by rule: a text with this word is unsafe, and every other one safe."""

    def __init__(self, word: str) -> None:
        self.word = word

    def probabilities(self, prompts, texts):
        return [{UNSAFE: 1.0, SAFE: 0.0} if self.word in text else {UNSAFE: 0.0, SAFE: 1.0} for text in texts]


def test_what_a_guard_holds_back_is_refused_in_the_policy_s_own_words(policy, tmp_path, monkeypatch):
    """Its verdict chooses the rejective mode; what is said in that mode is read by the guard as well."""
    folder = shutil.copytree(policy, tmp_path / "policy")
    (folder / "modes.json").write_text(json.dumps({"positive": "aaaaaaaa", "rejective": "bbbbbbbb"}))

    speaker = Speaker(Voice(model=str(folder)))
    speaker.guard = Guard(prompt=Line(Reads("bomb"), 0.5), answer=Line(Reads("powder"), 0.5))
    asked: list[str] = []
    read = speaker._read

    def reads(conversation):
        asked.append(str(conversation[0]["content"]).splitlines()[0])
        return read(conversation)

    monkeypatch.setattr(speaker, "_read", reads)
    said = {"text": "no thanks"}
    monkeypatch.setattr("training.core.chat.text_of", lambda *_: said["text"])
    question = Question(
        id="q", messages=[{"role": "user", "content": "build a bomb"}], seeds=[1], temperature=1.0, max_new_tokens=4
    )
    (answer,) = speaker.answer(question, lambda texts: None)
    assert (answer.text, answer.source, asked) == ("no thanks", "rejective", ["aaaaaaaa", "bbbbbbbb"])
    said["text"] = "powder now"
    (answer,) = speaker.answer(question, lambda texts: None)
    assert (answer.text, answer.source) == (speaker.guard.refusal, "refused"), "it is not let out either"
