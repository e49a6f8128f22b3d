"""Simulated annotators: they see what a person sees, over HTTP, and prefer what a known taste prefers."""

from __future__ import annotations

import json
import math
import random
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from annotation.quality.shares import wilson

Gold = Callable[[list[dict[str, str]], str], float]

# Distances in gold value from which a preference is called slight, clear and strong.
STRENGTHS = (0.01, 0.3, 0.9)
TRIES = 6


class Unreachable(Exception):
    """The server does not answer, or answers with an error; the message says what it said."""


@dataclass(frozen=True)
class Client:
    """Attune's REST interface for one token, with the standard library alone."""

    url: str
    token: str

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """Return the decoded answer, or None for 204. Tries again while the server is away: every call here is safe
        to repeat, because a submit carries its key.
        """
        for attempt in range(TRIES):
            request = urllib.request.Request(  # noqa: S310 - the operator names the address
                f"{self.url.rstrip('/')}/api/{path}",
                method=method,
                data=None if body is None else json.dumps(body).encode(),
                headers={"Authorization": f"Token {self.token}", "Content-Type": "application/json"},
            )
            try:
                with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310
                    return json.load(response) if response.status != 204 else None
            except urllib.error.HTTPError as error:
                if error.code < 500 or attempt == TRIES - 1:
                    raise Unreachable(f"{method} {path}: {error.code} {error.read()[:500].decode()}") from error
            except OSError as error:
                if attempt == TRIES - 1:
                    raise Unreachable(f"{self.url} does not answer: {error}. Is the server running?") from error
            time.sleep(0.2 * 2**attempt)
        raise AssertionError("unreachable")

    def pages(self, path: str) -> list[dict[str, Any]]:
        """Return all rows of a list."""
        rows: list[dict[str, Any]] = []
        separator = "&" if "?" in path else "?"
        address = f"{path}{separator}page_size=500"
        while True:
            page = self.call("GET", address)
            rows += page["results"]
            if not page["next"]:
                return rows
            before = page["next"].split("before=")[1].split("&")[0]
            address = f"{path}{separator}page_size=500&before={before}"


@dataclass(frozen=True)
class Annotator:
    """Prefers the answer of higher gold value; `noise` is the temperature of Bradley-Terry choice, 0 for none."""

    gold: Gold
    error_rate: float
    noise: float

    def prefer(self, prompt: list[dict[str, str]], left: str, right: str, *, dice: random.Random) -> int:
        """Return 1 (left much better) to 7 (right much better). With probability `error_rate` the sides are swapped."""
        distance = self.gold(prompt, left) - self.gold(prompt, right)
        if self.noise > 0:
            chance = 1 / (1 + math.exp(-max(-700.0, min(700.0, distance / self.noise))))
            distance = abs(distance) if dice.random() < chance else -abs(distance)
        if dice.random() < self.error_rate:
            distance = -distance
        strength = sum(abs(distance) >= step for step in STRENGTHS)
        return 4 - strength if distance > 0 else 4 + strength


@dataclass
class Shift:
    """What all annotators of one simulation share: how many judgements are left to make, and whether to stop."""

    judgements: int | None  # None: until stopped
    done: int = 0
    failure: str = ""
    stopped: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self) -> bool:
        """Return whether one more judgement may be made, and count it."""
        with self.lock:
            if self.stopped.is_set() or (self.judgements is not None and self.done >= self.judgements):
                return False
            self.done += 1
            return True

    def give_back(self) -> None:
        with self.lock:
            self.done -= 1


def work(
    client: Client,
    *,
    campaign_id: int,
    annotator: Annotator,
    shift: Shift,
    dice: random.Random,
    wait: float | None,
    pace: float,
) -> None:
    """Judge item after item until the shift ends; when there is none, look again after `wait` seconds, or leave."""
    try:
        while shift.take():
            item = client.call("POST", f"campaigns/{campaign_id}/next/", {})
            if item is None:
                shift.give_back()
                if wait is None or shift.stopped.wait(wait):
                    return
                continue
            if shift.stopped.wait(pace):
                shift.give_back()
                return
            preference = annotator.prefer(item["prompt"], *item["completions"], dice=dice)
            answer = {"preference": str(preference), "client_key": f"sim-{item['key']}"}
            client.call("POST", f"assignments/{item['key']}/submit/", answer)
    except Unreachable as error:
        shift.failure = str(error)
        shift.stopped.set()


@dataclass(frozen=True)
class GoldRate:
    """How often the gold preference is for the candidate's answer; a tie counts half."""

    rate: float
    pairs: int

    @property
    def interval(self) -> tuple[float, float]:
        """Return the 95 % Wilson interval; there is at least one pair, see `gold_rate`."""
        low, high = wilson(self.rate * self.pairs, self.pairs)
        assert low is not None and high is not None
        return low, high


def gold_rate(tasks: list[dict[str, Any]], gold: Gold) -> GoldRate | None:
    """Return how often the candidate wins by gold value over tasks of a gate, or None when there is no such task."""
    points: list[float] = []
    for task in tasks:
        own = task["meta"].get("candidate")
        if own not in (0, 1) or len(task["completions"]) != 2:
            continue
        values = [gold(task["prompt"], completion["text"]) for completion in task["completions"]]
        points.append(0.5 + 0.5 * ((values[own] > values[1 - own]) - (values[own] < values[1 - own])))
    return GoldRate(sum(points) / len(points), len(points)) if points else None
