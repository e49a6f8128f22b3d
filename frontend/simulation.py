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
LOOK_SECONDS = 2.0  # between two looks at what takes its time


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
    seed: str,
    wait: float | None,
    pace: float,
) -> None:
    """Judge item after item until the shift ends; when there is none, look again after `wait` seconds, or leave.

    Where somebody errs depends on `seed` and the item, not on the order in which items come.
    """
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
            dice = random.Random(f"{seed}/{item['prompt']}/{sorted(item['completions'])}")
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

    def __str__(self) -> str:
        low, high = self.interval
        return f"{self.rate:.0%} [{low:.0%}, {high:.0%}]"


def gold_rate(tasks: list[dict[str, Any]], gold: Gold) -> GoldRate | None:
    """Return how often the candidate wins by gold value over tasks of a gate, or None when there is no such task."""
    points: list[float] = []
    for task in tasks:
        own = task["meta"].get("candidate")
        if own not in (0, 1) or len(task["completions"]) != 2:
            continue
        values = [gold(task["prompt"], completion["text"]) for completion in task["completions"]]
        points.append(_point(values[own], values[1 - own]))
    return GoldRate(sum(points) / len(points), len(points)) if points else None


def gold_rate_of(rows: list[dict[str, Any]], gold: Gold) -> GoldRate:
    """Return how often the candidate wins by gold value over the rows of a comparison, of which there is one or more.

    One answer of each policy a prompt: more of them resemble each other, and the interval would be too narrow.
    """
    points = [_point(*(gold(row["prompt"], row[side]["text"]) for side in ("candidate", "current"))) for row in rows]
    return GoldRate(sum(points) / len(points), len(points))


def _point(own: float, other: float) -> float:
    return 0.5 + 0.5 * ((own > other) - (own < other))


@dataclass(frozen=True)
class Yardstick:
    """Measures a campaign's policy in use against the one it had at the start, on prompts that neither learned from."""

    client: Client
    campaign_id: int
    gold: Gold
    prompts: int  # so many of those that the loop holds out

    def in_use(self) -> dict[str, Any]:
        """Return the version of the policy that answers now."""
        listed = self.client.pages(f"training/campaigns/{self.campaign_id}/versions/")
        found = next((one for one in listed if one["kind"] == "policy" and one["state"] == "promoted"), None)
        if found is None:
            raise Unreachable("The campaign has no policy in use, so it has no loop to watch. Set one up.")
        return found

    def measure(self, start: dict[str, Any], *, stopped: threading.Event) -> tuple[dict[str, Any], GoldRate] | None:
        """Return the policy in use and its gold win rate over `start`; None where that is it still, or when stopped.

        Both answer anew in a run of the campaign's workers. Unreachable says why that run did not succeed.
        """
        now = self.in_use()
        if now["id"] == start["id"]:
            return None
        settings = self.client.call("GET", f"training/campaigns/{self.campaign_id}/loop/")["settings"]
        drawing = {name: settings[name] for name in ("temperature", "max_new_tokens")}
        asked = {
            "recipe": "compare",
            "parent": now["id"],
            "reference": start["id"],
            "held_out": self.prompts,
            "knobs": {"samples_per_prompt": 1, **drawing},
        }
        run = self.client.call("POST", f"training/campaigns/{self.campaign_id}/runs/", asked)
        while run["state"] in ("waiting", "queued", "running"):
            if stopped.wait(LOOK_SECONDS):
                return None
            run = self.client.call("GET", f"training/runs/{run['id']}/")
        if run["state"] != "succeeded":
            raise Unreachable(f"The policies could not be compared: run {run['id']} {run['state']}. {run['error']}")
        rows = self.client.call("GET", f"training/runs/{run['id']}/answers/?limit=1000")["rows"]
        return now, gold_rate_of(rows, self.gold)
