"""Rewards for another engine's answers, over a local port: the engine asks, and this process has the reward model."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from training.core.job import Job, RunError
from training.core.scorers import Scorer, is_judge
from training.core.scoring import load_scorers
from training.recipes.note import Note

LONGEST_BODY = 4_000_000  # bytes of a question for a reward


def reward_scorer(job: Job) -> Scorer:
    """Return the one scorer that the recipe learns from; RunError for what cannot say a number of one answer alone."""
    named = load_scorers(
        job.spec.scorers,
        device=job.device,
        trust_remote_code=job.spec.trust_remote_code,
        person=job.knobs.get("person", ""),
    )
    if "reward" not in named or len(named) > 1:
        raise RunError(Note("An engine learns from one reward model. Name one as reward, and no other."))
    if is_judge(named["reward"]):
        raise RunError(Note("A judge of two answers gives an answer alone no reward. Take a reward model."))
    return named["reward"]


@contextlib.contextmanager
def rewards(scorer: Scorer, address: Path, *, written: Callable[[list[int]], str]) -> Iterator[None]:
    """Within it, this process gives rewards to who knows the token in the file `address`, one answer at a time.

    An answer comes as ``text``, or as ``ids`` of tokens, of which `written` makes the text. One that cannot be read
    gets the lowest reward given so far, as it is not to be worth more than any other.
    """
    token = secrets.token_urlsafe(32)
    lock = threading.Lock()
    lowest = [0.0]

    class Door(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            if not secrets.compare_digest(self.headers.get("Authorization", ""), f"Bearer {token}"):
                self.send_error(403)
                return
            length = int(self.headers.get("Content-Length") or 0)
            if not 0 < length <= LONGEST_BODY:
                self.send_error(413)
                return
            try:
                asked = json.loads(self.rfile.read(length))
                messages = asked["messages"]
                text = written([int(one) for one in asked["ids"]]) if "ids" in asked else str(asked["text"])
            except (ValueError, KeyError, TypeError, OverflowError):
                self.send_error(400)
                return
            with lock:
                found = scorer.score([messages], [text])[0]
                if found is not None:
                    lowest[0] = min(lowest[0], found)
                reward = lowest[0] if found is None else found
            body = json.dumps({"reward": reward}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing: an answer each would fill the run's log."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Door)
    told = json.dumps({"url": f"http://127.0.0.1:{server.server_address[1]}/", "token": token})
    address.unlink(missing_ok=True)
    with open(os.open(address, os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o600), "w") as file:  # the token is in it
        file.write(told)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
        address.unlink(missing_ok=True)
