"""A policy that answers chats: two answers, the same ones when asked again, sentences for what cannot be answered."""

from __future__ import annotations

import json
import os
import shutil
import threading
from pathlib import Path
from typing import Any

import pytest
import torch

from training.core import chat
from training.core.backbone import load_policy
from training.core.collate import encode_prompt
from training.core.decode import generate, stop_ids
from training.core.job import RunError
from training.core.personal import UserTokens
from training.recipes.chat import Question, Voice
from training.recipes.users_file import USERS_FILE, forget

HELLO = [{"role": "user", "content": "Hello."}]


@pytest.fixture(scope="module")
def speaker(policy: Path) -> chat.Speaker:
    return chat.Speaker(Voice(model=str(policy)))


def question(**values: Any) -> Question:
    given = {"id": "7", "messages": HELLO, "seeds": [1, 2], "temperature": 1.0, "max_new_tokens": 12}
    return Question(**{**given, **values})


def test_answers_depend_on_their_seeds_alone_and_grow(speaker: chat.Speaker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat, "SHOW_SECONDS", 0.0)
    shown: list[list[str]] = []
    answers = speaker.answer(question(), lambda texts: shown.append(list(texts)))
    assert [answer.seed for answer in answers] == [1, 2]
    assert answers[0].text != answers[1].text
    assert all(0 < answer.tokens <= 12 for answer in answers)
    assert {answer.asked for answer in answers} == {len(encode_prompt(speaker.tokenizer, HELLO))}
    assert len(shown) >= 2 and all(len(texts) == 2 for texts in shown)
    for place, answer in enumerate(answers):
        for texts in shown:
            assert answer.text.startswith(texts[place])
    again = speaker.answer(question(seeds=[2, 1]), lambda texts: None)
    assert {answer.text for answer in again} == {answer.text for answer in answers}
    assert again[0].text == answers[1].text


def test_a_user_is_answered_by_the_own_soft_prompt_and_who_is_unknown_or_forgotten_as_anybody(
    policy: Path, tmp_path: Path, speaker: chat.Speaker
) -> None:
    folder = Path(shutil.copytree(policy, tmp_path / "knowing"))
    model, _ = load_policy(str(policy))
    own = 3 * torch.randn(2, 2, model.get_input_embeddings().embedding_dim, generator=torch.Generator().manual_seed(0))
    UserTokens(["a", "b"], torch.zeros_like(own[0]), own, opening=[]).save(folder / USERS_FILE)
    knowing = chat.Speaker(Voice(model=str(folder)))

    def said(by: chat.Speaker, **values: Any) -> list[float]:
        return [answer.logp for answer in by.answer(question(**values), lambda texts: None)]

    anybody = said(speaker)
    assert said(knowing) == said(knowing, user="stranger") == said(speaker, user="a") == anybody
    one, other = said(knowing, user="a"), said(knowing, user="b")
    assert one != anybody != other != one
    assert forget(folder, "a") and said(knowing, user="a") == anybody and said(knowing, user="b") == other


def test_the_watched_rows_are_those_that_come_out(policy: Path) -> None:
    model, tokenizer = load_policy(str(policy))
    ids = encode_prompt(tokenizer, HELLO)
    seen: list[list[list[int]]] = []
    given: dict[str, Any] = {"n": 2, "temperature": 1.0, "max_new_tokens": 6, "stop": stop_ids(model, tokenizer)}
    watched = generate(model, [ids], **given, seeds=[3], watch=lambda rows: seen.append([list(row) for row in rows]))
    assert seen[-1] == [draw.ids for draw in watched[0]]
    assert [len(rows[0]) for rows in seen[:3]] == [1, 2, 3]
    assert generate(model, [ids], **given, seeds=[3]) == watched


def test_equal_answers_are_drawn_anew_a_few_times(speaker: chat.Speaker) -> None:
    different = speaker.answer(question(seeds=[5, 5]), lambda texts: None)
    assert different[0].seed == 5 != different[1].seed
    assert different[0].text != different[1].text
    cold = speaker.answer(question(temperature=0.0), lambda texts: None)
    assert cold[0].text == cold[1].text, "a greedy model says the same whatever it is asked with"


def test_what_the_model_cannot_read_is_said_in_a_sentence(speaker: chat.Speaker) -> None:
    with pytest.raises(RunError, match="Write a shorter one"):
        speaker.answer(question(messages=[{"role": "user", "content": "x" * 600}]), lambda texts: None)
    long = [{"role": role, "content": "x" * 200} for role in ("user", "assistant", "user")]
    with pytest.raises(RunError, match=r"This conversation is longer.*start a new one"):
        speaker.answer(question(messages=long), lambda texts: None)
    with pytest.raises(RunError, match="max_new_tokens is 512"):
        speaker.answer(question(max_new_tokens=512), lambda texts: None)


def test_a_question_that_fails_does_not_end_the_child(policy: Path) -> None:
    told: list[dict[str, Any]] = []
    lines = [question(id="a", messages=[{"role": "user", "content": "x" * 600}]), question(id="b")]
    assert chat.serve(Voice(model=str(policy)), iter([line.to_line() for line in lines]), told.append) == 0
    assert told[0] == {"ready": True}
    assert told[1]["id"] == "a" and "longer than the model can read" in told[1]["error"]
    assert told[-1]["id"] == "b" and len(told[-1]["answers"]) == 2
    assert json.loads(json.dumps(told[-1])) == told[-1]


def test_a_model_that_cannot_be_loaded_is_said_before_the_end(tmp_path: Path) -> None:
    told: list[dict[str, Any]] = []
    assert chat.serve(Voice(model=str(tmp_path / "none")), iter([]), told.append) == 1
    assert "could not be loaded" in told[0]["error"]


def test_lines_are_read_whole_until_the_pipe_closes_or_nothing_comes() -> None:
    source, sink = os.pipe()
    writer = threading.Thread(target=lambda: [os.write(sink, part) for part in (b"on", b"e\ntwo\nth", b"ree\n")])
    writer.start()
    read = chat.questions(source, idle_seconds=0.5)
    assert [next(read), next(read), next(read)] == ["one", "two", "three"]
    writer.join()
    assert list(read) == [], "it ends after half a second of silence"
    os.close(sink)
    assert list(chat.questions(source, idle_seconds=60)) == []
    os.close(source)


def test_errors_are_sentences() -> None:
    assert chat.sentence(torch.OutOfMemoryError()).startswith("The device's memory is full")
    assert (
        chat.sentence(RuntimeError("no\nluck")) == "The model failed with RuntimeError: no. Tell the campaign's lead."
    )
