"""What tests of chats share: a campaign whose loop lets people talk to its policy, and answers without a model."""

from __future__ import annotations

import json
import sys
import uuid
from pathlib import Path
from typing import Any

from annotation.models import Campaign, User
from tests.factories import loaf
from training import paths
from training.models import Chat, ChatTurn, Loop
from training.services import answering, chats, rounds

TOY = [sys.executable, str(Path(__file__).with_name("toy_speaker.py"))]


def toy(*, mode: str = "good", pause: float = 0.0) -> list[str]:
    """Return the command that runs the toy speaker."""
    return [*TOY, "--mode", mode, "--pause", str(pause)]


def make_chat_loop(campaign: Campaign, *, model: str = "", **settings: Any) -> Loop:
    """Return the loop of a campaign in which people may talk to the policy `model`, by default an empty folder."""
    prompts = paths.files() / "prompts" / "bread.jsonl"
    prompts.parent.mkdir(parents=True, exist_ok=True)
    rows = [{"id": f"q{n}", "prompt": [{"role": "user", "content": loaf(n)}]} for n in range(80)]
    prompts.write_text("".join(json.dumps(row) + "\n" for row in rows))
    folder = paths.files() / "models" / "base"
    folder.mkdir(parents=True, exist_ok=True)
    values = {"chat": True, "temperature": 0.7, "max_new_tokens": 16, **settings}
    return rounds.create_loop(
        campaign=campaign, policy=model or str(folder), prompts_path=str(prompts), settings=values, actor=None
    )


def say(campaign: Campaign, user: User, message: str = "Hello there.", *, key: str = "") -> ChatTurn:
    """Return the turn that begins with `message`, in the person's open chat or a new one."""
    chat = chats.start(campaign=campaign, user=user)
    return chats.say(chat=chat, message=message, client_key=key or uuid.uuid4().hex)


def answered(turn: ChatTurn, *texts: str) -> ChatTurn:
    """Return the turn with these answers, in canonical order, as a worker would have left it."""
    said = texts or (f"First answer to turn {turn.number}.", f"Second answer to turn {turn.number}.")
    claimed = answering.claim(turn.pk, "test")
    assert claimed is not None
    answering.accept(
        claimed, [{"text": t, "tokens": 4, "ended": True, "logp": -2.0, "seed": n} for n, t in enumerate(said)]
    )
    claimed.refresh_from_db()
    return claimed


def choose(turn: ChatTurn, shown: str = "2", *, key: str = "", **data: Any) -> ChatTurn:
    """Return the turn, judged by what stands on the screen: "1" is A much better, "7" is B much better."""
    return chats.choose(turn=turn, data={"preference": shown, **data}, client_key=key or uuid.uuid4().hex)


def talk(campaign: Campaign, user: User, *messages: str, shown: str = "2") -> Chat:
    """Return a chat in which each message was answered and its better answer chosen."""
    for message in messages or ("Hello there.",):
        turn = choose(answered(say(campaign, user, message)), shown)
    return turn.chat
